/* SPDX-License-Identifier: Apache-2.0
 *
 * Schedules made of others: where each part begins, what is handed on, and what is no part.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/schedule/make.h"

static struct schedule exponential(double gamma)
{
    struct schedule schedule = make("exponential");
    give(&schedule, "gamma", gamma);
    return schedule;
}

static struct schedule cosine(double t_max, double eta_min)
{
    struct schedule schedule = make("cosine");
    give(&schedule, "t_max", t_max);
    give(&schedule, "eta_min", eta_min);
    return schedule;
}

static void sequential__each_part__begins_at_its_own_zero(void **state)
{
    (void)state;
    struct schedule climb = make("linear");
    give(&climb, "start_factor", 0.1);
    give(&climb, "total_iters", 3.0);
    struct schedule schedule = make("sequential");
    give_list(&schedule, "milestones", LIST_OF(3.0, 6.0));
    give_part(&schedule, climb);
    give_part(&schedule, exponential(0.9));
    give_part(&schedule, exponential(0.5));
    assert_rates(&schedule, LIST_OF(0.1, 0.4, 0.7, 1.0, 0.9, 0.81, 1.0, 0.5, 0.25));
    schedule_deinit(&schedule);
}

static void sequential__part_with_warmup__warms_up_at_its_milestone(void **state)
{
    (void)state;
    struct schedule part = exponential(0.5);
    give(&part, "warmup", 2.0);
    struct schedule schedule = make("sequential");
    give_list(&schedule, "milestones", LIST_OF(2.0));
    give_part(&schedule, exponential(0.5));
    give_part(&schedule, part);
    assert_rates(&schedule, LIST_OF(1.0, 0.5, 0.5, 1.0, 1.0, 0.5));
    schedule_deinit(&schedule);
}

static void sequential__momentum__is_cycled_by_the_running_part(void **state)
{
    (void)state;
    struct schedule cycle = make("cyclic");
    give(&cycle, "base_lr", 0.0);
    give(&cycle, "max_lr", 1.0);
    struct schedule schedule = make("sequential");
    give_list(&schedule, "milestones", LIST_OF(5.0));
    give_part(&schedule, cycle);
    give_part(&schedule, exponential(0.5));
    const struct schedule_value base = {.lr = 1.0, .momentum = 0.5};
    assert_true(schedule_at(&schedule, base, 4, NULL).cycled);
    const struct schedule_value after = schedule_at(&schedule, base, 5, NULL);
    assert_true(!after.cycled && after.momentum == 0.5 && after.lr == 1.0);
    schedule_deinit(&schedule);
}

static void sequential__milestones_and_parts__must_fit(void **state)
{
    (void)state;
    struct schedule schedule = make("sequential");
    refuse_check(&schedule, "schedule sequential has 0 parts and 0 milestones; it takes one "
                            "milestone less than parts");
    give_part(&schedule, exponential(0.5));
    assert_int_equal(schedule_check(&schedule, NULL), STEPD_OK);
    give_part(&schedule, exponential(0.5));
    give_part(&schedule, exponential(0.5));
    give_list(&schedule, "milestones", LIST_OF(7.0, 7.0));
    refuse_check(&schedule, "'milestones' of schedule sequential must rise, and 7 comes after 7");
    schedule_deinit(&schedule);
}

static void chained__factors__are_multiplied(void **state)
{
    (void)state;
    struct schedule halved = make("constant");
    give(&halved, "factor", 0.5);
    give(&halved, "total_iters", 2.0);
    struct schedule schedule = make("chained");
    give_part(&schedule, exponential(0.5));
    give_part(&schedule, halved);
    assert_rates(&schedule, LIST_OF(0.5, 0.25, 0.25, 0.125));
    schedule_deinit(&schedule);
}

/* eta_min is where the cosine ends, whatever the parts before it gave. */
static void chained__eta_min__is_the_bottom(void **state)
{
    (void)state;
    struct schedule schedule = make("chained");
    give_part(&schedule, exponential(0.5));
    give_part(&schedule, cosine(2.0, 0.125));
    assert_rates(&schedule, LIST_OF(1.0, 0.3125, 0.125, 0.125));
    schedule_deinit(&schedule);
}

static void chained__cycled_momentum__goes_through(void **state)
{
    (void)state;
    struct schedule cycle = make("cyclic");
    give(&cycle, "base_lr", 0.5);
    give(&cycle, "max_lr", 1.0);
    give(&cycle, "step_size_up", 1.0);
    struct schedule schedule = make("chained");
    give_part(&schedule, cycle);
    give_part(&schedule, exponential(0.5));
    const struct schedule_value value =
        schedule_at(&schedule, (struct schedule_value){.lr = 9.0, .momentum = 0.1}, 1, NULL);
    assert_true(value.cycled && value.lr == 0.5);
    assert_near(value.momentum, 0.8, 1.0);
    schedule_deinit(&schedule);
}

/* Its first part has a learning rate of its own, and the warm-up climbs to that. */
static void sequential__warm_up_before_a_cycle__climbs_to_its_first_rate(void **state)
{
    (void)state;
    struct schedule cycle = make("cyclic");
    give(&cycle, "base_lr", 0.5);
    give(&cycle, "max_lr", 1.0);
    give(&cycle, "step_size_up", 1.0);
    struct schedule schedule = make("sequential");
    give_list(&schedule, "milestones", LIST_OF(2.0));
    give(&schedule, "warmup", 2.0);
    give_part(&schedule, cycle);
    give_part(&schedule, make("constant"));
    const struct schedule_value base = {.lr = 9.0};
    assert_true(schedule_at(&schedule, base, 0, NULL).lr == 0.25);
    assert_true(schedule_at(&schedule, base, 1, NULL).lr == 0.5);
    assert_true(schedule_at(&schedule, base, 3, NULL).lr == 1.0);
    assert_true(schedule_at(&schedule, base, 4, NULL).lr == 9.0);
    schedule_deinit(&schedule);
}

static void chained__growing_parts__end_at_the_largest_rate(void **state)
{
    (void)state;
    struct schedule schedule = make("chained");
    for (size_t i = 0; i < SCHEDULE_PARTS_MAX; i++) {
        struct schedule table = make("lambda");
        give_list(&table, "steps", LIST_OF(0.0));
        give_list(&table, "factors", LIST_OF(1e6));
        give_part(&schedule, table);
    }
    assert_int_equal(schedule_check(&schedule, NULL), STEPD_OK);
    assert_true(schedule_lr(&schedule, 1e9, 0) == 1e9);
    assert_true(schedule_lr(&schedule, 0.0, 0) == 0.0);
    schedule_deinit(&schedule);
}

static void chained__no_parts__is_refused(void **state)
{
    (void)state;
    struct schedule schedule = make("chained");
    refuse_check(&schedule, "schedule chained needs at least one part");
    schedule_deinit(&schedule);
}

static void both__wrong_part__is_named(void **state)
{
    (void)state;
    struct schedule schedule = make("sequential");
    give_list(&schedule, "milestones", LIST_OF(7.0));
    give_part(&schedule, exponential(0.5));
    give_part(&schedule, make("step"));
    refuse_check(&schedule,
                 "part 2 of schedule sequential: schedule step needs its parameter 'step_size'");
    schedule_deinit(&schedule);
}

/* schedule_add takes the part over and must free it when it refuses: the leak checker sees to it.
 */
static void refuse_part(const char *kind, const char *part_kind, enum stepd_status status,
                        const char *text)
{
    struct schedule schedule = make(kind);
    struct schedule part = make(part_kind);
    struct stepd_error error;
    assert_int_equal(schedule_add(&schedule, &part, &error), status);
    assert_string_equal(error.text, text);
    assert_null(part.params);
    assert_int_equal(schedule.parts, 0);
    schedule_deinit(&schedule);
}

static void add__what_cannot_be_a_part__is_refused(void **state)
{
    (void)state;
    refuse_part("step", "constant", STEPD_INVALID_ARGUMENT,
                "schedule step is not made of others; sequential and chained are");
    refuse_part(
        "sequential", "chained", STEPD_INVALID_ARGUMENT,
        "schedule chained cannot be a part of sequential: a part is neither made of others nor "
        "goes by the loss");
    refuse_part(
        "chained", "plateau", STEPD_INVALID_ARGUMENT,
        "schedule plateau cannot be a part of chained: a part is neither made of others nor goes "
        "by the loss");
}

static void add__too_many_parts__is_refused(void **state)
{
    (void)state;
    struct schedule schedule = make("chained");
    for (size_t i = 0; i < SCHEDULE_PARTS_MAX; i++)
        give_part(&schedule, make("constant"));
    struct schedule part = make("constant");
    struct stepd_error error;
    assert_int_equal(schedule_add(&schedule, &part, &error), STEPD_RESOURCE_EXHAUSTED);
    assert_string_equal(error.text, "schedule chained has more than 16 parts");
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequential__each_part__begins_at_its_own_zero),
        cmocka_unit_test(sequential__part_with_warmup__warms_up_at_its_milestone),
        cmocka_unit_test(sequential__momentum__is_cycled_by_the_running_part),
        cmocka_unit_test(sequential__milestones_and_parts__must_fit),
        cmocka_unit_test(chained__factors__are_multiplied),
        cmocka_unit_test(chained__eta_min__is_the_bottom),
        cmocka_unit_test(chained__cycled_momentum__goes_through),
        cmocka_unit_test(chained__no_parts__is_refused),
        cmocka_unit_test(sequential__warm_up_before_a_cycle__climbs_to_its_first_rate),
        cmocka_unit_test(chained__growing_parts__end_at_the_largest_rate),
        cmocka_unit_test(both__wrong_part__is_named),
        cmocka_unit_test(add__what_cannot_be_a_part__is_refused),
        cmocka_unit_test(add__too_many_parts__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
