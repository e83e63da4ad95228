/* SPDX-License-Identifier: Apache-2.0
 *
 * An attempt at a link: a connection, a Hello, its Welcome with the memory that comes with it; and
 * what the keeper is told of the end.
 */
#include <stdlib.h>

#include "client/lib/core/links_internal.h"
#include "proto/error.h"

void links_hang_up(struct stepd_links *links, uint32_t shard)
{
    struct spot *const spot = links->spot[shard];
    links->options.io.close(links->options.io.owner, shard);
    spot->connected = false;
    spot->stands = false;
    stepd_greeting_forget(&spot->greeting);
}

static enum stepd_status on_welcome(void *self, uint32_t shard, const struct stepd_welcome *welcome,
                                    struct stepd_error *reterr)
{
    struct stepd_links *const links = self;
    const struct stepd_links_options *const to = &links->options;
    struct spot *const spot = links->spot[shard];
    struct stepd_shared shared = {.weights = NULL};
    enum stepd_status status = STEPD_OK;
    if (welcome->weights_bytes > 0)
        status = to->io.map(to->io.owner, shard, welcome, &shared, reterr);
    spot->unmapped = status == STEPD_RESOURCE_EXHAUSTED;
    if (status != STEPD_OK)
        return status;
    return to->greeter.welcome(to->greeter.self, shard, welcome, &shared, !spot->met, reterr);
}

/* The server believes that we see its memory: another connection is needed to say that we do not.
 */
static void attempt_unshared(struct stepd_links *links, uint32_t shard,
                             const struct stepd_error *why)
{
    const struct stepd_links_options *const to = &links->options;
    const struct stepd_event event = {
        .size = sizeof event, .kind = STEPD_EVENT_UNSHARED, .code = why->code, .text = why->text};
    to->greeter.tell(to->greeter.self, &event);
    to->io.connect(to->io.owner, shard);
}

/* error: not the greeting's, which is forgotten. */
static void fail(struct stepd_links *links, uint32_t shard, const struct stepd_error *error)
{
    struct spot *const spot = links->spot[shard];
    links_hang_up(links, shard);
    if (spot->unmapped) {
        spot->unmapped = false;
        spot->unshared = true;
        attempt_unshared(links, shard, error);
        return;
    }
    stepd_keeper_failed(&links->keeper, shard, error, links_now_ms(links));
    links_settle(links);
}

static void on_greeted(void *self, uint32_t shard, uint64_t incarnation,
                       const struct stepd_error *error)
{
    struct stepd_links *const links = self;
    struct spot *const spot = links->spot[shard];
    if (error != NULL) {
        const struct stepd_error copy = *error; /* it is the greeting's */
        fail(links, shard, &copy);
        return;
    }
    spot->stands = true;
    spot->met = true;
    stepd_keeper_opened(&links->keeper, shard, incarnation, links_now_ms(links));
    links_settle(links);
}

void stepd_links_connected(struct stepd_links *links, uint32_t shard)
{
    const struct stepd_greeter *const greeter = &links->options.greeter;
    const struct stepd_links_io *const io = &links->options.io;
    struct spot *const spot = links->spot[shard];
    struct stepd_message hello = greeter->hello(greeter->self, shard, spot->how);
    struct stepd_outgoing *outgoing = NULL;
    struct stepd_error error;
    spot->connected = true;
    hello.body.hello.shares_memory = hello.body.hello.shares_memory && !spot->unshared;
    enum stepd_status status = stepd_greeting_begin(&spot->greeting, links->options.pending, shard,
                                                    &hello, &outgoing, &error);
    if (status == STEPD_OK)
        status = io->send(io->owner, shard, outgoing, &error);
    if (status == STEPD_OK)
        return;
    (void)stepd_outgoing_destroy(outgoing);
    fail(links, shard, &error);
}

void stepd_links_broke(struct stepd_links *links, uint32_t shard, const struct stepd_error *error)
{
    if (!links->spot[shard]->stands) {
        fail(links, shard, error);
        return;
    }
    links_hang_up(links, shard);
    stepd_keeper_lost(&links->keeper, shard, error, links_now_ms(links));
    links_settle(links);
}

/* Spots are few, and come in order: growing by one each time does no harm. */
struct spot *links_make_spot(struct stepd_links *links, uint32_t shard)
{
    struct spot *const spot = calloc(1, sizeof *spot);
    struct spot **grown = NULL;
    if (spot != NULL && shard < links->spots)
        grown = links->spot;
    else if (spot != NULL)
        grown = realloc((void *)links->spot, ((size_t)shard + 1) * sizeof(struct spot *));
    if (grown == NULL) {
        free(spot);
        return NULL;
    }
    links->spot = grown;
    while (links->spots <= shard)
        links->spot[links->spots++] = NULL;
    spot->greeting.owner =
        (struct stepd_greeting_owner){.self = links, .welcome = on_welcome, .ended = on_greeted};
    links->spot[shard] = spot;
    return spot;
}
