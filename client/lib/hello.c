/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client publishes of what its brain was told, and waiting until a link stands. What a Hello
 * says is in core/self.c, what becomes of a Welcome in core/brain.c, how links are made, and made
 * again, in core/links.c.
 */
#include <stdlib.h>

#include "client/lib/client.h"
#include "client/lib/wait.h"
#include "proto/error.h"

/* ---- What the brain tells -------------------------------------------------------------------- */

static void on_welcomed(void *self)
{
    struct stepd_client *const client = self;
    const struct stepd_exchange *const exchange = stepd_links_exchange(client->brain.links);
    const size_t most = client->brain.self.frame_max_bytes;
    const bool shard_takes_less = exchange != NULL && exchange->frame_max_bytes < most;
    atomic_store(&client->frame_max_bytes, shard_takes_less ? exchange->frame_max_bytes : most);
    atomic_store(&client->shards, (uint32_t)client->brain.self.shards);
    atomic_store(&client->world, client->brain.self.world);
    if (client->brain.self.beat_ms > 0)
        stepd_loop_beat_every(client->loop, client->brain.self.beat_ms);
}

static void on_rolled_back(void *self)
{
    struct stepd_client *const client = self;
    atomic_store(&client->rolled_back, true);
}

static void tell(void *self, const struct stepd_event *event)
{
    const struct stepd_client *const client = self;
    if (client->on_event != NULL)
        client->on_event(client->event_user, event);
}

struct stepd_brain_hooks stepd_hooks_of(struct stepd_client *client)
{
    return (struct stepd_brain_hooks){
        .owner = client,
        .welcomed = on_welcomed,
        .rolled_back = on_rolled_back,
        .tell = tell,
    };
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/* Of the one who waits; two letters may be posted for it, as for a call. */
struct open {
    struct stepd_opening opening; /* first */
    struct stepd_mail begin;
    struct stepd_mail give_up;
    struct stepd_client *client;
    atomic_bool done;
    atomic_bool given_up;
};

static void on_done(struct stepd_opening *opening)
{
    struct open *const open = (struct open *)opening;
    stepd_mailbox_raise(stepd_loop_mailbox(open->client->loop), &open->done);
}

static void deliver_begin(struct stepd_loop *loop, struct stepd_mail *letter)
{
    struct open *const open = (struct open *)((char *)letter - offsetof(struct open, begin));
    stepd_links_open(stepd_loop_brain(loop)->links, &open->opening);
}

static void deliver_give_up(struct stepd_loop *loop, struct stepd_mail *letter)
{
    struct open *const open = (struct open *)((char *)letter - offsetof(struct open, give_up));
    stepd_links_stop_waiting(stepd_loop_brain(loop)->links, &open->opening);
    stepd_mailbox_raise(stepd_loop_mailbox(loop), &open->given_up);
}

/* Waits for one whose begin was posted. */
static enum stepd_status await(struct open *open, uint64_t until_ms, struct stepd_error *reterr)
{
    struct stepd_client *const client = open->client;
    const enum stepd_wait_end end = stepd_wait_while(client, NULL, &open->done, until_ms);
    if (end != STEPD_WAIT_OVER)
        (void)stepd_loop_ask(client->loop, &open->give_up, &open->given_up, 0);
    if (open->opening.error.code == STEPD_OK)
        return STEPD_OK;
    if (end == STEPD_WAIT_INTERRUPTED)
        return stepd_fail(reterr, STEPD_CANCELLED, "interrupted while connecting to %s",
                          client->address);
    return stepd_fail(reterr, open->opening.error.code, "%s", open->opening.error.text);
}

enum stepd_status stepd_open(struct stepd_client *client, const uint32_t *shards, size_t count,
                             uint64_t until_ms, struct stepd_error *reterr)
{
    struct open *const open = calloc(count + 1, sizeof *open);
    enum stepd_status status = STEPD_OK;
    if (open == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu links", count);
    for (size_t i = 0; i < count; i++) {
        open[i] = (struct open){
            .opening = {.shard = shards[i], .on_done = on_done},
            .begin = {.deliver = deliver_begin},
            .give_up = {.deliver = deliver_give_up},
            .client = client,
        };
        stepd_loop_leave(client->loop, &open[i].begin);
    }
    for (size_t i = 0; i < count; i++) {
        if (status == STEPD_OK)
            status = await(&open[i], until_ms, reterr);
        else
            (void)stepd_loop_ask(client->loop, &open[i].give_up, &open[i].given_up, 0);
    }
    free(open);
    return status;
}
