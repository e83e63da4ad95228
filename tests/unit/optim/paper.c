/* SPDX-License-Identifier: Apache-2.0
 *
 * Optimizer and paper side by side. A step rounds a weight of size 1 once or twice to half an ulp,
 * 2^-24, and its change, at most lr times a few, a few times more; STEPS steps stay within
 * STEPS * 2^-23. A sign, an eps or a bias correction in another place is orders of magnitude more.
 */
#include "tests/unit/optim/paper.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "tests/unit/optim/numbers.h"

#define N         257
#define STEPS     200
#define LOUD      20 /* steps after which gradients shrink */
#define TOLERANCE (STEPS * 0x1p-23)

struct pair {
    const struct optimizer *optimizer;
    float w[N];
    float g[N];
    float slots[OPTIMIZER_SLOTS_MAX][N];
    float *slot[OPTIMIZER_SLOTS_MAX]; /* NULL where not used */
    double scalar[OPTIMIZER_SCALARS_MAX];
    struct paper_element element[N];
    uint64_t seed;
};

struct optim_hyper paper_hyper(const char *optimizer, const char *preset)
{
    const struct optimizer *row = NULL;
    struct optim_hyper hyper;
    assert_int_equal(optimizer_find(optimizer, &row, NULL), STEPD_OK);
    assert_int_equal(optimizer_preset(row, preset, &hyper, NULL), STEPD_OK);
    return hyper;
}

static void begin(struct pair *pair, const char *optimizer, const struct optim_hyper *hyper)
{
    *pair = (struct pair){.seed = 11};
    assert_int_equal(optimizer_find(optimizer, &pair->optimizer, NULL), STEPD_OK);
    assert_int_equal(optimizer_hyper_check(pair->optimizer, hyper, NULL), STEPD_OK);
    for (size_t k = 0; k < optimizer_slots(pair->optimizer); k++) {
        const struct optim_slot_spec *const spec = &pair->optimizer->slot[k];
        pair->slot[k] = spec->used == NULL || spec->used(hyper) ? pair->slots[k] : NULL;
    }
    for (size_t i = 0; i < N; i++) {
        pair->w[i] = numbers_uniform(&pair->seed);
        pair->element[i].w = (double)pair->w[i];
    }
}

static void make_gradients(struct pair *pair, uint64_t t)
{
    static const float size[] = {1.0f, 1e-1f, 1e-2f, 1e-3f, 1e-4f, 1e-5f};
    const float loudness = t <= LOUD ? 1.0f : 0.1f;
    for (size_t i = 0; i < N; i++)
        pair->g[i] = loudness * size[i % 6] * (numbers_uniform(&pair->seed) + 0.25f);
}

static void take(struct pair *pair, struct optim_step step, paper_rule *rule)
{
    if (pair->optimizer->prepare != NULL)
        pair->optimizer->prepare(&step, pair->scalar);
    step.scalar = pair->scalar;
    pair->optimizer->step[kernels_choose()](&step, N, pair->w, pair->g, pair->slot);
    for (size_t i = 0; i < N; i++) {
        struct paper_element *const e = &pair->element[i];
        rule(&step, (double)pair->g[i], e);
        const double error = fabs((double)pair->w[i] - e->w);
        if (!(error <= TOLERANCE * (1.0 + fabs(e->w))))
            fail_msg("%s, step %d, element %zu: %.9g, by the paper %.9g", pair->optimizer->name,
                     (int)step.t, i, (double)pair->w[i], e->w);
    }
}

static void follow(const char *optimizer, struct optim_hyper hyper, paper_rule *rule, bool cycles)
{
    struct pair pair;
    begin(&pair, optimizer, &hyper);
    for (uint64_t t = 1; t <= STEPS; t++) {
        if (cycles)
            hyper.beta1 = 0.95 - 0.001 * (double)(t < STEPS / 2 ? t : STEPS - t);
        make_gradients(&pair, t);
        const double lr = hyper.lr * (1.0 + 0.25 * (double)(t % 4));
        take(&pair, (struct optim_step){.hyper = &hyper, .lr = lr, .t = t}, rule);
    }
}

void paper_follow(const char *optimizer, const struct optim_hyper *hyper, paper_rule *rule)
{
    follow(optimizer, *hyper, rule, false);
}

void paper_follow_cycled(const char *optimizer, const struct optim_hyper *hyper, paper_rule *rule)
{
    follow(optimizer, *hyper, rule, true);
}
