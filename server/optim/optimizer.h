/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of optimizers. A row says everything that the rest of the daemon needs to know of one:
 * its name, its scope, its slots, its hyperparameters with defaults and ranges, and its kernel in
 * every instruction set that this build has. The path is always the same:
 *
 *     optimizer_find("adamw")            once, when a job is defined
 *     optimizer_hyper_defaults/_set      once per group
 *     kernels_choose()                   once, at start
 *     optimizer->step[isa](args, n, w, g, slots)   for each slice of each step
 *
 * A kernel sees arrays and scalars only. It allocates nothing, cannot fail, takes n = 0, and works
 * element by element in a fixed order of operations, so that every row of the table gives the same
 * bits and a slice may be cut anywhere. The update rules keep the letters of their papers.
 */
#ifndef OPTIM_OPTIMIZER_H
#define OPTIM_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define OPTIMIZER_SLOTS_MAX 4u

/* X(name, what __builtin_cpu_supports or the build needs for it) */
#define OPTIM_ISA_MAP(X)                                                                           \
    X(base) /* the compiler's baseline for this machine: x86-64, or AArch64 with NEON */           \
    X(v3)   /* x86-64-v3: AVX2 */                                                                  \
    X(v4)   /* x86-64-v4: AVX-512 */

#define X(name) OPTIM_ISA_##name,

enum optim_isa { OPTIM_ISA_MAP(X) OPTIM_ISA_COUNT };

#undef X

/*
 * The hyperparameters of all optimizers, under PyTorch's names. A row lists the ones that it reads;
 * booleans are 0 or 1. All arithmetic on them is done in double.
 */
struct optim_hyper {
    double lr;           /* learning rate before the schedule's factor */
    double weight_decay; /* L2 for sgd and adam; decoupled, times lr, for adamw */
    double momentum;     /* mu of the momentum buffer */
    double dampening;    /* tau: the buffer takes (1 - tau) g */
    double beta1;
    double beta2;
    double eps; /* added to the root, outside */
};

/* One hyperparameter of a row: where it lies in struct optim_hyper, its default, its range. */
struct optim_hyper_spec {
    const char *name;
    size_t offset; /* of a double in struct optim_hyper */
    double fallback;
    double least;
    double most;
    bool least_open; /* the value must be above least */
    bool most_open;  /* the value must be below most */
};

/* What a kernel is told of the step it takes. */
struct optim_step {
    const struct optim_hyper *hyper; /* borrowed until return */
    double lr;                       /* the schedule's learning rate for this step */
    uint64_t t;                      /* 1 for the first update of this slice */
};

/*
 * One update of n elements in place. w: weights; g: gradient; slot[k]: state array k of the row.
 * All arrays hold n floats and do not overlap. Finite or not, the numbers are taken as they are.
 */
typedef void optim_step_fn(const struct optim_step *step, size_t n, float *w, const float *g,
                           float *const *slot);

enum optim_scope {
    OPTIM_SCOPE_ELEMENT, /* each element for itself: slices close one by one */
    OPTIM_SCOPE_TENSOR,
    OPTIM_SCOPE_GROUP,
};

struct optimizer {
    const char *name;
    const char *source; /* paper and equation, or the reference implementation */
    enum optim_scope scope;
    size_t slots;
    const char *slot_name[OPTIMIZER_SLOTS_MAX];
    size_t hypers;
    const struct optim_hyper_spec *hyper;
    optim_step_fn *step[OPTIM_ISA_COUNT]; /* NULL where this build has no such kernel */
};

/* The rows, in the order of the documentation. Static; any thread. */
const struct optimizer *optimizer_at(size_t index);
size_t optimizer_count(void);

/* NOT_FOUND names the nearest known optimizer. */
enum stepd_status optimizer_find(const char *name, const struct optimizer **ret_optimizer,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Every field of the row at its default, every other field 0. */
void optimizer_hyper_defaults(const struct optimizer *optimizer, struct optim_hyper *ret_hyper);

/*
 * Sets one hyperparameter by name. INVALID_ARGUMENT: the row has no such hyperparameter (the text
 * names the nearest), or the value is out of its range or not finite (the text states the range).
 */
enum stepd_status optimizer_hyper_set(const struct optimizer *optimizer, const char *name,
                                      double value, struct optim_hyper *hyper,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Reads one hyperparameter by its spec. */
double optimizer_hyper_get(const struct optim_hyper_spec *spec, const struct optim_hyper *hyper);

#endif
