/* SPDX-License-Identifier: Apache-2.0
 *
 * one_cycle and cyclic: their corners, their momentum, and that the group's learning rate is of no
 * matter to them. That the curves are PyTorch's is tests/torch's matter.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/schedule/make.h"

static const struct schedule_value group = {.lr = 123.0, .momentum = 0.5};

static struct schedule one_cycle(double total_steps)
{
    struct schedule schedule = make("one_cycle");
    give(&schedule, "max_lr", 1.0);
    give(&schedule, "total_steps", total_steps);
    return schedule;
}

/* The two digits that PyTorch 1.13 was seen to give. */
static void one_cycle__ten_steps__rises_and_falls(void **state)
{
    (void)state;
    struct schedule schedule = one_cycle(10.0);
    static const double seen[] = {0.04, 0.52, 1, 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0};
    for (uint64_t step = 0; step < 10; step++)
        assert_true(fabs(schedule_at(&schedule, group, step, NULL).lr - seen[step]) < 0.005);
    assert_near(schedule_at(&schedule, group, 0, NULL).lr, 1.0 / 25.0, 1.0);
    assert_true(schedule_at(&schedule, group, 2, NULL).lr == 1.0);
    assert_near(schedule_at(&schedule, group, 9, NULL).lr, 1.0 / 25.0 / 1e4, 1.0);
    schedule_deinit(&schedule);
}

static void one_cycle__past_the_end__holds_the_minimum(void **state)
{
    (void)state;
    struct schedule schedule = one_cycle(10.0);
    const double least = schedule_at(&schedule, group, 9, NULL).lr;
    for (uint64_t step = 10; step < 40; step++)
        assert_true(schedule_at(&schedule, group, step, NULL).lr == least);
    assert_true(schedule_at(&schedule, group, UINT64_MAX, NULL).lr == least);
    schedule_deinit(&schedule);
}

static void one_cycle__momentum__goes_the_other_way(void **state)
{
    (void)state;
    struct schedule schedule = one_cycle(10.0);
    const struct schedule_value first = schedule_at(&schedule, group, 0, NULL);
    const struct schedule_value top = schedule_at(&schedule, group, 2, NULL);
    assert_true(first.cycled && first.momentum == 0.95);
    assert_true(top.cycled && top.momentum == 0.85);
    assert_near(schedule_at(&schedule, group, 9, NULL).momentum, 0.95, 1.0);
    give_word(&schedule, "cycle_momentum", "false");
    const struct schedule_value left_alone = schedule_at(&schedule, group, 2, NULL);
    assert_true(!left_alone.cycled && left_alone.momentum == 0.5);
    schedule_deinit(&schedule);
}

static void one_cycle__three_phases__returns_to_where_it_began(void **state)
{
    (void)state;
    struct schedule schedule = one_cycle(20.0);
    give_word(&schedule, "anneal_strategy", "linear");
    give_word(&schedule, "three_phase", "true");
    assert_near(schedule_at(&schedule, group, 5, NULL).lr, 1.0, 1.0);
    assert_near(schedule_at(&schedule, group, 10, NULL).lr, 0.04, 1.0);
    assert_near(schedule_at(&schedule, group, 10, NULL).momentum, 0.95, 1.0);
    assert_near(schedule_at(&schedule, group, 15, NULL).momentum, 0.95, 1.0);
    assert_near(schedule_at(&schedule, group, 19, NULL).lr, 4e-6, 1.0);
    schedule_deinit(&schedule);
}

/* Where PyTorch divides by 0: a first phase of no length. */
static void one_cycle__shortest_phases__are_finite(void **state)
{
    (void)state;
    struct schedule schedule = one_cycle(1.0);
    for (double total = 1.0; total <= 4.0; total++) {
        for (double eighths = 0.0; eighths <= 8.0; eighths++) {
            give(&schedule, "total_steps", total);
            give(&schedule, "pct_start", eighths / 8.0);
            for (uint64_t step = 0; step < 6; step++) {
                const double lr = schedule_at(&schedule, group, step, NULL).lr;
                assert_true(lr >= 4e-6 * (1 - TOLERANCE) && lr <= 1.0);
            }
        }
    }
    give(&schedule, "total_steps", 4.0);
    give(&schedule, "pct_start", 0.25);
    assert_true(schedule_at(&schedule, group, 0, NULL).lr == 1.0);
    schedule_deinit(&schedule);
}

static struct schedule cyclic(const char *mode)
{
    struct schedule schedule = make("cyclic");
    give(&schedule, "base_lr", 0.5);
    give(&schedule, "max_lr", 1.0);
    give(&schedule, "step_size_up", 2.0);
    give_word(&schedule, "mode", mode);
    return schedule;
}

static void cyclic__triangular__repeats(void **state)
{
    (void)state;
    struct schedule schedule = cyclic("triangular");
    assert_rates(&schedule, LIST_OF(0.5, 0.75, 1.0, 0.75, 0.5, 0.75, 1.0, 0.75, 0.5));
    give(&schedule, "step_size_down", 1.0);
    assert_rates(&schedule, LIST_OF(0.5, 0.75, 1.0, 0.5, 0.75, 1.0, 0.5));
    schedule_deinit(&schedule);
}

static void cyclic__triangular2__is_half_as_high_each_time(void **state)
{
    (void)state;
    struct schedule schedule = cyclic("triangular2");
    assert_rates(&schedule,
                 LIST_OF(0.5, 0.75, 1.0, 0.75, 0.5, 0.625, 0.75, 0.625, 0.5, 0.5625, 0.625));
    schedule_deinit(&schedule);
}

static void cyclic__exp_range__shrinks_with_each_step(void **state)
{
    (void)state;
    struct schedule schedule = cyclic("exp_range");
    give(&schedule, "gamma", 0.5);
    assert_rates(&schedule, LIST_OF(0.5, 0.625, 0.625, 0.53125, 0.5, 0.5078125));
    schedule_deinit(&schedule);
}

static void cyclic__momentum__goes_the_other_way(void **state)
{
    (void)state;
    struct schedule schedule = cyclic("triangular");
    static const double momentum[] = {0.9, 0.85, 0.8, 0.85};
    for (uint64_t step = 0; step < 12; step++) {
        const struct schedule_value value = schedule_at(&schedule, group, step, NULL);
        assert_true(value.cycled);
        assert_near(value.momentum, momentum[step % 4], 1.0);
    }
    schedule_deinit(&schedule);
}

static void both__before_a_warmup__climb_to_their_own_rate(void **state)
{
    (void)state;
    struct schedule schedule = cyclic("triangular");
    give(&schedule, "warmup", 2.0);
    assert_rates(&schedule, LIST_OF(0.25, 0.5, 0.5, 0.75, 1.0));
    assert_true(schedule_at(&schedule, group, 0, NULL).momentum == 0.9);
    schedule_deinit(&schedule);
}

static void cycles_momentum__of_any_schedule__is_whether_it_or_a_part_does(void **state)
{
    (void)state;
    struct schedule schedule = cyclic("triangular");
    assert_true(schedule_cycles_momentum(&schedule));
    give(&schedule, "cycle_momentum", 0.0);
    assert_false(schedule_cycles_momentum(&schedule));
    schedule_deinit(&schedule);
    schedule = make("chained");
    give_part(&schedule, make("constant"));
    assert_false(schedule_cycles_momentum(&schedule));
    give_part(&schedule, cyclic("triangular"));
    assert_true(schedule_cycles_momentum(&schedule));
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_cycle__ten_steps__rises_and_falls),
        cmocka_unit_test(one_cycle__past_the_end__holds_the_minimum),
        cmocka_unit_test(one_cycle__momentum__goes_the_other_way),
        cmocka_unit_test(one_cycle__three_phases__returns_to_where_it_began),
        cmocka_unit_test(one_cycle__shortest_phases__are_finite),
        cmocka_unit_test(cyclic__triangular__repeats),
        cmocka_unit_test(cyclic__triangular2__is_half_as_high_each_time),
        cmocka_unit_test(cyclic__exp_range__shrinks_with_each_step),
        cmocka_unit_test(cyclic__momentum__goes_the_other_way),
        cmocka_unit_test(both__before_a_warmup__climb_to_their_own_rate),
        cmocka_unit_test(cycles_momentum__of_any_schedule__is_whether_it_or_a_part_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
