/* SPDX-License-Identifier: Apache-2.0
 *
 * RAdam against its paper, Liu et al. 2020, algorithm 2, with the two changes of its authors' code
 * that PyTorch has as well: the adaptive rate begins at rho > 5, and eps stands beside the root.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/paper.h"

static void radam(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    const double t = (double)step->t;
    g += h->weight_decay * e->w;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    const double m_hat = e->a / (1.0 - pow(h->beta1, t));
    const double rho_inf = 2.0 / (1.0 - h->beta2) - 1.0;
    const double rho = rho_inf - 2.0 * t * pow(h->beta2, t) / (1.0 - pow(h->beta2, t));
    if (rho > 5.0) {
        const double l = sqrt(1.0 - pow(h->beta2, t)) / (sqrt(e->b) + h->eps);
        const double r =
            sqrt((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho));
        e->w -= step->lr * r * m_hat * l;
    } else {
        e->w -= step->lr * m_hat;
    }
}

/* The same with decay beside the step, lr times weight_decay. */
static void decoupled(const struct optim_step *step, double g, struct paper_element *e)
{
    struct optim_hyper plain = *step->hyper;
    plain.weight_decay = 0.0;
    const double decay = step->lr * step->hyper->weight_decay * e->w;
    radam(&(struct optim_step){.hyper = &plain, .lr = step->lr, .t = step->t}, g, e);
    e->w -= decay;
}

static void radam__defaults__follow_the_paper(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("radam", "torch");
    paper_follow("radam", &hyper, radam);
}

static struct optim_hyper quick(void)
{
    struct optim_hyper hyper = paper_hyper("radam", "torch");
    hyper.lr = 0.005;
    hyper.beta1 = 0.4;
    hyper.beta2 = 0.9;
    hyper.eps = 1e-5;
    hyper.weight_decay = PAPER_L2;
    return hyper;
}

static void radam__l2__goes_through_the_moments(void **state)
{
    (void)state;
    const struct optim_hyper hyper = quick();
    paper_follow("radam", &hyper, radam);
    paper_follow_cycled("radam", &hyper, radam);
}

static void radam__decoupled_decay__shrinks_beside_the_step(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick();
    hyper.decay = OPTIM_DECAY_LR;
    hyper.weight_decay = 0.3;
    paper_follow("radam", &hyper, decoupled);
}

/* rho_inf is at most 5 for a beta2 of 2/3 or less: v never counts. */
static void radam__short_memory__never_adapts(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick();
    hyper.beta2 = 0.6;
    paper_follow("radam", &hyper, radam);
    hyper.beta2 = 0.0;
    paper_follow("radam", &hyper, radam);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(radam__defaults__follow_the_paper),
        cmocka_unit_test(radam__l2__goes_through_the_moments),
        cmocka_unit_test(radam__decoupled_decay__shrinks_beside_the_step),
        cmocka_unit_test(radam__short_memory__never_adapts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
