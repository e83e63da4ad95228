/* SPDX-License-Identifier: Apache-2.0
 *
 * Schedules made of other schedules: one after the other, and one on top of the other. Their parts
 * may have warm-ups of their own, but no parts.
 */
#include "proto/error.h"
#include "server/schedule/schedule_internal.h"

/*
 * The k-th part runs from the k-th milestone on and begins at its own step 0, from the group's
 * learning rate, whatever the part before has left. A part that cycles the momentum does so as long
 * as it runs; then the group's own counts again, where PyTorch would leave the last value standing.
 */
static struct schedule_value sequential_at(const struct schedule *schedule,
                                           struct schedule_value base, uint64_t step,
                                           const struct schedule_state *state)
{
    (void)state;
    const struct schedule_list *const milestones = &schedule->params->milestones;
    const size_t k = schedule_list_rank(milestones, step);
    const uint64_t begin = k == 0 ? 0 : (uint64_t)milestones->at[k - 1];
    return schedule_at(&schedule->part[k], base, step - begin, NULL);
}

static enum stepd_status sequential_check(const struct schedule *schedule,
                                          struct stepd_error *reterr)
{
    const struct schedule_list *const milestones = &schedule->params->milestones;
    if (milestones->count + 1 != schedule->parts)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "schedule sequential has %zu parts and %zu milestones; it takes one "
                          "milestone less than parts",
                          schedule->parts, milestones->count);
    return schedule_list_rises(schedule, "milestones", milestones, true, reterr);
}

static const struct schedule_param_spec sequential_params[] = {
    LIST(milestones, 0.0, 1.0, STEPS_MOST),
    WARMUP,
};

const struct schedule_kind schedule_sequential = {
    .name = "sequential",
    .source = "torch.optim.lr_scheduler.SequentialLR: each part from its milestone on, from its "
              "own step 0",
    .params = COUNT(sequential_params),
    .param = sequential_params,
    .takes_parts = true,
    .rules = "one milestone less than parts, and milestones rise",
    .check = sequential_check,
    .at = sequential_at,
};

/*
 * Each part starts from the learning rate that the one before gives. For all kinds that multiply
 * the learning rate that is the product of their factors, in any order, as in PyTorch.
 *
 * It differs from PyTorch where a part is no factor. PyTorch lets every part change the one
 * learning rate that all share, so eta_min of a cosine pulls the others' product towards itself
 * again in every step, which no formula of the step gives; here eta_min is the bottom that the
 * cosine reaches from what the parts before it gave, and parts after it multiply the sum. A part
 * that sets lr to its own (one_cycle, cyclic) replaces what came before it, as PyTorch warns too.
 */
static struct schedule_value chained_at(const struct schedule *schedule, struct schedule_value base,
                                        uint64_t step, const struct schedule_state *state)
{
    (void)state;
    bool cycled = false;
    struct schedule_value value = base;
    for (size_t i = 0; i < schedule->parts; i++) {
        value = schedule_at(&schedule->part[i], value, step, NULL);
        cycled = cycled || value.cycled;
    }
    value.cycled = cycled;
    return value;
}

static enum stepd_status chained_check(const struct schedule *schedule, struct stepd_error *reterr)
{
    return schedule->parts > 0 ? STEPD_OK
                               : stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                                            "schedule chained needs at least one part");
}

static const struct schedule_param_spec chained_params[] = {
    WARMUP,
};

const struct schedule_kind schedule_chained = {
    .name = "chained",
    .source = "torch.optim.lr_scheduler.ChainedScheduler: the product of the parts' factors",
    .params = COUNT(chained_params),
    .param = chained_params,
    .takes_parts = true,
    .rules = "at least one part",
    .check = chained_check,
    .at = chained_at,
};
