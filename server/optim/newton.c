/* SPDX-License-Identifier: Apache-2.0
 *
 * Newton's method, for groups of at most NEWTON_ELEMENTS_MAX elements, such as a linear regression.
 * Goodfellow et al., Deep Learning, algorithm 8.8 (equations 8.27 and 8.28): workers push the mean
 * Hessian of their examples behind the gradient, and with the round's means H and g
 *
 *     w <- w - lr (H + damping I)^-1 g
 *
 * H is n x n, row-major, over the group's elements in their order. Its symmetric part is what
 * counts: (H + H') / 2. The system is solved in double by Cholesky's factors, of OpenBLAS's LAPACK.
 *
 * Where the matrix is not positive definite, the solution may lead uphill. Then the damping grows:
 * to ten times what it was, and to float's epsilon times the largest entry at least, until the
 * matrix is one, which NEWTON_TRIES_MAX tries suffice for (no eigenvalue is below -n times the
 * largest entry). A pivot that is not more than float's epsilon times its diagonal entry counts
 * as 0: that is all that a Hessian of floats can tell, for instance of two inputs that are the
 * same. Only a Hessian of zeros with a damping of 0 has no solution; no update is made of it.
 *
 * OpenBLAS sums in an order of its own on each kind of processor: newton does not promise the same
 * bits on two machines. PyTorch has no Newton's method.
 */
#include <assert.h>
#include <f77blas.h>
#include <float.h>
#include <math.h>
#include <stdalign.h>

#include "proto/error.h"
#include "server/optim/rows.h"

#define NEWTON_TRIES_MAX 16

static const struct optim_hyper_spec newton_hyper[] = {
    {HYPER(lr), .fallback = 1.0, .most = HYPER_MOST},
    {HYPER(damping), .fallback = 0.0, .most = HYPER_MOST},
};

/* A system of equations, in doubles that lie in the step's scratch. */
struct equations {
    size_t n;
    double *matrix; /* n x n, symmetric: only i >= j is read */
    double *x;      /* right side, then solution */
};

/* Makes it H + damping I and g. Element (i, j) of LAPACK's column-major lower triangle, i >= j,
 * lies at i + j n. */
static void set_up(const struct equations *s, const struct optim_whole *whole, double damping)
{
    const size_t n = s->n;
    const float *const h = whole->extra;
    for (size_t j = 0; j < n; j++) {
        for (size_t i = j; i < n; i++)
            s->matrix[i + j * n] = 0.5 * ((double)h[i * n + j] + (double)h[j * n + i]);
        s->matrix[j + j * n] += damping;
        s->x[j] = (double)whole->g[j];
    }
}

/* Are the pivots of a factorization large enough to be believed? */
static bool is_definite(const struct equations *s, const struct optim_whole *whole, double damping)
{
    for (size_t i = 0; i < s->n; i++) {
        const double pivot = s->matrix[i + i * s->n];
        const double diagonal = (double)whole->extra[i + i * s->n] + damping;
        if (!(pivot * pivot > (double)FLT_EPSILON * diagonal))
            return false;
    }
    return true;
}

/* False: it is not positive definite. */
static bool solve(const struct equations *s, const struct optim_whole *whole, double damping)
{
    char lower = 'L';
    blasint n = (blasint)s->n, one = 1, failed = 0;
    set_up(s, whole, damping);
    dpotrf_(&lower, &n, s->matrix, &n, &failed);
    if (failed != 0 || !is_definite(s, whole, damping))
        return false;
    dpotrs_(&lower, &n, &one, s->matrix, &n, s->x, &n, &failed);
    return failed == 0;
}

static double largest_entry(const struct optim_whole *whole)
{
    double largest = 0.0;
    for (size_t i = 0; i < whole->n * whole->n; i++)
        largest = fmax(largest, fabs((double)whole->extra[i]));
    return largest;
}

static bool newton_step(const struct optim_step *step, const struct optim_whole *whole)
{
    const size_t n = whole->n;
    assert((uintptr_t)whole->scratch % alignof(double) == 0);
    double *const doubles = (double *)(void *)whole->scratch;
    const struct equations equations = {.n = n, .matrix = doubles, .x = doubles + n * n};
    const double least_growth = (double)FLT_EPSILON * largest_entry(whole);
    double damping = step->hyper->damping;
    for (int tries = 0; tries < NEWTON_TRIES_MAX; tries++) {
        if (solve(&equations, whole, damping)) {
            for (size_t i = 0; i < n; i++)
                whole->w[i] = (float)((double)whole->w[i] - step->lr * equations.x[i]);
            return true;
        }
        damping = fmax(10.0 * damping, least_growth);
    }
    return false;
}

static enum stepd_status newton_check_shape(const struct optim_hyper *hyper, size_t tensors,
                                            const struct optim_shape *shape,
                                            struct stepd_error *reterr)
{
    const uint64_t elements = optim_floats(hyper, tensors, shape);
    if (elements > NEWTON_ELEMENTS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "newton takes groups of at most %u elements, since their Hessian has the "
                          "square of that, and this group has %llu: use lbfgs, or split the group",
                          NEWTON_ELEMENTS_MAX, (unsigned long long)elements);
    return STEPD_OK;
}

static uint64_t newton_extra(uint64_t n)
{
    return n * n;
}

static uint64_t newton_scratch(const struct optim_hyper *hyper, size_t tensors,
                               const struct optim_shape *shape)
{
    const uint64_t n = optim_floats(hyper, tensors, shape);
    return (n * n + n) * (sizeof(double) / sizeof(float));
}

const struct optimizer newton_optimizer = {
    .name = "newton",
    .source = "Goodfellow et al., Deep Learning, algorithm 8.8",
    .scope = OPTIM_SCOPE_GROUP,
    .sync_only = true,
    .hypers = sizeof newton_hyper / sizeof newton_hyper[0],
    .hyper = newton_hyper,
    .rules = "groups of at most 1024 elements: their Hessian, which each push carries, has the "
             "square of that",
    .check_shape = newton_check_shape,
    .extra = newton_extra,
    .whole = newton_step,
    .scratch = newton_scratch,
};
