/* SPDX-License-Identifier: Apache-2.0
 *
 * AdaBound and AMSBound against the authors' package (Luo et al. 2019), written out in double.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/optim/kernels.h"
#include "tests/unit/optim/numbers.h"
#include "tests/unit/optim/paper.h"

static double clip(double x, double least, double most)
{
    return fmin(fmax(x, least), most);
}

/* x: v, or its maximum. */
static void bounded(const struct optim_step *step, double x, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    const double t = (double)step->t;
    const double step_size = step->lr * sqrt(1.0 - pow(h->beta2, t)) / (1.0 - pow(h->beta1, t));
    const double final_lr = h->final_lr * step->lr / h->lr;
    const double lower = final_lr * (1.0 - 1.0 / (h->gamma * t + 1.0));
    const double upper = final_lr * (1.0 + 1.0 / (h->gamma * t));
    e->w -= clip(step_size / (sqrt(x) + h->eps), lower, upper) * e->a;
}

static void moments(const struct optim_hyper *h, double g, struct paper_element *e)
{
    g += h->weight_decay * e->w;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
}

static void adabound(const struct optim_step *step, double g, struct paper_element *e)
{
    moments(step->hyper, g, e);
    bounded(step, e->b, e);
}

static void amsbound(const struct optim_step *step, double g, struct paper_element *e)
{
    moments(step->hyper, g, e);
    e->c = fmax(e->c, e->b);
    bounded(step, e->c, e);
}

/* Kingma and Ba 2015, the remark under algorithm 1: Adam with eps_hat. */
static void adam(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    const double t = (double)step->t;
    moments(h, g, e);
    e->w -= step->lr * sqrt(1.0 - pow(h->beta2, t)) / (1.0 - pow(h->beta1, t)) * e->a /
            (sqrt(e->b) + h->eps);
}

static void adabound__defaults__follow_the_package(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("adabound", "torch");
    paper_follow("adabound", &hyper, adabound);
}

/* So that some elements are at the lower bound, some at the upper, and some between. */
static struct optim_hyper tight(const char *optimizer)
{
    struct optim_hyper hyper = paper_hyper(optimizer, "torch");
    hyper.lr = 0.005;
    hyper.beta1 = 0.8;
    hyper.beta2 = 0.95;
    hyper.eps = 1e-4;
    hyper.gamma = 0.02;
    hyper.weight_decay = PAPER_L2;
    return hyper;
}

static void adabound__bounds_that_close__follow_the_package(void **state)
{
    (void)state;
    const struct optim_hyper hyper = tight("adabound");
    paper_follow("adabound", &hyper, adabound);
}

static void adabound__cycled_momentum__follows_the_package(void **state)
{
    (void)state;
    const struct optim_hyper hyper = tight("adabound");
    paper_follow_cycled("adabound", &hyper, adabound);
}

static void adabound__bounds_far_apart__is_adam(void **state)
{
    (void)state;
    struct optim_hyper hyper = tight("adabound");
    hyper.gamma = 1e-9;
    hyper.final_lr = 1.0;
    paper_follow("adabound", &hyper, adam);
}

static void amsbound__defaults__keep_the_maximum(void **state)
{
    (void)state;
    struct optim_hyper hyper = tight("amsbound");
    paper_follow("amsbound", &hyper, amsbound);
    hyper = tight("adabound");
    hyper.amsgrad = 1.0;
    paper_follow("adabound", &hyper, amsbound);
}

static void adabound__no_rate_before_the_schedule__moves_nothing(void **state)
{
    (void)state;
    const struct optimizer *row = NULL;
    assert_int_equal(optimizer_find("adabound", &row, NULL), STEPD_OK);
    struct optim_hyper hyper = paper_hyper("adabound", "torch");
    hyper.lr = 0.0;
    float w = 0.75f;
    const float g = 1.0f;
    float m = 0.0f;
    float v = 0.0f;
    float *const slot[OPTIMIZER_SLOTS_MAX] = {&m, &v};
    const struct optim_step step = {.hyper = &hyper, .lr = 0.01, .t = 1};
    row->step[kernels_choose()](&step, 1, &w, &g, slot);
    assert_int_equal(numbers_bits(w), numbers_bits(0.75f));
}

static void amsbound__switched_off__is_refused(void **state)
{
    (void)state;
    const struct optimizer *row = NULL;
    assert_int_equal(optimizer_find("amsbound", &row, NULL), STEPD_OK);
    struct optim_hyper hyper = paper_hyper("amsbound", "torch");
    hyper.amsgrad = 0.0;
    struct stepd_error error;
    assert_int_equal(optimizer_hyper_check(row, &hyper, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "adabound"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adabound__defaults__follow_the_package),
        cmocka_unit_test(adabound__bounds_that_close__follow_the_package),
        cmocka_unit_test(adabound__cycled_momentum__follows_the_package),
        cmocka_unit_test(adabound__bounds_far_apart__is_adam),
        cmocka_unit_test(amsbound__defaults__keep_the_maximum),
        cmocka_unit_test(adabound__no_rate_before_the_schedule__moves_nothing),
        cmocka_unit_test(amsbound__switched_off__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
