/* SPDX-License-Identifier: Apache-2.0
 *
 * A param group: the tensors that share optimizer, hyperparameters and schedule.
 */
#ifndef MODEL_GROUP_H
#define MODEL_GROUP_H

#include <stdbool.h>

#include "proto/message.h"
#include "server/optim/optimizer.h"
#include "server/schedule/schedule.h"

struct group {
    char *name;  /* owned */
    char *match; /* owned; glob on tensor names */
    const struct optimizer *optimizer;
    struct optim_hyper hyper;
    struct schedule schedule;
};

/*
 * Looks the optimizer and the schedule up and applies the settings over their defaults.
 * INVALID_ARGUMENT or NOT_FOUND: the text names the group, the setting and what is known.
 * RESOURCE_EXHAUSTED: no memory. *ret_group: caller frees with group_deinit.
 */
enum stepd_status group_init(const struct stepd_group *def, struct group *ret_group,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

void group_deinit(struct group *group);

/* Does the glob match this tensor's name? `*` matches any characters, dots too. */
bool group_matches(const struct group *group, const char *tensor_name);

#endif
