/* SPDX-License-Identifier: Apache-2.0
 *
 * plateau: the learning rate drops when the loss stops getting better, by the rules of PyTorch's
 * ReduceLROnPlateau. It is the one schedule that is no function of the step alone: the losses of
 * the rounds, which every slice sees in the same order, go through schedule_observe, and the state
 * that they leave is the slice's and part of what a restart must restore.
 *
 * PyTorch is fed once an epoch; a server knows rounds. `window` rounds make one metric, their mean,
 * so that window = rounds of an epoch is PyTorch's habit, and 1 looks at every round. The rounds of
 * a warm-up count like all others.
 */
#include "proto/error.h"
#include "server/schedule/schedule_internal.h"

enum plateau_mode {
    PLATEAU_MIN, /* lower is better */
    PLATEAU_MAX,
};

enum threshold_mode {
    THRESHOLD_REL, /* better by a fraction of the best */
    THRESHOLD_ABS, /* better by so much */
};

static const char *const plateau_modes[] = {"min", "max"};
static const char *const threshold_modes[] = {"rel", "abs"};

/*
 * A drop that would change the learning rate by eps or less is not made; nor are those after it,
 * which are smaller still. Multiplied out drop by drop, as PyTorch does it, for the same bits.
 */
static struct schedule_value plateau_at(const struct schedule *schedule, struct schedule_value base,
                                        uint64_t step, const struct schedule_state *state)
{
    (void)step;
    const struct schedule_params *const p = schedule->params;
    const uint64_t drops = state == NULL ? 0 : state->drops;
    double lr = base.lr;
    for (uint64_t i = 0; i < drops; i++) {
        const double lower = fmax(lr * p->factor, p->min_lr);
        if (!(lr - lower > p->eps))
            break;
        lr = lower;
    }
    return schedule_rate(lr, base);
}

/* A loss that is no number is not better than any. */
static bool better(const struct schedule_params *p, double metric, double best)
{
    const bool relative = p->threshold_mode == THRESHOLD_REL;
    if (p->mode == PLATEAU_MIN)
        return metric < (relative ? best * (1.0 - p->threshold) : best - p->threshold);
    return metric > (relative ? best * (1.0 + p->threshold) : best + p->threshold);
}

/* ReduceLROnPlateau.step: metrics that come while it cools down count as good. */
static void take_metric(const struct schedule_params *p, struct schedule_state *state,
                        double metric)
{
    const double worst = p->mode == PLATEAU_MIN ? INFINITY : -INFINITY;
    if (better(p, metric, state->seen ? state->best : worst)) {
        state->seen = true;
        state->best = metric;
        state->bad = 0;
    } else {
        state->bad++;
    }
    if (state->cooling > 0) {
        state->cooling--;
        state->bad = 0;
    }
    if ((double)state->bad > p->patience) {
        state->drops++;
        state->cooling = (uint64_t)p->cooldown;
        state->bad = 0;
    }
}

void schedule_observe(const struct schedule *schedule, struct schedule_state *state, double loss)
{
    if (!schedule->kind->wants_loss)
        return;
    const struct schedule_params *const p = schedule->params;
    state->sum += loss;
    state->rounds++;
    if ((double)state->rounds < p->window)
        return;
    const double mean = state->sum / (double)state->rounds;
    state->sum = 0.0;
    state->rounds = 0;
    take_metric(p, state, mean);
}

static enum stepd_status plateau_check(const struct schedule *schedule, struct stepd_error *reterr)
{
    const struct schedule_params *const p = schedule->params;
    if (p->mode == PLATEAU_MIN && p->threshold_mode == THRESHOLD_REL && p->threshold >= 1.0)
        return stepd_fail(
            reterr, STEPD_INVALID_ARGUMENT,
            "schedule plateau can see no improvement by a threshold of %g of the best "
            "loss; it must be below 1, or threshold_mode abs",
            p->threshold);
    return STEPD_OK;
}

/* factor stays below 1 by so much that the drops of any run are few: at most some million until
 * the learning rate is 0. */
static const struct schedule_param_spec plateau_params[] = {
    WORD(mode, PLATEAU_MIN, PLATEAU_MAX, plateau_modes),
    NUMBER(factor, 0.1, 0.0, 0.9999),
    WHOLE(patience, 10.0, 0.0),
    NUMBER(threshold, 1e-4, 0.0, 1e9),
    WORD(threshold_mode, THRESHOLD_REL, THRESHOLD_ABS, threshold_modes),
    WHOLE(cooldown, 0.0, 0.0),
    NUMBER(min_lr, 0.0, 0.0, LR_MOST),
    NUMBER(eps, 1e-8, 0.0, LR_MOST),
    WHOLE(window, 1.0, 1.0),
    WARMUP,
};

const struct schedule_kind schedule_plateau = {
    .name = "plateau",
    .source = "torch.optim.lr_scheduler.ReduceLROnPlateau, on the mean loss of each window rounds",
    .params = COUNT(plateau_params),
    .param = plateau_params,
    .wants_loss = true,
    .rules = "with mode min and threshold_mode rel, threshold is below 1",
    .check = plateau_check,
    .at = plateau_at,
};
