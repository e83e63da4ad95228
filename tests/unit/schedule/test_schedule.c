/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of schedules and what holds for all of them: names, the warm-up in front, copies, and
 * what is the same.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/schedule/make.h"

/* Something valid for every parameter that has no default, and for parts. */
static struct schedule make_valid(const char *kind)
{
    struct schedule schedule = make(kind);
    for (size_t p = 0; p < schedule.kind->params; p++) {
        if (isnan(schedule.kind->param[p].fallback))
            give(&schedule, schedule.kind->param[p].name, fmin(9.0, schedule.kind->param[p].most));
    }
    if (schedule.kind->takes_parts) {
        struct schedule part = make("multistep");
        give_list(&part, "milestones", LIST_OF(3.0, 5.0));
        give_part(&schedule, part);
    }
    assert_int_equal(schedule_check(&schedule, NULL), STEPD_OK);
    return schedule;
}

static void table__each_row__is_complete(void **state)
{
    (void)state;
    assert_int_equal(schedule_kind_count(), 16);
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *const kind = schedule_kind_at(i);
        assert_non_null(kind->name);
        assert_non_null(kind->source);
        assert_non_null(kind->at);
        assert_int_equal(kind->check != NULL, kind->rules != NULL);
        struct schedule schedule = make(kind->name);
        assert_ptr_equal(schedule.kind, kind);
        for (size_t p = 0; p < kind->params; p++)
            assert_true(kind->param[p].least <= kind->param[p].most);
        assert_string_equal(kind->param[kind->params - 2].name, "warmup");
        assert_string_equal(kind->param[kind->params - 1].name, "warmup_factor");
        schedule_deinit(&schedule);
    }
}

static void init__empty_name__is_constant(void **state)
{
    (void)state;
    struct schedule schedule = make("");
    assert_string_equal(schedule.kind->name, "constant");
    schedule_deinit(&schedule);
}

static void init__unknown_name__names_the_nearest(void **state)
{
    (void)state;
    struct schedule schedule = {.kind = NULL};
    struct stepd_error error;
    assert_int_equal(schedule_init("cosin", &schedule, &error), STEPD_NOT_FOUND);
    assert_string_equal(error.text, "unknown schedule 'cosin': did you mean 'cosine'?");
    assert_int_equal(schedule_init("OneCycle", &schedule, &error), STEPD_NOT_FOUND);
    assert_string_equal(error.text, "unknown schedule 'OneCycle': did you mean 'one_cycle'?");
    assert_null(schedule.kind);
}

static void deinit__zeroed__is_fine(void **state)
{
    (void)state;
    struct schedule schedule = {.kind = NULL};
    schedule_deinit(&schedule);
}

static void at__any_kind_and_step__is_finite_and_not_negative(void **state)
{
    (void)state;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        struct schedule schedule = make_valid(schedule_kind_at(i)->name);
        const struct schedule_state often = {.seen = true, .drops = 1000000};
        const struct schedule_value base = {.lr = 0.7, .momentum = 0.9};
        for (unsigned shift = 0; shift <= 63; shift++) {
            const struct schedule_value value =
                schedule_at(&schedule, base, UINT64_MAX >> shift, &often);
            assert_true(value.lr >= 0.0 && value.lr <= 1e9);
            assert_true(value.momentum >= 0.0 && value.momentum < 1.0);
        }
        schedule_deinit(&schedule);
    }
}

static void warmup__first_step__is_not_zero(void **state)
{
    (void)state;
    struct schedule schedule = make("constant");
    give(&schedule, "warmup", 4.0);
    static const double climb[] = {0.25, 0.5, 0.75, 1.0, 1.0, 1.0};
    for (uint64_t step = 0; step < 6; step++)
        assert_near(schedule_lr(&schedule, 2.0, step), 2.0 * climb[step], 2.0);
    schedule_deinit(&schedule);
}

static void warmup__with_factor__climbs_from_it(void **state)
{
    (void)state;
    struct schedule schedule = make("constant");
    give(&schedule, "warmup", 4.0);
    give(&schedule, "warmup_factor", 0.2);
    assert_rates(&schedule, LIST_OF(0.4, 0.6, 0.8, 1.0, 1.0));
    schedule_deinit(&schedule);
}

static void warmup__over__starts_each_kind_at_its_own_zero(void **state)
{
    (void)state;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        struct schedule plain = make_valid(schedule_kind_at(i)->name);
        struct schedule warmed = make_valid(schedule_kind_at(i)->name);
        give(&warmed, "warmup", 5.0);
        for (uint64_t step = 0; step < 30; step++)
            assert_true(schedule_lr(&warmed, 0.7, step + 5) == schedule_lr(&plain, 0.7, step));
        schedule_deinit(&plain);
        schedule_deinit(&warmed);
    }
}

static void copy__each_kind__is_the_same_and_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        struct schedule schedule = make_valid(schedule_kind_at(i)->name);
        struct schedule copy;
        assert_int_equal(schedule_copy(&schedule, &copy), STEPD_OK);
        assert_int_equal(schedule_same(&schedule, &copy, NULL), STEPD_OK);
        assert_ptr_not_equal(schedule.params, copy.params);
        const double first = schedule_lr(&schedule, 0.7, 4);
        schedule_deinit(&schedule);
        assert_true(schedule_lr(&copy, 0.7, 4) == first);
        schedule_deinit(&copy);
    }
}

static void assert_differ(struct schedule a, struct schedule b, const char *text)
{
    struct stepd_error error;
    assert_int_equal(schedule_same(&a, &b, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    schedule_deinit(&a);
    schedule_deinit(&b);
}

static void same__first_difference__is_named(void **state)
{
    (void)state;
    assert_differ(make("step"), make("cosine"), "schedule is step, and not cosine");
    struct schedule wider = make("step");
    give(&wider, "step_size", 30.0);
    assert_differ(make("step"), wider, "schedule step has another 'step_size'");
    struct schedule one = make("multistep");
    give_list(&one, "milestones", LIST_OF(1.0, 2.0));
    struct schedule longer = make("multistep");
    give_list(&longer, "milestones", LIST_OF(1.0, 2.0, 3.0));
    assert_differ(one, longer, "schedule multistep has another 'milestones'");
    struct schedule early = make("multistep");
    give_list(&early, "milestones", LIST_OF(1.0, 2.0));
    struct schedule late = make("multistep");
    give_list(&late, "milestones", LIST_OF(1.0, 3.0));
    assert_differ(early, late, "schedule multistep has another 'milestones'");
}

static void same__parts__are_compared(void **state)
{
    (void)state;
    struct schedule with = make("chained");
    give_part(&with, make("constant"));
    assert_differ(make("chained"), with, "schedule chained has 0 parts, and not 1");
    struct schedule a = make("chained");
    give_part(&a, make("constant"));
    struct schedule other = make("chained");
    give_part(&other, make("step"));
    assert_differ(a, other, "part 1 of schedule chained: schedule is constant, and not step");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__each_row__is_complete),
        cmocka_unit_test(init__empty_name__is_constant),
        cmocka_unit_test(init__unknown_name__names_the_nearest),
        cmocka_unit_test(deinit__zeroed__is_fine),
        cmocka_unit_test(at__any_kind_and_step__is_finite_and_not_negative),
        cmocka_unit_test(warmup__first_step__is_not_zero),
        cmocka_unit_test(warmup__with_factor__climbs_from_it),
        cmocka_unit_test(warmup__over__starts_each_kind_at_its_own_zero),
        cmocka_unit_test(copy__each_kind__is_the_same_and_its_own),
        cmocka_unit_test(same__first_difference__is_named),
        cmocka_unit_test(same__parts__are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
