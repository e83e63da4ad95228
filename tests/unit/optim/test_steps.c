/* SPDX-License-Identifier: Apache-2.0
 *
 * Every optimizer against its paper: the update rule is written here in double as it is printed,
 * and fed the same gradients at a constant learning rate. Where PyTorch's form differs from the
 * printed one (momentum without lr in the buffer, Nesterov's parameter at the look-ahead point)
 * the two agree in real numbers, so this also shows that the forms are the same.
 *
 * Tolerance: a step rounds a weight of size 1 once or twice to half an ulp, 2^-24, and its change,
 * at most lr times a few, a few times more; STEPS steps stay within STEPS * 2^-23.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "server/optim/optimizer.h"
#include "tests/unit/optim/numbers.h"

#define N         257
#define STEPS     200
#define TOLERANCE (STEPS * 0x1p-23)

/* One element's state in double: the letters of the papers. */
struct state {
    double theta; /* the parameter */
    double w;     /* what the kernel's weight must be; theta but for nesterov */
    double v;     /* velocity */
    double m1;
    double m2;
};

typedef void rule_fn(const struct optim_hyper *h, uint64_t t, double g, struct state *s);

/* Deep Learning, algorithm 8.1, with the gradient of weight_decay / 2 w^2 added (L2). */
static void sgd(const struct optim_hyper *h, uint64_t t, double g, struct state *s)
{
    (void)t;
    s->theta -= h->lr * (g + h->weight_decay * s->theta);
    s->w = s->theta;
}

/* Sutskever et al. 2013, equations 1 and 2. */
static void momentum(const struct optim_hyper *h, uint64_t t, double g, struct state *s)
{
    (void)t;
    s->v = h->momentum * s->v - h->lr * (g + h->weight_decay * s->theta);
    s->theta += s->v;
    s->w = s->theta;
}

/* PyTorch's dampening: all gradients but the first count (1 - dampening) times. */
static void damped(const struct optim_hyper *h, uint64_t t, double g, struct state *s)
{
    const double undamped = t == 1 ? 1.0 : 1.0 - h->dampening;
    s->v = h->momentum * s->v - h->lr * undamped * g;
    s->theta += s->v;
    s->w = s->theta;
}

/*
 * Sutskever et al. 2013, equations 3 and 4: the gradient is that at theta + momentum v, which is
 * where the kernel's weight stands.
 */
static void nesterov(const struct optim_hyper *h, uint64_t t, double g, struct state *s)
{
    (void)t;
    s->v = h->momentum * s->v - h->lr * (g + h->weight_decay * s->w);
    s->theta += s->v;
    s->w = s->theta + h->momentum * s->v;
}

/* Kingma and Ba 2015, algorithm 1: the adaptive step without the learning rate. */
static double adaptive(const struct optim_hyper *h, uint64_t t, double g, struct state *s)
{
    s->m1 = h->beta1 * s->m1 + (1.0 - h->beta1) * g;
    s->m2 = h->beta2 * s->m2 + (1.0 - h->beta2) * g * g;
    const double m1_hat = s->m1 / (1.0 - pow(h->beta1, (double)t));
    const double m2_hat = s->m2 / (1.0 - pow(h->beta2, (double)t));
    return m1_hat / (sqrt(m2_hat) + h->eps);
}

static void adam(const struct optim_hyper *h, uint64_t t, double g, struct state *s)
{
    s->theta -= h->lr * adaptive(h, t, g + h->weight_decay * s->theta, s);
    s->w = s->theta;
}

/* Loshchilov and Hutter 2019, algorithm 2, line 12, the decay multiplied by lr as well. */
static void adamw(const struct optim_hyper *h, uint64_t t, double g, struct state *s)
{
    s->theta -= h->lr * adaptive(h, t, g, s) + h->lr * h->weight_decay * s->theta;
    s->w = s->theta;
}

/* Runs STEPS steps of both and compares all weights after each. */
static void follow(const char *name, const struct optim_hyper *hyper, rule_fn *rule)
{
    const struct optimizer *optimizer = NULL;
    assert_int_equal(optimizer_find(name, &optimizer, NULL), STEPD_OK);
    static float w[N], g[N], slots[OPTIMIZER_SLOTS_MAX][N];
    float *const slot[OPTIMIZER_SLOTS_MAX] = {slots[0], slots[1], slots[2], slots[3]};
    struct state s[N];
    uint64_t seed = 11;
    for (size_t i = 0; i < N; i++) {
        w[i] = numbers_uniform(&seed);
        s[i] = (struct state){.theta = (double)w[i], .w = (double)w[i]};
        for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
            slots[k][i] = 0.0f;
    }
    for (uint64_t t = 1; t <= STEPS; t++) {
        for (size_t i = 0; i < N; i++)
            g[i] = numbers_uniform(&seed) + 0.25f;
        const struct optim_step step = {.hyper = hyper, .lr = hyper->lr, .t = t};
        optimizer->step[kernels_choose()](&step, N, w, g, slot);
        for (size_t i = 0; i < N; i++) {
            rule(hyper, t, (double)g[i], &s[i]);
            if (fabs((double)w[i] - s[i].w) > TOLERANCE * (1.0 + fabs(s[i].w)))
                fail_msg("%s, step %d, element %zu: %.9g, by the paper %.9g", name, (int)t, i,
                         (double)w[i], s[i].w);
        }
    }
}

static void sgd__constant_rate__follows_the_book(void **state)
{
    (void)state;
    follow("sgd", &(struct optim_hyper){.lr = 0.01}, sgd);
    follow("sgd", &(struct optim_hyper){.lr = 0.01, .weight_decay = 0.1}, sgd);
}

static void momentum__constant_rate__follows_the_paper(void **state)
{
    (void)state;
    follow("momentum", &(struct optim_hyper){.lr = 0.01, .momentum = 0.9}, momentum);
    follow("momentum", &(struct optim_hyper){.lr = 0.01, .momentum = 0.5, .weight_decay = 0.1},
           momentum);
}

static void momentum__dampening__spares_the_first_step(void **state)
{
    (void)state;
    follow("momentum", &(struct optim_hyper){.lr = 0.01, .momentum = 0.9, .dampening = 0.4},
           damped);
}

static void momentum__of_zero__is_sgd_whatever_the_dampening(void **state)
{
    (void)state;
    follow("momentum", &(struct optim_hyper){.lr = 0.01, .dampening = 0.9, .weight_decay = 0.1},
           sgd);
}

static void nesterov__constant_rate__is_the_look_ahead_point_of_the_paper(void **state)
{
    (void)state;
    follow("nesterov", &(struct optim_hyper){.lr = 0.01, .momentum = 0.9}, nesterov);
    follow("nesterov", &(struct optim_hyper){.lr = 0.01, .momentum = 0.7, .weight_decay = 0.1},
           nesterov);
}

static void adam__constant_rate__follows_the_paper(void **state)
{
    (void)state;
    follow("adam", &(struct optim_hyper){.lr = 0.001, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
           adam);
    follow("adam",
           &(struct optim_hyper){
               .lr = 0.01, .beta1 = 0.3, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1},
           adam);
    follow("adam", &(struct optim_hyper){.lr = 0.001, .eps = 1.0}, adam);
}

static void adamw__constant_rate__follows_the_paper(void **state)
{
    (void)state;
    follow("adamw",
           &(struct optim_hyper){
               .lr = 0.001, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01},
           adamw);
    follow("adamw",
           &(struct optim_hyper){
               .lr = 0.01, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.5},
           adamw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd__constant_rate__follows_the_book),
        cmocka_unit_test(momentum__constant_rate__follows_the_paper),
        cmocka_unit_test(momentum__dampening__spares_the_first_step),
        cmocka_unit_test(momentum__of_zero__is_sgd_whatever_the_dampening),
        cmocka_unit_test(nesterov__constant_rate__is_the_look_ahead_point_of_the_paper),
        cmocka_unit_test(adam__constant_rate__follows_the_paper),
        cmocka_unit_test(adamw__constant_rate__follows_the_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
