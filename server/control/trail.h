/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit trail of a job: which of its groups was changed while it ran, by whom, from what to
 * what, and from which version on. The newest CONTROL_TRAIL_MAX records are kept.
 */
#ifndef CONTROL_TRAIL_H
#define CONTROL_TRAIL_H

#include <stddef.h>
#include <stdint.h>

#include "server/model/group_change.h"

#define CONTROL_TRAIL_MAX 256u

/* What became of one group by one change. */
struct control_record {
    struct control_record *next; /* the next newer one */
    uint64_t number;             /* of the change */
    uint32_t group;              /* index */
    uint64_t at_ms;              /* when it was made */
    uint64_t version;            /* that the first step with it started from */
    uint64_t version_last;       /* where slices have no common one, of the farthest */
    char by[STEPD_NAME_MAX_BYTES + 1];
    size_t differences;
    struct difference difference[];
};

/* A zeroed one is empty. */
struct control_trail {
    struct control_record *first; /* owned, as are all of them; the oldest */
    struct control_record *last;
    size_t count;
    uint64_t forgotten;
};

/* With what it says of the group; the rest is zero. NULL: no memory. */
struct control_record *control_record_create(uint32_t group, const char *by,
                                             const struct difference *difference,
                                             size_t differences);

/* Takes ownership of the record. */
void control_trail_add(struct control_trail *trail, struct control_record *record);

/* Moves all records of `from` to the end of the trail. */
void control_trail_move(struct control_trail *trail, struct control_trail *from);

/* The slices of a change without a common version had these when they took it. */
void control_trail_note(struct control_trail *trail, uint64_t number, uint64_t version_min,
                        uint64_t version_max);

/* They will have others. */
void control_trail_undate(struct control_trail *trail, uint64_t number);

/* RESOURCE_EXHAUSTED: no memory. *ret_copy: the caller clears it. */
enum stepd_status control_trail_copy(const struct control_trail *trail,
                                     struct control_trail *ret_copy) STEPD_MUST_CHECK;

/* Forgets all of it, without a trace. */
void control_trail_clear(struct control_trail *trail);

#endif
