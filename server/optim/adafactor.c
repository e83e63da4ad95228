/* SPDX-License-Identifier: Apache-2.0
 *
 * Adafactor: the mean square of a matrix's gradient is not kept element by element but as the outer
 * product of its rows' and its columns' means. Shazeer and Stern 2018, algorithms 4 and 5, in the
 * form of torch.optim.Adafactor, whose names these are:
 *
 *     beta2 <- 1 - t^beta2_decay                                       beta2_decay is negative
 *     alpha <- max(eps2, RMS(w)) min(lr, 1 / sqrt(t))
 *     w <- (1 - lr weight_decay) w
 *     row_var <- beta2 row_var + (1 - beta2) mean of g^2 over a row
 *     col_var <- beta2 col_var + (1 - beta2) mean of g^2 over a column
 *     v <- row_var col_var / max(mean of row_var, eps1)
 *     u <- g / sqrt(max(v, eps1^2))
 *     w <- w - alpha u / max(1, RMS(u) / d)
 *
 * RMS is the root mean square over the tensor. A tensor of more than two dimensions is a batch of
 * matrices of its last two, each with its own factors. A tensor of one dimension, or of none, keeps
 * v itself: variance <- beta2 variance + (1 - beta2) g^2.
 *
 * PyTorch differs from the paper in that lr bounds the relative step (the paper: 0.01) and in where
 * eps1 stands (the paper adds it to g^2); optax has a third place, and factors only dimensions of
 * 128 or more. eps1 is 0 by default, and then float's epsilon, as PyTorch's None is for float32
 * tensors. u never divides by less than the root of FLT_MIN, where PyTorch would make a NaN of 0/0.
 *
 * Sums are in double and in a fixed order, so all machines get the same bits.
 */
#include <float.h>
#include <math.h>

#include "server/base/exact.h"
#include "server/optim/norms.h"
#include "server/optim/rows.h"

enum { ADAFACTOR_ROW_VAR, ADAFACTOR_COL_VAR, ADAFACTOR_VARIANCE };

/* Columns that are summed side by side. */
#define COLUMNS_AT_ONCE 64u

static const struct optim_hyper_spec adafactor_hyper[] = {
    {HYPER(lr), .fallback = 1e-2, .most = HYPER_MOST},
    {HYPER(beta2_decay), .fallback = -0.8, .least = -10.0, .most = 0.0},
    {HYPER(eps1), .fallback = 0.0, .most = 1.0},
    {HYPER(eps2), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(d), .fallback = 1.0, .least = 1.0, .most = HYPER_MOST},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* A tensor of two or more dimensions, as matrices one behind the other. */
struct matrices {
    size_t count;
    size_t rows;
    size_t columns;
};

static bool is_factored(const struct optim_shape *shape)
{
    return shape->dims >= 2;
}

static struct matrices matrices_of(const struct optim_shape *shape)
{
    struct matrices m = {.count = 1,
                         .rows = (size_t)shape->dim[shape->dims - 2],
                         .columns = (size_t)shape->dim[shape->dims - 1]};
    for (size_t i = 0; i + 2 < shape->dims; i++)
        m.count *= (size_t)shape->dim[i];
    return m;
}

static uint64_t row_var_floats(const struct optim_hyper *hyper, size_t tensors,
                               const struct optim_shape *shape)
{
    (void)hyper;
    (void)tensors;
    if (!is_factored(shape))
        return 0;
    const struct matrices m = matrices_of(shape);
    return (uint64_t)m.count * m.rows;
}

static uint64_t col_var_floats(const struct optim_hyper *hyper, size_t tensors,
                               const struct optim_shape *shape)
{
    (void)hyper;
    (void)tensors;
    if (!is_factored(shape))
        return 0;
    const struct matrices m = matrices_of(shape);
    return (uint64_t)m.count * m.columns;
}

static uint64_t variance_floats(const struct optim_hyper *hyper, size_t tensors,
                                const struct optim_shape *shape)
{
    (void)hyper;
    (void)tensors;
    return is_factored(shape) ? 0 : shape->elements;
}

/* ---- The estimate of v ----------------------------------------------------------------------- */

/* What the estimates are told. */
struct estimate {
    double weight; /* 1 - beta2 */
    double eps1;
    float least; /* of v */
};

static float blend(float old, double new, double weight)
{
    return (float)((double)old + weight * (new - (double)old));
}

static void move_rows(struct matrices m, const float *g, double weight, float *row_var)
{
    for (size_t r = 0; r < m.rows; r++) {
        const double squares = norms_sum_squares(m.columns, g + r * m.columns);
        row_var[r] = blend(row_var[r], squares / (double)m.columns, weight);
    }
}

static void move_columns(struct matrices m, const float *g, double weight, float *col_var)
{
    for (size_t first = 0; first < m.columns; first += COLUMNS_AT_ONCE) {
        const size_t rest = m.columns - first;
        const size_t some = rest < COLUMNS_AT_ONCE ? rest : COLUMNS_AT_ONCE;
        double squares[COLUMNS_AT_ONCE] = {0.0};
        for (size_t r = 0; r < m.rows; r++) {
            const float *const row = g + r * m.columns + first;
            for (size_t c = 0; c < some; c++)
                squares[c] += (double)row[c] * (double)row[c];
        }
        for (size_t c = 0; c < some; c++)
            col_var[first + c] = blend(col_var[first + c], squares[c] / (double)m.rows, weight);
    }
}

/* u of one row, whose share of v is `share` times col_var. */
static void divide_row(size_t columns, const float *restrict g, float share, float least,
                       const float *restrict col_var, float *restrict u)
{
    for (size_t c = 0; c < columns; c++) {
        const float v = share * col_var[c];
        u[c] = g[c] / sqrtf(v > least ? v : least);
    }
}

static void factored(const struct estimate *e, const struct optim_whole *whole, float *u)
{
    const struct matrices m = matrices_of(whole->shape);
    for (size_t k = 0; k < m.count; k++) {
        const size_t start = k * m.rows * m.columns;
        const float *const g = whole->g + start;
        float *const row_var = whole->slot[ADAFACTOR_ROW_VAR] + k * m.rows;
        float *const col_var = whole->slot[ADAFACTOR_COL_VAR] + k * m.columns;
        move_rows(m, g, e->weight, row_var);
        move_columns(m, g, e->weight, col_var);
        double mean = 0.0;
        for (size_t r = 0; r < m.rows; r++)
            mean += (double)row_var[r];
        mean = fmax(mean / (double)m.rows, e->eps1);
        for (size_t r = 0; r < m.rows; r++)
            divide_row(m.columns, g + r * m.columns, (float)((double)row_var[r] / mean), e->least,
                       col_var, u + start + r * m.columns);
    }
}

static void unfactored(const struct estimate *e, const struct optim_whole *whole, float *restrict u)
{
    float *restrict const variance = whole->slot[ADAFACTOR_VARIANCE];
    const float *restrict const g = whole->g;
    for (size_t i = 0; i < whole->n; i++) {
        variance[i] = blend(variance[i], (double)g[i] * (double)g[i], e->weight);
        u[i] = g[i] / sqrtf(variance[i] > e->least ? variance[i] : e->least);
    }
}

/* ---- The step -------------------------------------------------------------------------------- */

static bool adafactor_step(const struct optim_step *step, const struct optim_whole *whole)
{
    const struct optim_hyper *const hyper = step->hyper;
    const double t = (double)step->t;
    const double root_n = sqrt((double)whole->n);
    const double eps1 = hyper->eps1 > 0.0 ? hyper->eps1 : (double)FLT_EPSILON;
    const struct estimate e = {.weight = exact_pow(t, hyper->beta2_decay),
                               .eps1 = eps1,
                               .least = (float)fmax(eps1 * eps1, (double)FLT_MIN)};
    float *restrict const u = whole->scratch;
    if (is_factored(whole->shape))
        factored(&e, whole, u);
    else
        unfactored(&e, whole, u);

    float *restrict const w = whole->w;
    const double alpha =
        fmax(hyper->eps2, norms_length(whole->n, w) / root_n) * fmin(step->lr, 1.0 / sqrt(t));
    const double clip = fmax(1.0, norms_length(whole->n, u) / (root_n * hyper->d));
    const double rate = alpha / clip;
    const double shrink = 1.0 - step->lr * hyper->weight_decay;
    for (size_t i = 0; i < whole->n; i++)
        w[i] = (float)(shrink * (double)w[i] - rate * (double)u[i]);
    return true;
}

const struct optimizer adafactor_optimizer = {
    .name = "adafactor",
    .source = "Shazeer and Stern 2018, algorithms 4 and 5; torch.optim.Adafactor",
    .scope = OPTIM_SCOPE_TENSOR,
    .slot = {[ADAFACTOR_ROW_VAR] = {.name = "row_var", .floats = row_var_floats},
             [ADAFACTOR_COL_VAR] = {.name = "col_var", .floats = col_var_floats},
             [ADAFACTOR_VARIANCE] = {.name = "variance", .floats = variance_floats}},
    .hypers = sizeof adafactor_hyper / sizeof adafactor_hyper[0],
    .hyper = adafactor_hyper,
    .whole = adafactor_step,
    .scratch = optim_floats,
};
