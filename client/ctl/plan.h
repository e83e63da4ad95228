/* SPDX-License-Identifier: Apache-2.0
 *
 * What the learning rate of a group will be, step by step, before anything is trained: from flags,
 * or from the server's file.
 */
#ifndef CLIENT_CTL_PLAN_H
#define CLIENT_CTL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/lib/core/arguments.h"
#include "server/model/group.h"

#define PLAN_STEPS_MAX 1000000u
#define PLAN_PARTS_MAX 16u

/* A schedule as flags say it. */
struct plan_flags {
    const char *optimizer;
    struct stepd_arguments hyper; /* of it */
    const char *kind;
    struct stepd_arguments params; /* of the schedule */
    size_t parts;

    struct plan_part {
        char kind[STEPD_ARGUMENT_NAME_MAX + 1];
        struct stepd_arguments params;
    } part[PLAN_PARTS_MAX];
};

/* The groups that are looked at. */
struct plan {
    size_t groups;
    struct group *group; /* owned */
};

/* Takes "linear start_factor=0.1 total_iters=5" as another part. INVALID_ARGUMENT. */
enum stepd_status plan_add_part(struct plan_flags *flags, const char *text,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* One group. Errors as group_init. *ret_plan: caller frees with plan_deinit. */
enum stepd_status plan_from_flags(const struct plan_flags *flags, struct plan *ret_plan,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The groups of a job of the file; job NULL: its only one; group NULL: all. NOT_FOUND names the
 * nearest; else errors as config_load and group_init. *ret_plan: caller frees with plan_deinit. */
enum stepd_status plan_from_file(const char *path, const char *job, const char *group,
                                 struct plan *ret_plan,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

void plan_deinit(struct plan *plan);

/* What becomes of a group over so many steps. */
struct plan_values {
    size_t steps;
    double *lr;       /* owned */
    double *momentum; /* owned; of meaning where cycled */
    bool cycled;
};

/*
 * losses: (count,) of the rounds from the first one on, for a schedule that hears them; a round
 * beyond them brings none. steps: 1 to PLAN_STEPS_MAX. RESOURCE_EXHAUSTED. *ret_values: caller
 * frees with plan_values_deinit.
 */
enum stepd_status plan_follow(const struct group *group, size_t steps, const double *losses,
                              size_t count, struct plan_values *ret_values) STEPD_MUST_CHECK;

void plan_values_deinit(struct plan_values *values);

#endif
