/* SPDX-License-Identifier: Apache-2.0
 *
 * Courses: the values of a schedule, of a group with phases, and of what hears losses.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ctl/making.h"

#define NUMBER(name_, ...)                                                                         \
    {                                                                                              \
        .name = (name_), .values = 1, .value = (const double[])                                    \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* The course of a group whose schedule cycles, with phases. */
static struct course of_group(const char *optimizer, size_t phases, const struct stepd_phase *phase)
{
    const struct stepd_setting cycle[] = {
        NUMBER("base_lr", 1.0), NUMBER("max_lr", 2.0), NUMBER("step_size_up", 1.0),
        NUMBER("base_momentum", 0.25), NUMBER("max_momentum", 0.75)};
    const struct stepd_group none = {.name = ""};
    const struct stepd_group def = {
        .name = "g",
        .optimizer = optimizer,
        .schedule = "cyclic",
        .schedule_settings = {.count = sizeof cycle / sizeof cycle[0], .at = cycle},
        .phases = phases,
        .phase = phase,
    };
    struct group group;
    struct course course = {.name = NULL};
    assert_int_equal(group_init(&none, &def, &group, NULL), STEPD_OK);
    assert_int_equal(course_of_group(&group, &course, NULL), STEPD_OK);
    group_deinit(&group);
    return course;
}

static void assert_momenta(const struct course *course, double first, double second)
{
    assert_true(course_at(course, 0).momentum == first);
    assert_true(course_at(course, 1).momentum == second);
}

static void at__any_step__is_the_schedule_s_value(void **state)
{
    (void)state;
    struct course course = making_course("step:step_size=10,gamma=0.5", 0.5);
    assert_true(course_at(&course, 9).lr == 0.5);
    assert_true(course_at(&course, 10).lr == 0.25);
    assert_true(course_at(&course, 0).lr == 0.5);
    assert_true(isnan(course_at(&course, 0).momentum));
    course_deinit(&course);
}

static void init__success__takes_the_schedule_over(void **state)
{
    (void)state;
    struct schedule schedule = {.kind = NULL};
    struct course course = {.name = NULL};
    assert_int_equal(schedule_init("constant", &schedule, NULL), STEPD_OK);
    assert_int_equal(course_init("c", &schedule, 0.5, 0.9, &course, NULL), STEPD_OK);
    assert_null(schedule.kind);
    assert_string_equal(course.name, "c");
    assert_true(course_at(&course, 3).momentum == 0.9);
    course_deinit(&course);
}

static void cycles__momentum_or_beta1__follow_the_schedule(void **state)
{
    static const char *const optimizers[] = {"momentum", "adam"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct course course = of_group(optimizers[i], 0, NULL);
        assert_true(course_cycles(&course));
        assert_momenta(&course, 0.75, 0.25);
        course_deinit(&course);
    }
}

static void cycles__schedule_that_leaves_it_alone__does_not(void **state)
{
    (void)state;
    struct course alone = making_course("cyclic:base_lr=1,max_lr=2,cycle_momentum=false", 1);
    struct course cosine = making_course("cosine:t_max=5", 1);
    assert_false(course_cycles(&alone));
    assert_false(course_cycles(&cosine));
    course_deinit(&alone);
    course_deinit(&cosine);
}

/* Seen from its first step the schedule does not cycle. */
static void cycles__one_part__does(void **state)
{
    (void)state;
    struct course course = making_course("sequential:milestones=2; constant; cyclic:base_lr=1,"
                                         "max_lr=2,max_momentum=0.75",
                                         1);
    course.phase[0].momentum = 0.5;
    assert_true(course_cycles(&course));
    assert_true(course_at(&course, 1).momentum == 0.5);
    assert_true(course_at(&course, 2).momentum == 0.75);
    course_deinit(&course);
}

static void phases__each__has_its_own_learning_rate_and_momentum(void **state)
{
    (void)state;
    const struct stepd_setting settings[] = {NUMBER("lr", 0.125)};
    const struct stepd_phase phase = {
        .from = 5, .optimizer = "momentum", .settings = {.count = 1, .at = settings}};
    const struct stepd_group none = {.name = ""};
    const struct stepd_setting own[] = {NUMBER("lr", 0.5)};
    const struct stepd_group def = {.name = "g",
                                    .optimizer = "sgd",
                                    .settings = {.count = 1, .at = own},
                                    .phases = 1,
                                    .phase = &phase};
    struct group group;
    struct course course = {.name = NULL};
    assert_int_equal(group_init(&none, &def, &group, NULL), STEPD_OK);
    assert_int_equal(course_of_group(&group, &course, NULL), STEPD_OK);
    group_deinit(&group);
    assert_true(course_at(&course, 4).lr == 0.5);
    assert_true(isnan(course_at(&course, 4).momentum));
    assert_true(course_at(&course, 5).lr == 0.125);
    assert_true(course_at(&course, 5).momentum == 0.9);
    assert_string_equal(course.phase[1].optimizer, "momentum");
    course_deinit(&course);
}

static void frozen__group__has_a_learning_rate_of_zero(void **state)
{
    (void)state;
    const struct stepd_group none = {.name = ""};
    const struct stepd_group def = {.name = "g", .optimizer = "momentum", .frozen = true};
    struct group group;
    struct course course = {.name = NULL};
    assert_int_equal(group_init(&none, &def, &group, NULL), STEPD_OK);
    assert_int_equal(course_of_group(&group, &course, NULL), STEPD_OK);
    group_deinit(&group);
    assert_true(course_at(&course, 0).lr == 0);
    course_deinit(&course);
}

/* The second window without improvement drops the rate, for the step behind it. */
static void observe__losses__are_heard_before_the_next_step(void **state)
{
    (void)state;
    const double loss[] = {2, 2, 2, 1, 1, 1, 1};
    struct course course = making_course("plateau:patience=1,factor=0.5", 1);
    assert_int_equal(course_observe(&course, 7, loss, NULL), STEPD_OK);
    const double right[] = {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_true(course_at(&course, i).lr == right[i]);
    course_deinit(&course);
}

static void observe__round_without_a_loss__is_left_out(void **state)
{
    (void)state;
    const double loss[] = {2, NAN, 2, NAN, 2};
    struct course course = making_course("plateau:patience=1,factor=0.5", 1);
    assert_int_equal(course_observe(&course, 5, loss, NULL), STEPD_OK);
    assert_true(course_at(&course, 4).lr == 1);
    assert_true(course_at(&course, 5).lr == 0.5);
    course_deinit(&course);
}

static void assert_same(const char *a, double lr_a, const char *b, double lr_b, bool same)
{
    struct course first = making_course(a, lr_a);
    struct course second = making_course(b, lr_b);
    assert_int_equal(course_same(&first, &second), same);
    course_deinit(&first);
    course_deinit(&second);
}

static void same__courses__have_the_same_schedule_and_learning_rate(void **state)
{
    (void)state;
    assert_same("cosine:t_max=5", 1, "cosine:t_max=5", 1, true);
    assert_same("cosine:t_max=5", 1, "cosine:t_max=6", 1, false);
    assert_same("cosine:t_max=5", 1, "cosine:t_max=5", 2, false);
    assert_same("cosine:t_max=5", 1, "constant", 1, false);
}

static void same__phases__have_the_same_optimizers_from_the_same_steps(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {{.from = 5, .optimizer = "momentum"},
                                        {.from = 6, .optimizer = "momentum"},
                                        {.from = 5, .optimizer = "nesterov"}};
    struct course first = of_group("adam", 1, &phase[0]);
    for (size_t i = 0; i < 3; i++) {
        struct course other = of_group("adam", 1, &phase[i]);
        assert_int_equal(course_same(&first, &other), i == 0);
        course_deinit(&other);
    }
    struct course single = of_group("adam", 0, NULL);
    assert_false(course_same(&first, &single));
    course_deinit(&single);
    course_deinit(&first);
}

static void same__frozen_ones__are(void **state)
{
    (void)state;
    struct course first = making_course("constant", 1);
    struct course second = making_course("cosine:t_max=5", 2);
    first.frozen = true;
    assert_false(course_same(&first, &second));
    second.frozen = true;
    assert_true(course_same(&first, &second));
    course_deinit(&first);
    course_deinit(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at__any_step__is_the_schedule_s_value),
        cmocka_unit_test(init__success__takes_the_schedule_over),
        cmocka_unit_test(cycles__momentum_or_beta1__follow_the_schedule),
        cmocka_unit_test(cycles__schedule_that_leaves_it_alone__does_not),
        cmocka_unit_test(cycles__one_part__does),
        cmocka_unit_test(phases__each__has_its_own_learning_rate_and_momentum),
        cmocka_unit_test(frozen__group__has_a_learning_rate_of_zero),
        cmocka_unit_test(observe__losses__are_heard_before_the_next_step),
        cmocka_unit_test(observe__round_without_a_loss__is_left_out),
        cmocka_unit_test(same__courses__have_the_same_schedule_and_learning_rate),
        cmocka_unit_test(same__phases__have_the_same_optimizers_from_the_same_steps),
        cmocka_unit_test(same__frozen_ones__are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
