/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection on a socket pair, with a handler that notes what it is told and does what the test
 * says. The test holds the other end of the pair and turns the loop itself, so there is no thread
 * and nothing to wait for.
 */
#ifndef TESTS_UNIT_NET_RIG_H
#define TESTS_UNIT_NET_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "server/net/conn.h"

enum {
    RIG_MESSAGES = 1024,
    RIG_PAYLOAD_BYTES = 4 << 20,
    RIG_FRAME_MAX_BYTES = 8 << 20,
    RIG_WRITE_TIMEOUT_MS = 30000,
    RIG_READ_TIMEOUT_MS = 20000,
    RIG_IDLE_TIMEOUT_MS = 600000,
    RIG_REFUSALS_MAX_PER_S = 50, /* 5 in a tick */
};

struct tls;

struct rig {
    uv_loop_t uv;
    struct limits limits; /* what was counted */
    struct conn_loop loop;
    struct conn *conn;
    int peer; /* the other end; -1: closed */

    /* What the handler does. */
    bool refuse_open;                    /* opened: no memory */
    bool unwanted;                       /* window: NULL */
    size_t window_most;                  /* window: not larger than this */
    enum stepd_status answer;            /* message: this status, with the text "as told" */
    void (*on_message)(struct rig *rig); /* message: do this; may be NULL */

    /* What it was told. */
    size_t messages;
    uint64_t request_id[RIG_MESSAGES];
    enum stepd_message_kind kind[RIG_MESSAGES];
    uint64_t payload_bytes[RIG_MESSAGES];
    size_t filled; /* payload bytes in all */
    size_t fills;
    uint8_t payload[RIG_PAYLOAD_BYTES];
    size_t closed;
    size_t released;
    size_t taken;
    size_t gone;
    size_t known; /* and not gone */
    bool inside;  /* a call to the handler is under way */
};

/* The handler's records are reset; the connection is open and has read `count` bytes already. */
struct rig *rig_create(void);
void rig_open(struct rig *rig, const uint8_t *bytes, size_t count);
void rig_destroy(struct rig *rig);

/* The same through TLS (takes ownership), whose handshake is over. */
void rig_open_tls(struct rig *rig, struct tls *tls);

/* Turns the loop until nothing more happens by itself. */
void rig_turn(struct rig *rig);

/* The peer writes; it must fit the socket. */
void rig_write(struct rig *rig, const uint8_t *bytes, size_t n);

/* The peer reads all that there is, turning the loop, until the end, and gives the count. It must
 * not meet a reset. */
size_t rig_read_to_end(struct rig *rig, uint8_t *bytes, size_t size);

/* The same, until it has n bytes. */
void rig_read(struct rig *rig, uint8_t *bytes, size_t n);

void rig_close_peer(struct rig *rig);

/* Appends a frame to bytes at `at`, and returns where the next one goes. */
size_t rig_frame(uint8_t *bytes, size_t at, const struct stepd_message *message,
                 const uint8_t *payload, size_t payload_bytes);
size_t rig_heartbeat(uint8_t *bytes, size_t at, uint64_t request_id);
size_t rig_push(uint8_t *bytes, size_t at, uint64_t request_id, const uint8_t *payload,
                size_t payload_bytes);

/* Decodes the one Error that the bytes hold. */
void rig_decode_error(const uint8_t *bytes, size_t n, uint64_t *ret_request_id,
                      struct stepd_error *ret_error);

#endif
