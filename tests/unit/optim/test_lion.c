/* SPDX-License-Identifier: Apache-2.0
 *
 * Lion against Chen et al. 2023, algorithm 2.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "tests/unit/optim/paper.h"

static void lion(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    const double c = h->beta1 * e->a + (1.0 - h->beta1) * g;
    const double sign = c == 0.0 ? 0.0 : copysign(1.0, c);
    e->w -= step->lr * (sign + h->weight_decay * e->w);
    e->a = h->beta2 * e->a + (1.0 - h->beta2) * g;
}

static void lion__defaults__follow_the_paper(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("lion", "torch");
    paper_follow("lion", &hyper, lion);
}

static void lion__decay__is_decoupled_and_times_the_rate(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("lion", "torch");
    hyper.lr = 1e-2;
    hyper.beta1 = 0.5;
    hyper.beta2 = 0.7;
    hyper.weight_decay = 0.5;
    paper_follow("lion", &hyper, lion);
}

static void lion__no_gradient_ever__moves_nothing(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("lion", "torch");
    const struct optimizer *optimizer = NULL;
    assert_int_equal(optimizer_find("lion", &optimizer, NULL), STEPD_OK);
    float w = 0.5f, m = 0.0f;
    const float g = -0.0f;
    const struct optim_step step = {.hyper = &hyper, .lr = 0.1, .t = 1};
    optimizer->step[kernels_choose()](&step, 1, &w, &g, (float *[]){&m});
    assert_true(w == 0.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lion__defaults__follow_the_paper),
        cmocka_unit_test(lion__decay__is_decoupled_and_times_the_rate),
        cmocka_unit_test(lion__no_gradient_ever__moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
