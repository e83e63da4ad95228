/* SPDX-License-Identifier: Apache-2.0
 *
 * What is sent is decoded at once by the same codec that a server uses, so the tests speak of
 * messages and payloads and never of structs inside the client.
 */
#include "tests/unit/client/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"

static const uint64_t big_shape[] = {2, 3};
static const uint64_t a_shape[] = {2};
static const struct stepd_tensor_def tensors[] = {
    {.name = "big", .dims = 2, .shape = big_shape, .group = "all"},
    {.name = "a", .dims = 1, .shape = a_shape, .group = "all"},
    {.name = "b", .dims = 0, .shape = NULL, .group = "all"},
};
static const uint32_t slice_shards[] = {1, 2, 1};
static const uint32_t slice_parts[] = {1, 1, 2};
static const uint32_t part_tensors[] = {0, 0, 1, 2};
static const uint64_t part_offsets[] = {0, 4, 0, 0};
static const uint32_t part_elements[] = {4, 2, 2, 1};
static const struct stepd_layout page = {
    .incarnation = 9,
    .tensors = 3,
    .tensor = tensors,
    .slice_shards = {.count = 3, .at = slice_shards},
    .slice_parts = {.count = 3, .at = slice_parts},
    .part_tensors = {.count = 4, .at = part_tensors},
    .part_offsets = {.count = 4, .at = part_offsets},
    .part_elements = {.count = 4, .at = part_elements},
    .world = 3,
    .last = true,
};

const struct stepd_layout *rig_page(void)
{
    return &page;
}

/* Reads back what is about to be sent. */
static void keep(struct rig_sent *sent, uint32_t shard, struct stepd_outgoing *outgoing)
{
    struct stepd_frame_head head;
    struct stepd_error error;
    *sent = (struct rig_sent){.shard = shard, .outgoing = outgoing};
    sent->payload_bytes = outgoing->payload_bytes;
    sent->payload = malloc(outgoing->payload_bytes + 1);
    sent->head = malloc(outgoing->head_bytes);
    assert_non_null(sent->payload);
    assert_non_null(sent->head);
    memcpy(sent->head, outgoing->head, outgoing->head_bytes);
    size_t at = 0;
    for (size_t i = 0; i < outgoing->spans; i++) {
        memcpy(sent->payload + at, outgoing->span[i].at, outgoing->span[i].bytes);
        at += outgoing->span[i].bytes;
    }
    assert_int_equal(at, outgoing->payload_bytes);
    assert_int_equal(
        stepd_frame_parse(sent->head, outgoing->head_bytes, STEPD_FRAME_MAX_BYTES, &head, &error),
        STEPD_FRAME_HEAD);
    assert_int_equal(head.payload_bytes, outgoing->payload_bytes);
    stepd_arena_init(&sent->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(stepd_message_decode(sent->head + head.header_at, head.header_bytes,
                                          &sent->arena, &sent->message, &error),
                     STEPD_OK);
}

static enum stepd_status port_send(void *self, uint32_t shard, struct stepd_outgoing *outgoing,
                                   struct stepd_error *reterr)
{
    struct rig *const rig = self;
    if (rig->fault != STEPD_OK) {
        *reterr = (struct stepd_error){.code = rig->fault, .text = "the port is broken"};
        return rig->fault;
    }
    assert_true(rig->sent_count < RIG_SENT_MAX);
    keep(&rig->sent[rig->sent_count++], shard, outgoing);
    if (!rig->hold)
        rig_write(rig, rig->sent_count - 1);
    return STEPD_OK;
}

void rig_write(struct rig *rig, size_t index)
{
    struct rig_sent *const sent = &rig->sent[index];
    const uint64_t id = sent->outgoing->request_id;
    sent->outgoing = stepd_outgoing_destroy(sent->outgoing);
    stepd_pending_written(&rig->pending, sent->shard, id);
}

void rig_use_layout(struct rig *rig)
{
    assert_int_equal(stepd_exchange_init(&rig->exchange, &rig->layout, RIG_SHARDS, &rig->pending),
                     STEPD_OK);
    rig->exchange.port = (struct stepd_port){.self = rig, .send = port_send};
}

void rig_setup(struct rig *rig)
{
    struct stepd_error error;
    *rig = (struct rig){.hold = false};
    stepd_layout_init(&rig->layout);
    assert_int_equal(stepd_layout_add(&rig->layout, &page, &error), STEPD_OK);
    assert_int_equal(stepd_layout_seal(&rig->layout, RIG_SHARDS, &error), STEPD_OK);
    rig_use_layout(rig);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        assert_int_equal(stepd_reader_init(&rig->reader[i], &rig->pending, i + 1), STEPD_OK);
}

void rig_teardown(struct rig *rig)
{
    const struct stepd_error over = {.code = STEPD_CANCELLED, .text = "the test is over"};
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        stepd_exchange_lose(&rig->exchange, i + 1, &over);
        stepd_reader_deinit(&rig->reader[i]);
    }
    for (size_t i = 0; i < rig->sent_count; i++) {
        (void)stepd_outgoing_destroy(rig->sent[i].outgoing);
        stepd_arena_deinit(&rig->sent[i].arena);
        free(rig->sent[i].payload);
        free(rig->sent[i].head);
    }
    stepd_exchange_deinit(&rig->exchange);
    stepd_layout_deinit(&rig->layout);
}

static void on_done(struct stepd_operation *operation)
{
    ((struct rig_operation *)operation)->done = true;
    stepd_operation_deinit(operation);
}

struct rig_operation *rig_start(struct rig *rig, enum stepd_operation_kind kind,
                                const struct stepd_array *arrays, size_t count,
                                const struct stepd_step_options *options)
{
    struct stepd_error error;
    assert_true(rig->operation_count < RIG_OPERATIONS_MAX);
    struct rig_operation *const operation = &rig->operation[rig->operation_count++];
    assert_int_equal(
        stepd_operation_init(&operation->operation, kind, &rig->layout, options, &error), STEPD_OK);
    assert_int_equal(
        stepd_operation_fill(&operation->operation, &rig->layout, arrays, count, &error), STEPD_OK);
    assert_int_equal(
        stepd_operation_fill_hessians(&operation->operation, &rig->layout, options, &error),
        STEPD_OK);
    operation->operation.on_done = on_done;
    stepd_exchange_start(&rig->exchange, &operation->operation, /* now_ms= */ 1000);
    return operation;
}

size_t rig_encode(const struct stepd_message *message, const void *payload, size_t payload_bytes,
                  uint8_t **ret_bytes)
{
    struct stepd_arena arena;
    struct stepd_error error;
    uint8_t *head;
    size_t head_bytes;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(
        stepd_message_encode(message, payload_bytes, &arena, &head, &head_bytes, &error), STEPD_OK);
    stepd_arena_deinit(&arena);
    uint8_t *const bytes = realloc(head, head_bytes + payload_bytes);
    assert_non_null(bytes);
    if (payload_bytes > 0)
        memcpy(bytes + head_bytes, payload, payload_bytes);
    *ret_bytes = bytes;
    return head_bytes + payload_bytes;
}

enum stepd_status rig_feed(struct rig *rig, uint32_t shard, const uint8_t *bytes, size_t n,
                           size_t at_once, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t at = 0; at < n && status == STEPD_OK;) {
        struct stepd_room room;
        stepd_reader_window(&rig->reader[shard - 1], &room);
        assert_true(room.bytes > 0);
        size_t piece = n - at < at_once ? n - at : at_once;
        if (piece > room.bytes)
            piece = room.bytes;
        memcpy(room.at, bytes + at, piece);
        at += piece;
        status = stepd_reader_advance(&rig->reader[shard - 1], piece, reterr);
    }
    return status;
}

void rig_reply(struct rig *rig, uint32_t shard, const struct stepd_message *message,
               const void *payload, size_t payload_bytes)
{
    struct stepd_error error;
    uint8_t *bytes;
    const size_t n = rig_encode(message, payload, payload_bytes, &bytes);
    assert_int_equal(rig_feed(rig, shard, bytes, n, SIZE_MAX, &error), STEPD_OK);
    free(bytes);
}

struct stepd_message rig_result(uint64_t request_id, size_t slices, const uint32_t *slice,
                                enum stepd_outcome outcome, uint64_t version)
{
    static uint32_t outcomes[8];
    static uint64_t versions[8];
    assert_true(slices <= 8);
    for (size_t i = 0; i < slices; i++) {
        outcomes[i] = outcome;
        versions[i] = version;
    }
    return (struct stepd_message){
        .request_id = request_id,
        .kind = STEPD_MESSAGE_RESULT,
        .body.result =
            {
                .slices = {.count = slices, .at = slice},
                .outcomes = {.count = slices, .at = outcomes},
                .versions = {.count = slices, .at = versions},
                .last = true,
            },
    };
}
