/* SPDX-License-Identifier: Apache-2.0
 *
 * A call lives on its caller's stack. Two letters may be posted for it: one that sends it, and,
 * if the caller runs out of time, one that withdraws it; the caller leaves only when the loop's
 * thread has let go of it (done, withdrawn). A reply that comes later still finds no request of its
 * id, and is dropped.
 *
 * All requests to control are answered the same however often they are sent, and so is Assign; so
 * a call whose link is lost is simply sent again.
 */
#include "client/lib/call.h"

#include "client/lib/client.h"
#include "client/lib/core/pending.h"
#include "client/lib/net/clock.h"
#include "proto/arena.h"
#include "proto/error.h"

/* For what a shard does at once. */
#define SHARD_ANSWERS_MS 300000u

struct call {
    struct stepd_request request; /* first: the table of pending requests knows it as this */
    struct stepd_letter send;
    struct stepd_letter withdraw;
    struct stepd_loop *loop;
    const struct stepd_client *client;
    const struct stepd_message *message;
    struct stepd_call_options options;
    uint64_t clock; /* of a Leave, the same each time that it is sent */
    bool sent;
    bool begun; /* a part of the reply has come */
    bool last;  /* the frame that has just come ends the reply */
    atomic_bool done;
    atomic_bool withdrawn;
    struct stepd_error error; /* code OK: no failure so far */
};

/* Which reply belongs to which message. */
static enum stepd_message_kind reply_kind(enum stepd_message_kind kind)
{
    switch (kind) {
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
    call->begun = true;
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
    else if (call->message->kind == STEPD_MESSAGE_LEAVE)
        stepd_links_left(stepd_loop_links(call->loop));
    finish(call);
}

static bool on_lost(struct stepd_request *request)
{
    struct call *const call = call_of(request);
    if (call->begun && call->options.on_reply != NULL) {
        if (call->options.on_again == NULL)
            return false;
        call->options.on_again(call->options.user);
    }
    call->begun = false;
    call->error.code = STEPD_OK;
    return true;
}

/* A worker leaves after the last of its pushes, which the loop's thread alone knows. */
static struct stepd_message message_to_send(struct call *call)
{
    struct stepd_message message = *call->message;
    struct stepd_links *const links = stepd_loop_links(call->loop);
    const struct stepd_exchange *const exchange = stepd_links_exchange(links);
    message.request_id = call->request.id;
    if (message.kind != STEPD_MESSAGE_LEAVE)
        return message;
    if (!call->sent)
        call->clock = exchange == NULL ? call->client->clock : exchange->clock;
    message.body.leave.clock = call->clock;
    return message;
}

static enum stepd_status encode_and_send(struct call *call, struct stepd_error *reterr)
{
    struct stepd_arena arena;
    struct stepd_outgoing *const outgoing = stepd_outgoing_again(call->options.outgoing);
    if (outgoing == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a request");
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    const struct stepd_message message = message_to_send(call);
    enum stepd_status status = stepd_outgoing_encode(outgoing, &message, &arena, reterr);
    if (status == STEPD_OK)
        status = stepd_outgoing_check(outgoing, &arena, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        status =
            stepd_links_send(stepd_loop_links(call->loop), call->options.shard, outgoing, reterr);
    call->sent = status == STEPD_OK;
    if (status != STEPD_OK)
        (void)stepd_outgoing_destroy(outgoing);
    return status;
}

static void send_or_hold(struct stepd_request *request)
{
    struct call *const call = call_of(request);
    struct stepd_pending *const pending = stepd_loop_pending(call->loop);
    const uint32_t shard = call->options.shard;
    struct stepd_error error;
    if (call->message->kind == STEPD_MESSAGE_LEAVE)
        stepd_links_leaving(stepd_loop_links(call->loop));
    if (stepd_links_hold(stepd_loop_links(call->loop), shard)) {
        stepd_pending_hold(pending, shard, request);
        return;
    }
    stepd_pending_add(pending, shard, request);
    if (encode_and_send(call, &error) == STEPD_OK)
        return;
    request->written = true;
    stepd_pending_end(pending, request, &error);
}

static const struct stepd_request_kind call_kind = {
    .on_reply = take_reply,
    .on_frame_end = on_frame_end,
    .on_end = on_end,
    .on_lost = on_lost,
    .send = send_or_hold,
};

static void deliver_send(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct call *const call = (struct call *)((char *)letter - offsetof(struct call, send));
    (void)loop;
    send_or_hold(&call->request);
}

/* The caller has waited for long enough: says for what. */
static void explain_delay(const struct call *call, struct stepd_error *ret_error)
{
    const struct stepd_links *const links = stepd_loop_links(call->loop);
    const char *const name = stepd_message_name(call->message->kind);
    const unsigned long long ms = call->options.wait_ms;
    struct stepd_error why;
    if (call->request.id != 0) {
        (void)stepd_fail(ret_error, STEPD_UNAVAILABLE, "%s has not answered %s for %llu ms",
                         call->client->address, name, ms);
        return;
    }
    stepd_links_explain(links, call->options.shard, &why);
    (void)stepd_fail(ret_error, STEPD_UNAVAILABLE, "%.100s has not answered %s for %llu ms: %.400s",
                     call->client->address, name, ms, why.text);
}

static void deliver_withdraw(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct call *const call = (struct call *)((char *)letter - offsetof(struct call, withdraw));
    if (!atomic_load(&call->done)) {
        explain_delay(call, &call->error);
        stepd_pending_remove(stepd_loop_pending(loop), &call->request);
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
    if (options->shard > 0) /* control's silence is noticed by its heartbeats */
        call.request.expires_ms = stepd_clock_ms() + SHARD_ANSWERS_MS;
    const uint64_t until_ms = options->wait_ms == 0 ? 0 : stepd_clock_ms() + options->wait_ms;
    if (call.options.outgoing == NULL)
        call.options.outgoing = stepd_outgoing_create(STEPD_F32, 0);
    if (call.options.outgoing == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a request");
    stepd_loop_post(client->loop, &call.send);
    if (!stepd_mailbox_await(mailbox, &call.done, until_ms)) {
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

enum stepd_status stepd_call_within(struct stepd_client *client,
                                    const struct stepd_message *message, uint64_t wait_ms,
                                    stepd_reply_function *on_reply, void *user,
                                    struct stepd_error *reterr)
{
    const struct stepd_call_options options = {
        .wait_ms = wait_ms,
        .on_reply = on_reply,
        .user = user,
    };
    return stepd_call_with(client, message, &options, reterr);
}
