/* SPDX-License-Identifier: Apache-2.0
 *
 * Learning-rate schedules: pure functions from a step to a learning rate, in closed form, with a
 * linear warm-up in front of any. Computed in double from +, -, *, / and sqrt alone, so that every
 * machine gets the same bits; nothing of libm's transcendental functions reaches a weight.
 *
 * A schedule is a row of a table (kind) and its parameters. Steps count finished updates: the
 * first step is 0, as in PyTorch's closed forms.
 *
 * The warm-up of N steps climbs from lr * f in N equal parts and has climbed one of them in its
 * first step already, so that with f = 0 no step is wasted on a learning rate of 0:
 *
 *     lr(step) = lr * (f + (1 - f) * (step + 1) / N)     for step < N
 *
 * Its last step is at lr, and the kind's own step 0 follows. In PyTorch's terms this is
 * LinearLR(start_factor = f + (1 - f) / N, total_iters = N - 1) up to the milestone N.
 */
#ifndef SCHEDULE_SCHEDULE_H
#define SCHEDULE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

/* The parameters of all kinds, by their names on the wire and in the config file. */
struct schedule_params {
    double step_size;     /* step: steps between two drops */
    double gamma;         /* step: factor of a drop */
    double t_max;         /* cosine: steps from the top to the bottom */
    double eta_min;       /* cosine: learning rate at the bottom */
    double periodic;      /* cosine: 1 climbs back after t_max as PyTorch does, 0 stays down */
    double warmup;        /* any: steps of linear warm-up in front; the kind's step 0 comes after */
    double warmup_factor; /* any: f above; the warm-up climbs from lr * warmup_factor */
};

struct schedule_kind;

struct schedule {
    const struct schedule_kind *kind; /* static */
    struct schedule_params params;
};

/* One parameter of a kind: where it lies, its default (NAN: it must be given), its range. */
struct schedule_param_spec {
    const char *name;
    size_t offset; /* of a double in struct schedule_params */
    double fallback;
    double least;
    double most;
    bool whole; /* only whole numbers */
};

struct schedule_kind {
    const char *name;
    const char *source; /* PyTorch class or paper */
    size_t params;
    const struct schedule_param_spec *param;
    /* The learning rate at a step, warm-up aside; every parameter has been given. */
    double (*at)(const struct schedule_params *params, double lr, uint64_t step);
};

/* The rows. Static; any thread. */
const struct schedule_kind *schedule_kind_at(size_t index);
size_t schedule_kind_count(void);

/* NOT_FOUND names the nearest known kind. "" is "constant". Parameters are at their defaults. */
enum stepd_status schedule_init(const char *kind, struct schedule *ret_schedule,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: no such parameter of this kind (names the nearest), or out of its range. */
enum stepd_status schedule_set(struct schedule *schedule, const char *name, double value,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: a parameter that must be given was not (names it). */
enum stepd_status schedule_check(const struct schedule *schedule,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The learning rate at a step (0 first) for a base learning rate lr, of a schedule that
 * schedule_check has passed. Pure; any thread.
 */
double schedule_lr(const struct schedule *schedule, double lr, uint64_t step);

/* Parameter value by its spec. */
double schedule_param_get(const struct schedule_param_spec *spec,
                          const struct schedule_params *params);

#endif
