/* SPDX-License-Identifier: Apache-2.0
 *
 * Pictures: what stands in the file, and that it is written whole or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "client/ctl/svg.h"
#include "tests/unit/ctl/making.h"

#define SCHEDULES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The caller frees what is returned. */
static char *draw(const struct courses *courses, uint64_t steps, const char *title)
{
    char path[MAKING_PATH_BYTES];
    making_file("", path);
    assert_int_equal(svg_write(path, title, courses, steps, NULL), STEPD_OK);
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    char *const text = calloc(1, 1U << 20U);
    assert_non_null(text);
    assert_true(fread(text, 1, (1U << 20U) - 1, file) > 0);
    assert_int_equal(fclose(file), 0);
    (void)unlink(path);
    return text;
}

static size_t count(const char *text, const char *wanted)
{
    size_t found = 0;
    for (const char *at = strstr(text, wanted); at != NULL; at = strstr(at + 1, wanted))
        found++;
    return found;
}

static void svg__of_one__has_a_line_and_no_legend(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("cosine:t_max=10"));
    char *const text = draw(&courses, 20, "title");
    assert_int_equal(count(text, "<polyline"), 1);
    assert_int_equal(count(text, "cosine"), 0);
    making_assert_holds(text, ">title</text>");
    making_assert_holds(text, ">step</text>");
    making_assert_holds(text, ">lr</text>");
    assert_int_equal(strncmp(text, "<svg ", 5), 0);
    assert_string_equal(text + strlen(text) - 7, "</svg>\n");
    free(text);
    courses_deinit(&courses);
}

/* Over four steps the rate is 1, 0.5, 0.5, 0.25, from the top of its panel to the bottom; what lies
 * within a stretch is left out. */
static void svg__of_steps__is_a_staircase(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("lambda:steps=0,1,2,3,factors=1,0.5,0.5,0"));
    char *const text = draw(&courses, 4, "title");
    making_assert_holds(text, "points=\"72.2,58.0 237.8,58.0 238.2,198.0 569.8,198.0 570.2,338.0 "
                              "735.8,338.0 \"/>");
    free(text);
    courses_deinit(&courses);
}

/* Ten steps a column, and a rate that falls all the way: its points go down, and none up again. */
static void svg__of_more_steps_than_columns__goes_their_way(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("cosine:t_max=13280"));
    char *const text = draw(&courses, 13280, "title");
    char *at = strstr(text, "points=\"");
    double before = 0.0;
    size_t points = 0;
    assert_non_null(at);
    at += strlen("points=\"");
    for (; *at != '"'; points++) {
        (void)strtod(at, &at);
        const double y = strtod(at + 1, &at);
        assert_true(y >= before);
        before = y;
        at += strspn(at, " ");
    }
    assert_in_range(points, 2000, 3000);
    free(text);
    courses_deinit(&courses);
}

static void assert_points(const char *schedule, const char *points)
{
    struct courses courses = making_courses(SCHEDULES(schedule));
    char *const text = draw(&courses, 13280, "title");
    making_assert_holds(text, points);
    free(text);
    courses_deinit(&courses);
}

/* It lies between two columns that are the same. */
static void svg__of_a_rate_that_leaps_within_a_column__shows_that(void **state)
{
    (void)state;
    assert_points("lambda:steps=0,5004,5005,factors=1,2,1,interpolate=hold",
                  " 322.2,338.0 322.2,58.0 ");
    assert_points("lambda:steps=0,5004,5005,factors=2,1,2,interpolate=hold",
                  " 322.2,58.0 322.2,338.0 ");
}

static void svg__of_round_many_steps__has_no_tick_behind_the_last(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    char *const text = draw(&courses, 1000, "title");
    making_assert_holds(text, ">900</text>");
    assert_int_equal(count(text, ">1000</text>"), 0);
    free(text);
    courses_deinit(&courses);
}

static void svg__of_several__has_a_legend(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant", "cosine:t_max=9"));
    courses.at[0].frozen = true;
    char *const text = draw(&courses, 20, "title");
    assert_int_equal(count(text, "<polyline"), 1);
    assert_int_equal(count(text, "<line class=\"line\""), 1);
    making_assert_holds(text, ">constant: frozen</text>");
    making_assert_holds(text, ">cosine:t_max=9</text>");
    free(text);
    courses_deinit(&courses);
}

static void svg__with_momentum__has_a_panel_for_it(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("cyclic:base_lr=0,max_lr=1,step_size_up=15"));
    char *const text = draw(&courses, 60, "title");
    assert_int_equal(count(text, "<polyline"), 2);
    making_assert_holds(text, ">momentum</text>");
    making_assert_holds(text, "points=\"72.2,366.0 "); /* below the first one, which ends at 338 */
    making_assert_holds(text, "class=\"axis\" x1=\"72\" x2=\"736\" y1=\"496\" y2=\"496\"");
    free(text);
    courses_deinit(&courses);
}

static void svg__of_phases__marks_their_step(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    struct course_phase phase[] = {courses.at[0].phase[0], courses.at[0].phase[0],
                                   courses.at[0].phase[0]};
    phase[1].from = 10;
    phase[2].from = 20;
    free(courses.at[0].phase);
    courses.at[0].phase = phase;
    courses.at[0].phases = 3;
    char *const text = draw(&courses, 20, "title");
    making_assert_holds(text, "class=\"phase\" x1=\"404.0\" x2=\"404.0\"");
    assert_int_equal(count(text, "class=\"phase\""), 1);
    free(text);
    courses.at[0].phase = NULL;
    courses_deinit(&courses);
}

static void svg__title__is_escaped(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    char *const text = draw(&courses, 3, "a<b> & \001c");
    assert_int_equal(count(text, ">a&lt;b&gt; &amp; c<"), 2);
    free(text);
    courses_deinit(&courses);
}

static void svg__of_a_long_run__is_no_larger_than_of_a_short_one(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("cosine:t_max=1000,periodic=true"));
    char *const text = draw(&courses, 3000000, "title");
    assert_in_range(strlen(text), 10000, 60000);
    free(text);
    courses_deinit(&courses);
}

static void svg__that_cannot_be_written__says_so(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    struct stepd_error error;
    assert_int_equal(svg_write("/nonexistent/a.svg", "title", &courses, 3, &error),
                     STEPD_FAILED_PRECONDITION);
    assert_string_equal(error.text, "cannot write /nonexistent/a.svg: No such file or directory");
    assert_int_equal(svg_write("/dev/full", "title", &courses, 3, &error),
                     STEPD_FAILED_PRECONDITION);
    making_assert_holds(error.text, "cannot write /dev/full: ");
    courses_deinit(&courses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(svg__of_one__has_a_line_and_no_legend),
        cmocka_unit_test(svg__of_steps__is_a_staircase),
        cmocka_unit_test(svg__of_more_steps_than_columns__goes_their_way),
        cmocka_unit_test(svg__of_a_rate_that_leaps_within_a_column__shows_that),
        cmocka_unit_test(svg__of_round_many_steps__has_no_tick_behind_the_last),
        cmocka_unit_test(svg__of_several__has_a_legend),
        cmocka_unit_test(svg__with_momentum__has_a_panel_for_it),
        cmocka_unit_test(svg__of_phases__marks_their_step),
        cmocka_unit_test(svg__title__is_escaped),
        cmocka_unit_test(svg__of_a_long_run__is_no_larger_than_of_a_short_one),
        cmocka_unit_test(svg__that_cannot_be_written__says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
