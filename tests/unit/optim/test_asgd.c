/* SPDX-License-Identifier: Apache-2.0
 *
 * Averaged SGD against torch.optim.ASGD's documentation: Polyak and Juditsky 1992, the rate of Xu
 * 2011.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "tests/unit/optim/paper.h"

/* e->a is eta, which comes a step late; e->b the average. */
static void asgd(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    const double t = (double)step->t;
    const double eta = step->t == 1 ? step->lr : e->a;
    g += h->weight_decay * e->w;
    e->w -= eta * (g + h->lambd * e->w);
    e->b += (e->w - e->b) / fmax(1.0, t - 1.0 - h->t0);
    e->a = step->lr / pow(1.0 + h->lambd * step->lr * t, h->alpha);
}

static void asgd__defaults__follow_pytorch(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("asgd", "torch");
    paper_follow("asgd", &hyper, asgd);
}

/* With t0 in their way, weights do not depend on the average. */
static void asgd__rate_that_falls_fast__follows_pytorch(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("asgd", "torch");
    hyper.lr = 0.1;
    hyper.lambd = 0.3;
    hyper.alpha = 0.9;
    hyper.weight_decay = 0.01;
    hyper.t0 = 20.0;
    paper_follow("asgd", &hyper, asgd);
}

static void asgd__after_t0__averages_the_weights(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("asgd", "torch");
    hyper.t0 = 3.0;
    const struct optimizer *optimizer = NULL;
    assert_int_equal(optimizer_find("asgd", &optimizer, NULL), STEPD_OK);
    float w = 0.5f, ax = 0.0f;
    double scalar[OPTIMIZER_SCALARS_MAX] = {0.0};
    struct paper_element e = {.w = 0.5};
    for (uint64_t t = 1; t <= 50; t++) {
        const float g = 0.25f - 0.01f * (float)t;
        const struct optim_step step = {.hyper = &hyper, .lr = 0.1, .t = t, .scalar = scalar};
        optimizer->prepare(&step, scalar);
        optimizer->step[kernels_choose()](&step, 1, &w, &g, (float *[]){&ax});
        asgd(&step, (double)g, &e);
        assert_true(fabs((double)ax - e.b) < 1e-5);
        assert_true((ax == w) == (t <= 5));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asgd__defaults__follow_pytorch),
        cmocka_unit_test(asgd__rate_that_falls_fast__follows_pytorch),
        cmocka_unit_test(asgd__after_t0__averages_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
