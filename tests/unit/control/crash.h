/* SPDX-License-Identifier: Apache-2.0
 *
 * A control that crashes, and another one that goes on from a snapshot which the first has taken.
 */
#ifndef TESTS_UNIT_CONTROL_CRASH_H
#define TESTS_UNIT_CONTROL_CRASH_H

#include "shard_shares.h"

/* An old control with two workers, what was taken of its job "j", and a new control. */
struct crash {
    struct brain *old;
    struct peer *worker[2]; /* of the old one */
    struct shares_taken taken;
    struct brain *brain; /* the new one */
};

/* A control whose sessions are not the old one's. */
struct brain *crash_new_brain(uint32_t shards);

/* Both controls, and the job on the old one. */
void crash_begin(struct crash *crash, enum stepd_mode mode);
void crash_begin_with(struct crash *crash, enum stepd_mode mode, const char *settings);
void crash_end(struct crash *crash);

/* Takes the snapshot, with shares as shares_take has them. */
void crash_take(struct crash *crash, uint64_t version, const uint64_t clock[2]);

/* Restores it in the new control; which must be possible. */
enum stepd_status crash_try_restore(struct crash *crash, struct stepd_error *reterr);
void crash_restore(struct crash *crash);

/* What a peer was welcomed with. */
const struct stepd_welcome *peer_welcome(struct peer *peer);

#endif
