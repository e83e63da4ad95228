/* SPDX-License-Identifier: Apache-2.0
 *
 * A call lives on its caller's stack. Two letters may be posted for it: one that sends it, and,
 * if the caller runs out of time, one that withdraws it; the caller leaves only when the loop's
 * thread has let go of it (done, withdrawn). A reply that comes later still finds no request of its
 * id, and is dropped.
 */
#include "client/lib/call.h"

#include <assert.h>

#include "client/lib/client.h"
#include "client/lib/core/pending.h"
#include "client/lib/net/clock.h"
#include "proto/arena.h"
#include "proto/error.h"
#include "proto/frame.h"

struct call {
    struct stepd_request request; /* first: the table of pending requests knows it as this */
    struct stepd_letter send;
    struct stepd_letter withdraw;
    struct stepd_loop *loop;
    const struct stepd_client *client;
    const struct stepd_message *message;
    struct stepd_call_options options;
    bool last; /* the frame that has just come ends the reply */
    atomic_bool done;
    atomic_bool withdrawn;
    struct stepd_error error; /* code OK: no failure so far */
};

/* Which reply belongs to which message. */
static enum stepd_message_kind reply_kind(enum stepd_message_kind kind)
{
    switch (kind) {
    case STEPD_MESSAGE_HELLO: return STEPD_MESSAGE_WELCOME;
    case STEPD_MESSAGE_DEFINE_JOB: return STEPD_MESSAGE_JOB_DEFINED;
    case STEPD_MESSAGE_DEFINE_TENSORS: return STEPD_MESSAGE_TENSORS_DEFINED;
    case STEPD_MESSAGE_GET_LAYOUT: return STEPD_MESSAGE_LAYOUT;
    case STEPD_MESSAGE_ASSIGN: return STEPD_MESSAGE_RESULT;
    case STEPD_MESSAGE_GET_STATUS: return STEPD_MESSAGE_STATUS;
    case STEPD_MESSAGE_GET_GROUPS: return STEPD_MESSAGE_GROUPS;
    case STEPD_MESSAGE_CHANGE_JOB:
    case STEPD_MESSAGE_GET_CHANGES: return STEPD_MESSAGE_CHANGES;
    default: return STEPD_MESSAGE_ACK;
    }
}

static bool is_last(const struct stepd_message *reply)
{
    switch (reply->kind) {
    case STEPD_MESSAGE_LAYOUT: return reply->body.layout.last;
    case STEPD_MESSAGE_RESULT: return reply->body.result.last;
    case STEPD_MESSAGE_STATUS: return reply->body.status.last;
    case STEPD_MESSAGE_GROUPS: return reply->body.groups.last;
    case STEPD_MESSAGE_CHANGES: return reply->body.changes.last;
    default: return true;
    }
}

static struct call *call_of(struct stepd_request *request)
{
    return (struct call *)request;
}

static enum stepd_status take_reply(struct stepd_request *request,
                                    const struct stepd_message *reply, size_t payload_bytes,
                                    struct stepd_error *reterr)
{
    struct call *const call = call_of(request);
    (void)payload_bytes; /* replies to calls have none; it would be dropped */
    if (reply->kind != reply_kind(call->message->kind))
        return stepd_fail(reterr, STEPD_INTERNAL, "the server answered %s with %s",
                          stepd_message_name(call->message->kind), stepd_message_name(reply->kind));
    call->last = is_last(reply);
    if (call->options.on_reply == NULL || call->error.code != STEPD_OK)
        return STEPD_OK;
    struct stepd_error error;
    if (call->options.on_reply(call->options.user, reply, &error) != STEPD_OK)
        call->error = error;
    return STEPD_OK;
}

static void on_frame_end(struct stepd_request *request)
{
    struct call *const call = call_of(request);
    if (call->last)
        stepd_pending_end(stepd_loop_pending(call->loop), request,
                          call->error.code == STEPD_OK ? NULL : &call->error);
}

static void finish(struct call *call)
{
    stepd_mailbox_raise(stepd_loop_mailbox(call->loop), &call->done);
}

static void on_end(struct stepd_request *request, const struct stepd_error *error)
{
    struct call *const call = call_of(request);
    if (error != NULL)
        call->error = *error;
    finish(call);
}

static const struct stepd_request_kind call_kind = {
    .on_reply = take_reply,
    .on_frame_end = on_frame_end,
    .on_end = on_end,
};

/* A worker leaves after the last of its pushes, which the loop's thread alone knows. */
static struct stepd_message message_to_send(const struct call *call)
{
    struct stepd_message message = *call->message;
    const struct stepd_exchange *const exchange = stepd_loop_exchange(call->loop);
    message.request_id = call->request.id;
    if (message.kind == STEPD_MESSAGE_LEAVE)
        message.body.leave.clock = exchange == NULL ? call->client->clock : exchange->clock;
    return message;
}

/*
 * A message that breaks a rule of the protocol (a setting that is no number, a name that is too
 * long) would cost the connection. So it is read here as the server would read it, and refused in
 * the same words, and the client goes on.
 */
static enum stepd_status check_rules(const struct stepd_outgoing *outgoing,
                                     struct stepd_arena *arena, struct stepd_error *reterr)
{
    struct stepd_frame_head head;
    struct stepd_message message;
    const enum stepd_frame_progress progress =
        stepd_frame_parse(outgoing->head, outgoing->head_bytes, SIZE_MAX, &head, reterr);
    assert(progress == STEPD_FRAME_HEAD);
    (void)progress;
    stepd_arena_reset(arena);
    return stepd_message_decode(outgoing->head + head.header_at, head.header_bytes, arena, &message,
                                reterr);
}

static enum stepd_status encode_and_send(struct call *call, struct stepd_error *reterr)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    const struct stepd_message message = message_to_send(call);
    enum stepd_status status =
        stepd_outgoing_encode(call->options.outgoing, &message, &arena, reterr);
    if (status == STEPD_OK)
        status = check_rules(call->options.outgoing, &arena, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        status = stepd_loop_send(call->loop, call->options.shard, call->options.outgoing, reterr);
    if (status == STEPD_OK)
        call->options.outgoing = NULL;
    return status;
}

static void deliver_send(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct call *const call = (struct call *)((char *)letter - offsetof(struct call, send));
    struct stepd_error error;
    stepd_pending_add(stepd_loop_pending(loop), call->options.shard, &call->request);
    if (encode_and_send(call, &error) == STEPD_OK)
        return;
    call->request.written = true;
    stepd_pending_end(stepd_loop_pending(loop), &call->request, &error);
}

static void deliver_withdraw(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct call *const call = (struct call *)((char *)letter - offsetof(struct call, withdraw));
    if (!atomic_load(&call->done)) {
        stepd_pending_remove(stepd_loop_pending(loop), &call->request);
        (void)stepd_fail(&call->error, STEPD_DEADLINE_EXCEEDED,
                         "the server did not answer %s in time",
                         stepd_message_name(call->message->kind));
    }
    stepd_mailbox_raise(stepd_loop_mailbox(loop), &call->withdrawn);
}

enum stepd_status stepd_call_with(struct stepd_client *client, const struct stepd_message *message,
                                  const struct stepd_call_options *options,
                                  struct stepd_error *reterr)
{
    struct call call = {
        .request = {.kind = &call_kind},
        .send = {.deliver = deliver_send},
        .withdraw = {.deliver = deliver_withdraw},
        .loop = client->loop,
        .client = client,
        .message = message,
        .options = *options,
    };
    struct stepd_mailbox *const mailbox = stepd_loop_mailbox(client->loop);
    if (call.options.outgoing == NULL)
        call.options.outgoing = stepd_outgoing_create(STEPD_F32, 0);
    if (call.options.outgoing == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a request");
    stepd_loop_post(client->loop, &call.send);
    if (!stepd_mailbox_await(mailbox, &call.done, options->until_ms)) {
        stepd_loop_post(client->loop, &call.withdraw);
        (void)stepd_mailbox_await(mailbox, &call.withdrawn, 0);
    }
    (void)stepd_outgoing_destroy(call.options.outgoing);
    if (call.error.code == STEPD_OK)
        return STEPD_OK;
    return stepd_fail(reterr, call.error.code, "%s", call.error.text);
}

enum stepd_status stepd_call(struct stepd_client *client, const struct stepd_message *message,
                             stepd_reply_function *on_reply, void *user, struct stepd_error *reterr)
{
    const struct stepd_call_options options = {.on_reply = on_reply, .user = user};
    return stepd_call_with(client, message, &options, reterr);
}

/* A server may say DEADLINE_EXCEEDED itself, for what it waited for; that comes in time. */
enum stepd_status stepd_call_within(struct stepd_client *client,
                                    const struct stepd_message *message, uint64_t wait_ms,
                                    stepd_reply_function *on_reply, void *user,
                                    struct stepd_error *reterr)
{
    const struct stepd_call_options options = {
        .until_ms = stepd_clock_ms() + wait_ms,
        .on_reply = on_reply,
        .user = user,
    };
    const enum stepd_status status = stepd_call_with(client, message, &options, reterr);
    if (status != STEPD_DEADLINE_EXCEEDED || stepd_clock_ms() < options.until_ms)
        return status;
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s has not answered %s for %llu ms",
                      client->address, stepd_message_name(message->kind),
                      (unsigned long long)wait_ms);
}
