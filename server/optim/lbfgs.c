/* SPDX-License-Identifier: Apache-2.0
 *
 * L-BFGS: quasi-Newton steps for a whole group from the last history_size changes of weights and
 * gradient. Nocedal and Wright, Numerical Optimization, algorithms 7.4 (the two loops) and 7.5, in
 * the form of torch.optim.LBFGS with max_iter=1, called once for each round. With the step s = t d
 * that led here, and y = g - the gradient before it:
 *
 *     the pair (s, y) is kept where y.s > 1e-10, and then gamma = y.s / y.y
 *     q <- -g;    newest pair first:  al <- s.q / y.s     q <- q - al y
 *     d <- gamma q;  oldest first:    d <- d + (al - y.d / y.s) s
 *     t <- lr, or min(1, 1 / |g|_1) lr the first time, where d = -g
 *     w <- w + t d                                 unless g.d > -tolerance_change
 *
 * When no |g| is above tolerance_grad no step is made. The pairs are a ring: pair k of the scalars'
 * count is row (first + k) % history_size of old_stps (s) and old_dirs (y, PyTorch's name).
 *
 * `line_search: backtracking` makes of each round a trial: the point that the last round moved to
 * is kept only if its loss is low enough (Armijo's condition; Nocedal and Wright, algorithm 3.1):
 *
 *     f(w + t d) <= f(w) + c1 t g.d
 *
 * Otherwise the weights go back and then half as far, with the next round as the next trial; d, the
 * gradient that it was found with and the pairs stay as they are. After LBFGS_TRIALS_MAX of them
 * the weights stay where they were, all pairs are forgotten, and the next round begins anew, down
 * the gradient. PyTorch has Wolfe's conditions instead; they need gradients at points that no
 * worker computes one at.
 *
 * Losses and gradients of different rounds are compared, so all rounds must see the same examples.
 *
 * Sums are those of norms.h: in double, and with the same bits on every machine, which OpenBLAS's
 * dot products would not have.
 */
#include <math.h>
#include <string.h>

#include "server/optim/norms.h"
#include "server/optim/rows.h"

#define LBFGS_HISTORY_MAX   1000
#define LBFGS_TRIALS_MAX    20
#define LBFGS_CURVATURE_MIN 1e-10 /* of y.s */

enum { LBFGS_D, LBFGS_PREV_FLAT_GRAD, LBFGS_OLD_DIRS, LBFGS_OLD_STPS, LBFGS_BASE };

/* Scalars. */
enum {
    LBFGS_N_ITER, /* directions taken; 0 also after a search that failed */
    LBFGS_T,      /* how far along d */
    LBFGS_H_DIAG, /* gamma */
    LBFGS_PAIRS,
    LBFGS_FIRST,  /* row of the oldest pair */
    LBFGS_TRIALS, /* of this direction so far; 0: no trial is pending */
    LBFGS_LOSS,   /* f(w) */
    LBFGS_SLOPE,  /* g.d */
    LBFGS_SCALARS
};

static const struct optim_hyper_spec lbfgs_hyper[] = {
    {HYPER(lr), .fallback = 1.0, .most = HYPER_MOST},
    {HYPER(history_size), .fallback = 100.0, .least = 1.0, .most = LBFGS_HISTORY_MAX,
     .whole = true},
    {HYPER(tolerance_grad), .fallback = 1e-7, .most = HYPER_MOST},
    {HYPER(tolerance_change), .fallback = 1e-9, .most = HYPER_MOST},
    {HYPER_WORD(line_search, optim_search_words, OPTIM_SEARCH_NONE, OPTIM_SEARCH_BACKTRACKING)},
    {HYPER(c1), .fallback = 1e-4, .least_open = true, .most = 1.0, .most_open = true},
};

static bool searches(const struct optim_hyper *hyper)
{
    return (enum optim_search)hyper->line_search == OPTIM_SEARCH_BACKTRACKING;
}

/* ---- The memory of pairs --------------------------------------------------------------------- */

/* Row of pair k, 0 being the oldest. */
static size_t row_of(const struct optim_whole *whole, size_t history, size_t k)
{
    return ((size_t)whole->scalar[LBFGS_FIRST] + k) % history;
}

/* Keeps the pair of the last step, in place of the oldest if need be. Its y and s are made in the
 * scratch, as a pair that is not kept must not cost an old one. */
static void remember(const struct optim_hyper *hyper, const struct optim_whole *whole)
{
    const size_t n = whole->n, history = (size_t)hyper->history_size;
    double *const scalar = whole->scalar;
    float *restrict const y = whole->scratch;
    float *restrict const s = whole->scratch + n;
    const float *restrict const before = whole->slot[LBFGS_PREV_FLAT_GRAD];
    const float *restrict const d = whole->slot[LBFGS_D];
    const float *restrict const g = whole->g;
    for (size_t i = 0; i < n; i++) {
        y[i] = g[i] - before[i];
        s[i] = (float)(scalar[LBFGS_T] * (double)d[i]);
    }
    const double ys = norms_dot(n, y, s);
    if (!(ys > LBFGS_CURVATURE_MIN))
        return;
    if ((size_t)scalar[LBFGS_PAIRS] == history) {
        scalar[LBFGS_FIRST] = (double)row_of(whole, history, 1);
        scalar[LBFGS_PAIRS] -= 1.0;
    }
    const size_t row = row_of(whole, history, (size_t)scalar[LBFGS_PAIRS]);
    memcpy(whole->slot[LBFGS_OLD_DIRS] + row * n, y, n * sizeof *y);
    memcpy(whole->slot[LBFGS_OLD_STPS] + row * n, s, n * sizeof *s);
    scalar[LBFGS_PAIRS] += 1.0;
    scalar[LBFGS_H_DIAG] = ys / norms_sum_squares(n, y);
}

/* x <- x + factor y */
static void add(size_t n, double factor, const float *restrict y, float *restrict x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] + factor * (double)y[i]);
}

/* The two loops: d <- -(the inverse Hessian's estimate) g. */
static void find_direction(const struct optim_hyper *hyper, const struct optim_whole *whole)
{
    const size_t n = whole->n, history = (size_t)hyper->history_size;
    const size_t pairs = (size_t)whole->scalar[LBFGS_PAIRS];
    double al[LBFGS_HISTORY_MAX], ys[LBFGS_HISTORY_MAX];
    float *const d = whole->slot[LBFGS_D];
    for (size_t i = 0; i < n; i++)
        d[i] = -whole->g[i];
    for (size_t k = pairs; k-- > 0;) {
        const float *const y = whole->slot[LBFGS_OLD_DIRS] + row_of(whole, history, k) * n;
        const float *const s = whole->slot[LBFGS_OLD_STPS] + row_of(whole, history, k) * n;
        ys[k] = norms_dot(n, y, s);
        al[k] = norms_dot(n, s, d) / ys[k];
        add(n, -al[k], y, d);
    }
    for (size_t i = 0; i < n; i++)
        d[i] = (float)(whole->scalar[LBFGS_H_DIAG] * (double)d[i]);
    for (size_t k = 0; k < pairs; k++) {
        const float *const y = whole->slot[LBFGS_OLD_DIRS] + row_of(whole, history, k) * n;
        const float *const s = whole->slot[LBFGS_OLD_STPS] + row_of(whole, history, k) * n;
        add(n, al[k] - norms_dot(n, y, d) / ys[k], s, d);
    }
}

/* ---- Moving ---------------------------------------------------------------------------------- */

/* Moves from where the direction was found to t along it; 0 is that place itself. */
static void go_from_base(const struct optim_whole *whole, double t)
{
    memcpy(whole->w, whole->slot[LBFGS_BASE], whole->n * sizeof *whole->w);
    add(whole->n, t, whole->slot[LBFGS_D], whole->w);
}

/* The trial's loss is too high: half as far, or, after too many trials, back to begin anew. */
static void step_back(const struct optim_whole *whole)
{
    double *const scalar = whole->scalar;
    if (scalar[LBFGS_TRIALS] < LBFGS_TRIALS_MAX) {
        scalar[LBFGS_TRIALS] += 1.0;
        scalar[LBFGS_T] *= 0.5;
        go_from_base(whole, scalar[LBFGS_T]);
        return;
    }
    go_from_base(whole, 0.0);
    for (size_t i = 0; i < LBFGS_SCALARS; i++)
        scalar[i] = 0.0;
}

/* A loss that is not a number is too high as well. */
static bool too_high(const struct optim_hyper *hyper, const struct optim_whole *whole)
{
    const double *const scalar = whole->scalar;
    if (scalar[LBFGS_TRIALS] < 1.0)
        return false;
    return !(whole->loss <= scalar[LBFGS_LOSS] + hyper->c1 * scalar[LBFGS_T] * scalar[LBFGS_SLOPE]);
}

static void go_on(const struct optim_step *step, const struct optim_whole *whole, double sum_abs)
{
    const struct optim_hyper *const hyper = step->hyper;
    const size_t n = whole->n;
    double *const scalar = whole->scalar;
    if (scalar[LBFGS_N_ITER] > 0.0)
        remember(hyper, whole);
    else
        scalar[LBFGS_H_DIAG] = 1.0;
    find_direction(hyper, whole);
    memcpy(whole->slot[LBFGS_PREV_FLAT_GRAD], whole->g, n * sizeof *whole->g);
    scalar[LBFGS_T] = step->lr;
    if (!(scalar[LBFGS_N_ITER] > 0.0))
        scalar[LBFGS_T] *= fmin(1.0, 1.0 / sum_abs);
    scalar[LBFGS_N_ITER] += 1.0;
    scalar[LBFGS_TRIALS] = 0.0;

    const double slope = norms_dot(n, whole->g, whole->slot[LBFGS_D]);
    if (slope > -hyper->tolerance_change)
        return;
    if (searches(hyper)) {
        scalar[LBFGS_TRIALS] = 1.0;
        scalar[LBFGS_LOSS] = whole->loss;
        scalar[LBFGS_SLOPE] = slope;
        memcpy(whole->slot[LBFGS_BASE], whole->w, n * sizeof *whole->w);
    }
    add(n, scalar[LBFGS_T], whole->slot[LBFGS_D], whole->w);
}

static bool lbfgs_step(const struct optim_step *step, const struct optim_whole *whole)
{
    if (searches(step->hyper) && isnan(whole->loss))
        return false;
    double sum = 0.0, largest = 0.0;
    for (size_t i = 0; i < whole->n; i++) {
        sum += fabs((double)whole->g[i]);
        largest = fmax(largest, fabs((double)whole->g[i]));
    }
    /* In this order: where a trial went too far, the loss may be high and flat. */
    if (too_high(step->hyper, whole))
        step_back(whole);
    else if (largest > step->hyper->tolerance_grad)
        go_on(step, whole, sum);
    return true;
}

/* ---- The row --------------------------------------------------------------------------------- */

static uint64_t history_floats(const struct optim_hyper *hyper, size_t tensors,
                               const struct optim_shape *shape)
{
    return (uint64_t)hyper->history_size * optim_floats(hyper, tensors, shape);
}

/* y and s of the pair that may be kept. */
static uint64_t lbfgs_scratch(const struct optim_hyper *hyper, size_t tensors,
                              const struct optim_shape *shape)
{
    return 2 * optim_floats(hyper, tensors, shape);
}

const struct optimizer lbfgs_optimizer = {
    .name = "lbfgs",
    .source = "Nocedal and Wright, algorithms 7.4 and 7.5; torch.optim.LBFGS with max_iter=1",
    .scope = OPTIM_SCOPE_GROUP,
    .sync_only = true,
    .slot = {[LBFGS_D] = {.name = "d"},
             [LBFGS_PREV_FLAT_GRAD] = {.name = "prev_flat_grad"},
             [LBFGS_OLD_DIRS] = {.name = "old_dirs", .floats = history_floats},
             [LBFGS_OLD_STPS] = {.name = "old_stps", .floats = history_floats},
             [LBFGS_BASE] = {.name = "base_weights", .used = searches}},
    .scalars = LBFGS_SCALARS,
    .hypers = sizeof lbfgs_hyper / sizeof lbfgs_hyper[0],
    .hyper = lbfgs_hyper,
    .wants_loss = searches,
    .whole = lbfgs_step,
    .scratch = lbfgs_scratch,
};
