/* SPDX-License-Identifier: Apache-2.0
 *
 * The courses of a job that stands in the server's file, and what is done with several.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ctl/making.h"

static const char two_jobs[] = "jobs:\n"
                               "- name: one\n"
                               "  workers: 1\n"
                               "  defaults: {optimizer: momentum, lr: 0.5}\n"
                               "  groups:\n"
                               "  - {name: a, match: 'a*', lr_mult: 0.5}\n"
                               "  - {name: b, match: 'b*', weight_decay: 0.1}\n"
                               "  - {name: c}\n"
                               "- {name: two, workers: 1, groups: [{name: x, optimizer: sgd}]}\n";

static struct courses read(const char *job, const char *group)
{
    struct courses courses = {.count = 0};
    struct stepd_error error;
    const struct courses_source source = {.job = job, .group = group};
    if (making_read(two_jobs, source, &courses, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return courses;
}

static void assert_refused(const char *yaml, struct courses_source source, enum stepd_status code,
                           const char *says)
{
    struct courses courses = {.count = 7};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(making_read(yaml, source, &courses, &error), code);
    making_assert_holds(error.text, says);
    assert_int_equal(courses.count, 7); /* untouched */
}

static void read__job__has_its_groups_merged_over_its_defaults(void **state)
{
    (void)state;
    struct courses courses = read("one", NULL);
    assert_string_equal(courses.job, "one");
    assert_int_equal(courses.count, 3);
    assert_string_equal(courses.at[0].name, "a");
    assert_true(course_at(&courses.at[0], 0).lr == 0.25);
    assert_true(course_at(&courses.at[1], 0).lr == 0.5);
    courses_deinit(&courses);
}

static void read__group__is_the_only_one(void **state)
{
    (void)state;
    struct courses courses = read("one", "b");
    assert_int_equal(courses.count, 1);
    assert_string_equal(courses.at[0].name, "b");
    courses_deinit(&courses);
}

static void read__only_job_of_a_file__needs_no_name(void **state)
{
    (void)state;
    struct courses courses = {.count = 0};
    const struct courses_source source = {.job = NULL};
    assert_int_equal(making_read("jobs: [{name: j, workers: 1, groups: [{name: g, optimizer: "
                                 "sgd}]}]\n",
                                 source, &courses, NULL),
                     STEPD_OK);
    assert_string_equal(courses.job, "j");
    courses_deinit(&courses);
}

static void read__several_jobs__must_be_chosen_from(void **state)
{
    (void)state;
    const struct courses_source source = {.job = NULL};
    assert_refused(two_jobs, source, STEPD_NOT_FOUND,
                   "defines 2 jobs, and --job says none: known are one, two");
}

static void read__unknown_job__names_the_nearest(void **state)
{
    (void)state;
    const struct courses_source source = {.job = "tow"};
    assert_refused(two_jobs, source, STEPD_NOT_FOUND, "defines no job 'tow': did you mean 'two'?");
}

static void read__unknown_group__names_the_nearest(void **state)
{
    (void)state;
    const struct courses_source source = {.job = "two", .group = "y"};
    assert_refused(two_jobs, source, STEPD_NOT_FOUND, "job 'two' has no group 'y': ");
}

static void read__file_without_jobs__says_so(void **state)
{
    (void)state;
    const struct courses_source source = {.job = NULL};
    assert_refused("shards: 1\n", source, STEPD_NOT_FOUND, "defines no job");
}

static void read__wrong_group__is_named_with_its_line(void **state)
{
    (void)state;
    const struct courses_source source = {.job = NULL};
    assert_refused("jobs:\n"
                   "- name: j\n"
                   "  workers: 1\n"
                   "  groups:\n"
                   "  - {name: g, optimizer: sgd}\n"
                   "  - {name: h, optimizer: sgd, lrr: 1}\n",
                   source, STEPD_FAILED_PRECONDITION, ":6: job \"j\": group 'h': ");
}

static void read__group_that_does_not_fit_the_mode__is_named_with_its_line(void **state)
{
    (void)state;
    const struct courses_source source = {.job = NULL};
    assert_refused("jobs:\n"
                   "- name: j\n"
                   "  mode: async\n"
                   "  workers: 1\n"
                   "  groups: [{name: g, optimizer: lbfgs}]\n",
                   source, STEPD_FAILED_PRECONDITION, ":5: job \"j\": group 'g': ");
}

static void read__wrong_defaults__are_named(void **state)
{
    (void)state;
    const struct courses_source source = {.job = NULL};
    assert_refused("jobs:\n"
                   "- {name: j, workers: 1, defaults: {lrr: 1}, groups: [{name: g, optimizer: "
                   "sgd}]}\n",
                   source, STEPD_FAILED_PRECONDITION, ":2: job \"j\": defaults: ");
}

static void read__file_that_is_not_there__says_so(void **state)
{
    (void)state;
    const struct courses_source source = {.config = "/nonexistent/stepd.yaml"};
    struct courses courses = {.count = 0};
    struct stepd_error error;
    assert_int_equal(courses_read(&source, &courses, &error), STEPD_FAILED_PRECONDITION);
    making_assert_holds(error.text, "/nonexistent/stepd.yaml");
}

static void join__equal_courses__have_the_names_of_all(void **state)
{
    (void)state;
    struct courses courses = read("one", NULL);
    assert_int_equal(courses_join(&courses, NULL), STEPD_OK);
    assert_int_equal(courses.count, 2);
    assert_string_equal(courses.at[0].name, "a");
    assert_string_equal(courses.at[1].name, "b, c");
    assert_true(course_at(&courses.at[1], 0).lr == 0.5);
    courses_deinit(&courses);
}

static void observe__courses_that_want_losses__hear_them(void **state)
{
    (void)state;
    struct courses courses =
        making_courses((const char *const[]){"constant", "plateau:patience=0,factor=0.5", NULL});
    const double loss[] = {1, 1};
    assert_int_equal(courses_observe(&courses, 2, loss, NULL), STEPD_OK);
    assert_true(course_at(&courses.at[0], 2).lr == 1);
    assert_true(course_at(&courses.at[1], 2).lr == 0.5);
    courses_deinit(&courses);
}

static void observe__courses_that_want_none__refuse_them(void **state)
{
    (void)state;
    struct courses courses = making_courses((const char *const[]){"constant", NULL});
    const double loss[] = {1};
    struct stepd_error error;
    assert_int_equal(courses_observe(&courses, 1, loss, &error), STEPD_INVALID_ARGUMENT);
    making_assert_holds(error.text, "plateau does");
    courses_deinit(&courses);
}

static void check_shown__more_than_letters__is_refused(void **state)
{
    (void)state;
    struct courses courses = {.count = COURSES_SHOWN_MAX};
    struct stepd_error error;
    assert_int_equal(courses_check_shown(&courses, NULL), STEPD_OK);
    courses.count++;
    assert_int_equal(courses_check_shown(&courses, &error), STEPD_INVALID_ARGUMENT);
    making_assert_holds(error.text, "27 groups differ, and one picture or table holds 26");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read__job__has_its_groups_merged_over_its_defaults),
        cmocka_unit_test(read__group__is_the_only_one),
        cmocka_unit_test(read__only_job_of_a_file__needs_no_name),
        cmocka_unit_test(read__several_jobs__must_be_chosen_from),
        cmocka_unit_test(read__unknown_job__names_the_nearest),
        cmocka_unit_test(read__unknown_group__names_the_nearest),
        cmocka_unit_test(read__file_without_jobs__says_so),
        cmocka_unit_test(read__wrong_group__is_named_with_its_line),
        cmocka_unit_test(read__group_that_does_not_fit_the_mode__is_named_with_its_line),
        cmocka_unit_test(read__wrong_defaults__are_named),
        cmocka_unit_test(read__file_that_is_not_there__says_so),
        cmocka_unit_test(join__equal_courses__have_the_names_of_all),
        cmocka_unit_test(observe__courses_that_want_losses__hear_them),
        cmocka_unit_test(observe__courses_that_want_none__refuse_them),
        cmocka_unit_test(check_shown__more_than_letters__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
