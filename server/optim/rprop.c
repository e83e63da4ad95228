/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of Rprop: each element has a step size of its own, which grows while the gradient keeps
 * its sign and shrinks when it changes; the gradient's size counts for nothing. rprop_kernel.c has
 * the arithmetic. It is a method for full batches: on mini-batches signs change by chance.
 *
 * PyTorch's is the variant iRprop- (after a change of sign the gradient is taken for 0, and no step
 * is taken back). lr is the first step size and read in the first update only: a schedule changes
 * nothing later.
 */
#include "proto/error.h"
#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec rprop_hyper[] = {
    {HYPER(lr), .fallback = 1e-2, .most = HYPER_MOST},
    {HYPER(etaminus), .fallback = 0.5, .least_open = true, .most = 1.0, .most_open = true},
    {HYPER(etaplus), .fallback = 1.2, .least = 1.0, .least_open = true, .most = HYPER_MOST},
    {HYPER(step_min), .fallback = 1e-6, .most = HYPER_MOST},
    {HYPER(step_max), .fallback = 50.0, .most = HYPER_MOST},
};

static enum stepd_status check(const struct optim_hyper *hyper, struct stepd_error *reterr)
{
    if (hyper->step_min <= hyper->step_max)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "step_min of rprop is %g, above step_max, %g: no step would be both",
                      hyper->step_min, hyper->step_max);
}

const struct optimizer rprop_optimizer = {
    .name = "rprop",
    .source = "Riedmiller and Braun 1993; Igel and Huesken 2000, iRprop-; torch.optim.Rprop",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "prev"}, {.name = "step_size"}},
    .hypers = sizeof rprop_hyper / sizeof rprop_hyper[0],
    .hyper = rprop_hyper,
    .rules = "step_min is at most step_max",
    .check = check,
    .step = OPTIM_EACH(rprop_step),
};
