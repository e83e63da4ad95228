/* SPDX-License-Identifier: Apache-2.0
 *
 * What has become of a job's groups while it ran: how each is now, the changes that have been
 * decided and that some slice may not have got to, and the audit trail. A snapshot has a copy of
 * it, and a job that is restored goes on with one.
 *
 * A change that has been decided is made, whatever happens: its version may be far ahead, and it is
 * kept here until all slices are beyond that.
 */
#ifndef CONTROL_HISTORY_H
#define CONTROL_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "server/control/trail.h"
#include "server/model/group_change.h"

/* Changes that may be decided and to come. */
#define CONTROL_COMING_MAX 64u

/* What a group has become. */
struct control_group {
    struct shared_group
        *past;                /* a reference: before all that is to come; NULL: as it was defined */
    struct shared_group *now; /* a reference: behind it; NULL: the same */
    uint64_t number;          /* of the newest change; 0: none */
    uint64_t version;         /* that the first step with it starts from */
};

/* A zeroed one is that of a job whose groups are as they were defined. */
struct control_history {
    uint64_t numbered;            /* changes that were asked for so far: the newest one's number */
    uint64_t made;                /* changes that were decided, and not called off */
    size_t groups;                /* as many as the job has, or 0: there is no list yet */
    struct control_group *group;  /* owned; by index */
    struct group_changes *coming; /* owned; in the order of their numbers */
    struct control_trail trail;   /* owned */
};

/* Makes the list of groups, where there is none. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status control_history_begin(struct control_history *history,
                                        size_t groups) STEPD_MUST_CHECK;

/* Changes have been decided, and the shards told: takes ownership of them, and their records. What
 * was to become of their groups later is called off. */
void control_history_add(struct control_history *history, struct group_changes *changes,
                         struct control_trail *records);

/* All slices are at this version or beyond: what was to come before it has come. UINT64_MAX: all
 * has. */
void control_history_reached(struct control_history *history, uint64_t version);

size_t control_history_coming(const struct control_history *history);

/* The first change of a group behind this version in a list of what is to come; NULL: there is
 * none. Begin with history->coming, and go on with what is behind the one that was found. */
const struct group_changes *control_history_later(const struct group_changes *coming,
                                                  uint32_t group, uint64_t version);

/* What a group is at a version that not all slices are beyond; NULL: as it was defined. Slices
 * without a common version: what it is for their next steps. */
const struct shared_group *control_history_at(const struct control_history *history, uint32_t group,
                                              uint64_t version);

/* RESOURCE_EXHAUSTED: no memory. *ret_copy: the caller frees with control_history_clear. */
enum stepd_status control_history_copy(const struct control_history *history,
                                       struct control_history *ret_copy) STEPD_MUST_CHECK;

/* Is it the history of such a job? One that was read from bytes may say anything.
 * INVALID_ARGUMENT: it is not; the text says why. */
enum stepd_status control_history_check(const struct control_history *history,
                                        const struct job *job,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Forgets all of it. */
void control_history_clear(struct control_history *history);

#endif
