/* SPDX-License-Identifier: Apache-2.0
 *
 * RMSProp and RMSProp with Nesterov momentum against Deep Learning, algorithms 8.5 and 8.6, Graves
 * 2013 (centered), and PyTorch's momentum.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "tests/unit/optim/paper.h"

/* What a gradient is divided by; e->a and e->b are the means of g g and g. */
static double divisor(const struct optim_hyper *h, double g, struct paper_element *e)
{
    e->a = h->alpha * e->a + (1.0 - h->alpha) * g * g;
    e->b = h->alpha * e->b + (1.0 - h->alpha) * g;
    const double square = h->centered != 0.0 ? e->a - e->b * e->b : e->a;
    return h->eps_mode == OPTIM_EPS_INSIDE ? sqrt(square + h->eps) : sqrt(square) + h->eps;
}

static void rmsprop(const struct optim_step *step, double g, struct paper_element *e)
{
    g += step->hyper->weight_decay * e->w;
    e->w -= step->lr / divisor(step->hyper, g, e) * g;
}

/* PyTorch's momentum: the rate stands outside the buffer. */
static void rolling(const struct optim_step *step, double g, struct paper_element *e)
{
    g += step->hyper->weight_decay * e->w;
    e->c = step->hyper->momentum * e->c + g / divisor(step->hyper, g, e);
    e->w -= step->lr * e->c;
}

/* Algorithm 8.6, delta inside the root; e->w is theta, g was computed at the interim point. */
static void interim(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    g += h->weight_decay * (e->w + h->momentum * e->c);
    e->a = h->rho * e->a + (1.0 - h->rho) * g * g;
    e->c = h->momentum * e->c - step->lr / sqrt(e->a + h->eps) * g;
    e->w += e->c;
}

/* The same, e->w being the interim point and e->b theta. */
static void classic(const struct optim_step *step, double g, struct paper_element *e)
{
    struct paper_element theta = *e;
    theta.w = step->t == 1 ? e->w : e->b;
    interim(step, g, &theta);
    e->a = theta.a;
    e->b = theta.w;
    e->c = theta.c;
    e->w = theta.w + step->hyper->momentum * theta.c;
}

static void rmsprop__defaults__follow_pytorch(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rmsprop", "torch");
    paper_follow("rmsprop", &hyper, rmsprop);
    hyper.alpha = 0.3;
    hyper.weight_decay = PAPER_L2;
    hyper.eps = 1e-4;
    paper_follow("rmsprop", &hyper, rmsprop);
}

static void rmsprop__lecture__is_the_algorithm_with_delta_inside(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("rmsprop", "lecture");
    assert_true(hyper.eps_mode == OPTIM_EPS_INSIDE && hyper.eps == 1e-6);
    assert_true(hyper.alpha == 0.9 && hyper.lr == 1e-3);
    paper_follow("rmsprop", &hyper, rmsprop);
}

static void rmsprop__centered__divides_by_the_deviation(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rmsprop", "torch");
    hyper.centered = 1.0;
    paper_follow("rmsprop", &hyper, rmsprop);
    hyper.eps_mode = OPTIM_EPS_INSIDE;
    hyper.eps = 1e-6;
    hyper.alpha = 0.4;
    hyper.weight_decay = PAPER_L2;
    paper_follow("rmsprop", &hyper, rmsprop);
}

static void rmsprop__momentum__has_the_rate_outside_the_buffer(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rmsprop", "torch");
    hyper.momentum = 0.7;
    hyper.weight_decay = PAPER_L2;
    hyper.lr = 1e-3;
    paper_follow("rmsprop", &hyper, rolling);
    hyper.centered = 1.0;
    paper_follow("rmsprop", &hyper, rolling);
}

/* In floats the mean square falls below the mean's square; the root of that would be NaN. */
static void rmsprop__centered_and_a_gradient_that_stays__is_never_nan(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rmsprop", "torch");
    hyper.centered = 1.0;
    hyper.alpha = 0.5;
    const struct optimizer *optimizer = NULL;
    assert_int_equal(optimizer_find("rmsprop", &optimizer, NULL), STEPD_OK);
    float w[64] = {0.0f}, g[64], r[64] = {0.0f}, m[64] = {0.0f};
    for (size_t i = 0; i < 64; i++)
        g[i] = 0.1f + 0.0137f * (float)i;
    for (uint64_t t = 1; t <= 200; t++) {
        const struct optim_step step = {.hyper = &hyper, .lr = 1e-9, .t = t};
        optimizer->step[kernels_choose()](&step, 64, w, g, (float *[]){r, m, NULL});
        for (size_t i = 0; i < 64; i++)
            assert_true(isfinite(w[i]));
    }
}

/* A schedule cycles the momentum, and the group was made with 0: there is no buffer. */
static void rmsprop__momentum_without_a_buffer__is_left_out(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rmsprop", "torch");
    const struct optimizer *optimizer = NULL;
    assert_int_equal(optimizer_find("rmsprop", &optimizer, NULL), STEPD_OK);
    float w[2] = {1.0f, 1.0f};
    for (size_t k = 0; k < 2; k++) {
        hyper.momentum = k == 0 ? 0.0 : 0.9;
        float r = 0.0f;
        for (uint64_t t = 1; t <= 3; t++) {
            const struct optim_step step = {.hyper = &hyper, .lr = 0.1, .t = t};
            optimizer->step[kernels_choose()](&step, 1, &w[k], (const float[]){0.5f},
                                              (float *[]){&r, NULL, NULL});
        }
    }
    assert_true(w[0] == w[1] && w[0] < 1.0f);
}

static void rmsprop_nesterov__defaults__are_the_algorithm_with_delta(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rmsprop_nesterov", "lecture");
    assert_true(hyper.form == OPTIM_FORM_INTERIM && hyper.eps == 1e-6);
    paper_follow("rmsprop_nesterov", &hyper, interim);
    hyper.rho = 0.6;
    hyper.momentum = 0.5;
    hyper.weight_decay = PAPER_L2;
    paper_follow("rmsprop_nesterov", &hyper, interim);
    hyper.weight_decay = 0.1; /* tame beside such an eps, and large enough to show whose it is */
    hyper.eps = 0.1;
    paper_follow("rmsprop_nesterov", &hyper, interim);
}

static void rmsprop_nesterov__classic__stands_at_the_interim_point(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("rmsprop_nesterov", "torch");
    hyper.form = OPTIM_FORM_CLASSIC;
    hyper.momentum = 0.8;
    paper_follow("rmsprop_nesterov", &hyper, classic);
    hyper.weight_decay = 0.1;
    hyper.eps = 0.1;
    paper_follow("rmsprop_nesterov", &hyper, classic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmsprop__defaults__follow_pytorch),
        cmocka_unit_test(rmsprop__lecture__is_the_algorithm_with_delta_inside),
        cmocka_unit_test(rmsprop__centered__divides_by_the_deviation),
        cmocka_unit_test(rmsprop__momentum__has_the_rate_outside_the_buffer),
        cmocka_unit_test(rmsprop__centered_and_a_gradient_that_stays__is_never_nan),
        cmocka_unit_test(rmsprop__momentum_without_a_buffer__is_left_out),
        cmocka_unit_test(rmsprop_nesterov__defaults__are_the_algorithm_with_delta),
        cmocka_unit_test(rmsprop_nesterov__classic__stands_at_the_interim_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
