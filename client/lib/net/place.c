/* SPDX-License-Identifier: Apache-2.0
 *
 * The Hello is a request like any other, so the reader finds it by its id; a refusal comes as an
 * Error of it, or as one that ends the connection.
 */
#include "client/lib/net/place.h"

#include "client/lib/core/outgoing.h"
#include "proto/arena.h"
#include "proto/error.h"

static void forget_greeting(struct stepd_place *place)
{
    if (place->greeting.request.id == 0)
        return;
    stepd_pending_remove(place->pending, &place->greeting.request);
    place->greeting.request.id = 0;
}

void stepd_place_close(struct stepd_place *place)
{
    place->dial = stepd_dial_cancel(place->dial);
    place->link = stepd_link_close(place->link);
    place->stands = false;
    forget_greeting(place);
}

static void fail(struct stepd_place *place, const struct stepd_error *error)
{
    stepd_place_close(place);
    place->owner->failed(place->owner->self, place->shard, error);
}

/* ---- The Hello ------------------------------------------------------------------------------- */

static struct stepd_greeting_request *greeting_of(struct stepd_request *request)
{
    return (struct stepd_greeting_request *)request;
}

static enum stepd_status on_welcome(struct stepd_request *request,
                                    const struct stepd_message *reply, size_t payload_bytes,
                                    struct stepd_error *reterr)
{
    struct stepd_greeting_request *const greeting = greeting_of(request);
    const struct stepd_place *const place = greeting->place;
    (void)payload_bytes; /* a Welcome has none; it would be dropped */
    if (reply->kind != STEPD_MESSAGE_WELCOME)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server answered hello with %s",
                          stepd_message_name(reply->kind));
    greeting->incarnation = reply->body.welcome.incarnation;
    return place->owner->welcome(place->owner->self, place->shard, &reply->body.welcome, reterr);
}

static void on_welcome_end(struct stepd_request *request)
{
    stepd_pending_end(greeting_of(request)->place->pending, request, NULL);
}

static void on_greeted(struct stepd_request *request, const struct stepd_error *error)
{
    struct stepd_place *const place = greeting_of(request)->place;
    request->id = 0;
    if (error != NULL) {
        const struct stepd_error copy = *error;
        fail(place, &copy);
        return;
    }
    place->stands = true;
    place->owner->opened(place->owner->self, place->shard, greeting_of(request)->incarnation);
}

static const struct stepd_request_kind greeting_kind = {
    .on_reply = on_welcome,
    .on_frame_end = on_welcome_end,
    .on_end = on_greeted,
    .greets = true,
};

static enum stepd_status greet(struct stepd_place *place, struct stepd_error *reterr)
{
    struct stepd_arena arena;
    struct stepd_outgoing *const outgoing = stepd_outgoing_create(STEPD_F32, 0);
    if (outgoing == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a request");
    place->greeting.request.kind = &greeting_kind;
    place->greeting.place = place;
    stepd_pending_add(place->pending, place->shard, &place->greeting.request);
    struct stepd_message hello = place->owner->hello(place->owner->self, place->shard, place->how);
    hello.request_id = place->greeting.request.id;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    enum stepd_status status = stepd_outgoing_encode(outgoing, &hello, &arena, reterr);
    if (status == STEPD_OK)
        status = stepd_outgoing_check(outgoing, &arena, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        status = stepd_link_send(place->link, outgoing, reterr);
    if (status != STEPD_OK)
        (void)stepd_outgoing_destroy(outgoing);
    return status;
}

/* ---- The link -------------------------------------------------------------------------------- */

static void on_lost(void *self, uint32_t shard, const struct stepd_error *error)
{
    struct stepd_place *const place = self;
    const bool stood = place->stands;
    place->link = NULL;
    stepd_place_close(place);
    if (stood)
        place->owner->lost(place->owner->self, shard, error);
    else
        place->owner->failed(place->owner->self, shard, error);
}

static void on_answer(void *self, uint32_t shard)
{
    const struct stepd_place *const place = self;
    place->owner->answered(place->owner->self, shard);
}

static void on_dialled(void *user, int fd, bool local, const struct stepd_error *error)
{
    struct stepd_place *const place = user;
    place->dial = NULL;
    if (fd < 0) {
        fail(place, error);
        return;
    }
    const struct stepd_link_options options = {
        .fd = fd,
        .local = local,
        .shard = place->shard,
        .peer = place->owner->address(place->owner->self, place->shard),
        .pending = place->pending,
        .owner = place,
        .on_lost = on_lost,
        .on_answer = on_answer,
    };
    struct stepd_error failure;
    enum stepd_status status = stepd_link_open(place->uv, &options, &place->link, &failure);
    if (status == STEPD_OK)
        status = greet(place, &failure);
    if (status != STEPD_OK)
        fail(place, &failure);
}

void stepd_place_try(struct stepd_place *place, enum stepd_greeting how)
{
    place->how = how;
    place->dial = stepd_dial_start(
        place->uv, place->owner->address(place->owner->self, place->shard), on_dialled, place);
}
