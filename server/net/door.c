/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may come in. The cap on connections works by not accepting: libuv announces one connection,
 * and if nobody takes it, it announces no other and the rest wait in the system's backlog, at no
 * cost. So a full daemon never reaches its limit of descriptors, where accept() fails again and
 * again and each failure wakes the loop. When somebody leaves, the announced one is accepted.
 */
#include "server/net/door.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/error.h"
#include "server/net/door_internal.h"

/* Accepts what a listener announced, if there is room. */
static void let_in(struct door *door, struct listener *listener)
{
    listener->waiting = true;
    if (door->inside >= door->options.connections_max) {
        if (!door->full)
            log_event(door->options.log, LOG_WARN, "connections_full", "connections_max=%u",
                      (unsigned)door->options.connections_max);
        door->full = true;
        return;
    }
    listener->waiting = false; /* before the start, whose failure lets in who waits */
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

void door_gone(struct door *door)
{
    assert(door->inside > 0);
    door->inside--;
    door->full = false;
    if (!door->closed)
        let_in_waiting(door);
}

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
    *door = (struct door){.options = *options};
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
