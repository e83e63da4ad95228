/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's core on a test bench: an exchange whose port keeps what is sent, and a reader that
 * is fed whatever replies the test makes up. No socket, no thread, no clock.
 *
 * The bench's layout, of two shards:
 *
 *     tensor 0 "big"   6 elements   slice 0 (0..3, shard 1), slice 1 (4..5, shard 2)
 *     tensor 1 "a"     2 elements   slice 2 (shard 1), packed with
 *     tensor 2 "b"     1 element    ... this
 */
#ifndef TESTS_UNIT_CLIENT_RIG_H
#define TESTS_UNIT_CLIENT_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/core/exchange.h"
#include "client/lib/core/reader.h"
#include "proto/message.h"

#define RIG_SHARDS         2u
#define RIG_SENT_MAX       64u
#define RIG_OPERATIONS_MAX 8u

/* An operation that notes when it is done. */
struct rig_operation {
    struct stepd_operation operation; /* first */
    bool done;
};

/* A frame that the exchange has sent. */
struct rig_sent {
    uint32_t shard;
    struct stepd_message message;
    uint8_t *payload; /* owned */
    size_t payload_bytes;
    struct stepd_arena arena;        /* of the message */
    uint8_t *head;                   /* owned */
    struct stepd_outgoing *outgoing; /* owned until it is written */
};

struct rig {
    struct stepd_layout_table layout;
    struct stepd_pending pending;
    struct stepd_exchange exchange;
    struct stepd_reader reader[RIG_SHARDS]; /* by shard - 1 */
    struct rig_sent sent[RIG_SENT_MAX];
    size_t sent_count;
    struct rig_operation operation[RIG_OPERATIONS_MAX];
    size_t operation_count;
    bool hold;               /* frames count as written only when the test says so */
    enum stepd_status fault; /* what the port answers */
};

void rig_setup(struct rig *rig);
void rig_teardown(struct rig *rig);

/* A new exchange for what is in rig->layout; the old one must be released. */
void rig_use_layout(struct rig *rig);

/* The page of the bench's layout; static. */
const struct stepd_layout *rig_page(void);

/* Makes and starts an operation, which lives as long as the rig; options NULL for the defaults. */
struct rig_operation *rig_start(struct rig *rig, enum stepd_operation_kind kind,
                                const struct stepd_array *arrays, size_t count,
                                const struct stepd_step_options *options);

/* The frame's bytes have left. */
void rig_write(struct rig *rig, size_t index);

/* A frame of these, as it stands on the wire. *ret_bytes: caller frees. Returns its length. */
size_t rig_encode(const struct stepd_message *message, const void *payload, size_t payload_bytes,
                  uint8_t **ret_bytes);

/* Feeds bytes to a shard's reader, at most `at_once` at a time. */
enum stepd_status rig_feed(struct rig *rig, uint32_t shard, const uint8_t *bytes, size_t n,
                           size_t at_once, struct stepd_error *reterr);

/* Encodes and feeds a frame, which must be accepted. */
void rig_reply(struct rig *rig, uint32_t shard, const struct stepd_message *message,
               const void *payload, size_t payload_bytes);

/* A Result of some slices, all with this outcome and version. */
struct stepd_message rig_result(uint64_t request_id, size_t slices, const uint32_t *slice,
                                enum stepd_outcome outcome, uint64_t version);

#endif
