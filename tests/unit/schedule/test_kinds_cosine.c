/* SPDX-License-Identifier: Apache-2.0
 *
 * Cosines against their closed form in libm, at the bottom, and where they start again.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/schedule/make.h"

static double cosine_form(double lr, double eta_min, double step, double t_max)
{
    return eta_min + (lr - eta_min) * (1.0 + cos(acos(-1.0) * step / t_max)) / 2.0;
}

static void cosine__before_the_bottom__is_the_closed_form(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine");
    give(&schedule, "t_max", 150.0);
    give(&schedule, "eta_min", 0.003);
    for (uint64_t step = 0; step <= 150; step++)
        assert_near(schedule_lr(&schedule, 0.2, step), cosine_form(0.2, 0.003, (double)step, 150.0),
                    0.2);
    assert_true(schedule_lr(&schedule, 0.2, 0) == 0.2);
    schedule_deinit(&schedule);
}

static void cosine__past_the_bottom__stays_there(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine");
    give(&schedule, "t_max", 10.0);
    give(&schedule, "eta_min", 0.25);
    assert_true(schedule_lr(&schedule, 1.0, 9) > 0.25);
    for (uint64_t step = 10; step < 50; step++)
        assert_true(schedule_lr(&schedule, 1.0, step) == 0.25);
    assert_true(schedule_lr(&schedule, 1.0, UINT64_MAX) == 0.25);
    schedule_deinit(&schedule);
}

static void cosine__periodic__climbs_back(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine");
    give(&schedule, "t_max", 4.0);
    give_word(&schedule, "periodic", "true");
    for (uint64_t step = 0; step < 100; step++)
        assert_near(schedule_lr(&schedule, 1.0, step), cosine_form(1.0, 0.0, (double)step, 4.0),
                    10.0); /* libm's argument is rounded, ours is not */
    assert_true(schedule_lr(&schedule, 1.0, 4) == 0.0);
    assert_true(schedule_lr(&schedule, 1.0, 8) == 1.0);
    schedule_deinit(&schedule);
}

static void cosine_restarts__each_restart__begins_at_the_top(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine_restarts");
    give(&schedule, "t_0", 3.0);
    give(&schedule, "t_mult", 2.0);
    const double w = sqrt(0.75) / 2.0; /* cos(30 degrees) / 2 */
    assert_rates(&schedule, LIST_OF(1.0, 0.75, 0.25, 1.0, 0.5 + w, 0.75, 0.5, 0.25, 0.5 - w, 1.0));
    assert_true(schedule_lr(&schedule, 1.0, 3 + 6 + 12) == 1.0);
    assert_true(schedule_lr(&schedule, 1.0, 3 + 6 + 12 - 1) < 0.1);
    schedule_deinit(&schedule);
}

static void cosine_restarts__equal_cycles__repeat(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine_restarts");
    give(&schedule, "t_0", 5.0);
    give(&schedule, "eta_min", 0.1);
    for (uint64_t step = 0; step < 100; step++)
        assert_near(schedule_lr(&schedule, 1.0, step),
                    cosine_form(1.0, 0.1, (double)(step % 5), 5.0), 1.0);
    schedule_deinit(&schedule);
}

/* Cycles as long as numbers allow neither overflow nor run for ever. */
static void cosine_restarts__huge_cycles__stay_in_range(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine_restarts");
    give(&schedule, "t_0", 1.0);
    give(&schedule, "t_mult", 9007199254740992.0);
    for (unsigned shift = 0; shift < 64; shift++) {
        const double lr = schedule_lr(&schedule, 1.0, UINT64_MAX >> shift);
        assert_true(lr >= 0.0 && lr <= 1.0);
    }
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosine__before_the_bottom__is_the_closed_form),
        cmocka_unit_test(cosine__past_the_bottom__stays_there),
        cmocka_unit_test(cosine__periodic__climbs_back),
        cmocka_unit_test(cosine_restarts__each_restart__begins_at_the_top),
        cmocka_unit_test(cosine_restarts__equal_cycles__repeat),
        cmocka_unit_test(cosine_restarts__huge_cycles__stay_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
