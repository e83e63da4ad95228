/* SPDX-License-Identifier: Apache-2.0
 *
 * Courses in numbers: which rows a table has, and what JSON looks like.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/course_print.h"
#include "tests/unit/ctl/making.h"

#define SCHEDULES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The caller frees what is returned. */
static char *print(struct courses *courses, uint64_t steps, uint64_t every, bool named)
{
    const struct course_print_options options = {
        .courses = courses, .steps = steps, .every = every, .named = named};
    struct making_output output;
    making_output(&output);
    assert_int_equal(course_print_table(&options, output.stream, NULL), STEPD_OK);
    return making_text(&output);
}

static void assert_table(const char *schedule, uint64_t steps, uint64_t every, const char *expected)
{
    struct courses courses = making_courses(SCHEDULES(schedule));
    char *const text = print(&courses, steps, every, false);
    assert_string_equal(text, expected);
    free(text);
    courses_deinit(&courses);
}

static void table__of_a_curve__has_round_steps_between_its_ends(void **state)
{
    (void)state;
    assert_table("linear:start_factor=0,end_factor=1,total_iters=100", 100, 0,
                 "STEP  LR\n"
                 "0     0\n"
                 "10    0.1\n"
                 "20    0.2\n"
                 "30    0.3\n"
                 "40    0.4\n"
                 "50    0.5\n"
                 "60    0.6\n"
                 "70    0.7\n"
                 "80    0.8\n"
                 "90    0.9\n"
                 "99    0.99\n");
}

static void table__of_one_step__has_one_row(void **state)
{
    (void)state;
    assert_table("constant", 1, 0, "STEP  LR\n0     1\n");
}

/* 40 is next to 41, and is left out. */
static void table__of_events__has_them_and_says_what(void **state)
{
    (void)state;
    assert_table("multistep:milestones=25,41,gamma=0.5", 100, 0,
                 "STEP  LR\n"
                 "0     1\n"
                 "10    1\n"
                 "20    1\n"
                 "25    0.5   jump\n"
                 "30    0.5\n"
                 "41    0.25  jump\n"
                 "50    0.25\n"
                 "60    0.25\n"
                 "70    0.25\n"
                 "80    0.25\n"
                 "90    0.25\n"
                 "99    0.25\n");
}

/* Steps between them that are as far apart as every tenth would be too many. */
static void table__of_many_events__has_fewer_steps_between_them(void **state)
{
    (void)state;
    struct courses courses = making_courses(
        SCHEDULES("multistep:milestones=3,7,13,17,23,27,33,37,43,47,53,57,63,gamma=0.5"));
    char *const text = print(&courses, 200, 0, false);
    size_t lines = 0;
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 18);
    making_assert_holds(text, "\n63    0.00012207   jump\n100   0.00012207\n150   0.00012207\n"
                              "199   0.00012207\n");
    free(text);
    courses_deinit(&courses);
}

static void table__of_phases__says_which_optimizer_begins(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    struct course_phase phase[] = {courses.at[0].phase[0], courses.at[0].phase[0]};
    phase[1].from = 2;
    phase[1].optimizer = "sgd";
    free(courses.at[0].phase);
    courses.at[0].phase = phase;
    courses.at[0].phases = 2;
    char *const text = print(&courses, 4, 0, false);
    making_assert_holds(text, "\n2     1   sgd from here\n");
    free(text);
    courses.at[0].phase = NULL;
    courses_deinit(&courses);
}

static void table__of_too_many_events__has_the_first_and_the_last_step(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("cosine:t_max=10,periodic=true"));
    char *const text = print(&courses, 1005, 0, false);
    making_assert_holds(text, "\n10    0         bottom\n");
    making_assert_holds(text, "\n180   1         top\n"
                              "1004  0.654508\n"
                              "82 more steps at which something happens lie before the last: ");
    free(text);
    courses_deinit(&courses);
}

static void table__of_every_so_many__has_those_and_the_last(void **state)
{
    (void)state;
    assert_table("multistep:milestones=4,gamma=0.5", 6, 4,
                 "STEP  LR\n"
                 "0     1\n"
                 "4     0.5  jump\n"
                 "5     0.5\n");
}

static void table__of_too_many_rows__is_refused(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    const struct course_print_options options = {.courses = &courses, .steps = 200000, .every = 1};
    struct stepd_error error;
    assert_int_equal(course_print_table(&options, stdout, &error), STEPD_INVALID_ARGUMENT);
    making_assert_holds(error.text, "a table of 200000 rows; the most are 100000");
    courses_deinit(&courses);
}

static void table__with_momentum__has_a_column_for_it(void **state)
{
    (void)state;
    assert_table("cyclic:base_lr=0,max_lr=1,step_size_up=2", 4, 0,
                 "STEP  LR   MOMENTUM\n"
                 "0     0    0.9\n"
                 "1     0.5  0.85\n"
                 "2     1    0.8       top\n"
                 "3     0.5  0.85\n");
}

static void table__of_several__says_whose_event_it_is_unless_all_have_it(void **state)
{
    (void)state;
    struct courses courses =
        making_courses(SCHEDULES("multistep:milestones=1,3", "multistep:milestones=3,gamma=0.5"));
    char *const text = print(&courses, 6, 0, true);
    assert_string_equal(text, "STEP  multistep:milestones=1,3  multistep:milestones=3,gamm...\n"
                              "0     1                         1\n"
                              "1     0.1                       1                               "
                              "multistep:milestones=1,3: jump\n"
                              "2     0.1                       1\n"
                              "3     0.01                      0.5                             "
                              "jump\n"
                              "4     0.01                      0.5\n"
                              "5     0.01                      0.5\n");
    free(text);
    courses_deinit(&courses);
}

static void table__of_a_frozen_group__names_it_below(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant", "multistep:milestones=2"));
    courses.at[0].frozen = true;
    char *const text = print(&courses, 4, 0, true);
    assert_string_equal(text, "STEP  multistep:milestones=2\n"
                              "0     1\n"
                              "1     1\n"
                              "2     0.1                     jump\n"
                              "3     0.1\n"
                              "frozen: constant\n");
    free(text);
    courses_deinit(&courses);
}

static void assert_json(const struct course_print_options *options, const char *expected)
{
    struct making_output output;
    making_output(&output);
    course_print_json(options, output.stream);
    char *const text = making_text(&output);
    assert_string_equal(text, expected);
    free(text);
}

static void json__of_one__has_all_steps(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES(
        "cyclic:base_lr=0.1,max_lr=1,step_size_up=2,max_momentum=0.75,base_momentum=0.25"));
    const struct course_print_options options = {.courses = &courses, .steps = 3};
    assert_json(&options, "[\n"
                          "{\"step\": 0, \"lr\": 0.1, \"momentum\": 0.75},\n"
                          "{\"step\": 1, \"lr\": 0.55, \"momentum\": 0.5},\n"
                          "{\"step\": 2, \"lr\": 1, \"momentum\": 0.25}\n"
                          "]\n");
    courses_deinit(&courses);
}

static void json__of_a_momentum_that_is_not_cycled__has_none(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    const struct course_print_options options = {.courses = &courses, .steps = 1};
    courses.at[0].phase[0].momentum = 0.9;
    assert_json(&options, "[\n{\"step\": 0, \"lr\": 1}\n]\n");
    courses_deinit(&courses);
}

static void json__of_a_momentum_that_is_not_known__has_none(void **state)
{
    (void)state;
    struct courses courses = making_courses(
        SCHEDULES("sequential:milestones=1; cyclic:base_lr=1,max_lr=1,max_momentum=0.5; constant"));
    const struct course_print_options options = {.courses = &courses, .steps = 2};
    assert_json(&options, "[\n"
                          "{\"step\": 0, \"lr\": 1, \"momentum\": 0.5},\n"
                          "{\"step\": 1, \"lr\": 1}\n"
                          "]\n");
    courses_deinit(&courses);
}

static void json__of_groups__has_their_names(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant", "step:step_size=1,gamma=0.5"));
    free(courses.at[0].name);
    courses.at[0].name = strdup("a \"b\" \\ ü");
    const struct course_print_options options = {
        .courses = &courses, .steps = 5, .every = 3, .named = true};
    assert_json(&options,
                "[\n"
                "{\"group\": \"a \\\"b\\\" \\\\ ü\", \"step\": 0, \"lr\": 1},\n"
                "{\"group\": \"a \\\"b\\\" \\\\ ü\", \"step\": 3, \"lr\": 1},\n"
                "{\"group\": \"a \\\"b\\\" \\\\ ü\", \"step\": 4, \"lr\": 1},\n"
                "{\"group\": \"step:step_size=1,gamma=0.5\", \"step\": 0, \"lr\": 1},\n"
                "{\"group\": \"step:step_size=1,gamma=0.5\", \"step\": 3, \"lr\": 0.125},\n"
                "{\"group\": \"step:step_size=1,gamma=0.5\", \"step\": 4, \"lr\": 0.0625}\n"
                "]\n");
    courses_deinit(&courses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__of_a_curve__has_round_steps_between_its_ends),
        cmocka_unit_test(table__of_one_step__has_one_row),
        cmocka_unit_test(table__of_events__has_them_and_says_what),
        cmocka_unit_test(table__of_many_events__has_fewer_steps_between_them),
        cmocka_unit_test(table__of_phases__says_which_optimizer_begins),
        cmocka_unit_test(table__of_too_many_events__has_the_first_and_the_last_step),
        cmocka_unit_test(table__of_every_so_many__has_those_and_the_last),
        cmocka_unit_test(table__of_too_many_rows__is_refused),
        cmocka_unit_test(table__with_momentum__has_a_column_for_it),
        cmocka_unit_test(table__of_several__says_whose_event_it_is_unless_all_have_it),
        cmocka_unit_test(table__of_a_frozen_group__names_it_below),
        cmocka_unit_test(json__of_one__has_all_steps),
        cmocka_unit_test(json__of_a_momentum_that_is_not_cycled__has_none),
        cmocka_unit_test(json__of_a_momentum_that_is_not_known__has_none),
        cmocka_unit_test(json__of_groups__has_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
