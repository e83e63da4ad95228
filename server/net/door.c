/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may come in. The cap on connections works by not accepting: libuv announces one connection,
 * and if nobody takes it, it announces no other and the rest wait in the system's backlog, at no
 * cost. So a full daemon never reaches its limit of descriptors, where accept() fails again and
 * again and each failure wakes the loop. When somebody leaves, the announced one is accepted.
 *
 * Where daemons are to join there are a few places more, so that whoever calls can be heard; who is
 * no daemon and finds all others taken is told to try again.
 *
 * Strangers give way to each other (door.h), and so they do where those who were let in have left
 * only a few places: who is known waits for nobody but who is known.
 */
#include "server/net/door.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/error.h"
#include "server/net/door_internal.h"

static uint64_t now(const struct door *door)
{
    return uv_now(door->options.uv);
}

/* ---- Room ------------------------------------------------------------------------------------ */

static bool has_room(const struct door *door)
{
    return door->inside < door->options.connections_max + door->options.reserved &&
           door->strangers < door->options.unauthenticated_max;
}

/* Half of the places of strangers must be free before it counts as over. */
static void note_room(struct door *door)
{
    if (!has_room(door) && door->full_ms == 0)
        door->full_ms = now(door);
    else if (door->strangers <= door->options.unauthenticated_max / 2)
        door->full_ms = 0;
}

/* A stranger goes for another one: first who has been told why, then who has said nothing. */
static bool make_room(struct door *door)
{
    const struct door_options *const options = &door->options;
    const bool floods = now(door) - door->full_ms >= DOOR_FLOOD_MS;
    const bool made =
        (options->make_room != NULL && options->make_room(options->owner)) ||
        greeting_drop_oldest(door, now(door), floods ? DOOR_FLOOD_GRACE_MS : DOOR_GRACE_MS);
    if (made)
        limit_refused(options->limits, LIMIT_UNAUTHENTICATED);
    return made;
}

void door_note_full(struct door *door)
{
    const struct door_options *const options = &door->options;
    const bool all = door->inside - door->greetings >= options->connections_max ||
                     door->inside >= options->connections_max + options->reserved;
    limit_refused(options->limits, all ? LIMIT_CONNECTIONS : LIMIT_UNAUTHENTICATED);
    if (!log_limit_allows(&door->full, now(door)))
        return;
    if (all)
        log_event(options->log, LOG_WARN, "connections_full", "connections_max=%u strangers=%u",
                  (unsigned)options->connections_max, (unsigned)door->strangers);
    else
        log_event(options->log, LOG_WARN, "unauthenticated_full", "unauthenticated_max=%u",
                  (unsigned)options->unauthenticated_max);
}

static void count(struct door *door)
{
    limit_set(door->options.limits, LIMIT_CONNECTIONS, door->inside);
    limit_set(door->options.limits, LIMIT_UNAUTHENTICATED, door->strangers);
}

/* Accepts what a listener announced, if there is room. */
static void let_in(struct door *door, struct listener *listener)
{
    const bool waited = listener->waiting;
    note_room(door);
    listener->waiting = false; /* making room lets in who waits, and so does a failure to start */
    if (!has_room(door) && !(make_room(door) && has_room(door))) {
        listener->waiting = true;
        if (!waited)
            door_note_full(door);
        return;
    }
    if (!greeting_start(door, listener))
        listener->waiting = true;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *const listener = stream->data;
    struct door *const door = listener->owner;
    if (status == 0)
        let_in(door, listener);
    else
        log_event(door->options.log, LOG_WARN, "accept_failed", "reason=%s", uv_strerror(status));
}

/* Accepts whoever has been waiting for room. */
static void let_in_waiting(struct door *door)
{
    if (door->tcp.waiting)
        let_in(door, &door->tcp);
    if (door->unix_socket.waiting)
        let_in(door, &door->unix_socket);
}

void door_came(struct door *door)
{
    door->inside++;
    door->strangers++;
    door->greetings++;
    count(door);
}

void door_known(struct door *door)
{
    assert(door->strangers > 0);
    door->strangers--;
    count(door);
    if (!door->closed)
        let_in_waiting(door);
}

void door_gone(struct door *door, bool known)
{
    assert(door->inside > 0 && (known || door->strangers > 0));
    door->inside--;
    door->strangers -= !known;
    count(door);
    if (!door->closed)
        let_in_waiting(door);
}

/* ---- Listening ------------------------------------------------------------------------------- */

/* Finds out the address that the system chose. */
static enum stepd_status note_address(struct door *door, struct stepd_error *reterr)
{
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    int size = sizeof name;
    const int failure = uv_tcp_getsockname(&door->tcp.uv.tcp, (struct sockaddr *)&name, &size);
    if (failure != 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot ask for the port that was picked: %s",
                          uv_strerror(failure));
    address_write((const struct sockaddr *)&name, door->address, sizeof door->address);
    door->port = address_port((const struct sockaddr *)&name);
    return STEPD_OK;
}

struct door *door_create(const struct door_options *options)
{
    struct door *const door = malloc(sizeof *door);
    if (door == NULL)
        return NULL;
    *door = (struct door){
        .options = *options,
        .full = {.event = "connections_full"},
        .dropped = {.event = "stranger_dropped"},
        .refused = {.event = "handshake_refused"},
    };
    door->tcp.owner = door;
    door->unix_socket.owner = door;
    stepd_arena_init(&door->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    return door;
}

enum stepd_status door_listen(struct door *door, const struct sockaddr *address,
                              const char *unix_path, struct stepd_error *reterr)
{
    const struct door_options *const options = &door->options;
    const enum stepd_status status =
        listener_open_tcp(&door->tcp, options->uv, address, on_connection, reterr);
    if (status != STEPD_OK)
        return status;
    if (unix_path[0] != '\0') {
        const enum stepd_status unix_status = listener_open_unix(
            &door->unix_socket, options->uv, unix_path, on_connection, options->log, reterr);
        if (unix_status != STEPD_OK)
            return unix_status;
    }
    return note_address(door, reterr);
}

void door_serve(struct door *door, const struct door_shards *shards)
{
    door->options.shards = *shards;
}

const char *door_address(const struct door *door)
{
    return door->address;
}

uint16_t door_port(const struct door *door)
{
    return door->port;
}

void door_tick(struct door *door, uint64_t now_ms)
{
    for (struct greeting *greeting = door->first; greeting != NULL; greeting = greeting->next)
        greeting_tick(greeting, now_ms);
    log_limit_tick(&door->full, door->options.log, now_ms);
    log_limit_tick(&door->dropped, door->options.log, now_ms);
    log_limit_tick(&door->refused, door->options.log, now_ms);
    if (!door->closed)
        let_in_waiting(door);
}

void door_close(struct door *door)
{
    if (door == NULL || door->closed)
        return;
    door->closed = true;
    listener_close(&door->tcp);
    listener_close(&door->unix_socket);
    for (struct greeting *greeting = door->first; greeting != NULL; greeting = greeting->next)
        greeting_drop(greeting);
}

struct door *door_destroy(struct door *door)
{
    if (door == NULL)
        return NULL;
    assert(door->first == NULL);
    stepd_arena_deinit(&door->arena);
    free(door);
    return NULL;
}
