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
    bool maximize;      /* climb: the gradient's sign is turned, after the clips by norms */
    double clip_norm;   /* of each tensor's gradient, at most; 0: any */
    double clip_value;  /* each element into [-clip_value, clip_value]; 0: not clipped */
    double ema_decay;   /* of the view STEPD_EMA; 0: there is none */
    bool swa;           /* the view STEPD_SWA is kept */
    uint64_t swa_start; /* the update whose weights are its first; 0: the swa_every-th */
    uint64_t swa_every; /* and so many updates on, its next; at least 1 */
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
 * Looks the optimizers and the schedule up and merges the settings. A phase's hyperparameters are,
 * the later over the former: its optimizer's defaults, as the nearest `preset` says; the settings
 * of `defaults` (an empty group: none), and for a later phase those of the group, as far as the
 * optimizer knows them; and its own, each of which it must know. lr_mult multiplies what the lr
 * was until then. `schedule` and `optimizer` fall back to those of `defaults`.
 * INVALID_ARGUMENT or NOT_FOUND: the text names the group, the setting and what is known.
 * RESOURCE_EXHAUSTED: no memory. *ret_group: caller frees with group_deinit. Texts that are NULL
 * are empty.
 */
enum stepd_status group_init(const struct stepd_group *defaults, const struct stepd_group *def,
                             struct group *ret_group, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* More phases than a group ever comes to: each change may leave STEPD_PHASES_MAX behind those that
 * are over. */
#define GROUP_PHASES_MAX 1024u

/* The same of what has become of a group in a running job: there are no defaults, its first phase
 * may begin at any step, and it may have so many phases. */
enum stepd_status group_init_changed(const struct stepd_group *def, uint64_t from,
                                     struct group *ret_group,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Checks the defaults by themselves: each setting must be one that their optimizer, or where they
 * name none any optimizer, or the treatment knows. Errors as group_init, behind "defaults: ". */
enum stepd_status group_check_defaults(const struct stepd_group *defaults,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: an optimizer of the group is of no use in this mode; the text names both. */
enum stepd_status group_check_mode(const struct group *group, enum stepd_mode mode,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A copy of its own. RESOURCE_EXHAUSTED: no memory. *ret_copy: caller frees with group_deinit. */
enum stepd_status group_copy(const struct group *group, struct group *ret_copy) STEPD_MUST_CHECK;

/* Do two groups say the same? INVALID_ARGUMENT: the text names the first difference. */
enum stepd_status group_same(const struct group *a, const struct group *b,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Do they take the same tensors, and are both trained or not? The same. */
enum stepd_status group_same_tensors(const struct group *a, const struct group *b,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed group is fine. */
void group_deinit(struct group *group);

/* Does the group take a tensor of this name and number of dimensions? In its glob `*` matches any
 * characters, dots too. Adds to *steps what it took (glob.h). */
bool group_matches(const struct group *group, const char *tensor_name, size_t dims,
                   uint64_t *steps);

/* The phase at a step of the schedule's clock. */
const struct phase *group_phase(const struct group *group, uint64_t step);

/* The widest scope of its phases: how its tensors may be cut. A frozen group's is ELEMENT. */
enum optim_scope group_scope(const struct group *group);

/* Is there, in a phase, a point other than the weights to compute gradients at? */
bool phase_looks_ahead(const struct phase *phase);
/* The same in any phase of a group. */
bool group_looks_ahead(const struct group *group);

#endif
