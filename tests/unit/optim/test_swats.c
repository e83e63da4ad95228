/* SPDX-License-Identifier: Apache-2.0
 *
 * SWATS against algorithm 1 of Keskar and Socher 2017, transcribed in double: Adam's phase, the
 * change, and SGD's; and the choices that swats.c names where the paper is silent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/numbers.h"
#include "tests/unit/optim/whole.h"

#define N     300
#define STEPS 80
#define ULPS  (2 * STEPS)

/* Where the scalars lie. */
enum { LAMBDA, RATE, LR_BEFORE };

/* The paper's letters. */
struct reference {
    double w[N], m[N], a[N], v[N];
    double lambda;
    double big_lambda; /* 0 as long as Adam steps */
    double lr_before;
};

static void sgd(const struct optim_hyper *h, double lr, size_t n, const double *g,
                struct reference *r)
{
    for (size_t i = 0; i < n; i++) {
        r->v[i] = h->beta1 * r->v[i] + g[i] + h->weight_decay * r->w[i];
        r->w[i] -= (1.0 - h->beta1) * (r->big_lambda * lr / r->lr_before) * r->v[i];
    }
}

static void adam(const struct optim_hyper *h, double lr, uint64_t k, size_t n, const double *g,
                 struct reference *r)
{
    double pp = 0.0, pg = 0.0;
    const double correction1 = 1.0 - pow(h->beta1, (double)k);
    const double correction2 = 1.0 - pow(h->beta2, (double)k);
    for (size_t i = 0; i < n; i++) {
        const double gi = g[i] + h->weight_decay * r->w[i];
        r->m[i] = h->beta1 * r->m[i] + (1.0 - h->beta1) * gi;
        r->a[i] = h->beta2 * r->a[i] + (1.0 - h->beta2) * gi * gi;
        const double p = -lr * sqrt(correction2) / correction1 * r->m[i] / (sqrt(r->a[i]) + h->eps);
        r->w[i] += p;
        pp += p * p;
        pg += p * gi;
    }
    if (pg == 0.0)
        return;
    const double gamma = pp / -pg;
    r->lambda = h->beta2 * r->lambda + (1.0 - h->beta2) * gamma;
    const double corrected = r->lambda / correction2;
    if (k > 1 && corrected > 0.0 && fabs(corrected - gamma) < h->eps) {
        r->big_lambda = corrected;
        r->lr_before = lr;
    }
}

struct pair {
    struct whole whole;
    struct reference reference;
    uint64_t dim;
    uint64_t seed;
};

static void pair_init(struct pair *pair, size_t n)
{
    *pair = (struct pair){.dim = n, .seed = 23};
    whole_init(&pair->whole, "swats", 1,
               &(struct optim_shape){.dims = 1, .dim = &pair->dim, .elements = n});
    for (size_t i = 0; i < n; i++)
        pair->reference.w[i] = (double)(pair->whole.w[i] = numbers_uniform(&pair->seed));
}

/* One step of both down the bowl of |w|^2 / 2, with some noise. */
static void pair_step(struct pair *pair, double lr, float noise)
{
    double g[N];
    for (size_t i = 0; i < pair->whole.n; i++) {
        pair->whole.g[i] = pair->whole.w[i] + noise * numbers_uniform(&pair->seed);
        g[i] = (double)pair->whole.g[i];
    }
    assert_true(whole_step(&pair->whole, lr));
    if (pair->reference.big_lambda > 0.0)
        sgd(&pair->whole.hyper, lr, pair->whole.n, g, &pair->reference);
    else
        adam(&pair->whole.hyper, lr, pair->whole.t, pair->whole.n, g, &pair->reference);
    whole_assert_near(&pair->whole, pair->reference.w, ULPS);
}

static void swats__estimates_that_differ__stays_adam(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, N);
    pair.whole.hyper.weight_decay = 0.1;
    for (int t = 1; t <= STEPS; t++)
        pair_step(&pair, 1e-2, 0.5f);
    assert_true(pair.whole.scalar[RATE] == 0.0);
    assert_true(pair.whole.scalar[LAMBDA] > 0.0);
    whole_deinit(&pair.whole);
}

/* eps is also the distance at which two estimates count as the same: a large one is soon met. */
static void swats__estimates_that_agree__goes_on_as_sgd(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, N);
    pair.whole.hyper.eps = 1e-4;
    pair.whole.hyper.weight_decay = 0.01;
    for (int t = 1; t <= STEPS; t++)
        pair_step(&pair, 1e-2, 0.5f);
    assert_true(pair.reference.big_lambda > 0.0);
    assert_true(fabs(pair.whole.scalar[RATE] / pair.reference.big_lambda - 1.0) < 1e-4);
    whole_deinit(&pair.whole);
}

static void swats__first_step__never_ends_adam(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, 1);
    pair.whole.hyper.eps = 1.0;
    pair_step(&pair, 1e-2, 0.0f);
    assert_true(pair.whole.scalar[RATE] == 0.0);
    pair_step(&pair, 1e-2, 0.0f);
    assert_true(pair.whole.scalar[RATE] > 0.0);
    whole_deinit(&pair.whole);
}

static void swats__schedule__scales_the_rate_that_was_found(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, N);
    pair.whole.hyper.eps = 1e-3;
    for (int t = 1; t <= STEPS; t++)
        pair_step(&pair, 1e-2 / t, 0.1f);
    assert_true(pair.whole.scalar[RATE] > 0.0);
    assert_true(pair.whole.scalar[LR_BEFORE] > 1e-2 / STEPS);
    whole_deinit(&pair.whole);
}

/* The gradient turns round: momentum goes on uphill, and the rate would be negative. */
static void swats__rate_that_is_negative__does_not_end_adam(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, 1);
    pair.whole.hyper.eps = 1.0;
    pair.whole.hyper.beta2 = 0.0; /* lambda is the last gamma */
    pair.whole.g[0] = 1.0f;
    assert_true(whole_step(&pair.whole, 1e-3));
    pair.whole.g[0] = -1e-2f;
    assert_true(whole_step(&pair.whole, 1e-3));
    assert_true(pair.whole.scalar[LAMBDA] < 0.0);
    assert_true(pair.whole.scalar[RATE] == 0.0);
    whole_deinit(&pair.whole);
}

static void swats__gradient_of_zero__decides_nothing(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, 3);
    for (int t = 1; t <= 3; t++)
        assert_true(whole_step(&pair.whole, 1e-3));
    whole_assert_near(&pair.whole, pair.reference.w, 0.0);
    assert_true(pair.whole.scalar[LAMBDA] == 0.0);
    whole_deinit(&pair.whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(swats__estimates_that_differ__stays_adam),
        cmocka_unit_test(swats__estimates_that_agree__goes_on_as_sgd),
        cmocka_unit_test(swats__first_step__never_ends_adam),
        cmocka_unit_test(swats__schedule__scales_the_rate_that_was_found),
        cmocka_unit_test(swats__rate_that_is_negative__does_not_end_adam),
        cmocka_unit_test(swats__gradient_of_zero__decides_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
