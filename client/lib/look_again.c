/* SPDX-License-Identifier: Apache-2.0
 *
 * After the job went back: is its layout still the one that the client works with? It is asked for
 * in the loop's thread, with nobody waiting. Where it is the same but for the incarnation, training
 * can go on with the next pull; where there is none, or another one, the tensors must be defined
 * again.
 */
#include <stdlib.h>

#include "client/lib/client.h"
#include "client/lib/core/pending.h"
#include "proto/arena.h"
#include "proto/error.h"

struct look {
    struct stepd_request request; /* first */
    struct stepd_client *client;
    const struct stepd_home *home; /* that it is compared with */
    struct stepd_layout_table table;
    bool last;
    struct stepd_error error; /* code OK: no failure so far */
};

static struct look *look_of(struct stepd_request *request)
{
    return (struct look *)request;
}

static enum stepd_status on_reply(struct stepd_request *request, const struct stepd_message *reply,
                                  size_t payload_bytes, struct stepd_error *reterr)
{
    struct look *const look = look_of(request);
    struct stepd_error error;
    (void)payload_bytes;
    if (reply->kind != STEPD_MESSAGE_LAYOUT)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server answered get_layout with %s",
                          stepd_message_name(reply->kind));
    look->last = reply->body.layout.last;
    if (look->error.code == STEPD_OK &&
        stepd_layout_add(&look->table, &reply->body.layout, &error) != STEPD_OK)
        look->error = error;
    return STEPD_OK;
}

static void on_frame_end(struct stepd_request *request)
{
    struct look *const look = look_of(request);
    if (look->last)
        stepd_pending_end(stepd_loop_pending(look->client->loop), request,
                          look->error.code == STEPD_OK ? NULL : &look->error);
}

/* The list begins again with the next connection. */
static bool on_lost(struct stepd_request *request)
{
    struct look *const look = look_of(request);
    stepd_layout_deinit(&look->table);
    stepd_layout_init(&look->table);
    look->error.code = STEPD_OK;
    return true;
}

static enum stepd_status compare(struct look *look, struct stepd_error *reterr)
{
    const size_t shards = atomic_load(&look->client->shards);
    const enum stepd_status status = stepd_layout_seal(&look->table, shards, reterr);
    if (status != STEPD_OK)
        return status;
    if (stepd_layout_same(&look->table, &look->home->table))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "the job's tensors lie otherwise than before: call stepd_define again and "
                      "pull the weights");
}

static void tell_links(struct look *look, const struct stepd_error *error)
{
    struct stepd_links *const links = stepd_loop_links(look->client->loop);
    if (look->home != look->client->home)
        return; /* they were defined again meanwhile */
    if (error != NULL) {
        stepd_links_laid_out(links, 0, error);
        return;
    }
    look->client->home->exchange.incarnation = look->table.incarnation;
    stepd_links_laid_out(links, look->table.incarnation, NULL);
}

static void on_end(struct stepd_request *request, const struct stepd_error *error)
{
    struct look *const look = look_of(request);
    struct stepd_error lost;
    struct stepd_error different;
    if (error != NULL) {
        (void)stepd_fail(&lost, STEPD_FAILED_PRECONDITION,
                         "the server has not got the job's tensors (%.400s): call stepd_define "
                         "again and pull the weights",
                         error->text);
        tell_links(look, &lost);
    } else {
        tell_links(look, compare(look, &different) == STEPD_OK ? NULL : &different);
    }
    stepd_layout_deinit(&look->table);
    free(look);
}

static enum stepd_status launch(struct look *look, struct stepd_error *reterr)
{
    struct stepd_loop *const loop = look->client->loop;
    struct stepd_arena arena;
    const struct stepd_message message = {
        .request_id = look->request.id,
        .kind = STEPD_MESSAGE_GET_LAYOUT,
        .body.get_layout = {.deadline_ms = 1}, /* only if it is there */
    };
    struct stepd_outgoing *const outgoing = stepd_outgoing_create(STEPD_F32, 0);
    if (outgoing == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a request");
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    enum stepd_status status = stepd_outgoing_encode(outgoing, &message, &arena, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        status = stepd_links_send(stepd_loop_links(loop), 0, outgoing, reterr);
    if (status != STEPD_OK)
        (void)stepd_outgoing_destroy(outgoing);
    return status;
}

static void ask(struct stepd_request *request)
{
    struct look *const look = look_of(request);
    struct stepd_pending *const pending = stepd_loop_pending(look->client->loop);
    struct stepd_error error;
    stepd_pending_add(pending, 0, request);
    if (launch(look, &error) == STEPD_OK)
        return;
    request->written = true;
    stepd_pending_end(pending, request, &error);
}

static const struct stepd_request_kind look_kind = {
    .on_reply = on_reply,
    .on_frame_end = on_frame_end,
    .on_end = on_end,
    .on_lost = on_lost,
    .send = ask,
};

void stepd_look_again(struct stepd_client *client)
{
    struct look *const look = calloc(1, sizeof *look);
    if (look == NULL) {
        const struct stepd_error error = {.code = STEPD_RESOURCE_EXHAUSTED,
                                          .text =
                                              "no memory for the layout: call stepd_define again"};
        stepd_links_laid_out(stepd_loop_links(client->loop), 0, &error);
        return;
    }
    look->request.kind = &look_kind;
    look->client = client;
    look->home = client->home;
    stepd_layout_init(&look->table);
    ask(&look->request);
}
