/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots of the job, kept where a crash of the daemon does not reach: the two newest, as copies.
 * Either may be the one that the daemon comes back from.
 */
#ifndef TESTS_SIM_SNAPSHOTS_H
#define TESTS_SIM_SNAPSHOTS_H

#include "server/control/snapshot.h"
#include "tests/sim/plan.h"

enum { SNAPSHOTS_KEPT = 2 };

struct snapshots_kept {
    struct job_snapshot control; /* owned; what control knew */
    struct job_state *state;     /* owned reference */
    uint64_t taken_in;           /* incarnation */
};

struct snapshots {
    const struct plan *plan;
    struct control *control;          /* borrowed; of this life of the daemon */
    bool asked;                       /* one has been begun */
    const struct job_snapshot *whole; /* lent; NULL: none */
    size_t count;
    struct snapshots_kept kept[SNAPSHOTS_KEPT]; /* the newest first */
};

void snapshots_init(struct snapshots *snapshots, const struct plan *plan);
void snapshots_deinit(struct snapshots *snapshots);

/* This control takes them from now on; what another one had lent is gone with it. */
void snapshots_serve(struct snapshots *snapshots, struct control *control);

/* Begins one, where that can be, or keeps the one that is whole: one thing or the other. */
void snapshots_go_on(struct snapshots *snapshots, uint64_t now_ms);

/* For control_io: one is whole, or none is (NULL). Whoever takes none, NULL. */
void snapshots_whole(struct snapshots *snapshots, const struct job_snapshot *whole);

/* Brings the job back into the control that was served last, from this one of those kept, under an
 * incarnation that none has had. */
const struct snapshots_kept *snapshots_restore(struct snapshots *snapshots, size_t index,
                                               uint64_t now_ms);

#endif
