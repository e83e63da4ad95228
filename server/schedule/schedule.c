/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of schedules, each in its closed form: lr is always computed from the step alone, so
 * a restored or late-joining slice needs no history, and nothing drifts. The parameters of the
 * warm-up stand in every row, because every kind can have it in front.
 *
 * PyTorch computes most of its schedulers from the previous learning rate; the values agree to
 * within the roundings that add up there (tests/golden).
 */
#include "server/schedule/schedule.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/exact.h"
#include "server/base/nearest.h"

/* The name and place of a parameter; unnamed members of a spec are 0. */
#define PARAM(field) .name = #field, .offset = offsetof(struct schedule_params, field)

/* Whole numbers up to here are exact in a double: a bound for counts of steps. */
#define STEPS_MOST 9007199254740992.0
#define LR_MOST    1e9

#define WARMUP        PARAM(warmup), .fallback = 0.0, .most = STEPS_MOST, .whole = true
#define WARMUP_FACTOR PARAM(warmup_factor), .fallback = 0.0, .most = 1.0

static double constant_at(const struct schedule_params *params, double lr, uint64_t step)
{
    (void)params;
    (void)step;
    return lr;
}

static double step_at(const struct schedule_params *params, double lr, uint64_t step)
{
    return lr * exact_powi(params->gamma, step / (uint64_t)params->step_size);
}

static double cosine_at(const struct schedule_params *params, double lr, uint64_t step)
{
    if (params->periodic == 0.0 && (double)step >= params->t_max)
        return params->eta_min;
    const double cosine = exact_cospi((double)step / params->t_max);
    return params->eta_min + (lr - params->eta_min) * (0.5 * (1.0 + cosine));
}

static const struct schedule_param_spec constant_params[] = {
    {WARMUP},
    {WARMUP_FACTOR},
};

static const struct schedule_param_spec step_params[] = {
    {PARAM(step_size), .fallback = NAN, .least = 1.0, .most = STEPS_MOST, .whole = true},
    {PARAM(gamma), .fallback = 0.1, .most = 1.0},
    {WARMUP},
    {WARMUP_FACTOR},
};

static const struct schedule_param_spec cosine_params[] = {
    {PARAM(t_max), .fallback = NAN, .least = 1.0, .most = STEPS_MOST, .whole = true},
    {PARAM(eta_min), .fallback = 0.0, .most = LR_MOST},
    {PARAM(periodic), .fallback = 0.0, .most = 1.0, .whole = true},
    {WARMUP},
    {WARMUP_FACTOR},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct schedule_kind kinds[] = {
    {
        .name = "constant",
        .source = "no schedule",
        .params = COUNT(constant_params),
        .param = constant_params,
        .at = constant_at,
    },
    {
        .name = "step",
        .source = "torch.optim.lr_scheduler.StepLR: lr gamma^floor(step / step_size)",
        .params = COUNT(step_params),
        .param = step_params,
        .at = step_at,
    },
    {
        .name = "cosine",
        .source = "Loshchilov and Hutter 2017 (SGDR), equation 5 without restarts; "
                  "torch.optim.lr_scheduler.CosineAnnealingLR",
        .params = COUNT(cosine_params),
        .param = cosine_params,
        .at = cosine_at,
    },
};

const struct schedule_kind *schedule_kind_at(size_t index)
{
    assert(index < schedule_kind_count());
    return &kinds[index];
}

size_t schedule_kind_count(void)
{
    return COUNT(kinds);
}

static void put(const struct schedule_param_spec *spec, double value,
                struct schedule_params *params)
{
    memcpy((char *)params + spec->offset, &value, sizeof value);
}

double schedule_param_get(const struct schedule_param_spec *spec,
                          const struct schedule_params *params)
{
    double value;
    memcpy(&value, (const char *)params + spec->offset, sizeof value);
    return value;
}

static struct schedule with_defaults(const struct schedule_kind *kind)
{
    struct schedule schedule = {.kind = kind};
    for (size_t i = 0; i < kind->params; i++)
        put(&kind->param[i], kind->param[i].fallback, &schedule.params);
    return schedule;
}

enum stepd_status schedule_init(const char *kind, struct schedule *ret_schedule,
                                struct stepd_error *reterr)
{
    const char *const name = kind[0] == '\0' ? "constant" : kind;
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            *ret_schedule = with_defaults(&kinds[i]);
            return STEPD_OK;
        }
        nearest_offer(&nearest, kinds[i].name);
    }
    return stepd_fail(reterr, STEPD_NOT_FOUND, "unknown schedule '%s': %s", name,
                      nearest_hint(&nearest));
}

static enum stepd_status set(struct schedule *schedule, const struct schedule_param_spec *spec,
                             double value, struct stepd_error *reterr)
{
    /* NaN is in no range: each comparison with it is false. */
    const bool in_range = value >= spec->least && value <= spec->most;
    if (!in_range || (spec->whole && value != floor(value)))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "parameter '%s' of schedule %s must be %s in [%g, %g], and %g is not",
                          spec->name, schedule->kind->name,
                          spec->whole ? "a whole number" : "a number", spec->least, spec->most,
                          value);
    put(spec, value, &schedule->params);
    return STEPD_OK;
}

enum stepd_status schedule_set(struct schedule *schedule, const char *name, double value,
                               struct stepd_error *reterr)
{
    const struct schedule_kind *const kind = schedule->kind;
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < kind->params; i++) {
        if (strcmp(name, kind->param[i].name) == 0)
            return set(schedule, &kind->param[i], value, reterr);
        nearest_offer(&nearest, kind->param[i].name);
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "schedule %s has no parameter '%s': %s",
                      kind->name, name, nearest_hint(&nearest));
}

enum stepd_status schedule_check(const struct schedule *schedule, struct stepd_error *reterr)
{
    const struct schedule_kind *const kind = schedule->kind;
    for (size_t i = 0; i < kind->params; i++) {
        if (isnan(schedule_param_get(&kind->param[i], &schedule->params)))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "schedule %s needs its parameter '%s'", kind->name,
                              kind->param[i].name);
    }
    return STEPD_OK;
}

double schedule_lr(const struct schedule *schedule, double lr, uint64_t step)
{
    const struct schedule_params *const params = &schedule->params;
    const uint64_t warmup = (uint64_t)params->warmup;
    if (step >= warmup)
        return schedule->kind->at(params, lr, step - warmup);
    const double climbed = (double)(step + 1) / params->warmup;
    return lr * (params->warmup_factor + (1.0 - params->warmup_factor) * climbed);
}
