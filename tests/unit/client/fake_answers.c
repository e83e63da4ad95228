/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames and answers of the fake server: it reads a frame, answers it, and that is all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/dtype.h"
#include "proto/frame.h"
#include "tests/unit/client/fake_internal.h"

/* ---- Frames ---------------------------------------------------------------------------------- */

static bool read_exactly(int fd, uint8_t *to, size_t n)
{
    size_t at = 0;
    while (at < n) {
        const ssize_t got = recv(fd, to + at, n - at, 0);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

/* Reads a head byte by byte, so as not to read beyond it. */
static bool read_head(struct connection *connection, struct stepd_frame_head *ret_head)
{
    struct stepd_error error;
    for (size_t n = 0; n < STEPD_FRAME_HEAD_MAX_BYTES;) {
        if (!read_exactly(connection->fd, connection->head + n, 1))
            return false;
        n++;
        const enum stepd_frame_progress progress =
            stepd_frame_parse(connection->head, n, STEPD_FRAME_MAX_BYTES, ret_head, &error);
        if (progress == STEPD_FRAME_BAD)
            return false;
        if (progress == STEPD_FRAME_HEAD)
            return true;
    }
    return false;
}

bool fake_read_payload(struct connection *connection)
{
    free(connection->payload);
    connection->payload = malloc(connection->payload_bytes + 1);
    return connection->payload != NULL &&
           read_exactly(connection->fd, connection->payload, connection->payload_bytes);
}

bool fake_read_frame(struct connection *connection)
{
    struct stepd_frame_head head;
    struct stepd_error error;
    if (!read_head(connection, &head))
        return false;
    connection->payload_bytes = head.payload_bytes;
    stepd_arena_reset(&connection->arena);
    return stepd_message_decode(connection->head + head.header_at, head.header_bytes,
                                &connection->arena, &connection->message, &error) == STEPD_OK;
}

static bool write_exactly(int fd, const uint8_t *from, size_t n)
{
    size_t at = 0;
    while (at < n) {
        const ssize_t put = send(fd, from + at, n - at, MSG_NOSIGNAL);
        if (put <= 0)
            return false;
        at += (size_t)put;
    }
    return true;
}

/* Is this the reply that is to be lost? */
static bool is_lost(struct connection *connection)
{
    struct fake_server *const server = connection->server;
    const uint32_t bit = UINT32_C(1) << connection->message.kind;
    const bool lost = (server->lose & bit) != 0;
    server->lose &= ~bit;
    return lost;
}

/* False: hang up. */
static bool reply(struct connection *connection, struct stepd_message *message,
                  const uint8_t *payload, size_t payload_bytes)
{
    if (is_lost(connection))
        return false;
    struct stepd_arena arena;
    struct stepd_error error;
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    message->request_id = connection->message.request_id;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    const bool encoded = stepd_message_encode(message, payload_bytes, &arena, &head, &head_bytes,
                                              &error) == STEPD_OK;
    stepd_arena_deinit(&arena);
    const bool sent = encoded && write_exactly(connection->fd, head, head_bytes) &&
                      write_exactly(connection->fd, payload, payload_bytes);
    free(head);
    return sent;
}

static bool reply_error(struct connection *connection, enum stepd_status code, const char *text)
{
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = code, .text = text},
    };
    return reply(connection, &message, NULL, 0);
}

/* ---- Control --------------------------------------------------------------------------------- */

static bool on_hello(struct connection *connection, enum fake_fault fault)
{
    static const char *const addresses[] = {"", ""};
    struct fake_server *const server = connection->server;
    const struct stepd_hello *const hello = &connection->message.body.hello;
    const uint8_t session[STEPD_SESSION_BYTES] = {1, 2, 3, server->generation};
    server->hellos[hello->shard > 0]++;
    (void)pthread_cond_broadcast(&server->changed);
    if (fault == FAKE_MUTE_HELLO)
        return true;
    while (fault == FAKE_JOINT_HELLO && hello->shard > 0 && server->hellos[1] < 2 &&
           !server->stopping)
        (void)pthread_cond_wait(&server->changed, &server->mutex);
    if (fault == FAKE_HANG_UP_HELLO)
        return false;
    if (fault == FAKE_REFUSE_HELLO) {
        (void)reply_error(connection, STEPD_PERMISSION_DENIED, "not you");
        return false;
    }
    if (fault == FAKE_TAKEN && hello->rejoins) {
        (void)reply_error(connection, STEPD_ALREADY_EXISTS, "rank 0 is taken by worker 'other'");
        return false;
    }
    const bool resumes = hello->session.count == sizeof session;
    if (resumes ? !server->known || memcmp(hello->session.at, session, sizeof session) != 0
                : hello->shard > 0) {
        (void)reply_error(connection, STEPD_NOT_FOUND, "no such session");
        return false;
    }
    server->known = true;
    struct stepd_message welcome = {
        .kind = STEPD_MESSAGE_WELCOME,
        .body.welcome =
            {
                .session = {sizeof session, session},
                .rank = hello->rank < 0 ? 5 : (uint32_t)hello->rank,
                .incarnation = server->tensors == 0 ? 0 : server->incarnation,
                .lease_ms = server->lease_ms,
                .clock = hello->shard == 0 ? server->control_clock : server->shard_clock,
                .shards = 2,
                .shard_address = addresses,
            },
    };
    return reply(connection, &welcome, NULL, 0);
}

static void add_slices(struct fake_server *server, uint32_t tensor, uint64_t elements)
{
    const struct fake_tensor *const whose = &server->tensor[tensor];
    for (uint64_t offset = 0; offset < elements; offset += FAKE_SLICE_ELEMENTS) {
        const uint64_t left = elements - offset;
        struct fake_slice *const slice = &server->slice[server->slices++];
        *slice = (struct fake_slice){
            .tensor = tensor,
            .offset = offset,
            .elements = (uint32_t)(left < FAKE_SLICE_ELEMENTS ? left : FAKE_SLICE_ELEMENTS),
        };
        slice->first = (float)whose->a;
        slice->weights = calloc(slice->elements, sizeof *slice->weights);
        for (uint32_t i = 0; i < slice->elements; i++)
            slice->weights[i] = (float)whose->a;
    }
}

static bool on_define_tensors(struct connection *connection)
{
    struct fake_server *const server = connection->server;
    const struct stepd_define_tensors *const define = &connection->message.body.define_tensors;
    for (size_t i = 0; server->tensors < FAKE_TENSORS_MAX && i < define->tensors; i++) {
        const struct stepd_tensor_def *const def = &define->tensor[i];
        struct fake_tensor *const tensor = &server->tensor[server->tensors];
        uint64_t elements = 1;
        if (define->first + i < server->tensors)
            continue; /* it is there already */
        (void)snprintf(tensor->name, sizeof tensor->name, "%s", def->name);
        tensor->dims = def->dims;
        tensor->init = def->init.kind;
        tensor->a = def->init.a;
        for (size_t d = 0; d < def->dims; d++) {
            tensor->shape[d] = def->shape[d];
            elements *= def->shape[d];
        }
        add_slices(server, (uint32_t)server->tensors++, elements);
    }
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_TENSORS_DEFINED,
        .body.tensors_defined = {.count = (uint32_t)server->tensors},
    };
    return reply(connection, &message, NULL, 0);
}

static uint32_t shard_of(size_t slice)
{
    return 1 + (uint32_t)(slice % 2);
}

static bool on_get_layout(struct connection *connection)
{
    struct fake_server *const server = connection->server;
    struct stepd_tensor_def tensors[FAKE_TENSORS_MAX];
    if (server->tensors == 0)
        return reply_error(connection, STEPD_DEADLINE_EXCEEDED, "nobody has defined the tensors");
    uint32_t shards[FAKE_SLICES_MAX], parts[FAKE_SLICES_MAX], owners[FAKE_SLICES_MAX],
        elements[FAKE_SLICES_MAX];
    uint64_t offsets[FAKE_SLICES_MAX];
    for (size_t i = 0; i < server->tensors; i++) {
        const struct fake_tensor *const tensor = &server->tensor[i];
        tensors[i] = (struct stepd_tensor_def){
            .name = tensor->name, .dims = tensor->dims, .shape = tensor->shape, .group = "all"};
    }
    for (size_t i = 0; i < server->slices; i++) {
        shards[i] = shard_of(i);
        parts[i] = 1;
        owners[i] = server->slice[i].tensor;
        offsets[i] = server->slice[i].offset;
        elements[i] = server->slice[i].elements;
    }
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_LAYOUT,
        .body.layout =
            {
                .incarnation = server->incarnation,
                .mode = server->mode,
                .tensors = server->tensors,
                .tensor = tensors,
                .slice_shards = {server->slices, shards},
                .slice_parts = {server->slices, parts},
                .part_tensors = {server->slices, owners},
                .part_offsets = {server->slices, offsets},
                .part_elements = {server->slices, elements},
                .world = 1,
                .last = true,
            },
    };
    return reply(connection, &message, NULL, 0);
}

/* ---- Training -------------------------------------------------------------------------------- */

/* Adds the payload to the slices, or lays it there. */
static void take_payload(struct connection *connection, struct stepd_u32s slices,
                         enum stepd_dtype dtype, bool add)
{
    struct fake_server *const server = connection->server;
    const uint8_t *at = connection->payload;
    if (connection->payload_bytes == 0)
        return;
    for (size_t i = 0; i < slices.count; i++) {
        struct fake_slice *const slice = &server->slice[slices.at[i]];
        const size_t bytes = slice->elements * stepd_dtype_bytes(dtype);
        float *const values = calloc(slice->elements, sizeof *values);
        memcpy(stepd_dtype_wire_start(dtype, slice->elements, values), at, bytes);
        stepd_dtype_widen(dtype, slice->elements, values);
        for (uint32_t e = 0; e < slice->elements; e++)
            slice->weights[e] = values[e] + (add ? slice->weights[e] : 0);
        free(values);
        at += bytes;
    }
}

/* Sends these slices' weights, one frame for each. */
static bool send_weights(struct connection *connection, struct stepd_u32s slices,
                         enum stepd_dtype dtype, enum stepd_outcome outcome)
{
    struct fake_server *const server = connection->server;
    const uint32_t outcomes[] = {outcome};
    bool sent = true;
    for (size_t i = 0; i < slices.count && sent; i++) {
        const struct fake_slice *const slice = &server->slice[slices.at[i]];
        const size_t bytes = slice->elements * stepd_dtype_bytes(dtype);
        uint8_t *const wire = malloc(bytes);
        stepd_dtype_narrow(dtype, slice->elements, slice->weights, wire);
        struct stepd_message message = {
            .kind = STEPD_MESSAGE_RESULT,
            .body.result = {.slices = {1, &slices.at[i]},
                            .outcomes = {1, outcomes},
                            .versions = {1, &slice->version},
                            .dtype = dtype,
                            .last = i + 1 == slices.count},
        };
        sent = reply(connection, &message, wire, bytes);
        free(wire);
    }
    return sent;
}

static bool half_answer(struct connection *connection, struct stepd_u32s slices)
{
    const uint32_t outcomes[] = {STEPD_APPLIED};
    const uint64_t versions[] = {1};
    struct stepd_arena arena;
    struct stepd_error error;
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    const struct stepd_message message = {
        .request_id = connection->message.request_id,
        .kind = STEPD_MESSAGE_RESULT,
        .body.result = {.slices = {1, slices.at},
                        .outcomes = {1, outcomes},
                        .versions = {1, versions},
                        .last = true},
    };
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    if (stepd_message_encode(&message,
                             connection->server->slice[slices.at[0]].elements * sizeof(float),
                             &arena, &head, &head_bytes, &error) == STEPD_OK)
        (void)write_exactly(connection->fd, head, head_bytes);
    stepd_arena_deinit(&arena);
    free(head);
    return false;
}

static bool on_step(struct connection *connection, enum fake_fault fault)
{
    struct fake_server *const server = connection->server;
    const struct stepd_step_slices *const step = &connection->message.body.step;
    server->steps++;
    server->stepped_at = step->push.clock;
    (void)pthread_cond_broadcast(&server->changed);
    if (fault == FAKE_MUTE_STEP)
        return true;
    if (fault == FAKE_REFUSE_STEP)
        return reply_error(connection, STEPD_DEADLINE_EXCEEDED, "waiting for rank 3");
    if (step->push.incarnation != server->incarnation)
        return reply_error(connection, STEPD_ROLLED_BACK, "the job went back");
    const bool counted = server->slice[step->push.slices.at[0]].clock >= step->push.clock;
    if (!counted)
        take_payload(connection, step->push.slices, step->push.dtype, /* add= */ true);
    for (size_t i = 0; i < step->push.slices.count && !counted; i++) {
        server->slice[step->push.slices.at[i]].version++;
        server->slice[step->push.slices.at[i]].clock = step->push.clock;
    }
    if (fault == FAKE_HALF_ANSWER)
        return half_answer(connection, step->push.slices);
    return send_weights(connection, step->push.slices, step->pull_dtype,
                        counted ? STEPD_DUPLICATE : STEPD_APPLIED);
}

static bool forget_all(struct fake_server *server)
{
    for (size_t i = 0; i < server->slices; i++)
        free(server->slice[i].weights);
    server->slices = 0;
    server->tensors = 0;
    server->known = false;
    return false;
}

static bool on_assign(struct connection *connection, enum fake_fault fault)
{
    if (fault == FAKE_FORGET_ASSIGN)
        return forget_all(connection->server);
    const struct stepd_assign *const assign = &connection->message.body.assign;
    struct stepd_message done = {.kind = STEPD_MESSAGE_RESULT, .body.result = {.last = true}};
    take_payload(connection, assign->slices, assign->dtype, /* add= */ false);
    for (size_t i = 0; i < assign->slices.count; i++) {
        struct fake_slice *const slice = &connection->server->slice[assign->slices.at[i]];
        slice->first = slice->weights[0];
    }
    return reply(connection, &done, NULL, 0);
}

/* Answers one message; false: hang up. The mutex is held. */
bool fake_answer(struct connection *connection, enum fake_fault fault)
{
    struct fake_server *const server = connection->server;
    struct stepd_message ack = {.kind = STEPD_MESSAGE_ACK};
    struct stepd_message job = {.kind = STEPD_MESSAGE_JOB_DEFINED,
                                .body.job_defined = {1, server->incarnation}};
    const struct stepd_message *const message = &connection->message;
    if (fault == FAKE_MUTE)
        return true;
    switch (message->kind) {
    case STEPD_MESSAGE_HELLO: return on_hello(connection, fault);
    case STEPD_MESSAGE_DEFINE_JOB:
        return fault == FAKE_MUTE_DEFINE || reply(connection, &job, NULL, 0);
    case STEPD_MESSAGE_DEFINE_TENSORS: return on_define_tensors(connection);
    case STEPD_MESSAGE_GET_LAYOUT: return on_get_layout(connection);
    case STEPD_MESSAGE_ASSIGN: return on_assign(connection, fault);
    case STEPD_MESSAGE_STEP: return on_step(connection, fault);
    case STEPD_MESSAGE_PULL:
        if (message->body.pull.incarnation != server->incarnation)
            return reply_error(connection, STEPD_ROLLED_BACK, "the job went back");
        return send_weights(connection, message->body.pull.slices, message->body.pull.dtype,
                            STEPD_NONE);
    case STEPD_MESSAGE_HEARTBEAT:
        server->heartbeats++;
        server->endings += message->body.heartbeat.last;
        if (fault == FAKE_MUTE_BEAT)
            return true;
        break;
    case STEPD_MESSAGE_BARRIER:
        server->barriers++;
        server->barrier_at = message->body.barrier.sequence;
        if (message->body.barrier.incarnation != server->incarnation)
            return reply_error(connection, STEPD_ROLLED_BACK, "the job went back");
        break;
    case STEPD_MESSAGE_LEAVE:
        server->left_at = message->body.leave.clock;
        if (fault == FAKE_FORGET_LEAVE)
            server->known = false;
        if (fault == FAKE_FORGET_LEAVE)
            return false;
        break;
    default: break;
    }
    (void)pthread_cond_broadcast(&server->changed);
    return reply(connection, &ack, NULL, 0);
}
