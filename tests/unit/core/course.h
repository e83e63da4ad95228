/* SPDX-License-Identifier: Apache-2.0
 *
 * A training run that can be cut: a job of two workers and what they ask of its one shard, entry by
 * entry, with gradients and losses that depend on nothing but rank, clock and element. So a run
 * that goes on from any entry must come to the same bits as one that was never interrupted.
 *
 *     sync           an entry is a step of both workers; the job has closed so many versions then
 *     bounded, async entries are the pulls and pushes one by one, each push of weights that the
 *                    other worker has overtaken by one
 */
#ifndef TESTS_UNIT_CORE_COURSE_H
#define TESTS_UNIT_CORE_COURSE_H

#include "tests/lib/settings.h"
#include "tests/lib/shard.h"

struct gate;

enum { COURSE_WORKERS = 2, COURSE_STEPS = 6, COURSE_CHANGES_MAX = 4 };

/* A change of the group. */
struct course_change {
    size_t entry;     /* the shard is told after so many entries */
    uint64_t version; /* it begins with; 0 where slices have no common one: at once */
    struct stepd_group said;
};

struct course {
    enum stepd_mode mode;
    struct stepd_settings settings;  /* of the job */
    const struct stepd_group *group; /* the only one */
    bool clips; /* by norms: the matrix is of several slices, each of whole blocks of 4096 */
    size_t changes;
    struct course_change change[COURSE_CHANGES_MAX]; /* in the order of their entries */
};

/* The job of a course: a matrix that is cut in two where it may be, and a small one. */
struct shard_job course_job(const struct course *course);

/* How many entries the course has. */
size_t course_length(const struct course *course);

/* A shard on the course, with what control would keep for it. */
struct runner {
    const struct course *course;
    struct shard shard;
    struct gate *gate;                                /* owned; NULL: its slices close one by one */
    struct group_changes *change[COURSE_CHANGES_MAX]; /* owned; what those of the course come to */
};

/* At the beginning of the course, or where a state was taken after so many entries: all changes
 * until then are told again, as control does. */
void runner_open(struct runner *runner, const struct course *course, struct job_state *state,
                 size_t entries);
void runner_close(struct runner *runner);

/* Makes the entries from `from` on, up to `to`. */
void runner_go(struct runner *runner, size_t from, size_t to);

/* The state after so many entries; of a sync course it may be ordered earlier. Caller frees with
 * job_state_unref. */
void runner_order(struct runner *runner, size_t entries);

/* Fails the test, which says `what` then, unless two states are the same bit for bit. */
void assert_same_state(const struct job_state *a, const struct job_state *b, const char *what);

/* Cuts the course behind each entry, and goes on from there with a new shard. */
void assert_course_goes_on(const struct course *course, const char *what);

#endif
