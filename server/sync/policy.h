/* SPDX-License-Identifier: Apache-2.0
 *
 * Consistency policies, one row of a table per mode: which pushes may count, when a round closes,
 * and which workers must wait for others. A policy decides from what it is given and changes
 * nothing.
 *
 * Everything here is about one unit. A unit is a slice; what needs wider ones (a tensor, a group,
 * the whole job) will ask a gate between "closes" and the update, and nothing else will change.
 */
#ifndef SYNC_POLICY_H
#define SYNC_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/types.h>

#include "server/model/slice.h"
#include "server/sync/members.h"
#include "server/sync/round.h"

/* What is to become of a push whose clock is new. */
enum verdict {
    VERDICT_COUNT,      /* it counts for the open round */
    VERDICT_LATE,       /* its round has closed without it */
    VERDICT_STALE,      /* its base version is older than the job allows */
    VERDICT_FENCED,     /* its rank is no member for this version */
    VERDICT_IMPOSSIBLE, /* its base version does not exist yet */
};

struct claim {
    uint32_t rank;
    uint64_t clock;
    uint64_t base_version; /* the gradient was computed at it */
};

/* What a decision is made from. All borrowed. */
struct scene {
    const struct consistency *consistency;
    const struct members *members;
    const struct round *round; /* the open one */
    uint64_t version;          /* the slice's */
    size_t ranks;
    const struct slice_rank *by_rank; /* with their records */
};

struct sync_policy {
    enum verdict (*judge)(const struct scene *scene, const struct claim *claim);
    bool (*closes)(const struct scene *scene);
    /* A rank's contribution counts: must a further push of it come before the round can close? */
    bool (*goes_on)(const struct scene *scene, uint32_t rank);
    /* Each member has pushed once more: must each push again before the round can close? */
    bool (*turns)(const struct scene *scene);
    /* Does a round, or a worker whose newest counted clock is `clock`, wait for this rank? */
    bool (*waits_for)(const struct scene *scene, uint64_t clock, uint32_t rank);
    /* Must such a worker wait before it gets weights? NULL: never. */
    bool (*holds_back)(const struct scene *scene, uint64_t clock);
    /* All contributions of a round make one update (true), or each makes its own. */
    bool together;
    /* The schedule's clock: the version (true), or the slice's own t. */
    bool schedule_by_version;
};

/* Static. */
const struct sync_policy *sync_policy_of(enum stepd_mode mode);

#endif
