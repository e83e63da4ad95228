/* SPDX-License-Identifier: Apache-2.0
 *
 * L-BFGS against a transcription in double of torch.optim.LBFGS.step with max_iter=1 and no line
 * search, its lists and all, which is fed the same gradients; and the backtracking on the loss.
 *
 * The two part by more than a rounding as steps go by, since y is a difference of gradients that
 * come ever closer. So the transcription takes over weights, gradient and direction from the
 * optimizer after each step: what is compared is one step from the same state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/numbers.h"
#include "tests/unit/optim/whole.h"

#define N_MOST  200
#define HISTORY 100
#define STEPS   25
#define ULPS    64.0 /* of the longer of weights and step: some dot products cancel */

/* Slots and scalars that the tests look at. */
enum { SLOT_D, SLOT_PREV_FLAT_GRAD, SLOT_OLD_DIRS, SLOT_OLD_STPS, SLOT_BASE };

enum { SCALAR_N_ITER, SCALAR_T, SCALAR_H_DIAG, SCALAR_PAIRS };

/* ---- The transcription ----------------------------------------------------------------------- */

/* PyTorch's names. */
struct reference {
    size_t n;
    int n_iter;
    double d[N_MOST], prev_flat_grad[N_MOST];
    double old_dirs[HISTORY][N_MOST], old_stps[HISTORY][N_MOST], ro[HISTORY];
    size_t num_old;
    double h_diag, t;
};

static double dot(size_t n, const double *x, const double *y)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static void append_pair(struct reference *r, size_t history_size, const double *y, const double *s,
                        double ys)
{
    if (r->num_old == history_size) {
        for (size_t k = 0; k + 1 < r->num_old; k++) {
            memcpy(r->old_dirs[k], r->old_dirs[k + 1], sizeof r->old_dirs[k]);
            memcpy(r->old_stps[k], r->old_stps[k + 1], sizeof r->old_stps[k]);
            r->ro[k] = r->ro[k + 1];
        }
        r->num_old--;
    }
    memcpy(r->old_dirs[r->num_old], y, r->n * sizeof *y);
    memcpy(r->old_stps[r->num_old], s, r->n * sizeof *s);
    r->ro[r->num_old++] = 1.0 / ys;
    r->h_diag = ys / dot(r->n, y, y);
}

static void update_memory(struct reference *r, size_t history_size, const double *g)
{
    double y[N_MOST], s[N_MOST];
    for (size_t i = 0; i < r->n; i++) {
        y[i] = g[i] - r->prev_flat_grad[i];
        s[i] = r->d[i] * r->t;
    }
    const double ys = dot(r->n, y, s);
    if (ys > 1e-10)
        append_pair(r, history_size, y, s, ys);
}

static void two_loops(struct reference *r, const double *g)
{
    double al[HISTORY];
    for (size_t i = 0; i < r->n; i++)
        r->d[i] = -g[i];
    for (size_t k = r->num_old; k-- > 0;) {
        al[k] = dot(r->n, r->old_stps[k], r->d) * r->ro[k];
        for (size_t i = 0; i < r->n; i++)
            r->d[i] -= al[k] * r->old_dirs[k][i];
    }
    for (size_t i = 0; i < r->n; i++)
        r->d[i] *= r->h_diag;
    for (size_t k = 0; k < r->num_old; k++) {
        const double be = dot(r->n, r->old_dirs[k], r->d) * r->ro[k];
        for (size_t i = 0; i < r->n; i++)
            r->d[i] += r->old_stps[k][i] * (al[k] - be);
    }
}

static void step_reference(const struct optim_hyper *h, double lr, const double *g,
                           struct reference *r, double *w)
{
    double largest = 0.0, sum = 0.0;
    for (size_t i = 0; i < r->n; i++) {
        largest = fmax(largest, fabs(g[i]));
        sum += fabs(g[i]);
    }
    if (largest <= h->tolerance_grad)
        return;
    r->n_iter++;
    if (r->n_iter == 1) {
        for (size_t i = 0; i < r->n; i++)
            r->d[i] = -g[i];
        r->h_diag = 1.0;
    } else {
        update_memory(r, (size_t)h->history_size, g);
        two_loops(r, g);
    }
    memcpy(r->prev_flat_grad, g, r->n * sizeof *g);
    r->t = r->n_iter == 1 ? fmin(1.0, 1.0 / sum) * lr : lr;
    if (dot(r->n, g, r->d) > -h->tolerance_change)
        return;
    for (size_t i = 0; i < r->n; i++)
        w[i] += r->t * r->d[i];
}

/* ---- A problem ------------------------------------------------------------------------------- */

/* The loss sum_i c_i (w_i - b_i)^2 / 2 + (w_i - w_i-1)^2 / 2, a bowl along no axis. */
struct problem {
    struct whole whole;
    struct reference reference;
    uint64_t dim[2];
    double c[N_MOST], b[N_MOST];
};

static struct problem the_problem; /* too large for the stack */

static struct problem *problem_create(size_t n)
{
    struct problem *const p = &the_problem;
    *p = (struct problem){.dim = {1, n - 1}, .reference = {.n = n}};
    const struct optim_shape shape[2] = {{.dims = 1, .dim = &p->dim[0], .elements = 1},
                                         {.dims = 1, .dim = &p->dim[1], .elements = n - 1}};
    whole_init(&p->whole, "lbfgs", n == 1 ? 1 : 2, shape);
    uint64_t seed = 41;
    for (size_t i = 0; i < n; i++) {
        p->c[i] = 1.0 + 0.9 * (double)numbers_uniform(&seed);
        p->b[i] = (double)numbers_uniform(&seed);
        p->whole.w[i] = numbers_uniform(&seed);
    }
    return p;
}

/* Sets gradient and loss of the weights. */
static void evaluate(struct problem *p)
{
    double loss = 0.0;
    for (size_t i = 0; i < p->whole.n; i++) {
        const double w = (double)p->whole.w[i], off = w - p->b[i];
        double g = p->c[i] * off;
        loss += p->c[i] * off * off / 2.0;
        if (i > 0) {
            g += w - (double)p->whole.w[i - 1];
            loss += pow(w - (double)p->whole.w[i - 1], 2.0) / 2.0;
        }
        if (i + 1 < p->whole.n)
            g += w - (double)p->whole.w[i + 1];
        p->whole.g[i] = (float)g;
    }
    p->whole.loss = loss;
}

/* One step of both from the same state, compared. */
static void step_both(struct problem *p, double lr)
{
    double w[N_MOST], g[N_MOST], reach = 0.0;
    const size_t n = p->whole.n;
    for (size_t i = 0; i < n; i++) {
        w[i] = (double)p->whole.w[i];
        g[i] = (double)p->whole.g[i];
        reach = fmax(reach, fabs(w[i]));
    }
    step_reference(&p->whole.hyper, lr, g, &p->reference, w);
    assert_true(whole_step(&p->whole, lr));
    for (size_t i = 0; i < n; i++)
        reach = fmax(reach, fabs(p->reference.t * p->reference.d[i]));
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)p->whole.w[i] - w[i]) <= ULPS * 0x1p-23 * reach))
            fail_msg("step %d, element %zu: %.9g instead of %.9g", (int)p->whole.t, i,
                     (double)p->whole.w[i], w[i]);
        p->reference.d[i] = (double)p->whole.slot[SLOT_D][i];
    }
    assert_true(p->whole.scalar[SCALAR_PAIRS] == (double)p->reference.num_old);
    assert_true(p->whole.scalar[SCALAR_N_ITER] == (double)p->reference.n_iter);
}

static void follow(size_t n, double history_size, double lr)
{
    struct problem *const p = problem_create(n);
    p->whole.hyper.history_size = history_size;
    for (int t = 1; t <= STEPS; t++) {
        evaluate(p);
        step_both(p, lr);
    }
    whole_deinit(&p->whole);
}

static void lbfgs__any_history__makes_torchs_steps(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 17, N_MOST};
    static const double histories[] = {1.0, 3.0, 7.0, HISTORY};
    for (size_t i = 0; i < 16; i++)
        follow(sizes[i / 4], histories[i % 4], 0.7);
}

static void lbfgs__bowl__is_at_the_bottom_after_some_steps(void **state)
{
    (void)state;
    struct problem *const p = problem_create(30);
    for (int t = 1; t <= 40; t++) {
        evaluate(p);
        assert_true(whole_step(&p->whole, 1.0));
    }
    evaluate(p);
    for (size_t i = 0; i < p->whole.n; i++)
        assert_true(fabs((double)p->whole.g[i]) < 1e-4);
    whole_deinit(&p->whole);
}

static void lbfgs__first_step__is_no_longer_than_the_rate(void **state)
{
    (void)state;
    struct problem *const p = problem_create(2);
    p->whole.w[0] = p->whole.w[1] = 0.0f;
    p->whole.g[0] = 3.0f;
    p->whole.g[1] = -5.0f; /* |g|_1 = 8 */
    assert_true(whole_step(&p->whole, 0.5));
    whole_assert_near(&p->whole, (const double[]){-3.0 / 16.0, 5.0 / 16.0}, 0.0);
    whole_deinit(&p->whole);
    struct problem *const q = problem_create(2);
    q->whole.w[0] = q->whole.w[1] = 0.0f;
    q->whole.g[0] = 0.25f;
    assert_true(whole_step(&q->whole, 0.5));
    whole_assert_near(&q->whole, (const double[]){-0.125, 0.0}, 0.0);
    whole_deinit(&q->whole);
}

static void lbfgs__gradient_within_tolerance__changes_nothing(void **state)
{
    (void)state;
    struct problem *const p = problem_create(3);
    p->whole.hyper.tolerance_grad = 1e-3;
    double before[3];
    for (size_t i = 0; i < 3; i++) {
        before[i] = (double)p->whole.w[i];
        p->whole.g[i] = 0.99e-3f;
    }
    assert_true(whole_step(&p->whole, 1.0));
    whole_assert_near(&p->whole, before, 0.0);
    assert_true(p->whole.scalar[SCALAR_N_ITER] == 0.0);
    p->whole.g[1] = 1.01e-3f;
    assert_true(whole_step(&p->whole, 1.0));
    assert_true(p->whole.scalar[SCALAR_N_ITER] == 1.0);
    assert_true((double)p->whole.w[1] != before[1]);
    whole_deinit(&p->whole);
}

static void lbfgs__slope_within_tolerance__stays_and_remembers(void **state)
{
    (void)state;
    struct problem *const p = problem_create(1);
    p->whole.hyper.tolerance_change = 1.0;
    p->whole.w[0] = 1.0f;
    p->whole.g[0] = 0.5f; /* slope -1/4 */
    assert_true(whole_step(&p->whole, 1.0));
    assert_true(p->whole.w[0] == 1.0f);
    assert_true(p->whole.scalar[SCALAR_N_ITER] == 1.0);
    assert_true(p->whole.slot[SLOT_PREV_FLAT_GRAD][0] == 0.5f);
    whole_deinit(&p->whole);
}

/* The gradient falls along the step: the loss is no bowl there, and the pair is of no use. */
static void lbfgs__negative_curvature__keeps_the_old_pairs(void **state)
{
    (void)state;
    struct problem *const p = problem_create(2);
    p->whole.hyper.history_size = 1.0;
    static const float gradients[][2] = {{1.0f, 1.0f}, {0.5f, 0.25f}, {2.0f, 3.0f}, {0.1f, -0.1f}};
    for (size_t t = 0; t < 4; t++) {
        memcpy(p->whole.g, gradients[t], sizeof gradients[t]);
        step_both(p, 1.0);
        assert_true(p->whole.scalar[SCALAR_PAIRS] == (t == 0 ? 0.0 : 1.0));
    }
    whole_deinit(&p->whole);
}

static void lbfgs__without_search__needs_no_loss_and_no_base(void **state)
{
    (void)state;
    struct problem *const p = problem_create(3);
    assert_false(p->whole.optimizer->wants_loss(&p->whole.hyper));
    p->whole.g[0] = 1.0f;
    assert_true(isnan(p->whole.loss) && whole_step(&p->whole, 1.0));
    assert_int_equal(p->whole.slot_floats[SLOT_BASE], 0);
    whole_deinit(&p->whole);
}

/* ---- Backtracking ---------------------------------------------------------------------------- */

/* One element at 1 on the slope of the parabola w^2 / 2, whose first step the rate makes too long.
 */
static struct problem *search_create(double lr)
{
    struct problem *const p = problem_create(1);
    assert_int_equal(optimizer_hyper_set_word(p->whole.optimizer, "line_search", "backtracking",
                                              &p->whole.hyper, NULL),
                     STEPD_OK);
    p->whole.w[0] = p->whole.g[0] = 1.0f;
    p->whole.loss = 0.5;
    assert_true(whole_step(&p->whole, lr));
    assert_true((double)p->whole.w[0] == 1.0 - lr);
    return p;
}

static void lbfgs__trial_too_high__goes_back_half_way(void **state)
{
    (void)state;
    struct problem *const p = search_create(8.0);
    for (int halvings = 1; halvings <= 3; halvings++) {
        p->whole.g[0] = p->whole.w[0];
        p->whole.loss = 0.5 * (double)p->whole.w[0] * (double)p->whole.w[0];
        assert_true(whole_step(&p->whole, 8.0));
        assert_true((double)p->whole.w[0] == 1.0 - 8.0 * pow(0.5, halvings));
    }
    whole_deinit(&p->whole);
}

/* Far out a loss may be high and flat: that its gradient is 0 makes it no minimum. */
static void lbfgs__trial_too_high_without_gradient__goes_back_half_way(void **state)
{
    (void)state;
    struct problem *const p = search_create(8.0);
    p->whole.g[0] = 0.0f;
    p->whole.loss = 24.5;
    assert_true(whole_step(&p->whole, 8.0));
    assert_true(p->whole.w[0] == 1.0f - 4.0f);
    whole_deinit(&p->whole);
}

static void lbfgs__trial_low_enough__takes_the_next_direction(void **state)
{
    (void)state;
    struct problem *const p = search_create(1.5); /* at -0.5 with a loss of 0.125 */
    p->whole.g[0] = -0.5f;
    p->whole.loss = 0.125;
    assert_true(whole_step(&p->whole, 1.0));
    assert_true(p->whole.scalar[SCALAR_PAIRS] == 1.0);
    whole_assert_near(&p->whole, (const double[]){0.0}, 0.0); /* the parabola's inverse Hessian */
    whole_deinit(&p->whole);
}

/* Armijo: with t = 1 and a slope of -1 the loss must fall by c1. */
static void lbfgs__c1__is_what_the_loss_must_fall(void **state)
{
    (void)state;
    static const double losses[] = {0.26, 0.24};
    for (size_t k = 0; k < 2; k++) {
        struct problem *const p = search_create(1.0);
        p->whole.hyper.c1 = 0.25;
        p->whole.loss = losses[k];
        p->whole.g[0] = 0.5f;
        assert_true(whole_step(&p->whole, 1.0));
        assert_true((p->whole.scalar[SCALAR_N_ITER] == 1.0) == (losses[k] > 0.25));
        assert_true((p->whole.scalar[SCALAR_T] == 0.5) == (losses[k] > 0.25));
        whole_deinit(&p->whole);
    }
}

/* The slope is -4 and t is 1/2: so the loss must fall by 2 c1. */
static void lbfgs__sufficient_decrease__counts_slope_and_way(void **state)
{
    (void)state;
    static const double losses[] = {1.51, 1.49};
    for (size_t k = 0; k < 2; k++) {
        struct problem *const p = problem_create(1);
        p->whole.hyper.line_search = OPTIM_SEARCH_BACKTRACKING;
        p->whole.hyper.c1 = 0.25;
        p->whole.w[0] = p->whole.g[0] = 2.0f;
        p->whole.loss = 2.0;
        assert_true(whole_step(&p->whole, 1.0));
        assert_true(p->whole.w[0] == 1.0f);
        p->whole.loss = losses[k];
        p->whole.g[0] = 1.0f;
        assert_true(whole_step(&p->whole, 1.0));
        assert_true((p->whole.w[0] == 1.5f) == (losses[k] > 1.5));
        whole_deinit(&p->whole);
    }
}

static void lbfgs__no_trial_low_enough__begins_anew_where_it_was(void **state)
{
    (void)state;
    struct problem *const p = search_create(1.0);
    int rounds = 0;
    do {
        p->whole.loss = (double)INFINITY;
        assert_true(whole_step(&p->whole, 1.0));
        rounds++;
    } while (p->whole.scalar[SCALAR_N_ITER] > 0.0 && rounds < 100);
    assert_int_equal(rounds, 20);
    assert_true(p->whole.w[0] == 1.0f);
    p->whole.loss = 0.5;
    p->whole.g[0] = 1.0f;
    assert_true(whole_step(&p->whole, 0.25));
    assert_true(p->whole.w[0] == 0.75f);
    whole_deinit(&p->whole);
}

static void lbfgs__weights_that_stayed__are_no_trial(void **state)
{
    (void)state;
    struct problem *const p = search_create(1.0);
    p->whole.hyper.tolerance_change = 1.0;
    p->whole.g[0] = 0.5f;
    p->whole.loss = 0.25;
    assert_true(whole_step(&p->whole, 1.0));
    assert_true(p->whole.w[0] == 0.0f);
    p->whole.loss = 100.0;
    assert_true(whole_step(&p->whole, 1.0));
    assert_true(p->whole.w[0] == 0.0f);
    whole_deinit(&p->whole);
}

static void lbfgs__round_without_loss__makes_no_update(void **state)
{
    (void)state;
    struct problem *const p = search_create(1.0);
    assert_true(p->whole.optimizer->wants_loss(&p->whole.hyper));
    double scalar[OPTIMIZER_SCALARS_MAX];
    memcpy(scalar, p->whole.scalar, sizeof scalar);
    p->whole.loss = (double)NAN;
    assert_false(whole_step(&p->whole, 1.0));
    assert_true(p->whole.w[0] == 0.0f);
    assert_memory_equal(scalar, p->whole.scalar, sizeof scalar);
    assert_true(p->whole.slot[SLOT_D][0] == -1.0f);
    assert_true(p->whole.slot[SLOT_PREV_FLAT_GRAD][0] == 1.0f);
    whole_deinit(&p->whole);
}

static void lbfgs__backtracking_down_a_bowl__never_settles_higher(void **state)
{
    (void)state;
    struct problem *const p = problem_create(30);
    p->whole.hyper.line_search = OPTIM_SEARCH_BACKTRACKING;
    double best = (double)INFINITY;
    for (int t = 1; t <= 60; t++) {
        evaluate(p);
        assert_true(whole_step(&p->whole, 4.0)); /* a rate that alone would diverge */
        best = fmin(best, p->whole.loss);
    }
    evaluate(p);
    assert_true(p->whole.loss <= best * 1.01);
    for (size_t i = 0; i < p->whole.n; i++)
        assert_true(fabs((double)p->whole.g[i]) < 0.05);
    whole_deinit(&p->whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lbfgs__any_history__makes_torchs_steps),
        cmocka_unit_test(lbfgs__bowl__is_at_the_bottom_after_some_steps),
        cmocka_unit_test(lbfgs__first_step__is_no_longer_than_the_rate),
        cmocka_unit_test(lbfgs__gradient_within_tolerance__changes_nothing),
        cmocka_unit_test(lbfgs__slope_within_tolerance__stays_and_remembers),
        cmocka_unit_test(lbfgs__negative_curvature__keeps_the_old_pairs),
        cmocka_unit_test(lbfgs__without_search__needs_no_loss_and_no_base),
        cmocka_unit_test(lbfgs__trial_too_high__goes_back_half_way),
        cmocka_unit_test(lbfgs__trial_too_high_without_gradient__goes_back_half_way),
        cmocka_unit_test(lbfgs__trial_low_enough__takes_the_next_direction),
        cmocka_unit_test(lbfgs__c1__is_what_the_loss_must_fall),
        cmocka_unit_test(lbfgs__sufficient_decrease__counts_slope_and_way),
        cmocka_unit_test(lbfgs__no_trial_low_enough__begins_anew_where_it_was),
        cmocka_unit_test(lbfgs__weights_that_stayed__are_no_trial),
        cmocka_unit_test(lbfgs__round_without_loss__makes_no_update),
        cmocka_unit_test(lbfgs__backtracking_down_a_bowl__never_settles_higher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
