/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections: where they lead, what their Hello says, what becomes of the Welcome, and waiting
 * until one stands. How they are made, and made again, is in core/links.c.
 */
#include <stdlib.h>
#include <string.h>

#include "client/lib/client.h"
#include "client/lib/net/clock.h"
#include "proto/error.h"

/* A worker says that it lives three times in each lease. */
#define BEATS_PER_LEASE 3u

/* Caps what a server can make us remember. */
#define SHARDS_MAX 4096u

/* ---- Hello ----------------------------------------------------------------------------------- */

/* "": the shard is where control is. */
static const char *address_of(void *self, uint32_t shard)
{
    const struct stepd_client *const client = self;
    if (shard == 0 || shard > client->addresses || client->shard_address[shard - 1][0] == '\0')
        return client->address;
    return client->shard_address[shard - 1];
}

static struct stepd_message hello_of(void *self, uint32_t shard, enum stepd_greeting how)
{
    const struct stepd_client *const client = self;
    const bool resumes = how == STEPD_GREET_RESUME;
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello =
            {
                .protocol = STEPD_PROTOCOL_VERSION,
                .role = client->observer ? STEPD_OBSERVER : STEPD_WORKER,
                .job = client->job,
                .worker = client->worker,
                .rank = client->observer ? -1 : client->rank,
                .token = {.count = strlen(client->token), .at = (const uint8_t *)client->token},
                .session = {.count = resumes ? STEPD_SESSION_BYTES : 0, .at = client->session},
                .shard = shard,
                .lease_ms = client->lease_ms,
                .max_frame_bytes = STEPD_FRAME_MAX_BYTES,
                .client = {.count = sizeof client->id, .at = client->id},
                .rejoins = how == STEPD_GREET_REJOIN && !client->observer,
            },
    };
}

/* ---- Welcome --------------------------------------------------------------------------------- */

static size_t frame_max_of(const struct stepd_welcome *welcome)
{
    return welcome->max_frame_bytes == 0 ? STEPD_FRAME_MAX_BYTES : welcome->max_frame_bytes;
}

static void free_addresses(char **address, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(address[i]);
    free((void *)address);
}

static enum stepd_status keep_addresses(struct stepd_client *client,
                                        const struct stepd_welcome *welcome,
                                        struct stepd_error *reterr)
{
    if (welcome->shards > SHARDS_MAX)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server names %zu shards; at most %u can be",
                          welcome->shards, SHARDS_MAX);
    char **const address = calloc(welcome->shards + 1, sizeof *address);
    size_t count = 0;
    while (address != NULL && count < welcome->shards) {
        address[count] = strdup(welcome->shard_address[count]);
        if (address[count] == NULL)
            break;
        count++;
    }
    if (address == NULL || count < welcome->shards) {
        free_addresses(address, count);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a client");
    }
    free_addresses(client->shard_address, client->addresses);
    client->shard_address = address;
    client->addresses = count;
    atomic_store(&client->shards, (uint32_t)count);
    return STEPD_OK;
}

/* The rank is the caller's to read from any thread, so it is written once. */
static enum stepd_status take_rank(struct stepd_client *client, const struct stepd_welcome *welcome,
                                   struct stepd_error *reterr)
{
    if (client->observer)
        return STEPD_OK;
    if (client->rank == -1)
        client->rank = (int32_t)welcome->rank;
    if (client->rank != (int32_t)welcome->rank)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server gave rank %u, not %d", welcome->rank,
                          client->rank);
    return STEPD_OK;
}

static enum stepd_status from_control(struct stepd_client *client,
                                      const struct stepd_welcome *welcome,
                                      struct stepd_error *reterr)
{
    if (welcome->session.count != STEPD_SESSION_BYTES)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server's welcome names no session");
    enum stepd_status status = take_rank(client, welcome, reterr);
    if (status == STEPD_OK)
        status = keep_addresses(client, welcome, reterr);
    if (status != STEPD_OK)
        return status;
    memcpy(client->session, welcome->session.at, STEPD_SESSION_BYTES);
    client->clock = welcome->clock;
    atomic_store(&client->frame_max_bytes, frame_max_of(welcome));
    client->wait_max_ms = welcome->wait_max_ms;
    if (client->home != NULL && client->wait_max_ms != 0)
        client->home->exchange.wait_max_ms = client->wait_max_ms;
    atomic_store(&client->world, welcome->world);
    if (welcome->lease_ms >= BEATS_PER_LEASE)
        stepd_loop_beat_every(client->loop, welcome->lease_ms / BEATS_PER_LEASE);
    return STEPD_OK;
}

/*
 * A rank that was here before goes on from what this shard itself has counted of it. Control's
 * clock is no substitute: it is told later, and one that is too high would leave a gap, which the
 * shard refuses, where one that is too low only repeats what it answers with DUPLICATE. A link that
 * is made again changes nothing: the client knows its own clocks.
 */
static void from_shard(struct stepd_client *client, uint32_t shard,
                       const struct stepd_welcome *welcome, bool first)
{
    struct stepd_exchange *const exchange = stepd_links_exchange(stepd_loop_links(client->loop));
    if (exchange == NULL)
        return;
    if (first)
        stepd_exchange_resume(exchange, shard, welcome->clock);
    if (frame_max_of(welcome) < exchange->frame_max_bytes) {
        exchange->frame_max_bytes = frame_max_of(welcome);
        atomic_store(&client->frame_max_bytes, exchange->frame_max_bytes);
    }
}

static enum stepd_status on_welcome(void *self, uint32_t shard, const struct stepd_welcome *welcome,
                                    bool first, struct stepd_error *reterr)
{
    struct stepd_client *const client = self;
    if (shard == 0)
        return from_control(client, welcome, reterr);
    from_shard(client, shard, welcome, first);
    return STEPD_OK;
}

/* ---- What becomes of them -------------------------------------------------------------------- */

/* The links have failed what was under way. */
static void on_roll_back(void *self, const struct stepd_error *error)
{
    struct stepd_client *const client = self;
    (void)error;
    atomic_store(&client->rolled_back, true);
    stepd_look_again(client);
}

static void tell(void *self, const struct stepd_event *event)
{
    const struct stepd_client *const client = self;
    if (client->on_event != NULL)
        client->on_event(client->event_user, event);
}

struct stepd_greeter stepd_greeter_of(struct stepd_client *client)
{
    return (struct stepd_greeter){
        .self = client,
        .address = address_of,
        .hello = hello_of,
        .welcome = on_welcome,
        .roll_back = on_roll_back,
        .tell = tell,
    };
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/* On the stack of the one who waits; two letters may be posted for it, as for a call. */
struct open {
    struct stepd_opening opening; /* first */
    struct stepd_letter begin;
    struct stepd_letter give_up;
    struct stepd_client *client;
    atomic_bool done;
    atomic_bool given_up;
};

static void on_done(struct stepd_opening *opening)
{
    struct open *const open = (struct open *)opening;
    stepd_mailbox_raise(stepd_loop_mailbox(open->client->loop), &open->done);
}

static void deliver_begin(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct open *const open = (struct open *)((char *)letter - offsetof(struct open, begin));
    stepd_links_open(stepd_loop_links(loop), &open->opening);
}

static void deliver_give_up(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct open *const open = (struct open *)((char *)letter - offsetof(struct open, give_up));
    stepd_links_stop_waiting(stepd_loop_links(loop), &open->opening);
    stepd_mailbox_raise(stepd_loop_mailbox(loop), &open->given_up);
}

enum stepd_status stepd_open(struct stepd_client *client, uint32_t shard, uint64_t until_ms,
                             struct stepd_error *reterr)
{
    struct open open = {
        .opening = {.shard = shard, .on_done = on_done},
        .begin = {.deliver = deliver_begin},
        .give_up = {.deliver = deliver_give_up},
        .client = client,
    };
    struct stepd_mailbox *const mailbox = stepd_loop_mailbox(client->loop);
    stepd_loop_post(client->loop, &open.begin);
    if (!stepd_mailbox_await(mailbox, &open.done, until_ms)) {
        stepd_loop_post(client->loop, &open.give_up);
        (void)stepd_mailbox_await(mailbox, &open.given_up, 0);
    }
    if (open.opening.error.code == STEPD_OK)
        return STEPD_OK;
    return stepd_fail(reterr, open.opening.error.code, "%s", open.opening.error.text);
}
