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
#include "server/net/door.h"
#include "server/net/listener.h"
#include "server/net/tls.h"

/* The largest first frame, without its length prefix. */
#define GREETING_MAX_BYTES 4096u

/* What a handshake and a first frame may take on the network: certificates are a few KiB each. */
#define GREETING_TLS_MAX_BYTES  65536u
#define GREETING_TLS_READ_BYTES 16384u

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
    uint64_t deadline_ms;
    char peer[ADDRESS_TEXT_BYTES];
    struct tls *tls;  /* owned; NULL: none is spoken */
    size_t encrypted; /* bytes that came of it */
    size_t count;
    uint8_t bytes[GREETING_MAX_BYTES + 5]; /* the prefix is a varint of 5 bytes at most */
};

struct door {
    struct door_options options;
    struct listener tcp;
    struct listener unix_socket;
    struct greeting *first; /* owned */
    uint32_t inside;        /* connections accepted and not gone, greetings among them */
    bool full;              /* the log has been told */
    bool closed;
    uint16_t port;
    char address[ADDRESS_TEXT_BYTES];
    struct stepd_arena arena;                   /* for one Hello at a time */
    uint8_t encrypted[GREETING_TLS_READ_BYTES]; /* for one read at a time */
};

/*
 * Accepts the connection that the listener has announced. False: there is no memory for it now, and
 * it stays announced.
 */
bool greeting_start(struct door *door, struct listener *listener);

/* Answers DEADLINE_EXCEEDED if its time is over. */
void greeting_tick(struct greeting *greeting, uint64_t now_ms);

/* Closes the socket; memory is freed by the close callback. */
void greeting_drop(struct greeting *greeting);

#endif
