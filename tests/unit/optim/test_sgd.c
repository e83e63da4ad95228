/* SPDX-License-Identifier: Apache-2.0
 *
 * SGD, momentum and Nesterov's momentum: PyTorch's forms, and those of Sutskever et al. 2013 and
 * Deep Learning, algorithms 8.1 to 8.3, as they are printed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "tests/unit/optim/paper.h"

#define N 65

/* Algorithm 8.1, with the gradient of weight_decay / 2 w^2 added (L2). */
static void sgd(const struct optim_step *step, double g, struct paper_element *e)
{
    e->w -= step->lr * (g + step->hyper->weight_decay * e->w);
}

/* 1 - dampening, which PyTorch leaves out in the first update. */
static double undamped(const struct optim_step *step)
{
    return step->t == 1 ? 1.0 : 1.0 - step->hyper->dampening;
}

static void momentum_torch(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->momentum * e->a + undamped(step) * (g + h->weight_decay * e->w);
    e->w -= step->lr * e->a;
}

/* Sutskever et al. 2013, equations 1 and 2; algorithm 8.2. */
static void momentum_classic(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->momentum * e->a - step->lr * undamped(step) * (g + h->weight_decay * e->w);
    e->w += e->a;
}

static void nesterov_torch(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    g += h->weight_decay * e->w;
    e->a = h->momentum * e->a + g;
    e->w -= step->lr * (g + h->momentum * e->a);
}

/* Sutskever et al. 2013, equations 3 and 4; algorithm 8.3: e->w is theta. */
static void nesterov_interim(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    g += h->weight_decay * (e->w + h->momentum * e->a);
    e->a = h->momentum * e->a - step->lr * g;
    e->w += e->a;
}

/* The same, e->w being the interim point and e->b theta. */
static void nesterov_classic(const struct optim_step *step, double g, struct paper_element *e)
{
    struct paper_element theta = *e;
    theta.w = step->t == 1 ? e->w : e->b;
    nesterov_interim(step, g, &theta);
    e->a = theta.a;
    e->b = theta.w;
    e->w = theta.w + step->hyper->momentum * theta.a;
}

static void sgd__defaults_and_l2__follow_the_book(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("sgd", "torch");
    paper_follow("sgd", &hyper, sgd);
    hyper.weight_decay = 0.1;
    hyper.lr = 0.01;
    paper_follow("sgd", &hyper, sgd);
}

static void momentum__torch__has_the_rate_outside_the_buffer(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("momentum", "torch");
    paper_follow("momentum", &hyper, momentum_torch);
    hyper.momentum = 0.5;
    hyper.weight_decay = 0.1;
    paper_follow("momentum", &hyper, momentum_torch);
}

static void momentum__lecture__has_the_rate_inside_the_buffer(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("momentum", "lecture");
    assert_true(hyper.form == OPTIM_FORM_CLASSIC);
    paper_follow("momentum", &hyper, momentum_classic);
    hyper.momentum = 0.5;
    hyper.weight_decay = 0.1;
    paper_follow("momentum", &hyper, momentum_classic);
}

static void momentum__dampening__spares_the_first_step_in_each_form(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("momentum", "torch");
    hyper.lr = 0.1;
    hyper.dampening = 0.4;
    paper_follow("momentum", &hyper, momentum_torch);
    hyper.form = OPTIM_FORM_CLASSIC;
    paper_follow("momentum", &hyper, momentum_classic);
}

static void momentum__of_zero__is_sgd_whatever_the_dampening(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("momentum", "torch");
    hyper.lr = 0.1;
    hyper.momentum = 0.0;
    hyper.dampening = 0.9;
    paper_follow("momentum", &hyper, sgd);
    hyper.form = OPTIM_FORM_CLASSIC;
    paper_follow("momentum", &hyper, sgd);
}

static void nesterov__each_form__follows_its_source(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("nesterov", "torch");
    hyper.weight_decay = 0.1;
    paper_follow("nesterov", &hyper, nesterov_torch);
    hyper.form = OPTIM_FORM_CLASSIC;
    paper_follow("nesterov", &hyper, nesterov_classic);
    hyper = paper_hyper("nesterov", "lecture");
    assert_true(hyper.form == OPTIM_FORM_INTERIM);
    hyper.weight_decay = 0.1;
    paper_follow("nesterov", &hyper, nesterov_interim);
}

/* A run on curvature i / N, gradients being computed where the form wants them. */
struct run {
    const struct optimizer *optimizer;
    struct optim_hyper hyper;
    float w[N];
    float v[N];
    float point[N]; /* where the next gradient is computed */
};

static void run_begin(enum optim_form form, struct run *run)
{
    *run = (struct run){.hyper = paper_hyper("nesterov", "torch")};
    run->hyper.form = form;
    run->hyper.weight_decay = 0.01;
    assert_int_equal(optimizer_find("nesterov", &run->optimizer, NULL), STEPD_OK);
    for (size_t i = 0; i < N; i++)
        run->point[i] = run->w[i] = 1.0f - (float)i / 32.0f;
}

static void run_step(struct run *run, uint64_t t, double lr)
{
    float g[N];
    for (size_t i = 0; i < N; i++)
        g[i] = (float)i / (float)N * run->point[i];
    const struct optim_step step = {.hyper = &run->hyper, .lr = lr, .t = t};
    float *const slot[] = {run->v};
    run->optimizer->step[kernels_choose()](&step, N, run->w, g, slot);
    if (run->optimizer->looks_ahead(&run->hyper))
        run->optimizer->lookahead[kernels_choose()](&step, N, run->w, slot, run->point);
    else
        for (size_t i = 0; i < N; i++)
            run->point[i] = run->w[i];
}

/* Runs both side by side; their gradients are computed at the same points all the time. */
static void assert_same_points(enum optim_form a, enum optim_form b, bool scheduled)
{
    struct run one;
    struct run other;
    run_begin(a, &one);
    run_begin(b, &other);
    for (uint64_t t = 1; t <= 200; t++) {
        const double lr = scheduled ? 0.1 / (1.0 + (double)(t % 7)) : 0.1;
        run_step(&one, t, lr);
        run_step(&other, t, lr);
        for (size_t i = 0; i < N; i++)
            assert_true(fabsf(one.point[i] - other.point[i]) < 200.0f * 0x1p-23f);
    }
}

static void nesterov__constant_rate__all_forms_are_one_run(void **state)
{
    (void)state;
    assert_same_points(OPTIM_FORM_TORCH, OPTIM_FORM_CLASSIC, false);
    assert_same_points(OPTIM_FORM_TORCH, OPTIM_FORM_INTERIM, false);
}

static void nesterov__schedule__interim_is_still_the_classic_form(void **state)
{
    (void)state;
    assert_same_points(OPTIM_FORM_CLASSIC, OPTIM_FORM_INTERIM, true);
}

static void nesterov__forms_without_interim__look_nowhere(void **state)
{
    (void)state;
    const struct optimizer *optimizer = NULL;
    assert_int_equal(optimizer_find("nesterov", &optimizer, NULL), STEPD_OK);
    struct optim_hyper hyper = paper_hyper("nesterov", "torch");
    assert_false(optimizer->looks_ahead(&hyper));
    hyper.form = OPTIM_FORM_CLASSIC;
    assert_false(optimizer->looks_ahead(&hyper));
    hyper.form = OPTIM_FORM_INTERIM;
    assert_true(optimizer->looks_ahead(&hyper));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd__defaults_and_l2__follow_the_book),
        cmocka_unit_test(momentum__torch__has_the_rate_outside_the_buffer),
        cmocka_unit_test(momentum__lecture__has_the_rate_inside_the_buffer),
        cmocka_unit_test(momentum__dampening__spares_the_first_step_in_each_form),
        cmocka_unit_test(momentum__of_zero__is_sgd_whatever_the_dampening),
        cmocka_unit_test(nesterov__each_form__follows_its_source),
        cmocka_unit_test(nesterov__constant_rate__all_forms_are_one_run),
        cmocka_unit_test(nesterov__schedule__interim_is_still_the_classic_form),
        cmocka_unit_test(nesterov__forms_without_interim__look_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
