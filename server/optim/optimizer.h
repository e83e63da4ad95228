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
 *
 * An optimizer of TENSOR or GROUP scope sees all of a tensor or group at once: it has one function,
 * whole(), in place of kernels, and may decline to make an update.
 */
#ifndef OPTIM_OPTIMIZER_H
#define OPTIM_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

struct nearest; /* server/base/nearest.h */

#define OPTIMIZER_SLOTS_MAX   8u
#define OPTIMIZER_SCALARS_MAX 16u
#define OPTIMIZER_FIXED_MAX   6u /* values that a preset pins */

/* Elements of a group of newton; its Hessian has the square of that. */
#define NEWTON_ELEMENTS_MAX 1024u

/* X(name, what __builtin_cpu_supports or the build needs for it) */
#define OPTIM_ISA_MAP(X)                                                                           \
    X(base) /* the compiler's baseline for this machine: x86-64, or AArch64 with NEON */           \
    X(v3)   /* x86-64-v3: AVX2 */                                                                  \
    X(v4)   /* x86-64-v4: AVX-512 */

#define X(name) OPTIM_ISA_##name,

enum optim_isa { OPTIM_ISA_MAP(X) OPTIM_ISA_COUNT };

#undef X

/* The values of hyperparameters that are words; struct optim_hyper holds them as numbers. */

enum optim_form {
    OPTIM_FORM_TORCH,   /* lr outside the buffer: b = mu b + g; w -= lr b */
    OPTIM_FORM_CLASSIC, /* lr inside the buffer: v = mu v - lr g; w += v */
    OPTIM_FORM_INTERIM, /* classic, and gradients are computed at w + mu v (lookahead) */
};

enum optim_eps_mode {
    OPTIM_EPS_OUTSIDE, /* sqrt(v) + eps, of the corrected v where there is a correction */
    OPTIM_EPS_INSIDE,  /* sqrt(v + eps) */
    OPTIM_EPS_HAT,     /* sqrt(v) + eps of the uncorrected v, the corrections in the step's size */
};

enum optim_decay {
    OPTIM_DECAY_L2,       /* added to the gradient */
    OPTIM_DECAY_LR,       /* w shrinks by lr * weight_decay */
    OPTIM_DECAY_SCHEDULE, /* w shrinks by weight_decay times lr / (lr before the schedule) */
};

enum optim_max {
    OPTIM_MAX_RAW,       /* AMSGrad's maximum over v */
    OPTIM_MAX_CORRECTED, /* over v / (1 - beta2^t) */
};

enum optim_search {
    OPTIM_SEARCH_NONE,
    OPTIM_SEARCH_BACKTRACKING,
};

enum optim_adjust {
    OPTIM_ADJUST_ORIGINAL,  /* sqrt(max(1, rows / columns)) */
    OPTIM_ADJUST_MATCH_RMS, /* 0.2 sqrt(max(rows, columns)) */
};

/*
 * The hyperparameters of all optimizers, under PyTorch's names where it has them. A row lists the
 * ones that it reads; booleans are 0 or 1, words one of the enums above. All arithmetic on them is
 * done in double.
 */
struct optim_hyper {
    double lr;           /* learning rate before the schedule's factor */
    double weight_decay; /* see decay */
    double decay;        /* enum optim_decay */
    double momentum;     /* mu of the momentum buffer */
    double dampening;    /* tau: the buffer takes (1 - tau) g */
    double nesterov;     /* muon: look ahead */
    double form;         /* enum optim_form */
    double beta1;
    double beta2;
    double eps;
    double eps_mode;                  /* enum optim_eps_mode */
    double bias_correction;           /* adam: divide m and v by 1 - beta^t */
    double amsgrad;                   /* adam, adamw: the maximum of v; adabound: amsbound */
    double amsgrad_max;               /* enum optim_max */
    double rho;                       /* adadelta, rmsprop_nesterov: decay of the mean square */
    double alpha;                     /* rmsprop: decay of the mean square; asgd: power of eta */
    double centered;                  /* rmsprop: take the mean's square off the mean square */
    double lr_decay;                  /* adagrad */
    double initial_accumulator_value; /* adagrad, ftrl: first value of the sum */
    double lambd;                     /* asgd: decay */
    double t0;                        /* asgd: update at which averaging starts */
    double etaminus;                  /* rprop */
    double etaplus;
    double step_min;
    double step_max;
    double final_lr;          /* adabound: the SGD learning rate it ends in */
    double gamma;             /* adabound: how fast */
    double momentum_decay;    /* nadam: psi */
    double trust_coefficient; /* lars: eta */
    double l1;                /* ftrl */
    double l2;
    double beta;        /* ftrl */
    double beta2_decay; /* adafactor: power of t */
    double eps1;        /* adafactor: below the root; 0: float's epsilon, as PyTorch's None */
    double eps2;        /* adafactor: least relative step */
    double d;           /* adafactor: clipping threshold of the update's root mean square */
    double ns_a;        /* muon: coefficients of the Newton-Schulz iteration */
    double ns_b;
    double ns_c;
    double ns_steps;
    double adjust_lr_fn;     /* muon: enum optim_adjust */
    double history_size;     /* lbfgs: pairs that are kept */
    double tolerance_grad;   /* lbfgs: no step when the largest |g| is at most this */
    double tolerance_change; /* lbfgs: no step when the directional derivative is above -this */
    double line_search;      /* lbfgs: enum optim_search */
    double c1;               /* lbfgs: sufficient decrease of the backtracking */
    double damping;          /* newton: added to the Hessian's diagonal */
};

/* One hyperparameter of a row: where it lies in struct optim_hyper, its default, its range. */
struct optim_hyper_spec {
    const char *name;
    size_t offset; /* of a double in struct optim_hyper */
    double fallback;
    double least;
    double most;
    bool least_open;         /* the value must be above least */
    bool most_open;          /* the value must be below most */
    bool whole;              /* whole numbers only; with least 0 and most 1: a boolean */
    const char *const *word; /* by value; NULL: it is a number. Its range is least to most too */
};

/* What a step is told. */
struct optim_step {
    const struct optim_hyper *hyper; /* borrowed until return */
    double lr;                       /* the schedule's learning rate for this step */
    uint64_t t;                      /* 1 for the first update of this slice by this optimizer */
    const double *scalar;            /* what prepare() left; NULL where the row has none */
};

/*
 * One update of n elements in place. w: weights; g: gradient; slot[k]: state array k of the row,
 * 0 everywhere when t is 1. All arrays hold n floats and do not overlap. Finite or not, the
 * numbers are taken as they are.
 */
typedef void optim_step_fn(const struct optim_step *step, size_t n, float *w, const float *g,
                           float *const *slot);

/* Where gradients of the next step are to be computed: view[i] from the n weights and slots that
 * this step has left. Kernels as above. */
typedef void optim_view_fn(const struct optim_step *step, size_t n, const float *w,
                           float *const *slot, float *view);

/* A tensor's shape; a scalar has no dimensions. */
struct optim_shape {
    size_t dims;
    const uint64_t *dim;
    uint64_t elements;
};

/*
 * What a step of TENSOR scope (one tensor) or of GROUP scope (all of a group, one after another)
 * works on. Arrays do not overlap.
 */
struct optim_whole {
    size_t n; /* elements */
    size_t tensors;
    const struct optim_shape *shape; /* of each */
    float *w;
    const float *g;
    const float *extra; /* the row's extra() floats of the round's mean, behind the gradient */
    double loss;        /* mean over the round's examples; NAN where no worker sent one */
    float *const *slot;
    double *scalar; /* the row's scalars, kept from step to step, 0 when t is 1 */
    float *scratch; /* the row's scratch() floats, aligned for any type; of no meaning */
};

/* One update in place. False: no update could be made (w and slots are as they were). */
typedef bool optim_whole_fn(const struct optim_step *step, const struct optim_whole *whole);

enum optim_scope {
    OPTIM_SCOPE_ELEMENT, /* each element for itself: slices close one by one */
    OPTIM_SCOPE_TENSOR,  /* a tensor is never cut */
    OPTIM_SCOPE_GROUP,   /* all tensors of a group stand in one slice */
};

/* A slot: state kept from step to step, 0 at first. */
struct optim_slot_spec {
    const char *name; /* NULL: the row has no such slot */
    /* Do these hyperparameters need it? NULL: always. Where not, kernels get NULL for it. */
    bool (*used)(const struct optim_hyper *hyper);
    /* Floats that it takes; NULL: as many as the elements. Only where the scope is not ELEMENT.
     * shape has `tensors` shapes: 1, or in GROUP scope all of the group. */
    uint64_t (*floats)(const struct optim_hyper *hyper, size_t tensors,
                       const struct optim_shape *shape);
};

struct optimizer {
    const char *name;
    const char *source; /* paper and equation, or the reference implementation */
    enum optim_scope scope;
    bool sync_only; /* of no use where gradients come one by one */
    struct optim_slot_spec slot[OPTIMIZER_SLOTS_MAX];
    size_t
        scalars; /* doubles kept from step to step: one set a slice, or in TENSOR scope a tensor */
    size_t hypers;
    const struct optim_hyper_spec *hyper;

    /* What `preset: lecture` pins: defaults that differ from PyTorch's. Ends at a NULL name. */
    struct optim_fixed {
        const char *name;
        double value;
    } lecture[OPTIMIZER_FIXED_MAX];

    /* What the two checks ask for, in words; NULL: they are NULL too. */
    const char *rules;
    /* Rules between hyperparameters; NULL: none. INVALID_ARGUMENT says which and why. */
    enum stepd_status (*check)(const struct optim_hyper *hyper, struct stepd_error *reterr);
    /* Rules for a tensor's shape; NULL: none. INVALID_ARGUMENT. Not for ELEMENT scope. */
    enum stepd_status (*check_shape)(const struct optim_hyper *hyper, size_t tensors,
                                     const struct optim_shape *shape, struct stepd_error *reterr);
    /* Does a step need the round's loss? NULL: never. */
    bool (*wants_loss)(const struct optim_hyper *hyper);
    /* Floats that a push carries for a slice beside its n gradients; NULL: none. */
    uint64_t (*extra)(uint64_t n);

    /* ELEMENT scope. Once for each step of a slice, before its kernels; NULL: nothing to do. */
    void (*prepare)(const struct optim_step *step, double *scalar);
    optim_step_fn *step[OPTIM_ISA_COUNT]; /* NULL where this build has no such kernel */
    /* Is there a point, other than the weights, to compute gradients at? NULL: no. */
    bool (*looks_ahead)(const struct optim_hyper *hyper);
    optim_view_fn *lookahead[OPTIM_ISA_COUNT]; /* the point itself */

    /* TENSOR and GROUP scope. */
    optim_whole_fn *whole;
    /* Floats of scratch that a step needs; NULL: none. */
    uint64_t (*scratch)(const struct optim_hyper *hyper, size_t tensors,
                        const struct optim_shape *shape);
};

/* The rows, in the order of the documentation. Static; any thread. */
const struct optimizer *optimizer_at(size_t index);
size_t optimizer_count(void);

/* NOT_FOUND names the nearest known optimizer. */
enum stepd_status optimizer_find(const char *name, const struct optimizer **ret_optimizer,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Every field of the row at its default, every other field 0. */
void optimizer_hyper_defaults(const struct optimizer *optimizer, struct optim_hyper *ret_hyper);

/* The number of slots of a row. */
size_t optimizer_slots(const struct optimizer *optimizer);

/* Floats of a slot for these tensors (one, or in GROUP scope all of the group); 0: not used. */
uint64_t optimizer_slot_floats(const struct optimizer *optimizer, size_t slot,
                               const struct optim_hyper *hyper, size_t tensors,
                               const struct optim_shape *shape);

/* Does the row have a hyperparameter, or a list of them, of this name? */
bool optimizer_knows(const struct optimizer *optimizer, const char *name);

/* How many numbers the row takes under this name: more than 1 for a list, 0 where it knows none. */
size_t optimizer_values(const struct optimizer *optimizer, const char *name);

/* Is `name` one of the numbers that the list `list` gives (beta1 of betas)? */
bool optimizer_list_holds(const char *list, const char *name);

/* Offers the names of the row's hyperparameters and lists to a search. */
void optimizer_offer(const struct optimizer *optimizer, struct nearest *nearest);

/*
 * Sets one hyperparameter by name. INVALID_ARGUMENT: the row has no such hyperparameter (the text
 * names the nearest), or the value is out of its range or not finite (the text states the range).
 */
enum stepd_status optimizer_hyper_set(const struct optimizer *optimizer, const char *name,
                                      double value, struct optim_hyper *hyper,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same by one of its words (the text names the nearest). */
enum stepd_status optimizer_hyper_set_word(const struct optimizer *optimizer, const char *name,
                                           const char *word, struct optim_hyper *hyper,
                                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same for PyTorch's lists: betas, etas, step_sizes, ns_coefficients, and adafactor's eps. A
 * list of one number is that number. */
enum stepd_status optimizer_hyper_set_list(const struct optimizer *optimizer, const char *name,
                                           size_t values, const double *value,
                                           struct optim_hyper *hyper,
                                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Pins the form that a preset stands for: "torch" (the defaults) or "lecture"; to be followed by
 * what is set beside it. INVALID_ARGUMENT names the known ones. */
enum stepd_status optimizer_preset(const struct optimizer *optimizer, const char *preset,
                                   struct optim_hyper *hyper,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The rules between hyperparameters, when all are set. INVALID_ARGUMENT. */
enum stepd_status optimizer_hyper_check(const struct optimizer *optimizer,
                                        const struct optim_hyper *hyper,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Reads one hyperparameter by its spec. */
double optimizer_hyper_get(const struct optim_hyper_spec *spec, const struct optim_hyper *hyper);

/* The hyperparameter that a schedule cycles as the momentum: beta1 where the row has it, as in
 * PyTorch, or else momentum; NULL: it has neither. */
double *optimizer_momentum(const struct optimizer *optimizer, struct optim_hyper *hyper);

#endif
