/* SPDX-License-Identifier: Apache-2.0
 *
 * Schedules against their closed forms in libm, at their edges, and with the warm-up in front;
 * names and ranges as peers and files may get them wrong.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/schedule/schedule.h"

/* Relative to the base rate; exact_powi may be n roundings off for a power of n. */
#define TOLERANCE 1e-13

static struct schedule make(const char *kind)
{
    struct schedule schedule;
    assert_int_equal(schedule_init(kind, &schedule, NULL), STEPD_OK);
    return schedule;
}

static void give(struct schedule *schedule, const char *name, double value)
{
    assert_int_equal(schedule_set(schedule, name, value, NULL), STEPD_OK);
}

/* Gives value to every parameter that has no default. */
static void give_missing(struct schedule *schedule, double value)
{
    for (size_t p = 0; p < schedule->kind->params; p++) {
        if (isnan(schedule->kind->param[p].fallback))
            give(schedule, schedule->kind->param[p].name, value);
    }
}

static void assert_near(double got, double right, double scale)
{
    if (fabs(got - right) > TOLERANCE * scale)
        fail_msg("got %.17g, right is %.17g", got, right);
}

static void refuse(struct schedule *schedule, const char *name, double value, const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    const struct schedule before = *schedule;
    assert_int_equal(schedule_set(schedule, name, value, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(error.code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_memory_equal(schedule, &before, sizeof before);
}

static void table__each_row__is_complete(void **state)
{
    (void)state;
    assert_int_equal(schedule_kind_count(), 3);
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *const kind = schedule_kind_at(i);
        assert_non_null(kind->name);
        assert_non_null(kind->source);
        assert_non_null(kind->at);
        const struct schedule schedule = make(kind->name);
        assert_ptr_equal(schedule.kind, kind);
        for (size_t p = 0; p < kind->params; p++) {
            const struct schedule_param_spec *const spec = &kind->param[p];
            const double value = schedule_param_get(spec, &schedule.params);
            assert_true(isnan(spec->fallback) ? isnan(value) : value == spec->fallback);
        }
        assert_string_equal(kind->param[kind->params - 2].name, "warmup");
        assert_string_equal(kind->param[kind->params - 1].name, "warmup_factor");
    }
}

static void init__empty_name__is_constant(void **state)
{
    (void)state;
    assert_string_equal(make("").kind->name, "constant");
}

static void init__unknown_name__names_the_nearest(void **state)
{
    (void)state;
    struct schedule schedule = {.kind = NULL};
    struct stepd_error error;
    assert_int_equal(schedule_init("cosin", &schedule, &error), STEPD_NOT_FOUND);
    assert_string_equal(error.text, "unknown schedule 'cosin': did you mean 'cosine'?");
    assert_int_equal(schedule_init("plateau", &schedule, &error), STEPD_NOT_FOUND);
    assert_string_equal(error.text, "unknown schedule 'plateau': known are constant, step, cosine");
    assert_null(schedule.kind);
}

static void set__unknown_parameter__names_the_nearest(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine");
    refuse(&schedule, "tmax", 10.0,
           "schedule cosine has no parameter 'tmax': did you mean 't_max'?");
    refuse(&schedule, "gamma", 0.1,
           "schedule cosine has no parameter 'gamma': known are t_max, eta_min, periodic, warmup, "
           "warmup_factor");
}

static void set__out_of_range__states_the_range(void **state)
{
    (void)state;
    struct schedule schedule = make("step");
    refuse(&schedule, "gamma", 1.5,
           "parameter 'gamma' of schedule step must be a number in [0, 1], and 1.5 is not");
    refuse(&schedule, "gamma", -0.5,
           "parameter 'gamma' of schedule step must be a number in [0, 1], and -0.5 is not");
    refuse(&schedule, "step_size", 2.5,
           "parameter 'step_size' of schedule step must be a whole number in [1, 9.0072e+15], and "
           "2.5 is not");
}

static void set__not_a_number__is_refused_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *const kind = schedule_kind_at(i);
        struct schedule schedule = make(kind->name);
        for (size_t p = 0; p < kind->params; p++) {
            const char *const name = kind->param[p].name;
            assert_int_equal(schedule_set(&schedule, name, NAN, NULL), STEPD_INVALID_ARGUMENT);
            assert_int_equal(schedule_set(&schedule, name, INFINITY, NULL), STEPD_INVALID_ARGUMENT);
            assert_int_equal(schedule_set(&schedule, name, -INFINITY, NULL),
                             STEPD_INVALID_ARGUMENT);
        }
    }
}

static void set__ends_of_each_range__are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *const kind = schedule_kind_at(i);
        struct schedule schedule = make(kind->name);
        for (size_t p = 0; p < kind->params; p++) {
            const struct schedule_param_spec *const spec = &kind->param[p];
            give(&schedule, spec->name, spec->least);
            assert_true(schedule_param_get(spec, &schedule.params) == spec->least);
            give(&schedule, spec->name, spec->most);
            assert_true(schedule_param_get(spec, &schedule.params) == spec->most);
        }
        assert_int_equal(schedule_check(&schedule, NULL), STEPD_OK);
    }
}

static void check__missing_parameter__is_named(void **state)
{
    (void)state;
    struct schedule schedule = make("step");
    struct stepd_error error;
    assert_int_equal(schedule_check(&schedule, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "schedule step needs its parameter 'step_size'");
    give(&schedule, "step_size", 30.0);
    assert_int_equal(schedule_check(&schedule, &error), STEPD_OK);
}

static void constant__any_step__is_the_base_rate(void **state)
{
    (void)state;
    const struct schedule schedule = make("constant");
    assert_true(schedule_lr(&schedule, 0.1, 0) == 0.1);
    assert_true(schedule_lr(&schedule, 0.1, UINT64_MAX) == 0.1);
}

static void step__each_step__is_the_closed_form(void **state)
{
    (void)state;
    struct schedule schedule = make("step");
    give(&schedule, "step_size", 7.0);
    give(&schedule, "gamma", 0.3);
    for (uint64_t step = 0; step < 200; step++)
        assert_near(schedule_lr(&schedule, 0.4, step), 0.4 * pow(0.3, floor((double)step / 7.0)),
                    0.4);
    assert_true(schedule_lr(&schedule, 0.4, 6) == 0.4);
    assert_true(schedule_lr(&schedule, 0.4, 7) == 0.4 * 0.3);
    assert_true(schedule_lr(&schedule, 0.4, UINT64_MAX) == 0.0);
}

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
}

static void cosine__periodic__climbs_back(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine");
    give(&schedule, "t_max", 4.0);
    give(&schedule, "periodic", 1.0);
    for (uint64_t step = 0; step < 100; step++)
        assert_near(schedule_lr(&schedule, 1.0, step), cosine_form(1.0, 0.0, (double)step, 4.0),
                    1.0);
    assert_true(schedule_lr(&schedule, 1.0, 4) == 0.0);
    assert_true(schedule_lr(&schedule, 1.0, 8) == 1.0);
}

static void warmup__first_step__is_not_zero(void **state)
{
    (void)state;
    struct schedule schedule = make("constant");
    give(&schedule, "warmup", 4.0);
    static const double climb[] = {0.25, 0.5, 0.75, 1.0, 1.0, 1.0};
    for (uint64_t step = 0; step < 6; step++)
        assert_near(schedule_lr(&schedule, 2.0, step), 2.0 * climb[step], 2.0);
}

static void warmup__with_factor__climbs_from_it(void **state)
{
    (void)state;
    struct schedule schedule = make("constant");
    give(&schedule, "warmup", 4.0);
    give(&schedule, "warmup_factor", 0.2);
    static const double climb[] = {0.4, 0.6, 0.8, 1.0, 1.0};
    for (uint64_t step = 0; step < 5; step++)
        assert_near(schedule_lr(&schedule, 1.0, step), climb[step], 1.0);
}

static void warmup__over__starts_each_kind_at_its_own_zero(void **state)
{
    (void)state;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        struct schedule plain = make(schedule_kind_at(i)->name);
        give_missing(&plain, 9.0);
        struct schedule warmed = plain;
        give(&warmed, "warmup", 5.0);
        for (uint64_t step = 0; step < 30; step++)
            assert_true(schedule_lr(&warmed, 0.7, step + 5) == schedule_lr(&plain, 0.7, step));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__each_row__is_complete),
        cmocka_unit_test(init__empty_name__is_constant),
        cmocka_unit_test(init__unknown_name__names_the_nearest),
        cmocka_unit_test(set__unknown_parameter__names_the_nearest),
        cmocka_unit_test(set__out_of_range__states_the_range),
        cmocka_unit_test(set__not_a_number__is_refused_everywhere),
        cmocka_unit_test(set__ends_of_each_range__are_taken),
        cmocka_unit_test(check__missing_parameter__is_named),
        cmocka_unit_test(constant__any_step__is_the_base_rate),
        cmocka_unit_test(step__each_step__is_the_closed_form),
        cmocka_unit_test(cosine__before_the_bottom__is_the_closed_form),
        cmocka_unit_test(cosine__past_the_bottom__stays_there),
        cmocka_unit_test(cosine__periodic__climbs_back),
        cmocka_unit_test(warmup__first_step__is_not_zero),
        cmocka_unit_test(warmup__with_factor__climbs_from_it),
        cmocka_unit_test(warmup__over__starts_each_kind_at_its_own_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
