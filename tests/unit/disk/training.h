/* SPDX-License-Identifier: Apache-2.0
 *
 * A job named "j" that a store has checkpoints of, at whatever step and incarnation a test wants.
 * Needs CMocka's includes before it.
 */
#ifndef TESTS_UNIT_DISK_TRAINING_H
#define TESTS_UNIT_DISK_TRAINING_H

#include "server/control/snapshot.h"
#include "server/disk/store.h"
#include "tests/unit/disk/scratch.h"
#include "tests/unit/persist/shares.h"

struct training {
    const struct scratch *scratch;
    struct shares shares;
    const struct job_state *share[SHARES];
    struct store *store;
};

/* The store is "store" in the scratch folder. */
void training_setup(struct training *training, const struct scratch *scratch);
void training_teardown(struct training *training);

/* Of two shards; lent until training_teardown. */
struct job_snapshot training_snapshot(struct training *training, uint64_t incarnation);

/* Writes a checkpoint, as the daemon does. */
void training_save(struct training *training, uint64_t incarnation, uint64_t step);

/* The path of a file of the job's shelf below the scratch folder; static, good until the next. */
const char *training_path(uint64_t step, const char *file);

#endif
