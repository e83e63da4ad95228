/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda: any factor of the step, as a table of points. PyTorch's LambdaLR calls a function of the
 * user's program, which a server cannot; it takes what the function gives at the steps where that
 * changes. PyTorch's MultiplicativeLR, whose function gives the factor between two steps, is the
 * table of the products so far.
 *
 * Before the first point the first factor holds, after the last one the last.
 */
#include "proto/error.h"
#include "server/schedule/schedule_internal.h"

enum interpolate {
    INTERPOLATE_LINEAR, /* on the line between two points */
    INTERPOLATE_HOLD,   /* a factor holds until the next point */
};

static const char *const interpolations[] = {"linear", "hold"};

static double factor_at(const struct schedule_params *p, uint64_t step)
{
    const size_t passed = schedule_list_rank(&p->steps, step);
    if (passed == 0)
        return p->factors.at[0];
    const double from = p->factors.at[passed - 1];
    if (passed == p->steps.count || p->interpolate == INTERPOLATE_HOLD)
        return from;
    const double begin = p->steps.at[passed - 1];
    const double way = ((double)step - begin) / (p->steps.at[passed] - begin);
    return from + (p->factors.at[passed] - from) * way;
}

static struct schedule_value lambda_at(const struct schedule *schedule, struct schedule_value base,
                                       uint64_t step, const struct schedule_state *state)
{
    (void)state;
    return schedule_rate(base.lr * factor_at(schedule->params, step), base);
}

static enum stepd_status lambda_check(const struct schedule *schedule, struct stepd_error *reterr)
{
    const struct schedule_params *const p = schedule->params;
    if (p->steps.count != p->factors.count)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "schedule lambda has %zu steps and %zu factors; each step needs one",
                          p->steps.count, p->factors.count);
    return schedule_list_rises(schedule, "steps", &p->steps, true, reterr);
}

static const struct schedule_param_spec lambda_params[] = {
    LIST(steps, NEEDED, 0.0, STEPS_MOST),
    LIST(factors, NEEDED, 0.0, 1e6),
    WORD(interpolate, INTERPOLATE_LINEAR, INTERPOLATE_HOLD, interpolations),
    WARMUP,
};

const struct schedule_kind schedule_lambda = {
    .name = "lambda",
    .source = "torch.optim.lr_scheduler.LambdaLR, its function as a table: lr times the factor at "
              "t; MultiplicativeLR by its products",
    .params = COUNT(lambda_params),
    .param = lambda_params,
    .rules = "as many factors as steps, and steps rise",
    .check = lambda_check,
    .at = lambda_at,
};
