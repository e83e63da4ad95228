/* SPDX-License-Identifier: Apache-2.0
 *
 * What door.c (who may come in) and greeting.c (what a caller says first) share.
 */
#ifndef NET_DOOR_INTERNAL_H
#define NET_DOOR_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proto/arena.h"
#include "server/base/limit.h"
#include "server/base/log_limit.h"
#include "server/net/door.h"
#include "server/net/listener.h"
#include "server/net/tls.h"

#define GREETING_TLS_READ_BYTES 16384u

#define GREETING_PREFIX_BYTES 5u /* of a frame's length, a varint, at most */

/* A caller who has not said Hello yet. */
struct greeting {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;

    struct door *door;
    struct greeting *prev;
    struct greeting *next;
    bool is_tcp;
    bool closing;
    uint64_t came_ms;
    char peer[ADDRESS_TEXT_BYTES];
    struct tls *tls;  /* owned; NULL: none is spoken */
    size_t encrypted; /* bytes that came of it */
    size_t count;
    size_t room; /* hello_max_bytes and a prefix */
    uint8_t bytes[];
};

struct door {
    struct door_options options;
    struct listener tcp;
    struct listener unix_socket;
    struct greeting *first; /* owned; who came last */
    struct greeting *last;
    uint32_t inside;    /* connections accepted and not gone, strangers among them */
    uint32_t strangers; /* of these, who were not let in (yet) */
    uint32_t greetings; /* of these, who have not said what they want */
    uint64_t full_ms;   /* since when there has been no room, or hardly any; 0: there is */
    bool closed;
    uint16_t port;
    char address[ADDRESS_TEXT_BYTES];
    struct stepd_arena arena;                   /* for one Hello at a time */
    uint8_t encrypted[GREETING_TLS_READ_BYTES]; /* for one read at a time */
    struct log_limit full;                      /* what strangers can make the log say */
    struct log_limit dropped;
    struct log_limit refused;
};

/*
 * Accepts the connection that the listener has announced. False: there is no memory for it now, and
 * it stays announced.
 */
bool greeting_start(struct door *door, struct listener *listener);

/* Answers DEADLINE_EXCEEDED if its time is over. */
void greeting_tick(struct greeting *greeting, uint64_t now_ms);

/* Drops the greeting that has been there longest. False: there is none that has been there for
 * grace_ms. */
bool greeting_drop_oldest(struct door *door, uint64_t now_ms, uint64_t grace_ms);

/* There is no room for somebody. */
void door_note_full(struct door *door);

/* A caller has been accepted. */
void door_came(struct door *door);

/* Closes the socket; memory is freed by the close callback. */
void greeting_drop(struct greeting *greeting);

#endif
