/* SPDX-License-Identifier: Apache-2.0
 *
 * A course: the learning rate of a group at every step, and its momentum where the schedule cycles
 * that. The values are those that the daemon will use, from the same functions; any step can be
 * asked for, in any order.
 *
 * Steps count from 0, as schedules do. In a job of mode sync that is the version of the weights.
 */
#ifndef CLIENT_CTL_COURSE_H
#define CLIENT_CTL_COURSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/model/group.h"
#include "server/schedule/schedule.h"

/* Steps that are shown, and losses that are read, at most. */
#define COURSE_STEPS_MAX 10000000u

/* From a step on: what the schedule starts from. */
struct course_phase {
    uint64_t from;         /* the first phase's is 0 */
    const char *optimizer; /* static; "": not known */
    double lr;
    double momentum; /* its own; NAN: it has none, or it is not known */
};

/* From a step on, plateau has reduced the learning rate so often. */
struct course_drop {
    uint64_t from;
    uint64_t drops;
};

struct course {
    char *name;                 /* owned; of the group, or of several, with commas */
    struct schedule schedule;   /* owned */
    size_t phases;              /* at least 1 */
    struct course_phase *phase; /* owned */
    bool frozen;                /* no update is ever made: lr is 0 */
    size_t drops;
    struct course_drop *drop; /* owned; `from` rises */
};

struct course_value {
    double lr;
    double momentum; /* NAN: none */
};

/* One phase, with this learning rate and momentum (NAN: not known). Takes ownership of the
 * schedule on success. RESOURCE_EXHAUSTED. *ret_course: caller frees with course_deinit. */
enum stepd_status course_init(const char *name, struct schedule *schedule, double lr,
                              double momentum, struct course *ret_course,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The course of a group (borrowed until return). Likewise. */
enum stepd_status course_of_group(const struct group *group, struct course *ret_course,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed course is fine. */
void course_deinit(struct course *course);

/* The rounds' losses, the first one's first: what a schedule makes of them that wants them. NaN is
 * a round without a loss. RESOURCE_EXHAUSTED. At most once for each course. */
enum stepd_status course_observe(struct course *course, size_t losses, const double *loss,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

struct course_value course_at(const struct course *course, uint64_t step);

/* Does its schedule ever cycle a momentum that it has? */
bool course_cycles(const struct course *course);

/* Are two courses the same at every step? (Their names may differ.) */
bool course_same(const struct course *a, const struct course *b);

#endif
