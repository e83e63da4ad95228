/* SPDX-License-Identifier: Apache-2.0
 *
 * A group of a definition, read by hand: what its settings, over those of the defaults, come to.
 * The daemon's own reading (model/group*.c) is what this is held against, so nothing of it is
 * used; the tables say what names there are, and what each stands for.
 */
#ifndef TESTS_SIM_READING_H
#define TESTS_SIM_READING_H

#include "tests/sim/coverage.h"
#include "tests/sim/definition.h"
#include "tests/sim/plan.h"

struct reading_phase {
    uint64_t from;
    const struct optimizer *optimizer;
    struct optim_hyper hyper;
};

struct reading {
    bool frozen;
    size_t phases;
    struct reading_phase phase[1 + DEFINITION_PHASES_MAX];
    struct schedule schedule; /* owned */
    bool maximize;
    double clip_value; /* 0: none */
    double clip_norm;  /* 0: none */
    double ema_decay;  /* 0: none */
    bool swa;
    uint64_t swa_start;
    uint64_t swa_every;
};

/* Number `index` of the definition's groups. What settings it has is counted. Caller frees with
 * reading_deinit. */
void reading_init(struct reading *reading, const struct stepd_define_job *job, size_t index,
                  struct coverage *coverage);
void reading_deinit(struct reading *reading);

/* The group that takes a tensor: the first that fits. */
size_t reading_group(const struct stepd_define_job *job, const struct stepd_tensor_def *tensor,
                     struct coverage *coverage);

/* The phase at a step. */
const struct reading_phase *reading_phase_at(const struct reading *reading, uint64_t step);

/* Whether any phase steps more than elements, so that no tensor may be cut; and the widest. */
enum optim_scope reading_scope(const struct reading *reading);

/* The layout is the daemon's, but not all is for it to choose: ends the test where it is wrong.
 * reading: by group. */
void reading_check_layout(const struct reading *reading, const struct plan *plan);

/* Is there an optimizer that steps at another point than the weights? */
bool reading_looks_ahead(const struct reading_phase *phase);

/* Has the optimizer a hyperparameter of this name? */
bool reading_has(const struct optimizer *optimizer, const char *name);

#endif
