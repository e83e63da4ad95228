/* SPDX-License-Identifier: Apache-2.0
 *
 * A wire is what net/link.c is to a real client: a reader, and frames on their way out. It may be
 * closed by what it reads; then it lives until that is done.
 */
#include "tests/sim/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/reader.h"
#include "proto/error.h"

enum { BUDGET_MS = 60000, TICK_MS = 250 };

struct frame {
    struct frame *next;
    struct stepd_outgoing *outgoing; /* owned */
    size_t left;                     /* bytes that have left */
};

struct wire {
    struct client *client; /* borrowed */
    uint32_t shard;
    struct link *link; /* borrowed */
    uint64_t base;     /* of the daemon that it leads to */
    struct stepd_reader reader;
    struct frame *frames; /* owned; first to go */
    uint64_t received;
    bool reading;
    bool closed;
};

/* ---- Wires ----------------------------------------------------------------------------------- */

static void wire_destroy(struct wire *wire)
{
    stepd_reader_deinit(&wire->reader);
    free(wire);
}

/* Nothing is read from any array of the caller's from here on. */
static void wire_close(struct wire *wire)
{
    struct frame *next = NULL;
    for (struct frame *frame = wire->frames; frame != NULL; frame = next) {
        next = frame->next;
        (void)stepd_outgoing_destroy(frame->outgoing);
        free(frame);
    }
    wire->frames = NULL;
    wire->closed = true;
    wire->client->wire[wire->shard] = NULL;
    link_break_worker(wire->link);
    if (!wire->reading)
        wire_destroy(wire);
}

static void lose(struct client *client, uint32_t shard, const struct stepd_error *error)
{
    if (client->wire[shard] != NULL)
        wire_close(client->wire[shard]);
    plan_trace(client->world->plan, "rank %u loses shard %u: %s", client->rank, shard, error->text);
    stepd_links_broke(client->brain.links, shard, error);
}

/* Puts the bytes where the reader wants them. */
static void read_bytes(struct wire *wire, const uint8_t *bytes, size_t n)
{
    const uint64_t answers = wire->reader.answers;
    struct stepd_error error;
    enum stepd_status status = STEPD_OK;
    wire->received += n;
    while (n > 0 && !wire->closed && status == STEPD_OK) {
        struct stepd_room room;
        stepd_reader_window(&wire->reader, &room);
        const size_t part = n < room.bytes ? n : room.bytes;
        memcpy(room.at, bytes, part);
        bytes += part;
        n -= part;
        status = stepd_reader_advance(&wire->reader, part, &error);
    }
    if (wire->closed)
        return;
    if (status != STEPD_OK)
        lose(wire->client, wire->shard, &error);
    else if (wire->reader.answers != answers)
        stepd_links_answered(wire->client->brain.links, wire->shard);
}

static void on_bytes(void *owner, struct link *link, const uint8_t *bytes, size_t n)
{
    struct wire *wire = owner;
    (void)link;
    wire->reading = true;
    wire->client->base = wire->base;
    read_bytes(wire, bytes, n);
    wire->reading = false;
    if (wire->closed)
        wire_destroy(wire);
}

/* At most n bytes of one frame leave, out of its head or one of its spans. */
static size_t write_some(struct wire *wire, struct frame *frame, size_t n)
{
    const struct stepd_outgoing *outgoing = frame->outgoing;
    const uint8_t *at = outgoing->head;
    size_t bytes = outgoing->head_bytes;
    size_t skip = frame->left;
    for (size_t i = 0; skip >= bytes && i < outgoing->spans; i++) {
        skip -= bytes;
        at = outgoing->span[i].at;
        bytes = outgoing->span[i].bytes;
    }
    const size_t part = bytes - skip < n ? bytes - skip : n;
    link_send_bytes(wire->link, at + skip, part);
    frame->left += part;
    return part;
}

static bool is_written(const struct frame *frame)
{
    return frame->left == frame->outgoing->head_bytes + frame->outgoing->payload_bytes;
}

/* At most n bytes leave; a request of which the last has left may end, and the wire with it. */
static void wire_write(struct wire *wire, size_t n)
{
    struct client *client = wire->client;
    const uint32_t shard = wire->shard;
    while (n > 0 && client->wire[shard] == wire && wire->frames != NULL) {
        struct frame *frame = wire->frames;
        n -= write_some(wire, frame, n);
        if (!is_written(frame))
            continue;
        const uint64_t id = frame->outgoing->request_id;
        wire->frames = frame->next;
        (void)stepd_outgoing_destroy(frame->outgoing);
        free(frame);
        stepd_pending_written(&client->brain.pending, shard, id);
    }
}

/* ---- What the links ask ---------------------------------------------------------------------- */

static uint64_t io_now_ms(void *owner)
{
    return ((const struct client *)owner)->world->now_ms;
}

static uint32_t io_random(void *owner, uint32_t most)
{
    const struct client *client = owner;
    return (uint32_t)random_below(client->world->random, (uint64_t)most + 1);
}

static void io_connect(void *owner, uint32_t shard)
{
    ((struct client *)owner)->connecting[shard] = true;
}

static void io_close(void *owner, uint32_t shard)
{
    struct client *client = owner;
    client->connecting[shard] = false;
    if (client->wire[shard] != NULL)
        wire_close(client->wire[shard]);
}

static enum stepd_status io_send(void *owner, uint32_t shard, struct stepd_outgoing *outgoing,
                                 struct stepd_error *reterr)
{
    const struct client *client = owner;
    struct frame *frame = malloc(sizeof *frame);
    (void)reterr;
    assert_non_null(frame);
    assert_non_null(client->wire[shard]);
    *frame = (struct frame){.outgoing = outgoing};
    struct frame **at = &client->wire[shard]->frames;
    while (*at != NULL)
        at = &(*at)->next;
    *at = frame;
    return STEPD_OK;
}

static uint64_t io_received(void *owner, uint32_t shard)
{
    const struct client *client = owner;
    return client->wire[shard]->received;
}

static void io_wake_at(void *owner, uint64_t ms)
{
    ((struct client *)owner)->wake_ms = ms;
}

/* ---- What the brain tells -------------------------------------------------------------------- */

static void on_welcomed(void *owner)
{
    struct client *client = owner;
    if (client->beat_ms == UINT64_MAX)
        client->beat_ms = client->world->now_ms + client->brain.self.beat_ms;
}

static void on_rolled_back(void *owner)
{
    ((struct client *)owner)->rollbacks++;
}

static void on_event(void *owner, const struct stepd_event *event)
{
    struct client *client = owner;
    plan_trace(client->world->plan, "rank %u, event %d: %s", client->rank, (int)event->kind,
               event->text);
    if (event->kind == STEPD_EVENT_ENDED)
        client->ended = true;
}

/* ---- Life ------------------------------------------------------------------------------------ */

void client_init(struct client *client, struct client_world *world, uint32_t rank)
{
    *client = (struct client){
        .world = world,
        .rank = rank,
        .wake_ms = UINT64_MAX,
        .tick_ms = world->now_ms + TICK_MS,
        .beat_ms = UINT64_MAX,
        .brain = {.hooks = {.owner = client,
                            .welcomed = on_welcomed,
                            .rolled_back = on_rolled_back,
                            .tell = on_event},
                  .self = {.address = "daemon",
                           .job = world->plan->job->name,
                           .worker = "sim",
                           .token = "",
                           .rank = (int32_t)rank}},
    };
    for (size_t i = 0; i < sizeof client->brain.self.id; i++)
        client->brain.self.id[i] = (uint8_t)random_next(world->random);
    struct stepd_links_options options = stepd_brain_links(&client->brain, BUDGET_MS);
    options.io = (struct stepd_links_io){
        .owner = client,
        .now_ms = io_now_ms,
        .random = io_random,
        .connect = io_connect,
        .close = io_close,
        .send = io_send,
        .received = io_received,
        .wake_at = io_wake_at,
    };
    assert_int_equal(stepd_links_create(&options, &client->brain.links), STEPD_OK);
}

void client_deinit(struct client *client)
{
    const struct stepd_error error = {.code = STEPD_CANCELLED, .text = "the process has died"};
    stepd_links_stop(client->brain.links, &error);
    client->brain.links = stepd_links_destroy(client->brain.links);
    stepd_brain_deinit(&client->brain);
}

/* ---- Acting ---------------------------------------------------------------------------------- */

static void connect_to(struct client *client, uint32_t shard)
{
    const struct plan *plan = client->world->plan;
    const uint32_t host = shard == 0 ? plan->job->shards : shard - 1;
    const struct stepd_error refused = {.code = STEPD_UNAVAILABLE, .text = "nobody listens"};
    client->connecting[shard] = false;
    if (client->world->down) {
        lose(client, shard, &refused);
        return;
    }
    struct wire *wire = malloc(sizeof *wire);
    assert_non_null(wire);
    *wire = (struct wire){.client = client, .shard = shard, .base = client->world->base};
    wire->link = link_create_raw(&client->world->host[host], client->rank, on_bytes, wire);
    assert_int_equal(stepd_reader_init(&wire->reader, &client->brain.pending, shard), STEPD_OK);
    assert_true(client->world->linked(client->world->owner, wire->link));
    client->wire[shard] = wire;
    stepd_links_connected(client->brain.links, shard);
}

void client_act(struct client *client)
{
    static const size_t most[] = {1, 16, 300, 3000, SIZE_MAX};
    struct random *random = client->world->random;
    const uint64_t now_ms = client->world->now_ms;
    const uint32_t shard = (uint32_t)random_below(random, client->world->plan->job->shards + 1);
    if (client->connecting[shard])
        connect_to(client, shard);
    else if (client->wire[shard] != NULL)
        wire_write(client->wire[shard], random_between(random, 1, most[random_below(random, 5)]));
    if (now_ms >= client->wake_ms)
        stepd_links_tick(client->brain.links);
    if (now_ms >= client->tick_ms) {
        client->tick_ms = now_ms + TICK_MS;
        stepd_brain_tick(&client->brain, now_ms);
    }
    if (now_ms >= client->beat_ms) {
        client->beat_ms = now_ms + client->brain.self.beat_ms;
        stepd_brain_beat(&client->brain);
    }
}

bool client_on_end(struct client *client, const struct link *link)
{
    const struct stepd_error error = {.code = STEPD_UNAVAILABLE, .text = "closed by the daemon"};
    for (uint32_t shard = 0; shard <= client->world->plan->job->shards; shard++) {
        if (client->wire[shard] == NULL || client->wire[shard]->link != link)
            continue;
        lose(client, shard, &error);
        return true;
    }
    return false;
}
