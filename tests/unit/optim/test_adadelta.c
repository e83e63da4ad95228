/* SPDX-License-Identifier: Apache-2.0
 *
 * AdaDelta against Zeiler 2012, algorithm 1, with PyTorch's learning rate.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/paper.h"

static void adadelta(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    g += h->weight_decay * e->w;
    e->a = h->rho * e->a + (1.0 - h->rho) * g * g;
    const double delta = sqrt(e->b + h->eps) / sqrt(e->a + h->eps) * g;
    e->b = h->rho * e->b + (1.0 - h->rho) * delta * delta;
    e->w -= step->lr * delta;
}

static void adadelta__defaults__follow_the_paper(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("adadelta", "torch");
    paper_follow("adadelta", &hyper, adadelta);
}

static void adadelta__l2_and_large_eps__follow_the_paper(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adadelta", "torch");
    hyper.lr = 0.5;
    hyper.rho = 0.7;
    hyper.eps = 1e-4;
    hyper.weight_decay = PAPER_L2;
    paper_follow("adadelta", &hyper, adadelta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adadelta__defaults__follow_the_paper),
        cmocka_unit_test(adadelta__l2_and_large_eps__follow_the_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
