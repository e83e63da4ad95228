/* SPDX-License-Identifier: Apache-2.0
 *
 * Cosine annealing: down half a wave from the group's learning rate to eta_min, once or again and
 * again (SGDR, Loshchilov and Hutter 2017, equation 5).
 */
#include "server/base/exact.h"
#include "server/schedule/schedule_internal.h"

/* Equation 5: eta_min + (lr - eta_min) (1 + cos(pi way)) / 2 */
static double annealed(double lr, double eta_min, double way)
{
    return eta_min + (lr - eta_min) * (0.5 * (1.0 + exact_cospi(way)));
}

/*
 * PyTorch's CosineAnnealingLR does not stop at T_max: it climbs back to lr, down again, and so on,
 * which surprises whoever trains a little longer than planned. So ours stays at the bottom, and
 * `periodic` is for PyTorch's numbers. t_max is PyTorch's T_max.
 */
static struct schedule_value cosine_at(const struct schedule *schedule, struct schedule_value base,
                                       uint64_t step, const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    if (p->periodic == 0.0 && (double)step >= p->t_max)
        return schedule_rate(p->eta_min, base);
    return schedule_rate(annealed(base.lr, p->eta_min, (double)step / p->t_max), base);
}

static const struct schedule_param_spec cosine_params[] = {
    WHOLE(t_max, NEEDED, 1.0),
    NUMBER(eta_min, 0.0, 0.0, LR_MOST),
    BOOLEAN(periodic, 0.0),
    WARMUP,
};

const struct schedule_kind schedule_cosine = {
    .name = "cosine",
    .source = "Loshchilov and Hutter 2017 (SGDR), equation 5 without restarts; "
              "torch.optim.lr_scheduler.CosineAnnealingLR with periodic",
    .params = COUNT(cosine_params),
    .param = cosine_params,
    .at = cosine_at,
};

/* Where a step lies in its cycle, 0 to 1. The n-th cycle is t_0 t_mult^n steps long, and there are
 * fewer than 64 of them in 2^64 steps unless all are equally long. */
static double way_in_cycle(const struct schedule_params *p, uint64_t step)
{
    const uint64_t multiple = (uint64_t)p->t_mult;
    uint64_t cycle = (uint64_t)p->t_0;
    if (multiple == 1)
        return (double)(step % cycle) / (double)cycle;
    while (step >= cycle) {
        step -= cycle;
        cycle = cycle > UINT64_MAX / multiple ? UINT64_MAX : cycle * multiple;
    }
    return (double)step / (double)cycle;
}

/* PyTorch also takes fractions of an epoch; a step here is an update, and whole. */
static struct schedule_value cosine_restarts_at(const struct schedule *schedule,
                                                struct schedule_value base, uint64_t step,
                                                const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    return schedule_rate(annealed(base.lr, p->eta_min, way_in_cycle(p, step)), base);
}

static const struct schedule_param_spec cosine_restarts_params[] = {
    WHOLE(t_0, NEEDED, 1.0),
    WHOLE(t_mult, 1.0, 1.0),
    NUMBER(eta_min, 0.0, 0.0, LR_MOST),
    WARMUP,
};

const struct schedule_kind schedule_cosine_restarts = {
    .name = "cosine_restarts",
    .source = "Loshchilov and Hutter 2017 (SGDR), equation 5; "
              "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
    .params = COUNT(cosine_restarts_params),
    .param = cosine_restarts_params,
    .at = cosine_restarts_at,
};
