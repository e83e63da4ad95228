/* SPDX-License-Identifier: Apache-2.0
 *
 * Those who mean no good: several workers and observers of jobs whose names begin with "h" and "f",
 * each with a connection to control and to every shard, who know what a client knows and say what
 * the input says. Their tokens are for their own jobs alone.
 */
#ifndef TESTS_FUZZ_INTRUDER_H
#define TESTS_FUZZ_INTRUDER_H

#include "tests/fuzz/peer.h"
#include "tests/fuzz/taker.h"

enum { INTRUDERS = 4, INTRUDER_PEERS = INTRUDERS * BRAINS_HOSTS };

struct intruder {
    uint8_t session[STEPD_SESSION_BYTES]; /* that it was told last */
    bool has_session;
    uint64_t requests;
};

struct intruders {
    struct brains *brains; /* borrowed */
    struct intruder intruder[INTRUDERS];
    struct peer peer[INTRUDER_PEERS]; /* of intruder i % INTRUDERS; the first ones to control */
};

/* Lets them in, and the victim. */
void intruders_init(struct intruders *intruders, struct brains *brains);
void intruders_deinit(struct intruders *intruders);

/* The daemon's list has only these lines of theirs from now on; a bit for each. */
void intruders_admit(const struct intruders *intruders, uint8_t lines);

/* The connection that the input names; it is opened where it is not. */
struct peer *intruders_peer(struct intruders *intruders, struct taker *taker);

/* One of them sends what the input says: a frame, with a payload as long as it should be, or not;
 * or any bytes. */
void intruders_send(struct intruders *intruders, struct taker *taker);
void intruders_send_bytes(struct intruders *intruders, struct taker *taker);

/* One of them writes into the memory that it shares with a shard. */
void intruders_write(struct intruders *intruders, struct taker *taker);

/* All that is on its way arrives, and is read. */
void intruders_carry(struct intruders *intruders);
void intruders_read(struct intruders *intruders);

#endif
