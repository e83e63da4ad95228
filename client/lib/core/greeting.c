/* SPDX-License-Identifier: Apache-2.0
 *
 * See greeting.h. A reply that is no Welcome is a breach of the protocol, which the reader reports.
 */
#include "client/lib/core/greeting.h"

#include "proto/arena.h"
#include "proto/error.h"

static struct stepd_greeting_request *greeting_of(struct stepd_request *request)
{
    return (struct stepd_greeting_request *)request;
}

static enum stepd_status on_welcome(struct stepd_request *request,
                                    const struct stepd_message *reply, size_t payload_bytes,
                                    struct stepd_error *reterr)
{
    struct stepd_greeting_request *const greeting = greeting_of(request);
    (void)payload_bytes; /* a Welcome has none; it would be dropped */
    if (reply->kind != STEPD_MESSAGE_WELCOME)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server answered hello with %s",
                          stepd_message_name(reply->kind));
    greeting->incarnation = reply->body.welcome.incarnation;
    return greeting->owner.welcome(greeting->owner.self, greeting->shard, &reply->body.welcome,
                                   reterr);
}

static void on_welcome_end(struct stepd_request *request)
{
    stepd_pending_end(greeting_of(request)->pending, request, NULL);
}

static void on_end(struct stepd_request *request, const struct stepd_error *error)
{
    const struct stepd_greeting_request *const greeting = greeting_of(request);
    request->id = 0;
    greeting->owner.ended(greeting->owner.self, greeting->shard, greeting->incarnation, error);
}

static const struct stepd_request_kind greeting_kind = {
    .on_reply = on_welcome,
    .on_frame_end = on_welcome_end,
    .on_end = on_end,
    .greets = true,
};

enum stepd_status stepd_greeting_begin(struct stepd_greeting_request *greeting,
                                       struct stepd_pending *pending, uint32_t shard,
                                       const struct stepd_message *hello,
                                       struct stepd_outgoing **ret_outgoing,
                                       struct stepd_error *reterr)
{
    struct stepd_arena arena;
    struct stepd_message message = *hello;
    struct stepd_outgoing *const outgoing = stepd_outgoing_create(STEPD_F32, 0);
    if (outgoing == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a request");
    greeting->request.kind = &greeting_kind;
    greeting->pending = pending;
    greeting->shard = shard;
    stepd_pending_add(pending, shard, &greeting->request);
    message.request_id = greeting->request.id;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    enum stepd_status status = stepd_outgoing_encode(outgoing, &message, &arena, reterr);
    if (status == STEPD_OK)
        status = stepd_outgoing_check(outgoing, &arena, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        *ret_outgoing = outgoing;
    else
        (void)stepd_outgoing_destroy(outgoing);
    return status;
}

void stepd_greeting_forget(struct stepd_greeting_request *greeting)
{
    if (greeting->request.id == 0)
        return;
    stepd_pending_remove(greeting->pending, &greeting->request);
    greeting->request.id = 0;
}
