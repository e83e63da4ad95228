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

/* What a group does from a step of the schedule's clock on: one optimizer. */
struct phase {
    uint64_t from; /* the first phase's is 0 */
    const struct optimizer *optimizer;
    struct optim_hyper hyper;
};

/* What is done to a gradient before, and to weights after, any optimizer. */
struct treatment {
    bool maximize;      /* climb: the gradient's sign is turned, first of all */
    double clip_value;  /* each element into [-clip_value, clip_value]; 0: not clipped */
    double ema_decay;   /* of the view STEPD_EMA; 0: there is none */
    bool swa;           /* the view STEPD_SWA is kept */
    uint64_t swa_start; /* updates before its first weights */
    uint64_t swa_every; /* updates between two of its weights; at least 1 */
};

struct group {
    char *name;  /* owned */
    char *match; /* owned; glob on tensor names */
    size_t ndims;
    uint32_t ndim[STEPD_DIMS_MAX + 1]; /* numbers of dimensions that it takes; ndims 0: any */
    bool frozen;                       /* no update is ever made, and there is no state */
    size_t phases;                     /* at least 1 */
    struct phase *phase;               /* owned; `from` rises */
    struct schedule schedule;          /* owned */
    struct treatment treatment;
};

/*
 * Looks the optimizers and the schedule up and applies, over their defaults, the settings of
 * `defaults` (an empty group: none) that the optimizer knows, then the group's own.
 * INVALID_ARGUMENT or NOT_FOUND: the text names the group, the setting and what is known.
 * RESOURCE_EXHAUSTED: no memory. *ret_group: caller frees with group_deinit.
 */
enum stepd_status group_init(const struct stepd_group *defaults, const struct stepd_group *def,
                             struct group *ret_group, struct stepd_error *reterr) STEPD_MUST_CHECK;

void group_deinit(struct group *group);

/* Does the group take a tensor of this name and number of dimensions? In its glob `*` matches any
 * characters, dots too. */
bool group_matches(const struct group *group, const char *tensor_name, size_t dims);

/* The phase at a step of the schedule's clock. */
const struct phase *group_phase(const struct group *group, uint64_t step);

/* The widest scope of its phases: how its tensors may be cut. A frozen group's is ELEMENT. */
enum optim_scope group_scope(const struct group *group);

#endif
