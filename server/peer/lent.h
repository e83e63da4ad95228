/* SPDX-License-Identifier: Apache-2.0
 *
 * What the shards of a member daemon have lent of snapshots: the shares that a checkpoint is
 * written from. A shard frees its share when it has the order that ends the snapshot. Control may
 * end one that is not whole, as where some shards are past its version; so the notice of a share
 * may be on its way here when its shard has that order, and the share is not to be looked at.
 *
 * One thread, by which orders go to the shards and notices come from them.
 */
#ifndef PEER_LENT_H
#define PEER_LENT_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/model/job_state.h"
#include "server/model/order.h"

struct asked_snapshot;
struct lent_share;

/* Zeroed: there is none. */
struct lent {
    struct asked_snapshot *asked; /* owned; those that have not been ended */
    struct lent_share *share;     /* owned */
};

void lent_forget(struct lent *lent);

/* An order is about to go to the shards: a snapshot is asked for, or ended. Without memory for one
 * that is asked for nothing is taken of it. */
void lent_note_order(struct lent *lent, const struct order *order);

/* A share has come (borrowed until its snapshot ends). ABORTED: that has ended, and the share may
 * be freed. RESOURCE_EXHAUSTED. */
enum stepd_status lent_take(struct lent *lent, const struct notice *notice,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The shares of a job's newest snapshot, at most STEPD_SHARDS_MAX; how many. */
size_t lent_newest(const struct lent *lent, const char *job_name,
                   const struct job_state **ret_share);

#endif
