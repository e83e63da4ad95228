/* SPDX-License-Identifier: Apache-2.0
 *
 * Smith's cycles: the learning rate goes up and down while momentum (beta1 of the Adam family) goes
 * the other way. Both kinds state learning rates of their own and take no notice of the group's,
 * as PyTorch's classes overwrite the lr of every param group; groups with different learning
 * rates need a schedule each.
 *
 * PyTorch gives a momentum to who has none: its SGD and RMSprop with momentum 0 roll as soon as
 * such a schedule comes, unless cycle_momentum is False. Here sgd, and rmsprop with momentum 0,
 * keep no buffer and stay as they are; PyTorch's run is momentum's, or that of rmsprop with any
 * momentum above 0, as the schedule overwrites it anyway.
 */
#include "server/base/exact.h"
#include "server/schedule/schedule_internal.h"

enum anneal {
    ANNEAL_COS,
    ANNEAL_LINEAR,
};

static const char *const anneal_strategies[] = {"cos", "linear"};

/* What a phase starts and ends at. */
struct span {
    double from;
    double to;
};

static double anneal(const struct schedule_params *p, struct span span, double way)
{
    if (p->anneal_strategy == ANNEAL_LINEAR)
        return span.from + (span.to - span.from) * way;
    return span.to + (span.from - span.to) * (0.5 * (1.0 + exact_cospi(way)));
}

struct phase {
    double end; /* step at which it ends; a fraction in general */
    struct span lr;
    struct span momentum;
};

/* Returns the number of phases. */
static size_t phases(const struct schedule_params *p, struct phase *ret_phase)
{
    const double initial = p->max_lr / p->div_factor;
    const double least = initial / p->final_div_factor;
    const double top = p->pct_start * p->total_steps - 1.0;
    const double last = p->total_steps - 1.0;
    const double high = p->max_momentum;
    const double low = p->base_momentum;
    ret_phase[0] = (struct phase){.end = top, .lr = {initial, p->max_lr}, .momentum = {high, low}};
    if (p->three_phase == 0.0) {
        ret_phase[1] =
            (struct phase){.end = last, .lr = {p->max_lr, least}, .momentum = {low, high}};
        return 2;
    }
    ret_phase[1] = (struct phase){.end = 2.0 * p->pct_start * p->total_steps - 2.0,
                                  .lr = {p->max_lr, initial},
                                  .momentum = {low, high}};
    ret_phase[2] = (struct phase){.end = last, .lr = {initial, least}, .momentum = {high, high}};
    return 3;
}

/*
 * Smith and Topin 2018, in PyTorch's form: from max_lr / div_factor up to max_lr, and down to
 * max_lr / div_factor / final_div_factor at step total_steps - 1. Phases end between steps in
 * general, at pct_start total_steps - 1; a phase that ends before step 0 is never seen.
 *
 * PyTorch's corners: one step past the end its curve goes on (cos climbs, linear undershoots),
 * and from the next one on it raises; ours holds the minimum. With pct_start total_steps = 1 it
 * divides by 0; ours starts at max_lr.
 */
static struct schedule_value one_cycle_at(const struct schedule *schedule,
                                          struct schedule_value base, uint64_t step,
                                          const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    struct phase phase[3];
    const size_t count = phases(p, phase);
    const double t = fmin((double)step, p->total_steps - 1.0);
    size_t k = 0;
    while (k + 1 < count && t > phase[k].end)
        k++;
    const double begin = k == 0 ? 0.0 : phase[k - 1].end;
    const double length = phase[k].end - begin;
    const double way = length == 0.0 ? 1.0 : (t - begin) / length;
    if (p->cycle_momentum == 0.0)
        return schedule_rate(anneal(p, phase[k].lr, way), base);
    return (struct schedule_value){.lr = anneal(p, phase[k].lr, way),
                                   .momentum = anneal(p, phase[k].momentum, way),
                                   .cycled = true};
}

static const struct schedule_param_spec one_cycle_params[] = {
    NUMBER(max_lr, NEEDED, 0.0, LR_MOST),
    WHOLE(total_steps, NEEDED, 1.0),
    NUMBER(pct_start, 0.3, 0.0, 1.0),
    WORD(anneal_strategy, ANNEAL_COS, ANNEAL_LINEAR, anneal_strategies),
    BOOLEAN(cycle_momentum, 1.0),
    NUMBER(base_momentum, 0.85, 0.0, MOMENTUM_MOST),
    NUMBER(max_momentum, 0.95, 0.0, MOMENTUM_MOST),
    NUMBER(div_factor, 25.0, 1.0, 1e12),
    NUMBER(final_div_factor, 1e4, 1.0, 1e12),
    BOOLEAN(three_phase, 0.0),
    WARMUP,
};

const struct schedule_kind schedule_one_cycle = {
    .name = "one_cycle",
    .source = "Smith and Topin 2018 (super-convergence); torch.optim.lr_scheduler.OneCycleLR: sets "
              "lr to its own",
    .params = COUNT(one_cycle_params),
    .param = one_cycle_params,
    .sets_lr = true,
    .at = one_cycle_at,
};

enum cyclic_mode {
    CYCLIC_TRIANGULAR,
    CYCLIC_TRIANGULAR2, /* each cycle half as high as the one before */
    CYCLIC_EXP_RANGE,   /* the height shrinks by gamma at every step */
};

static const char *const cyclic_modes[] = {"triangular", "triangular2", "exp_range"};

/* step_size_down 0 is PyTorch's None: as many as up. */
static uint64_t steps_down(const struct schedule_params *p)
{
    return (uint64_t)(p->step_size_down == 0.0 ? p->step_size_up : p->step_size_down);
}

/*
 * Smith 2017: a triangle of step_size_up steps up and step_size_down down. PyTorch finds the place
 * in the cycle in floating point; whole numbers find the same without roundings that grow with t.
 * Its scale_fn, a function of the user's program, is what a server cannot call.
 */
static struct schedule_value cyclic_at(const struct schedule *schedule, struct schedule_value base,
                                       uint64_t step, const struct schedule_state *state)
{
    (void)state;
    const struct schedule_params *const p = schedule->params;
    const uint64_t up = (uint64_t)p->step_size_up;
    const uint64_t down = steps_down(p);
    const uint64_t cycles = step / (up + down);
    const uint64_t place = step % (up + down);
    double height =
        place <= up ? (double)place / (double)up : (double)(up + down - place) / (double)down;
    if (p->mode == CYCLIC_TRIANGULAR2)
        height *= exact_pow(0.5, (double)cycles);
    if (p->mode == CYCLIC_EXP_RANGE)
        height *= exact_pow(p->gamma, (double)step);
    const double lr = p->base_lr + (p->max_lr - p->base_lr) * height;
    if (p->cycle_momentum == 0.0)
        return schedule_rate(lr, base);
    return (struct schedule_value){.lr = lr,
                                   .momentum = p->max_momentum -
                                               (p->max_momentum - p->base_momentum) * height,
                                   .cycled = true};
}

static const struct schedule_param_spec cyclic_params[] = {
    NUMBER(base_lr, NEEDED, 0.0, LR_MOST),
    NUMBER(max_lr, NEEDED, 0.0, LR_MOST),
    WHOLE(step_size_up, 2000.0, 1.0),
    WHOLE(step_size_down, 0.0, 0.0),
    WORD(mode, CYCLIC_TRIANGULAR, CYCLIC_EXP_RANGE, cyclic_modes),
    NUMBER(gamma, 1.0, 0.0, 1.0),
    BOOLEAN(cycle_momentum, 1.0),
    NUMBER(base_momentum, 0.8, 0.0, MOMENTUM_MOST),
    NUMBER(max_momentum, 0.9, 0.0, MOMENTUM_MOST),
    WARMUP,
};

const struct schedule_kind schedule_cyclic = {
    .name = "cyclic",
    .source = "Smith 2017 (cyclical learning rates); torch.optim.lr_scheduler.CyclicLR: sets lr to "
              "its own",
    .params = COUNT(cyclic_params),
    .param = cyclic_params,
    .sets_lr = true,
    .at = cyclic_at,
};
