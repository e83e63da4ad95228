/* SPDX-License-Identifier: Apache-2.0
 *
 * LARS and LAMB against their papers: algorithm 1 of You, Gitman and Ginsburg 2017 and algorithm 2
 * of You et al. 2020, transcribed in double and fed the same gradients; and what both do where a
 * norm is 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/optim/numbers.h"
#include "tests/unit/optim/whole.h"

#define N_MOST 5000
#define STEPS  60
#define ULPS   STEPS

/* A tensor's state in double. */
struct reference {
    double w[N_MOST];
    double m[N_MOST]; /* lars: v */
    double v[N_MOST];
};

static double length(size_t n, const double *x)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

typedef void rule_fn(const struct optim_hyper *h, double lr, uint64_t t, size_t n, const double *g,
                     struct reference *r);

static void lars(const struct optim_hyper *h, double lr, uint64_t t, size_t n, const double *g,
                 struct reference *r)
{
    (void)t;
    const double w_length = length(n, r->w), g_length = length(n, g);
    double lambda = 1.0;
    if (w_length > 0.0 && g_length > 0.0)
        lambda = h->trust_coefficient * w_length / (g_length + h->weight_decay * w_length + h->eps);
    for (size_t i = 0; i < n; i++) {
        r->v[i] = h->momentum * r->v[i] + lr * lambda * (g[i] + h->weight_decay * r->w[i]);
        r->w[i] -= r->v[i];
    }
}

static void lamb(const struct optim_hyper *h, double lr, uint64_t t, size_t n, const double *g,
                 struct reference *r)
{
    static double u[N_MOST];
    for (size_t i = 0; i < n; i++) {
        r->m[i] = h->beta1 * r->m[i] + (1.0 - h->beta1) * g[i];
        r->v[i] = h->beta2 * r->v[i] + (1.0 - h->beta2) * g[i] * g[i];
        const double m_hat = r->m[i] / (1.0 - pow(h->beta1, (double)t));
        const double v_hat = r->v[i] / (1.0 - pow(h->beta2, (double)t));
        u[i] = m_hat / (sqrt(v_hat) + h->eps) + h->weight_decay * r->w[i];
    }
    const double w_length = length(n, r->w), u_length = length(n, u);
    const double ratio = w_length > 0.0 && u_length > 0.0 ? w_length / u_length : 1.0;
    for (size_t i = 0; i < n; i++)
        r->w[i] -= lr * ratio * u[i];
}

struct setting {
    const char *name;
    double value;
};

/* STEPS steps of both, with a falling rate, on a tensor of n elements. */
static void follow(const char *name, rule_fn *rule, size_t n, const struct setting *settings)
{
    static struct reference reference;
    static double g[N_MOST];
    struct whole whole;
    const uint64_t dim = n;
    whole_init(&whole, name, 1, &(struct optim_shape){.dims = 1, .dim = &dim, .elements = n});
    for (; settings->name != NULL; settings++)
        assert_int_equal(optimizer_hyper_set(whole.optimizer, settings->name, settings->value,
                                             &whole.hyper, NULL),
                         STEPD_OK);
    uint64_t seed = 3;
    for (size_t i = 0; i < n; i++) {
        whole.w[i] = numbers_uniform(&seed);
        reference.w[i] = (double)whole.w[i];
        reference.m[i] = reference.v[i] = 0.0;
    }
    for (uint64_t t = 1; t <= STEPS; t++) {
        for (size_t i = 0; i < n; i++) {
            whole.g[i] = numbers_uniform(&seed) + 0.25f;
            g[i] = (double)whole.g[i];
        }
        const double lr = whole.hyper.lr / (double)t;
        assert_true(whole_step(&whole, lr));
        rule(&whole.hyper, lr, t, n, g, &reference);
        whole_assert_near(&whole, reference.w, ULPS);
    }
    whole_deinit(&whole);
}

static void lars__random_gradients__follows_the_paper(void **state)
{
    (void)state;
    follow("lars", lars, 1, (struct setting[]){{.name = NULL}});
    follow("lars", lars, N_MOST, (struct setting[]){{.name = NULL}});
    follow("lars", lars, 300,
           (struct setting[]){{"momentum", 0.5},
                              {"weight_decay", 0.3},
                              {"trust_coefficient", 0.2},
                              {"eps", 0.5},
                              {"lr", 0.3},
                              {.name = NULL}});
}

static void lamb__random_gradients__follows_the_paper(void **state)
{
    (void)state;
    follow("lamb", lamb, 1, (struct setting[]){{.name = NULL}});
    follow("lamb", lamb, N_MOST, (struct setting[]){{.name = NULL}});
    follow("lamb", lamb, 300,
           (struct setting[]){{"beta1", 0.5},
                              {"beta2", 0.9},
                              {"weight_decay", 0.3},
                              {"eps", 0.1},
                              {"lr", 0.05},
                              {.name = NULL}});
}

static const uint64_t five = 5;
static const struct optim_shape row_of_five = {.dims = 1, .dim = &five, .elements = 5};

static void lars__weights_of_zero__has_a_ratio_of_one(void **state)
{
    (void)state;
    struct whole whole;
    whole_init(&whole, "lars", 1, &row_of_five);
    for (size_t i = 0; i < 5; i++)
        whole.g[i] = (float)i;
    assert_true(whole_step(&whole, 0.5));
    for (size_t i = 0; i < 5; i++)
        assert_true(whole.w[i] == -0.5f * (float)i);
    whole_deinit(&whole);
}

static void lars__gradient_of_zero__decays_at_the_full_rate(void **state)
{
    (void)state;
    struct whole whole;
    whole_init(&whole, "lars", 1, &row_of_five);
    whole.hyper.weight_decay = 0.5;
    whole.w[2] = 8.0f;
    assert_true(whole_step(&whole, 0.5));
    assert_true(whole.w[2] == 6.0f && whole.w[0] == 0.0f);
    whole_deinit(&whole);
}

static void lamb__weights_of_zero__has_a_ratio_of_one(void **state)
{
    (void)state;
    struct whole whole;
    whole_init(&whole, "lamb", 1, &row_of_five);
    for (size_t i = 0; i < 5; i++)
        whole.g[i] = 1.0f;
    assert_true(whole_step(&whole, 0.5));
    whole_assert_near(&whole, (const double[]){-0.5, -0.5, -0.5, -0.5, -0.5}, 16.0);
    whole_deinit(&whole);
}

static void lamb__gradient_of_zero__leaves_the_weights(void **state)
{
    (void)state;
    struct whole whole;
    whole_init(&whole, "lamb", 1, &row_of_five);
    whole.w[2] = 8.0f;
    assert_true(whole_step(&whole, 0.5));
    whole_assert_near(&whole, (const double[]){0.0, 0.0, 8.0, 0.0, 0.0}, 0.0);
    whole_deinit(&whole);
}

static void lamb__any_gradient__makes_a_step_as_long_as_the_weights(void **state)
{
    (void)state;
    struct whole whole;
    whole_init(&whole, "lamb", 1, &row_of_five);
    double before[5], moved = 0.0;
    for (size_t i = 0; i < 5; i++) {
        before[i] = (double)(whole.w[i] = (float)i);
        whole.g[i] = 1e-3f * (float)(i + 1);
    }
    assert_true(whole_step(&whole, 0.25));
    for (size_t i = 0; i < 5; i++)
        moved += ((double)whole.w[i] - before[i]) * ((double)whole.w[i] - before[i]);
    assert_true(fabs(sqrt(moved) - 0.25 * length(5, before)) < 1e-5);
    whole_deinit(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lars__random_gradients__follows_the_paper),
        cmocka_unit_test(lamb__random_gradients__follows_the_paper),
        cmocka_unit_test(lars__weights_of_zero__has_a_ratio_of_one),
        cmocka_unit_test(lars__gradient_of_zero__decays_at_the_full_rate),
        cmocka_unit_test(lamb__weights_of_zero__has_a_ratio_of_one),
        cmocka_unit_test(lamb__gradient_of_zero__leaves_the_weights),
        cmocka_unit_test(lamb__any_gradient__makes_a_step_as_long_as_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
