/* SPDX-License-Identifier: Apache-2.0
 *
 * Rprop against Igel and Huesken 2000, iRprop-, as PyTorch has it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/paper.h"

/* e->a is the gradient before, e->b the step size. */
static void rprop(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    if (step->t == 1)
        e->b = step->lr;
    if (g * e->a > 0.0)
        e->b *= h->etaplus;
    if (g * e->a < 0.0) {
        e->b *= h->etaminus;
        g = 0.0;
    }
    e->b = fmin(fmax(e->b, h->step_min), h->step_max);
    e->w -= g == 0.0 ? 0.0 : copysign(e->b, g);
    e->a = g;
}

static void rprop__defaults__follow_the_paper(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rprop", "torch");
    hyper.lr = 1e-3;
    paper_follow("rprop", &hyper, rprop);
}

static void rprop__step_sizes__stay_within_their_bounds(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rprop", "torch");
    hyper.etaminus = 0.3;
    hyper.etaplus = 1.5;
    hyper.step_min = 1e-3;
    hyper.step_max = 1e-2;
    paper_follow("rprop", &hyper, rprop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rprop__defaults__follow_the_paper),
        cmocka_unit_test(rprop__step_sizes__stay_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
