/* SPDX-License-Identifier: Apache-2.0
 *
 * What the links ask is translated into dials, links of net/link.h and a timer, and what comes of
 * these is told to the links.
 */
#include "client/lib/net/places.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/lib/core/address.h"
#include "client/lib/net/chance.h"
#include "client/lib/net/clock.h"
#include "client/lib/net/dial.h"
#include "client/lib/net/link.h"
#include "client/lib/net/mapping.h"
#include "proto/error.h"

struct place {
    struct place *next;
    struct stepd_places *places; /* borrowed */
    uint32_t shard;
    struct stepd_dial *dial;       /* owned */
    struct stepd_link *link;       /* owned */
    struct stepd_mapping *mapping; /* owned; NULL: no memory is shared */
};

struct stepd_places {
    uv_loop_t *uv;
    struct stepd_pending *pending;   /* borrowed */
    struct stepd_links *links;       /* owned */
    struct place *first;             /* owned */
    const struct stepd_trust *trust; /* borrowed; NULL: no TLS */
    uv_timer_t timer;
};

static struct place *place_of(const struct stepd_places *places, uint32_t shard)
{
    struct place *place = places->first;
    while (place != NULL && place->shard != shard)
        place = place->next;
    return place;
}

/* ---- What happens ---------------------------------------------------------------------------- */

static void on_lost(void *self, uint32_t shard, const struct stepd_error *error)
{
    struct place *const place = self;
    place->link = NULL;
    stepd_links_broke(place->places->links, shard, error);
}

static void on_answer(void *self, uint32_t shard)
{
    const struct place *const place = self;
    stepd_links_answered(place->places->links, shard);
}

/* TLS on a socket, where the address wants it. */
static enum stepd_status wrap(const struct stepd_places *places, const char *text, int fd,
                              struct stepd_tls **ret_tls, struct stepd_error *reterr)
{
    struct stepd_address address;
    const enum stepd_status status = stepd_address_parse(text, &address, reterr);
    if (status != STEPD_OK || !address.tls)
        return status;
    if (places->trust == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "a shard of this server is at %s, and nothing says whom to trust there: "
                          "name its CA (options.tls_ca, --tls-ca) and, where it asks for one, a "
                          "certificate",
                          text);
    *ret_tls = stepd_tls_create(places->trust, fd, address.host);
    return *ret_tls != NULL ? STEPD_OK
                            : stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for TLS");
}

static void on_dialled(void *user, int fd, bool local, const struct stepd_error *error)
{
    struct place *const place = user;
    struct stepd_links *const links = place->places->links;
    place->dial = NULL;
    if (fd < 0) {
        stepd_links_broke(links, place->shard, error);
        return;
    }
    struct stepd_error failure;
    struct stepd_tls *tls = NULL;
    const char *const peer = stepd_links_address(links, place->shard);
    if (wrap(place->places, peer, fd, &tls, &failure) != STEPD_OK) {
        (void)close(fd);
        stepd_links_broke(links, place->shard, &failure);
        return;
    }
    const struct stepd_link_options options = {
        .fd = fd,
        .tls = tls,
        .shares = local && place->shard > 0,
        .shard = place->shard,
        .peer = peer,
        .pending = place->places->pending,
        .owner = place,
        .on_lost = on_lost,
        .on_answer = on_answer,
    };
    if (stepd_link_open(place->places->uv, &options, &place->link, &failure) == STEPD_OK)
        stepd_links_connected(links, place->shard);
    else
        stepd_links_broke(links, place->shard, &failure);
}

static void on_timer(uv_timer_t *timer)
{
    const struct stepd_places *const places = timer->data;
    stepd_links_tick(places->links);
}

/* ---- What the links ask ---------------------------------------------------------------------- */

static uint64_t io_now_ms(void *owner)
{
    (void)owner;
    return stepd_clock_ms();
}

static uint32_t io_random(void *owner, uint32_t most)
{
    (void)owner;
    return stepd_chance_below(most);
}

static void io_connect(void *owner, uint32_t shard)
{
    struct stepd_places *const places = owner;
    struct place *place = place_of(places, shard);
    if (place == NULL) {
        place = calloc(1, sizeof *place);
        if (place == NULL)
            return;
        *place = (struct place){.next = places->first, .places = places, .shard = shard};
        places->first = place;
    }
    place->dial =
        stepd_dial_start(places->uv, stepd_links_address(places->links, shard), on_dialled, place);
}

static void io_close(void *owner, uint32_t shard)
{
    struct place *const place = place_of(owner, shard);
    if (place == NULL)
        return;
    place->dial = stepd_dial_cancel(place->dial);
    place->link = stepd_link_close(place->link);
}

static enum stepd_status io_send(void *owner, uint32_t shard, struct stepd_outgoing *outgoing,
                                 struct stepd_error *reterr)
{
    const struct place *const place = place_of(owner, shard);
    assert(place != NULL && place->link != NULL);
    return stepd_link_send(place->link, outgoing, reterr);
}

static enum stepd_status io_map(void *owner, uint32_t shard, const struct stepd_welcome *welcome,
                                struct stepd_shared *ret_shared, struct stepd_error *reterr)
{
    struct place *const place = place_of(owner, shard);
    int fd[STEPD_LINK_DESCRIPTORS];
    struct stepd_mapping *mapping = NULL;
    assert(place != NULL && place->link != NULL);
    if (!stepd_link_take_descriptors(place->link, fd))
        return stepd_fail(
            reterr, STEPD_RESOURCE_EXHAUSTED,
            "the memory that the server shares did not come with its Welcome: this "
            "process has no descriptors left (ulimit -n), or something between passes "
            "on bytes only");
    const enum stepd_status status = stepd_mapping_create(
        fd, welcome->weights_bytes, welcome->gradients_bytes, &mapping, ret_shared, reterr);
    if (status != STEPD_OK)
        return status; /* what came before stays: the exchange knows it yet */
    (void)stepd_mapping_destroy(place->mapping);
    place->mapping = mapping;
    return STEPD_OK;
}

static uint64_t io_received(void *owner, uint32_t shard)
{
    const struct place *const place = place_of(owner, shard);
    assert(place != NULL && place->link != NULL);
    return stepd_link_received(place->link);
}

static void io_wake_at(void *owner, uint64_t ms)
{
    struct stepd_places *const places = owner;
    const uint64_t now_ms = stepd_clock_ms();
    if (ms == UINT64_MAX)
        (void)uv_timer_stop(&places->timer);
    else
        (void)uv_timer_start(&places->timer, on_timer, ms > now_ms ? ms - now_ms : 0, 0);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void stepd_places_trust(struct stepd_places *places, const struct stepd_trust *trust)
{
    places->trust = trust;
}

enum stepd_status stepd_places_create(uv_loop_t *uv, const struct stepd_links_options *options,
                                      struct stepd_places **ret_places)
{
    struct stepd_places *const places = calloc(1, sizeof *places);
    if (places == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    struct stepd_links_options of_links = *options;
    of_links.io = (struct stepd_links_io){
        .owner = places,
        .now_ms = io_now_ms,
        .random = io_random,
        .connect = io_connect,
        .close = io_close,
        .send = io_send,
        .map = io_map,
        .received = io_received,
        .wake_at = io_wake_at,
    };
    places->uv = uv;
    places->pending = options->pending;
    const enum stepd_status status = stepd_links_create(&of_links, &places->links);
    if (status != STEPD_OK) {
        free(places);
        return status;
    }
    (void)uv_timer_init(uv, &places->timer); /* cannot fail */
    places->timer.data = places;
    *ret_places = places;
    return STEPD_OK;
}

struct stepd_links *stepd_places_links(const struct stepd_places *places)
{
    return places->links;
}

void stepd_places_stop(struct stepd_places *places, const struct stepd_error *error)
{
    stepd_links_stop(places->links, error);
    uv_close((uv_handle_t *)&places->timer, NULL);
}

struct stepd_places *stepd_places_destroy(struct stepd_places *places)
{
    struct place *next;
    if (places == NULL)
        return NULL;
    for (struct place *place = places->first; place != NULL; place = next) {
        next = place->next;
        (void)stepd_mapping_destroy(place->mapping);
        free(place);
    }
    places->links = stepd_links_destroy(places->links);
    free(places);
    return NULL;
}
