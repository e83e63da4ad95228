/* SPDX-License-Identifier: Apache-2.0
 *
 * Stochastic gradient descent against its papers: the update rule is written here in double as it
 * is printed, and fed the same gradients at a constant learning rate. Where PyTorch's form differs
 * from the printed one (momentum without lr in the buffer, Nesterov's parameter at the look-ahead
 * point) the two agree in real numbers, so this also shows that the forms are the same.
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd__constant_rate__follows_the_book),
        cmocka_unit_test(momentum__constant_rate__follows_the_paper),
        cmocka_unit_test(momentum__dampening__spares_the_first_step),
        cmocka_unit_test(momentum__of_zero__is_sgd_whatever_the_dampening),
        cmocka_unit_test(nesterov__constant_rate__is_the_look_ahead_point_of_the_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
