/* SPDX-License-Identifier: Apache-2.0
 *
 * Plots in characters, as small as they may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/chart.h"
#include "client/ctl/table.h"
#include "tests/unit/ctl/making.h"

/* The caller frees what is returned. */
static char *draw(const struct chart_options *options)
{
    struct making_output output;
    making_output(&output);
    assert_int_equal(chart_print(options, output.stream, NULL), STEPD_OK);
    return making_text(&output);
}

static void assert_chart(const char *const *schedule, struct chart_options options,
                         const char *expected)
{
    struct courses courses = making_courses(schedule);
    options.title = "title";
    options.courses = &courses;
    options.columns = 40;
    char *const text = draw(&options);
    assert_string_equal(text, expected);
    free(text);
    courses_deinit(&courses);
}

#define SCHEDULES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void chart__in_ascii__has_a_star_for_each_column(void **state)
{
    (void)state;
    const struct chart_options options = {.steps = 24};
    assert_chart(SCHEDULES("cosine:t_max=20"), options,
                 "title\n"
                 "      lr\n"
                 "       1 +****\n"
                 "         |    ****\n"
                 "     0.8 +        *\n"
                 "         |         ***\n"
                 "     0.6 +            *\n"
                 "         |             *\n"
                 "     0.4 +              *\n"
                 "         |               ***\n"
                 "     0.2 +                  *\n"
                 "         |                   ****\n"
                 "       0 +                       *******\n"
                 "         ++-----------+------------+----\n"
                 "    step  0          10           20\n");
}

static void chart__in_unicode__has_dots(void **state)
{
    (void)state;
    const struct chart_options options = {.steps = 24, .utf8 = true};
    assert_chart(SCHEDULES("cosine:t_max=20"), options,
                 "title\n"
                 "      lr\n"
                 "       1 ┤⠉⠉⠑⠒⠤⡀\n"
                 "         │     ⠉⠱⢄\n"
                 "     0.8 ┤       ⠘⠒⡄\n"
                 "         │         ⠉⣆⡀\n"
                 "     0.6 ┤           ⠸⢄\n"
                 "         │            ⠸⠤⡀\n"
                 "     0.4 ┤              ⠓⡄\n"
                 "         │               ⠉⢱⡀\n"
                 "     0.2 ┤                 ⠸⠤⡀\n"
                 "         │                   ⠓⣄⡀\n"
                 "       0 ┤                     ⠘⠢⠤⣀⣀⣀⣀⣀⣀\n"
                 "         └┬───────────┬────────────┬────\n"
                 "    step  0          10           20\n");
}

static void chart__of_several__has_letters_and_a_legend(void **state)
{
    (void)state;
    const struct chart_options options = {.steps = 24, .utf8 = true};
    assert_chart(SCHEDULES("step:step_size=8,gamma=0.5", "cosine:t_max=20"), options,
                 "title\n"
                 "      lr\n"
                 "       1 ┤⠉⠉a⠛⠭⡉⠉⠉a⠉⡆\n"
                 "         │     b⠱⢄  ⡇\n"
                 "     0.8 ┤       ⠘⠒⡄⡇\n"
                 "         │         ⠉⣇b\n"
                 "     0.6 ┤          ⡇⠸⢄\n"
                 "         │          ⠧⠤⠼⠤a⠤⠤⠤⠤⠤⡀\n"
                 "     0.4 ┤              ⠓⡄    ⡇\n"
                 "         │               ⠉⢱b  ⡇\n"
                 "     0.2 ┤                 ⠸⠤⡀a⠉⠉⠉⠉⠉a⠉⠉⠉\n"
                 "         │                   ⠓⣄⡀\n"
                 "       0 ┤                     ⠘⠢b⣀⣀⣀⣀⣀b\n"
                 "         └┬───────────┬────────────┬────\n"
                 "    step  0          10           20\n"
                 "          a  step:step_size=8,gamma=0.5\n"
                 "          b  cosine:t_max=20\n");
}

static void chart__of_several_in_ascii__shows_the_first_where_they_meet(void **state)
{
    (void)state;
    const struct chart_options options = {.steps = 24};
    assert_chart(SCHEDULES("step:step_size=8,gamma=0.5", "cosine:t_max=20"), options,
                 "title\n"
                 "      lr\n"
                 "       1 +aaaaaaaaaa\n"
                 "         |    bbbb  a\n"
                 "     0.8 +        b a\n"
                 "         |         bab\n"
                 "     0.6 +          a b\n"
                 "         |          aaaaaaaaaa\n"
                 "     0.4 +              b     a\n"
                 "         |               bbb  a\n"
                 "     0.2 +                  b aaaaaaaaaa\n"
                 "         |                   bbbb\n"
                 "       0 +                       bbbbbbb\n"
                 "         ++-----------+------------+----\n"
                 "    step  0          10           20\n"
                 "          a  step:step_size=8,gamma=0.5\n"
                 "          b  cosine:t_max=20\n");
}

static void chart__of_many__has_a_letter_of_each(void **state)
{
    (void)state;
    const char *schedule[COURSES_SHOWN_MAX + 1] = {NULL};
    for (size_t i = 0; i < COURSES_SHOWN_MAX; i++)
        schedule[i] = "constant";
    struct courses courses = making_courses(schedule);
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 24, .columns = 40, .utf8 = true};
    char *const text = draw(&options);
    making_assert_holds(text, "       1 ┤⠒⠒abcdefghijklmnopqrstuvwxyzab\n");
    free(text);
    courses_deinit(&courses);
}

static void chart__of_a_rate_that_jumps_up__joins_both(void **state)
{
    (void)state;
    const struct chart_options options = {.steps = 24};
    assert_chart(SCHEDULES("cosine_restarts:t_0=12"), options,
                 "title\n"
                 "      lr\n"
                 "       1 +***            ***\n"
                 "         |   **          *  **\n"
                 "     0.8 +     *         *    *\n"
                 "         |     **        *    **\n"
                 "     0.6 +       *       *      *\n"
                 "         |        *      *       *\n"
                 "     0.4 +         *     *        *\n"
                 "         |          **   *         **\n"
                 "     0.2 +            *  *           *\n"
                 "         |            ** *           **\n"
                 "       0 +              *              *\n"
                 "         ++-----------+------------+----\n"
                 "    step  0          10           20\n");
}

/* A column of ten steps, in which the rate jumps, ends where the next one begins. */
static void chart__of_more_steps_than_columns__joins_them_at_their_ends(void **state)
{
    (void)state;
    const struct chart_options options = {.steps = 300};
    assert_chart(SCHEDULES("multistep:milestones=155"), options,
                 "title\n"
                 "      lr\n"
                 "       1 +****************\n"
                 "         |               *\n"
                 "     0.8 +               *\n"
                 "         |               *\n"
                 "     0.6 +               *\n"
                 "         |               *\n"
                 "     0.4 +               *\n"
                 "         |               *\n"
                 "     0.2 +               *\n"
                 "         |               ***************\n"
                 "       0 +\n"
                 "         ++---------+---------+---------\n"
                 "    step  0        100       200\n");
}

/* Between two cycles the momentum is not known. */
static void chart__of_a_value_that_is_not_known__has_a_gap(void **state)
{
    (void)state;
    struct courses courses = making_courses(
        SCHEDULES("sequential:milestones=8,16; cyclic:base_lr=0,max_lr=1,step_size_up=100,"
                  "max_momentum=0.9; constant; cyclic:base_lr=0,max_lr=1,step_size_up=100,"
                  "max_momentum=0.5,base_momentum=0.5"));
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 24, .columns = 40};
    char *const text = draw(&options);
    making_assert_holds(text, "     0.9 +**********\n"
                              "         |\n"
                              "     0.8 +\n"
                              "         |\n"
                              "     0.7 +\n"
                              "         |\n"
                              "     0.6 +\n"
                              "         |\n"
                              "     0.5 +                    **********\n");
    free(text);
    courses_deinit(&courses);
}

static void assert_steps(uint64_t steps, unsigned columns, const char *line)
{
    struct courses courses = making_courses(SCHEDULES("constant"));
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = steps, .columns = columns};
    char *const text = draw(&options);
    assert_string_equal(strstr(text, "    step"), line);
    free(text);
    courses_deinit(&courses);
}

static void steps__whose_labels_would_touch__are_left_out(void **state)
{
    (void)state;
    assert_steps(5000000, 80,
                 "    step  0   500000 1000000       2000000       3000000       4000000\n");
}

static void steps__whose_labels_would_stand_out__are_left_out(void **state)
{
    (void)state;
    assert_steps(1001, 40, "    step  0   200   400   600   800\n");
}

static void steps__that_are_few__have_a_tick_each(void **state)
{
    (void)state;
    assert_steps(2, 40, "    step  0              1\n");
}

static void chart__as_wide_as_may_be__has_no_more_than_24_rows(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("cosine:t_max=1000"));
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 1000, .columns = 400};
    char *const text = draw(&options);
    size_t lines = 0;
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    assert_in_range(lines, 24, 4 + 27); /* a title, a label and two lines of the axis beside */
    free(text);
    courses_deinit(&courses);
}

static void letters__in_a_line_that_lies_under_another__have_their_own_colour(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant", "constant"));
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 24, .columns = 40, .colours = true};
    char *const text = draw(&options);
    assert_null(strstr(text, "\033[34mb"));
    free(text);
    courses_deinit(&courses);
}

static void chart__of_one_step__is_a_flat_line(void **state)
{
    (void)state;
    const struct chart_options options = {.steps = 1};
    assert_chart(SCHEDULES("constant"), options,
                 "title\n"
                 "      lr\n"
                 "     1.2 +\n"
                 "         |\n"
                 "       1 +******************************\n"
                 "         |\n"
                 "     0.8 +\n"
                 "         |\n"
                 "     0.6 +\n"
                 "         |\n"
                 "     0.4 +\n"
                 "         |\n"
                 "     0.2 +\n"
                 "         |\n"
                 "       0 +\n"
                 "         ++-----------------------------\n"
                 "    step  0\n");
}

static void chart__with_momentum__has_a_panel_for_it(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("cyclic:base_lr=0,max_lr=1,step_size_up=15"));
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 30, .columns = 40};
    char *const text = draw(&options);
    making_assert_holds(text, "\nmomentum\n"
                              "     0.9 +**                           *\n"
                              "    0.88 +  ***                     ***\n"
                              "    0.86 +     ***               ***\n"
                              "    0.84 +        ***         ***\n"
                              "    0.82 +           ***   ***\n"
                              "     0.8 +              ***\n"
                              "         ++---------+---------+---------\n");
    free(text);
    courses_deinit(&courses);
}

static void chart__of_a_momentum_that_is_not_cycled__has_no_line_for_it(void **state)
{
    (void)state;
    struct courses courses =
        making_courses(SCHEDULES("cyclic:base_lr=0,max_lr=1,step_size_up=15", "constant"));
    courses.at[1].phase[0].momentum = 0.9;
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 30, .columns = 40};
    char *const text = draw(&options);
    making_assert_holds(text, "\nmomentum\n     0.9 +aa                           a\n");
    free(text);
    courses_deinit(&courses);
}

static void chart__at_any_width__is_as_wide(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("cosine:t_max=1000"));
    for (unsigned columns = 40; columns <= 400; columns += 60) {
        const struct chart_options options = {
            .title = "title", .courses = &courses, .steps = 1000, .columns = columns, .utf8 = true};
        char *const text = draw(&options);
        size_t widest = 0;
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
            widest = table_columns(line) > widest ? table_columns(line) : widest;
        assert_int_equal(widest, columns);
        free(text);
    }
    courses_deinit(&courses);
}

/* Colours are of the second course's, and end behind its letter. */
static void chart__with_colours__colours_each_line(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant", "cosine:t_max=20"));
    struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 24, .columns = 40, .colours = true};
    char *const text = draw(&options);
    making_assert_holds(text, "\033[34ma\033[0m  constant\n");
    making_assert_holds(text, "\033[33mb\033[0m  cosine:t_max=20\n");
    options.colours = false;
    char *const plain = draw(&options);
    assert_null(strchr(plain, '\033'));
    free(text);
    free(plain);
    courses_deinit(&courses);
}

static void chart__of_phases__marks_their_step(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    struct course_phase phase[] = {courses.at[0].phase[0], courses.at[0].phase[0]};
    free(courses.at[0].phase);
    phase[0].optimizer = "adam";
    phase[1] = (struct course_phase){.from = 12, .optimizer = "sgd", .lr = 0.5};
    courses.at[0].phase = phase;
    courses.at[0].phases = 2;
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 24, .columns = 40};
    char *const text = draw(&options);
    making_assert_holds(text, "       1 +aaaaaaaaaaaaaaa:\n");
    making_assert_holds(text, "\n          a  constant: adam, sgd from\n"
                              "             step 12\n");
    free(text);
    courses.at[0].phase = NULL;
    courses_deinit(&courses);
}

static void chart__of_frozen_groups__names_them_and_draws_nothing(void **state)
{
    (void)state;
    struct courses courses = making_courses(SCHEDULES("constant"));
    courses.at[0].frozen = true;
    const struct chart_options options = {
        .title = "title", .courses = &courses, .steps = 24, .columns = 40};
    char *const text = draw(&options);
    assert_null(strstr(text, "aa"));
    making_assert_holds(text, "       1 +\n");
    making_assert_holds(text, "       0 +\n");
    making_assert_holds(text, "\n             constant: frozen\n");
    free(text);
    courses_deinit(&courses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chart__in_ascii__has_a_star_for_each_column),
        cmocka_unit_test(chart__in_unicode__has_dots),
        cmocka_unit_test(chart__of_several__has_letters_and_a_legend),
        cmocka_unit_test(chart__of_several_in_ascii__shows_the_first_where_they_meet),
        cmocka_unit_test(chart__of_many__has_a_letter_of_each),
        cmocka_unit_test(chart__of_a_rate_that_jumps_up__joins_both),
        cmocka_unit_test(chart__of_more_steps_than_columns__joins_them_at_their_ends),
        cmocka_unit_test(chart__of_a_value_that_is_not_known__has_a_gap),
        cmocka_unit_test(steps__whose_labels_would_touch__are_left_out),
        cmocka_unit_test(steps__whose_labels_would_stand_out__are_left_out),
        cmocka_unit_test(steps__that_are_few__have_a_tick_each),
        cmocka_unit_test(chart__as_wide_as_may_be__has_no_more_than_24_rows),
        cmocka_unit_test(letters__in_a_line_that_lies_under_another__have_their_own_colour),
        cmocka_unit_test(chart__of_one_step__is_a_flat_line),
        cmocka_unit_test(chart__with_momentum__has_a_panel_for_it),
        cmocka_unit_test(chart__of_a_momentum_that_is_not_cycled__has_no_line_for_it),
        cmocka_unit_test(chart__at_any_width__is_as_wide),
        cmocka_unit_test(chart__with_colours__colours_each_line),
        cmocka_unit_test(chart__of_phases__marks_their_step),
        cmocka_unit_test(chart__of_frozen_groups__names_them_and_draws_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
