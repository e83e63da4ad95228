/* SPDX-License-Identifier: Apache-2.0
 *
 * Schedules that are the group's learning rate times a factor of the step: t is the step, 0 first.
 *
 * PyTorch computes most of these from the learning rate before (its "chainable" form), which adds
 * up roundings, and the same values from the step in _get_closed_form_lr; the formulas here are
 * the latter. Where the two differ by more than roundings, the kind says so.
 */
#include <float.h>

#include "server/base/exact.h"
#include "server/schedule/schedule_internal.h"

/* lr factor^n; what grows stops at LR_MOST. (The power may overflow, and 0 times that is NaN.) */
static double scaled(double lr, double factor, double n)
{
    const double scaled_lr = lr * fmin(exact_pow(factor, n), DBL_MAX);
    return factor <= 1.0 || scaled_lr <= LR_MOST ? scaled_lr : fmax(lr, LR_MOST);
}

/*
 * lr factor for t < total_iters, then lr. PyTorch's chainable form differs in two corners: with
 * total_iters = 0 it never takes the factor back, and with factor = 0 it divides by 0.
 */
static struct schedule_value constant_at(const struct schedule *schedule,
                                         struct schedule_value base, uint64_t step,
                                         const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    return schedule_rate((double)step < p->total_iters ? base.lr * p->factor : base.lr, base);
}

static const struct schedule_param_spec constant_params[] = {
    NUMBER(factor, 1.0, 0.0, 1.0),
    WHOLE(total_iters, 0.0, 0.0),
    WARMUP,
};

const struct schedule_kind schedule_constant = {
    .name = "constant",
    .source = "no schedule, or torch.optim.lr_scheduler.ConstantLR: lr factor, and lr from "
              "total_iters on",
    .params = COUNT(constant_params),
    .param = constant_params,
    .at = constant_at,
};

static struct schedule_value step_at(const struct schedule *schedule, struct schedule_value base,
                                     uint64_t step, const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    const uint64_t drops = step / (uint64_t)p->step_size;
    return schedule_rate(scaled(base.lr, p->gamma, (double)drops), base);
}

static const struct schedule_param_spec step_params[] = {
    WHOLE(step_size, NEEDED, 1.0),
    NUMBER(gamma, 0.1, 0.0, 10.0),
    WARMUP,
};

const struct schedule_kind schedule_step = {
    .name = "step",
    .source = "torch.optim.lr_scheduler.StepLR: lr gamma^floor(t / step_size)",
    .params = COUNT(step_params),
    .param = step_params,
    .at = step_at,
};

/* A milestone that stands k times counts k times, as in PyTorch. */
static struct schedule_value multistep_at(const struct schedule *schedule,
                                          struct schedule_value base, uint64_t step,
                                          const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    const size_t passed = schedule_list_rank(&p->milestones, step);
    return schedule_rate(scaled(base.lr, p->gamma, (double)passed), base);
}

static enum stepd_status multistep_check(const struct schedule *schedule,
                                         struct stepd_error *reterr)
{
    return schedule_list_rises(schedule, "milestones", &schedule->params->milestones, false,
                               reterr);
}

static const struct schedule_param_spec multistep_params[] = {
    LIST(milestones, NEEDED, 0.0, STEPS_MOST),
    NUMBER(gamma, 0.1, 0.0, 10.0),
    WARMUP,
};

const struct schedule_kind schedule_multistep = {
    .name = "multistep",
    .source = "torch.optim.lr_scheduler.MultiStepLR: lr gamma^(milestones up to t)",
    .params = COUNT(multistep_params),
    .param = multistep_params,
    .rules = "milestones do not fall; one that stands k times counts k times",
    .check = multistep_check,
    .at = multistep_at,
};

static struct schedule_value exponential_at(const struct schedule *schedule,
                                            struct schedule_value base, uint64_t step,
                                            const struct schedule_state *state)
{
    (void)state;
    return schedule_rate(scaled(base.lr, schedule->params->gamma, (double)step), base);
}

static const struct schedule_param_spec exponential_params[] = {
    NUMBER(gamma, NEEDED, 0.0, 10.0),
    WARMUP,
};

const struct schedule_kind schedule_exponential = {
    .name = "exponential",
    .source = "torch.optim.lr_scheduler.ExponentialLR: lr gamma^t",
    .params = COUNT(exponential_params),
    .param = exponential_params,
    .at = exponential_at,
};

/* PyTorch's chainable form divides by start_factor, so it does not take 0; this one does. */
static struct schedule_value linear_at(const struct schedule *schedule, struct schedule_value base,
                                       uint64_t step, const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    const double done = fmin((double)step, p->total_iters);
    const double climbed = (p->end_factor - p->start_factor) * done / p->total_iters;
    return schedule_rate(base.lr * (p->start_factor + climbed), base);
}

static const struct schedule_param_spec linear_params[] = {
    NUMBER(start_factor, 1.0 / 3, 0.0, 1.0),
    NUMBER(end_factor, 1.0, 0.0, 1.0),
    WHOLE(total_iters, 5.0, 1.0),
    WARMUP,
};

const struct schedule_kind schedule_linear = {
    .name = "linear",
    .source = "torch.optim.lr_scheduler.LinearLR: lr (start_factor + (end_factor - start_factor) "
              "min(t, total_iters) / total_iters)",
    .params = COUNT(linear_params),
    .param = linear_params,
    .at = linear_at,
};

static struct schedule_value polynomial_at(const struct schedule *schedule,
                                           struct schedule_value base, uint64_t step,
                                           const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    const double left = 1.0 - fmin((double)step, p->total_iters) / p->total_iters;
    return schedule_rate(base.lr * exact_pow(left, p->power), base);
}

static const struct schedule_param_spec polynomial_params[] = {
    WHOLE(total_iters, 5.0, 1.0),
    NUMBER(power, 1.0, 0.0, 1000.0),
    WARMUP,
};

const struct schedule_kind schedule_polynomial = {
    .name = "polynomial",
    .source = "torch.optim.lr_scheduler.PolynomialLR: lr (1 - min(t, total_iters) / "
              "total_iters)^power",
    .params = COUNT(polynomial_params),
    .param = polynomial_params,
    .at = polynomial_at,
};

/*
 * After a warm-up of w steps, timescale = w is fairseq's and Hugging Face's inverse square root:
 * their t counts from before the warm-up, and ours from its end.
 */
static struct schedule_value inverse_sqrt_at(const struct schedule *schedule,
                                             struct schedule_value base, uint64_t step,
                                             const struct schedule_state *state)
{
    (void)state;
    const double timescale = schedule->params->timescale;
    return schedule_rate(base.lr * sqrt(timescale / (timescale + (double)step)), base);
}

static const struct schedule_param_spec inverse_sqrt_params[] = {
    WHOLE(timescale, 1.0, 1.0),
    WARMUP,
};

const struct schedule_kind schedule_inverse_sqrt = {
    .name = "inverse_sqrt",
    .source = "Kingma and Ba 2015, section 6.1 (timescale 1: lr / sqrt(t + 1)); Raffel et al. 2020 "
              "(T5): lr sqrt(timescale / (timescale + t))",
    .params = COUNT(inverse_sqrt_params),
    .param = inverse_sqrt_params,
    .at = inverse_sqrt_at,
};

/* The paper counts steps from 1. Its formula has its own warm-up; `warmup` would come before it. */
static struct schedule_value noam_at(const struct schedule *schedule, struct schedule_value base,
                                     uint64_t step, const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    const double t = (double)step + 1.0;
    const double climb = t / (p->warmup_steps * sqrt(p->warmup_steps));
    return schedule_rate(base.lr * fmin(1.0 / sqrt(t), climb) / sqrt(p->d_model), base);
}

static const struct schedule_param_spec noam_params[] = {
    WHOLE(d_model, NEEDED, 1.0),
    WHOLE(warmup_steps, 4000.0, 1.0),
    WARMUP,
};

const struct schedule_kind schedule_noam = {
    .name = "noam",
    .source = "Vaswani et al. 2017, equation 3: lr d_model^-0.5 min((t + 1)^-0.5, (t + 1) "
              "warmup_steps^-1.5)",
    .params = COUNT(noam_params),
    .param = noam_params,
    .at = noam_at,
};
