/* SPDX-License-Identifier: Apache-2.0
 *
 * A job that three daemons hold, and what they do when they write a checkpoint of it. Control's
 * daemon has the store; the others have opened its folder. Needs CMocka's includes before it.
 */
#ifndef TESTS_UNIT_DISK_PORTIONS_H
#define TESTS_UNIT_DISK_PORTIONS_H

#include <stdatomic.h>

#include "server/disk/save.h"
#include "tests/unit/disk/scratch.h"
#include "tests/unit/persist/shares.h"

enum { PORTIONS_DAEMONS = 3, PORTIONS_STEP = 7 };

/* Nobody wants it to stop. */
extern const atomic_bool portions_go_on;

struct portions {
    struct scratch *scratch;
    struct shares shares;
    struct store *store; /* control's */
    struct store *guest; /* the others' */
    struct shelf shelf;
    struct job_state *own[PORTIONS_DAEMONS]; /* what each daemon holds */
    const struct job_state *share[PORTIONS_DAEMONS];
    struct job_snapshot snapshot;
    struct portion_place place;
    struct manifest_sums sums[PORTIONS_DAEMONS];
};

/* Of a tensor of so many rows of 50, and a small one. */
void portions_setup(struct portions *f, void *scratch, uint64_t rows);
void portions_end(struct portions *f);
void portions_forget_sums(struct portions *f);

/* Control's daemon makes the folder. */
void portions_begin(struct portions *f);

/* What it asks another one for. */
struct portion_request portions_request(const struct portions *f, uint32_t index);

/* A daemon does that, well or not; and well. */
enum stepd_status portions_write_as(struct portions *f, const struct portion_request *request,
                                    struct manifest_sums *ret_sums, struct stepd_error *error);
void portions_write(struct portions *f, uint32_t index);

enum stepd_status portions_commit(struct portions *f, struct stepd_error *error);

/* All of it. */
void portions_save(struct portions *f);

/* The folder of what was saved; the caller closes it. */
int portions_open(const struct portions *f);

#endif
