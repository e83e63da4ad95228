/* SPDX-License-Identifier: Apache-2.0
 *
 * What may become of a group while its job runs. A group never changes itself: another one takes
 * its place on every slice, each at the step where it gets there.
 *
 *     an edit      what somebody asked for: settings over those of the phase that the group is in,
 *                  another optimizer in its place, another schedule, other phases later
 *     a target     a whole group, as a file has it
 *     a change     the group that comes of it, checked: the job's slices can go on with it
 *
 * The memory of a job is planned and taken when it opens (job_slice_size). A change that would need
 * more of anything (slots, scalars, views, what a push carries, room for a step), or other slices,
 * is refused.
 */
#ifndef MODEL_GROUP_CHANGE_H
#define MODEL_GROUP_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/model/job.h"

/* A group that several threads use; immutable. */
struct shared_group {
    struct group group;
    unsigned refs; /* atomic */
};

struct shared_group *shared_group_ref(struct shared_group *shared);
/* NULL is fine. Returns NULL. */
struct shared_group *shared_group_unref(struct shared_group *shared);

struct group_change {
    uint32_t index;             /* of the group in its job */
    bool fresh;                 /* its optimizer begins with no state */
    bool new_schedule;          /* what the schedule has heard of losses is forgotten */
    struct shared_group *group; /* a reference */
};

/* Changes of one job that are made together; shards take them in order. */
struct group_changes {
    struct group_changes *next;
    uint64_t number; /* from 1 on; a later change of the job has a higher one */
    uint64_t
        version; /* that the first step with them starts from; 0: the next step of each slice */
    size_t left; /* for who makes them: slices that have not got there */
    size_t count;
    struct group_change change[];
};

/* With `count` changes, zeroed. NULL: no memory. */
struct group_changes *group_changes_create(size_t count);
/* With references of its own. NULL: no memory. */
struct group_changes *group_changes_copy(const struct group_changes *changes);
/* NULL is fine. Returns NULL. */
struct group_changes *group_changes_destroy(struct group_changes *changes);
/* Takes out of a list what is to become of the groups of `changes` at later versions than theirs.
 */
void group_changes_call_off(struct group_changes **list, const struct group_changes *changes);
/* What becomes of a group by them; NULL: nothing. */
const struct group_change *group_changes_find(const struct group_changes *changes, uint32_t index);

/* Where in a training a change is made. */
struct change_point {
    uint64_t clock; /* of the schedule, of the first step with it */
    uint64_t from;  /* where the phase of another optimizer is said to begin */
};

/* A group that is to change. */
struct change_site {
    const struct job *job;
    uint32_t index;          /* of the group */
    const struct group *now; /* as it runs */
    struct change_point point;
};

/* What somebody asked for. */
struct group_edit {
    const struct stepd_group *said; /* name, match, ndim and frozen do not count */
    bool drop_phases;               /* none of those to come stays; said's phases, if any, come */
};

/*
 * What comes of an edit of a group. INVALID_ARGUMENT, NOT_FOUND: as group_init,
 * or the job cannot go on with it; the text names the group and what stands in the way.
 * RESOURCE_EXHAUSTED: no memory. *ret_change: the caller gives the reference back.
 */
enum stepd_status group_change_edit(const struct change_site *site, const struct group_edit *edit,
                                    struct group_change *ret_change,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same, of a group that is to be as `target`, whose name, match, ndim and frozen must be those
 * that it has. Phases of the target that are over by then are not looked at. */
enum stepd_status group_change_to(const struct change_site *site, const struct group *target,
                                  struct group_change *ret_change,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- What is other about it ------------------------------------------------------------------ */

#define DIFFERENCE_NAME_BYTES 40u
#define DIFFERENCE_TEXT_BYTES 96u
#define DIFFERENCES_MAX       16u

struct difference {
    char name[DIFFERENCE_NAME_BYTES]; /* "lr", "optimizer", "phase 5000" */
    char from[DIFFERENCE_TEXT_BYTES]; /* "-": there was none */
    char to[DIFFERENCE_TEXT_BYTES];
};

/* Lists what is other from this step of the schedule's clock on; more than DIFFERENCES_MAX are
 * counted, and the last one says so. fresh: the optimizer counts as another one. Returns how many
 * there are in the list. */
size_t group_differences(const struct group *before, const struct group *after, uint64_t clock,
                         bool fresh, struct difference ret_list[DIFFERENCES_MAX]);

#endif
