/* SPDX-License-Identifier: Apache-2.0
 *
 * Muon: momentum whose step, a matrix, is brought close to an orthogonal one. Jordan et al. 2024,
 * "Muon: An optimizer for hidden layers in neural networks", in the form of torch.optim.Muon:
 *
 *     b <- b + (1 - momentum) (g - b)              PyTorch's page prints b <- momentum b + g
 *     x <- g + momentum (b - g) with nesterov, else b
 *     x <- x / max(|x|, eps)                                     Frobenius norm
 *     ns_steps times, for a matrix that is no taller than wide (else of its transpose):
 *         a <- x x'        x <- ns_a x + (ns_b a + ns_c a a) x
 *     w <- (1 - lr weight_decay) w
 *     w <- w - lr f x          f = sqrt(max(1, rows / columns)), or 0.2 sqrt(max(rows, columns))
 *
 * What "equal to PyTorch" can mean: PyTorch iterates in bfloat16, whatever the type of the weights,
 * so its own float32 and float64 runs differ by whole bfloat16 ulps as soon as one rounding falls
 * on the other side. We keep x and a in float but round them to bfloat16 where PyTorch does: x when
 * it enters, its norm, the quotient, and each of the three products with what is added to it, once.
 * Sums inside a product are float32 in both. Small matrices then come out the same but for such
 * roundings; of large ones both are equally good approximations.
 *
 * The products are OpenBLAS's sgemm, which sums in an order of its own on each kind of processor:
 * muon does not promise the same bits on two machines. On one machine it does.
 */
#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "proto/error.h"
#include "server/optim/norms.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec muon_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(weight_decay), .fallback = 0.1, .most = HYPER_MOST},
    {HYPER(momentum), .fallback = 0.95, .most = 1.0, .most_open = true},
    {HYPER_BOOL(nesterov, 1.0)},
    {HYPER(ns_a), .fallback = 3.4445, .least = -1e3, .most = 1e3},
    {HYPER(ns_b), .fallback = -4.7750, .least = -1e3, .most = 1e3},
    {HYPER(ns_c), .fallback = 2.0315, .least = -1e3, .most = 1e3},
    {HYPER(eps), .fallback = 1e-7, .least = 1e-30, .most = 1.0},
    {HYPER(ns_steps), .fallback = 5.0, .most = 99.0, .whole = true},
    {HYPER_WORD(adjust_lr_fn, optim_adjust_words, OPTIM_ADJUST_ORIGINAL, OPTIM_ADJUST_MATCH_RMS)},
};

/* ---- bfloat16 -------------------------------------------------------------------------------- */

/* To the nearest number with 8 bits of fraction, ties to even. x is finite. */
static float round_bfloat16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits += 0x7fffu + ((bits >> 16) & 1u);
    bits &= 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void round_all(size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = round_bfloat16(x[i]);
}

/* ---- The iteration --------------------------------------------------------------------------- */

/* A matrix and what its iteration needs beside it. */
struct iteration {
    int rows;
    int columns;
    bool tall;   /* more rows than columns */
    int side;    /* the smaller of the two */
    float *x;    /* rows x columns */
    float *next; /* rows x columns */
    float *a;    /* side x side */
    float *b;    /* side x side */
};

static size_t area(int rows, int columns)
{
    return (size_t)rows * (size_t)columns;
}

/* a <- x x', or x' x where x is tall. */
static void gram(const struct iteration *it)
{
    const int inner = it->tall ? it->rows : it->columns;
    cblas_sgemm(CblasRowMajor, it->tall ? CblasTrans : CblasNoTrans,
                it->tall ? CblasNoTrans : CblasTrans, it->side, it->side, inner, 1.0f, it->x,
                it->columns, it->x, it->columns, 0.0f, it->a, it->side);
    round_all(area(it->side, it->side), it->a);
}

/* b <- ns_b a + ns_c a a */
static void polynomial(const struct iteration *it, const struct optim_hyper *hyper)
{
    memcpy(it->b, it->a, area(it->side, it->side) * sizeof *it->b);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, it->side, it->side, it->side,
                (float)hyper->ns_c, it->a, it->side, it->a, it->side, (float)hyper->ns_b, it->b,
                it->side);
    round_all(area(it->side, it->side), it->b);
}

/* x <- ns_a x + b x; of the transpose, x b'. */
static void multiply(struct iteration *it, const struct optim_hyper *hyper)
{
    const size_t n = area(it->rows, it->columns);
    memcpy(it->next, it->x, n * sizeof *it->next);
    if (it->tall)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, it->rows, it->columns, it->side, 1.0f,
                    it->x, it->columns, it->b, it->side, (float)hyper->ns_a, it->next, it->columns);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, it->rows, it->columns, it->side,
                    1.0f, it->b, it->side, it->x, it->columns, (float)hyper->ns_a, it->next,
                    it->columns);
    round_all(n, it->next);
    float *const old = it->x;
    it->x = it->next;
    it->next = old;
}

/* Leaves the result in it->x. */
static void orthogonalize(struct iteration *it, const struct optim_hyper *hyper)
{
    const size_t n = area(it->rows, it->columns);
    round_all(n, it->x);
    const float length = round_bfloat16((float)norms_length(n, it->x));
    const float divisor = fmaxf(length, round_bfloat16((float)hyper->eps));
    for (size_t i = 0; i < n; i++)
        it->x[i] = round_bfloat16(it->x[i] / divisor);
    for (int k = 0; k < (int)hyper->ns_steps; k++) {
        gram(it);
        polynomial(it, hyper);
        multiply(it, hyper);
    }
}

/* ---- The step -------------------------------------------------------------------------------- */

/* torch.lerp with a weight below 1/2, and its other branch: the end that is nearer comes first. */
static float lerp(float from, float to, float weight)
{
    const float change = to - from;
    const double more = weight < 0.5f ? (double)weight : (double)(weight - 1.0f);
    return (float)(more * (double)change + (double)(weight < 0.5f ? from : to));
}

static void move_momentum(const struct optim_hyper *hyper, const struct optim_whole *whole,
                          float *restrict x)
{
    const float momentum = (float)hyper->momentum;
    const float one_minus_momentum = (float)(1.0 - hyper->momentum);
    const bool nesterov = hyper->nesterov > 0.0;
    const float *restrict const g = whole->g;
    float *restrict const b = whole->slot[0];
    for (size_t i = 0; i < whole->n; i++) {
        b[i] = lerp(b[i], g[i], one_minus_momentum);
        x[i] = nesterov ? lerp(g[i], b[i], momentum) : b[i];
    }
}

static double adjustment(const struct optim_hyper *hyper, double rows, double columns)
{
    if ((enum optim_adjust)hyper->adjust_lr_fn == OPTIM_ADJUST_MATCH_RMS)
        return 0.2 * sqrt(fmax(rows, columns));
    return sqrt(fmax(1.0, rows / columns));
}

static bool muon_step(const struct optim_step *step, const struct optim_whole *whole)
{
    const struct optim_hyper *const hyper = step->hyper;
    const int rows = (int)whole->shape->dim[0], columns = (int)whole->shape->dim[1];
    const int side = rows < columns ? rows : columns;
    float *const squares = whole->scratch + 2 * whole->n;
    struct iteration it = {.rows = rows,
                           .columns = columns,
                           .tall = rows > columns,
                           .side = side,
                           .x = whole->scratch,
                           .next = whole->scratch + whole->n,
                           .a = squares,
                           .b = squares + area(side, side)};
    move_momentum(hyper, whole, it.x);
    orthogonalize(&it, hyper);

    const double rate = step->lr * adjustment(hyper, rows, columns);
    const float shrink = (float)(1.0 - step->lr * hyper->weight_decay);
    float *restrict const w = whole->w;
    for (size_t i = 0; i < whole->n; i++)
        w[i] = (float)((double)(w[i] * shrink) - (double)(float)rate * (double)it.x[i]);
    return true;
}

static enum stepd_status muon_check_shape(const struct optim_hyper *hyper, size_t tensors,
                                          const struct optim_shape *shape,
                                          struct stepd_error *reterr)
{
    (void)hyper;
    (void)tensors;
    if (shape->dims != 2)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "muon takes matrices only, and this tensor has %zu dimension%s: put it "
                          "in another group, for instance with adamw (a group's ndim: 2 leaves "
                          "all others out)",
                          shape->dims, shape->dims == 1 ? "" : "s");
    if (shape->dim[0] > INT_MAX || shape->dim[1] > INT_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "muon takes matrices of at most %d rows or columns", INT_MAX);
    return STEPD_OK;
}

static uint64_t muon_scratch(const struct optim_hyper *hyper, size_t tensors,
                             const struct optim_shape *shape)
{
    (void)hyper;
    (void)tensors;
    const uint64_t side = shape->dim[0] < shape->dim[1] ? shape->dim[0] : shape->dim[1];
    return 2 * shape->elements + 2 * side * side;
}

const struct optimizer muon_optimizer = {
    .name = "muon",
    .source = "Jordan et al. 2024; torch.optim.Muon, bfloat16 rounding included",
    .scope = OPTIM_SCOPE_TENSOR,
    .slot = {{.name = "momentum_buffer"}},
    .hypers = sizeof muon_hyper / sizeof muon_hyper[0],
    .hyper = muon_hyper,
    .rules = "matrices only: other tensors go into another group (a group's ndim: 2 leaves them "
             "out)",
    .check_shape = muon_check_shape,
    .whole = muon_step,
    .scratch = muon_scratch,
};
