/* SPDX-License-Identifier: Apache-2.0
 *
 * AdaGrad against Duchi et al. 2011 and Deep Learning, algorithm 8.4, with PyTorch's lr_decay and
 * first accumulator value.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/paper.h"

static void adagrad(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    g += h->weight_decay * e->w;
    if (step->t == 1)
        e->a = h->initial_accumulator_value;
    e->a += g * g;
    const double rate = step->lr / (1.0 + (double)(step->t - 1) * h->lr_decay);
    e->w -= rate / (sqrt(e->a) + h->eps) * g;
}

static void adagrad__each_preset__follows_the_book(void **state)
{
    (void)state;
    const struct optim_hyper torch = paper_hyper("adagrad", "torch");
    paper_follow("adagrad", &torch, adagrad);
    const struct optim_hyper lecture = paper_hyper("adagrad", "lecture");
    assert_true(lecture.eps == 1e-7 && lecture.lr == 1e-2);
    paper_follow("adagrad", &lecture, adagrad);
}

static void adagrad__large_eps__stands_outside_the_root(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adagrad", "torch");
    hyper.eps = 1e-3;
    hyper.weight_decay = PAPER_L2;
    paper_follow("adagrad", &hyper, adagrad);
}

static void adagrad__decay_of_the_rate__begins_with_the_second_update(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adagrad", "torch");
    hyper.lr_decay = 0.5;
    paper_follow("adagrad", &hyper, adagrad);
}

static void adagrad__first_accumulator_value__is_in_the_sum_once(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adagrad", "torch");
    hyper.initial_accumulator_value = 0.1;
    paper_follow("adagrad", &hyper, adagrad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adagrad__each_preset__follows_the_book),
        cmocka_unit_test(adagrad__large_eps__stands_outside_the_root),
        cmocka_unit_test(adagrad__decay_of_the_rate__begins_with_the_second_update),
        cmocka_unit_test(adagrad__first_accumulator_value__is_in_the_sum_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
