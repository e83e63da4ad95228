/* SPDX-License-Identifier: Apache-2.0
 *
 * Adamax against its paper, Kingma and Ba 2015, algorithm 2, with PyTorch's eps added to |g|.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/paper.h"

static void adamax(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    g += h->weight_decay * e->w;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = fmax(h->beta2 * e->b, fabs(g) + h->eps);
    e->w -= step->lr / (1.0 - pow(h->beta1, (double)step->t)) * e->a / e->b;
}

static void adamax__defaults__follow_the_paper(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("adamax", "torch");
    paper_follow("adamax", &hyper, adamax);
}

static void adamax__l2_and_a_fast_maximum__follow_the_paper(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adamax", "torch");
    hyper.beta1 = 0.3;
    hyper.beta2 = 0.7;
    hyper.eps = 1e-4;
    hyper.weight_decay = PAPER_L2;
    paper_follow("adamax", &hyper, adamax);
    hyper.beta2 = 0.0;
    paper_follow("adamax", &hyper, adamax);
}

static void adamax__cycled_momentum__is_corrected_by_the_present_beta1(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("adamax", "torch");
    paper_follow_cycled("adamax", &hyper, adamax);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamax__defaults__follow_the_paper),
        cmocka_unit_test(adamax__l2_and_a_fast_maximum__follow_the_paper),
        cmocka_unit_test(adamax__cycled_momentum__is_corrected_by_the_present_beta1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
