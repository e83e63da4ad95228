/* SPDX-License-Identifier: Apache-2.0
 *
 * NAdam against its paper, Dozat 2016, with PyTorch's schedule of the momentum. The rule keeps the
 * product of all mu in double, where the kernel, as PyTorch, rounds it to float in each step.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/paper.h"

static double mu(const struct optim_hyper *h, double t)
{
    return h->beta1 * (1.0 - 0.5 * pow(0.96, t * h->momentum_decay));
}

static void nadam(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    const double t = (double)step->t;
    g += h->weight_decay * e->w;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    e->c = (step->t == 1 ? 1.0 : e->c) * mu(h, t);
    const double g_hat = g / (1.0 - e->c);
    const double m_hat = e->a / (1.0 - e->c * mu(h, t + 1.0));
    const double v_hat = e->b / (1.0 - pow(h->beta2, t));
    const double m_bar = (1.0 - mu(h, t)) * g_hat + mu(h, t + 1.0) * m_hat;
    e->w -= step->lr * m_bar / (sqrt(v_hat) + h->eps);
}

/* The same with decay beside the step, lr times weight_decay. */
static void decoupled(const struct optim_step *step, double g, struct paper_element *e)
{
    struct optim_hyper plain = *step->hyper;
    plain.weight_decay = 0.0;
    const double decay = step->lr * step->hyper->weight_decay * e->w;
    nadam(&(struct optim_step){.hyper = &plain, .lr = step->lr, .t = step->t}, g, e);
    e->w -= decay;
}

static void nadam__defaults__follow_the_paper(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("nadam", "torch");
    paper_follow("nadam", &hyper, nadam);
}

static struct optim_hyper quick(void)
{
    struct optim_hyper hyper = paper_hyper("nadam", "torch");
    hyper.lr = 0.005;
    hyper.beta1 = 0.8;
    hyper.beta2 = 0.95;
    hyper.eps = 1e-5;
    hyper.weight_decay = PAPER_L2;
    hyper.momentum_decay = 0.1;
    return hyper;
}

static void nadam__l2__goes_through_the_moments(void **state)
{
    (void)state;
    const struct optim_hyper hyper = quick();
    paper_follow("nadam", &hyper, nadam);
    paper_follow_cycled("nadam", &hyper, nadam);
}

static void nadam__decoupled_decay__shrinks_beside_the_step(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick();
    hyper.decay = OPTIM_DECAY_LR;
    hyper.weight_decay = 0.3;
    paper_follow("nadam", &hyper, decoupled);
}

static void nadam__momentum_decay_of_zero__halves_the_momentum(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick();
    hyper.momentum_decay = 0.0;
    paper_follow("nadam", &hyper, nadam);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nadam__defaults__follow_the_paper),
        cmocka_unit_test(nadam__l2__goes_through_the_moments),
        cmocka_unit_test(nadam__decoupled_decay__shrinks_beside_the_step),
        cmocka_unit_test(nadam__momentum_decay_of_zero__halves_the_momentum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
