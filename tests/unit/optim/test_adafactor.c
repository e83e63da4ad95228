/* SPDX-License-Identifier: Apache-2.0
 *
 * Adafactor against the update that PyTorch's page prints, transcribed in double for tensors of
 * every number of dimensions, and at the edges: zero gradients, zero weights, a single element.
 */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/numbers.h"
#include "tests/unit/optim/whole.h"

#define N_MOST 2000
#define STEPS  50
#define ULPS   (2 * STEPS)

/* A tensor in double: `count` matrices. One of fewer than two dimensions is not factored. */
struct reference {
    size_t count, rows, columns;
    bool factored;
    double w[N_MOST];
    double row_var[N_MOST];
    double col_var[N_MOST];
    double variance[N_MOST];
};

static double root_mean_square(size_t n, const double *x)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum / (double)n);
}

/* The estimate of v of one matrix, whose first element is number `start`. */
static void estimate_matrix(const struct optim_hyper *h, double one_minus_beta2, const double *g,
                            size_t k, struct reference *r, double *v)
{
    const size_t start = k * r->rows * r->columns;
    double *const row_var = r->row_var + k * r->rows, *const col_var = r->col_var + k * r->columns;
    double mean = 0.0;
    for (size_t i = 0; i < r->rows; i++) {
        const double rms = root_mean_square(r->columns, g + start + i * r->columns);
        row_var[i] = (1.0 - one_minus_beta2) * row_var[i] + one_minus_beta2 * rms * rms;
        mean += row_var[i] / (double)r->rows;
    }
    for (size_t j = 0; j < r->columns; j++) {
        double squares = 0.0;
        for (size_t i = 0; i < r->rows; i++)
            squares += pow(g[start + i * r->columns + j], 2.0);
        col_var[j] =
            (1.0 - one_minus_beta2) * col_var[j] + one_minus_beta2 * squares / (double)r->rows;
    }
    for (size_t i = 0; i < r->rows; i++)
        for (size_t j = 0; j < r->columns; j++)
            v[start + i * r->columns + j] = row_var[i] * col_var[j] / fmax(mean, h->eps1);
}

/* torch.optim.Adafactor's page, line by line. */
static void step_reference(const struct optim_hyper *h, double lr, uint64_t t, const double *g,
                           struct reference *r)
{
    const size_t n = r->count * r->rows * r->columns;
    static double v[N_MOST], u[N_MOST];
    const double one_minus_beta2 = pow((double)t, h->beta2_decay);
    const double rho = fmin(lr, 1.0 / sqrt((double)t));
    const double alpha = fmax(h->eps2, root_mean_square(n, r->w)) * rho;
    for (size_t i = 0; i < n; i++)
        r->w[i] -= lr * h->weight_decay * r->w[i];
    for (size_t k = 0; r->factored && k < r->count; k++)
        estimate_matrix(h, one_minus_beta2, g, k, r, v);
    for (size_t i = 0; !r->factored && i < n; i++)
        v[i] = r->variance[i] =
            (1.0 - one_minus_beta2) * r->variance[i] + one_minus_beta2 * g[i] * g[i];
    for (size_t i = 0; i < n; i++)
        u[i] = g[i] / fmax(sqrt(v[i]), h->eps1);
    const double clip = fmax(1.0, root_mean_square(n, u) / h->d);
    for (size_t i = 0; i < n; i++)
        r->w[i] -= alpha * u[i] / clip;
}

/* One tensor and its reference, with the same random weights. */
struct pair {
    struct whole whole;
    struct reference *reference;
    uint64_t dim[4];
    uint64_t seed;
};

static struct reference reference_room;

static void pair_init(struct pair *pair, size_t dims, const uint64_t *dim)
{
    *pair = (struct pair){.reference = &reference_room, .seed = 17};
    struct reference *const r = pair->reference;
    *r = (struct reference){.count = 1, .rows = 1, .columns = 1, .factored = dims >= 2};
    for (size_t i = 0; i < dims; i++)
        pair->dim[i] = dim[i];
    if (dims >= 1)
        r->columns = (size_t)dim[dims - 1];
    if (dims >= 2)
        r->rows = (size_t)dim[dims - 2];
    for (size_t i = 0; i + 2 < dims; i++)
        r->count *= (size_t)dim[i];
    const size_t n = r->count * r->rows * r->columns;
    whole_init(&pair->whole, "adafactor", 1,
               &(struct optim_shape){.dims = dims, .dim = pair->dim, .elements = n});
    pair->whole.hyper.eps1 = 1e-5;
    for (size_t i = 0; i < n; i++)
        r->w[i] = (double)(pair->whole.w[i] = numbers_uniform(&pair->seed));
}

static void pair_step(struct pair *pair, double lr)
{
    static double g[N_MOST];
    for (size_t i = 0; i < pair->whole.n; i++) {
        const float noise = numbers_uniform(&pair->seed);
        g[i] = (double)(pair->whole.g[i] = pair->whole.w[i] + 0.5f * noise);
    }
    assert_true(whole_step(&pair->whole, lr));
    step_reference(&pair->whole.hyper, lr, pair->whole.t, g, pair->reference);
    whole_assert_near(&pair->whole, pair->reference->w, ULPS);
}

static void follow(size_t dims, const uint64_t *dim)
{
    for (size_t setting = 0; setting < 2; setting++) {
        struct pair pair;
        pair_init(&pair, dims, dim);
        if (setting == 1) {
            pair.whole.hyper.weight_decay = 0.1;
            pair.whole.hyper.beta2_decay = -0.5;
            pair.whole.hyper.d = 1.5;
            pair.whole.hyper.eps1 = 0.5;
            pair.whole.hyper.eps2 = 1.0;
        }
        for (int t = 1; t <= STEPS; t++)
            pair_step(&pair, setting == 1 ? 0.3 / t : 0.5);
        whole_deinit(&pair.whole);
    }
}

static void adafactor__scalar_or_vector__keeps_the_variance(void **state)
{
    (void)state;
    follow(0, NULL);
    follow(1, (const uint64_t[]){1});
    follow(1, (const uint64_t[]){1000});
}

static void adafactor__matrix__is_factored(void **state)
{
    (void)state;
    follow(2, (const uint64_t[]){1, 1});
    follow(2, (const uint64_t[]){1, 9});
    follow(2, (const uint64_t[]){9, 1});
    follow(2, (const uint64_t[]){13, 150});
}

static void adafactor__more_dimensions__factors_the_last_two(void **state)
{
    (void)state;
    follow(3, (const uint64_t[]){3, 5, 7});
    follow(4, (const uint64_t[]){4, 3, 5, 5});
    follow(4, (const uint64_t[]){2, 1, 70, 2});
}

static void adafactor__state__is_as_large_as_the_factors(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, 3, (const uint64_t[]){3, 5, 7});
    pair_step(&pair, 0.1);
    assert_int_equal(pair.whole.slot_floats[0], 15);
    assert_int_equal(pair.whole.slot_floats[1], 21);
    assert_int_equal(pair.whole.slot_floats[2], 0);
    whole_deinit(&pair.whole);
    pair_init(&pair, 1, (const uint64_t[]){7});
    pair_step(&pair, 0.1);
    assert_int_equal(pair.whole.slot_floats[0], 0);
    assert_int_equal(pair.whole.slot_floats[1], 0);
    assert_int_equal(pair.whole.slot_floats[2], 7);
    whole_deinit(&pair.whole);
}

static void adafactor__eps1_of_zero__is_floats_epsilon(void **state)
{
    (void)state;
    struct pair a, b;
    pair_init(&a, 2, (const uint64_t[]){2, 2});
    pair_init(&b, 2, (const uint64_t[]){2, 2});
    a.whole.hyper.eps1 = 0.0;
    b.whole.hyper.eps1 = (double)FLT_EPSILON;
    for (size_t i = 0; i < 4; i++)
        a.whole.g[i] = b.whole.g[i] = 1e-9f * (float)i;
    assert_true(whole_step(&a.whole, 0.1) && whole_step(&b.whole, 0.1));
    assert_memory_equal(a.whole.w, b.whole.w, 4 * sizeof(float));
    whole_deinit(&a.whole);
    whole_deinit(&b.whole);
}

static void adafactor__gradient_of_zero__leaves_the_weights(void **state)
{
    (void)state;
    static const double eps1[] = {0.0, 1e-5, 1e-38};
    for (size_t k = 0; k < 3; k++) {
        for (size_t dims = 1; dims <= 2; dims++) {
            struct pair pair;
            pair_init(&pair, dims, (const uint64_t[]){3, 4});
            pair.whole.hyper.eps1 = eps1[k];
            assert_true(whole_step(&pair.whole, 0.1));
            whole_assert_near(&pair.whole, pair.reference->w, 0.0);
            whole_deinit(&pair.whole);
        }
    }
}

static void adafactor__weights_of_zero__moves_by_eps2(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, 1, (const uint64_t[]){2});
    pair.whole.w[0] = pair.whole.w[1] = 0.0f;
    pair.whole.g[0] = 3.0f;
    pair.whole.g[1] = -4.0f;
    assert_true(whole_step(&pair.whole, 0.1));
    whole_assert_near(&pair.whole, (const double[]){-1e-4, 1e-4}, 4.0);
    whole_deinit(&pair.whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adafactor__scalar_or_vector__keeps_the_variance),
        cmocka_unit_test(adafactor__matrix__is_factored),
        cmocka_unit_test(adafactor__more_dimensions__factors_the_last_two),
        cmocka_unit_test(adafactor__state__is_as_large_as_the_factors),
        cmocka_unit_test(adafactor__eps1_of_zero__is_floats_epsilon),
        cmocka_unit_test(adafactor__gradient_of_zero__leaves_the_weights),
        cmocka_unit_test(adafactor__weights_of_zero__moves_by_eps2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
