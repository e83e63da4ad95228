/* SPDX-License-Identifier: Apache-2.0
 *
 * The picture of losses. Its XML is checked by a small reader of tags: every one is closed, in
 * order. What it shows is read off its lines and texts.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/plot.h"
#include "tests/unit/train/files.h"

#define SERIES_MOST 16u

static struct stepd_error error;

/* Reads the tag at `at`, which stands on '<', and keeps the depth. Returns what follows it. */
static const char *read_tag(const char *at, const char **open, size_t *depth)
{
    const char *const end = strchr(at, '>');
    assert_non_null(end);
    if (at[1] == '/') {
        assert_true(*depth > 0);
        const char *const name = open[--*depth];
        assert_non_null(name);
        const size_t length = strcspn(name, " >");
        assert_int_equal(strncmp(at + 2, name, length), 0);
        assert_ptr_equal(at + 2 + length, end);
    } else if (end[-1] != '/') {
        assert_true(*depth < 16);
        open[(*depth)++] = at + 1;
    }
    return end + 1;
}

/* Fails unless text is one element whose inner tags nest and whose ampersands begin entities. */
static void check_xml(const char *text)
{
    const char *open[16] = {NULL};
    size_t depth = 0;
    size_t tags = 0;
    for (const char *at = strchr(text, '<'); at != NULL; at = strchr(at, '<')) {
        assert_true(depth > 0 || tags == 0);
        at = read_tag(at, open, &depth);
        tags++;
    }
    assert_int_equal(depth, 0);
    assert_true(tags > 10);
    for (const char *at = strchr(text, '&'); at != NULL; at = strchr(at + 1, '&'))
        assert_true(strncmp(at, "&amp;", 5) == 0 || strncmp(at, "&lt;", 4) == 0 ||
                    strncmp(at, "&gt;", 4) == 0);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
}

/* ---- Drawing --------------------------------------------------------------------------------- */

static struct curve make_curve(const double *losses, size_t count)
{
    struct curve curve;
    assert_int_equal(curve_open(NULL, &curve, &error), STEPD_OK);
    for (size_t i = 0; i < count; i++) {
        const struct curve_point point = {.step = i + 1, .epoch = 1, .loss = losses[i]};
        assert_int_equal(curve_append(&curve, &point, &error), STEPD_OK);
    }
    return curve;
}

/* The text of a picture; caller frees. */
static char *draw(const char *folder, const struct plot *plot)
{
    char path[FILES_PATH_BYTES];
    char *text;
    files_path(folder, "loss.svg", path);
    assert_int_equal(plot_write(path, plot, &error), STEPD_OK);
    (void)files_read(path, &text);
    check_xml(text);
    return text;
}

/* One curve, on either scale. */
static char *draw_one(const char *folder, const double *losses, size_t count, bool log_scale)
{
    struct curve curve = make_curve(losses, count);
    const struct plot_series series = {.label = "", .value = "", .curve = &curve};
    const struct plot picture = {.title = "a <job> & \x01more",
                                 .note = "accuracy 0.9",
                                 .series = &series,
                                 .count = 1,
                                 .log_scale = log_scale};
    char *const text = draw(folder, &picture);
    curve_close(&curve);
    return text;
}

/* Heights of the points of the line of this class, from above. Returns how many. */
static size_t read_heights(const char *text, const char *class, double *heights, size_t most)
{
    char begin[64];
    (void)snprintf(begin, sizeof begin, "<polyline class=\"%s\" points=\"", class);
    const char *at = strstr(text, begin);
    assert_non_null(at);
    at += strlen(begin);
    size_t count = 0;
    while (*at != '"') {
        char *end;
        (void)strtod(at, &end);
        assert_int_equal(*end, ',');
        assert_true(count < most);
        heights[count++] = strtod(end + 1, &end);
        at = *end == ' ' ? end + 1 : end;
    }
    return count;
}

static void plot_write__any_curve__is_well_formed(void **state)
{
    static const struct {
        size_t count;
        double losses[4];
    } cases[] = {
        {0, {0}},
        {1, {0.5}},
        {3, {0, 0, 0}},
        {3, {7, 7, 7}},
        {1, {5}},
        {4, {2.3, NAN, 0.4, 0.3}},
        {4, {INFINITY, 1e30, 1e-30, -5}},
        {2, {NAN, NAN}},
        {2, {1e308, -1e308}},
        {2, {1e-300, 1e-310}},
        {3, {1, 2, 5}},
        {3, {1e-99, 1, 1e99}},
    };

    for (size_t i = 0; i < 2 * (sizeof cases / sizeof cases[0]); i++)
        free(
            draw_one(*state, cases[i / 2].losses, cases[i / 2].count, /* log_scale= */ i % 2 == 1));
}

static void plot_write__title_with_markup__is_escaped(void **state)
{
    char *const text = draw_one(*state, (const double[]){2, 1}, 2, /* log_scale= */ false);
    assert_non_null(strstr(text, "<title>a &lt;job&gt; &amp; more</title>"));
    assert_non_null(strstr(text, "accuracy 0.9"));
    free(text);
}

static void plot_write__long_run__is_thinned_but_ends_at_its_end(void **state)
{
    static double losses[20000];
    for (size_t i = 0; i < 20000; i++)
        losses[i] = 1.0 / (double)(i + 1);
    char *const text = draw_one(*state, losses, 20000, /* log_scale= */ false);
    assert_true(strlen(text) < 60000);
    assert_non_null(strstr(text, "\n<polyline class=\"raw\""));
    assert_non_null(strstr(text, "736.0,")); /* the right end of the frame */
    free(text);
}

static void plot_write__log_scale__has_equal_steps_for_equal_ratios(void **state)
{
    double heights[3];
    char *const text = draw_one(*state, (const double[]){10, 1, 0.1}, 3, /* log_scale= */ true);
    assert_int_equal(read_heights(text, "raw", heights, 3), 3);
    assert_true(heights[1] > heights[0] + 50);
    assert_true(fabs(heights[2] - 2 * heights[1] + heights[0]) < 0.2);
    static const char *const ticks[] = {">0.1<", ">0.2<", ">0.5<", ">5<", ">10<"};
    for (size_t i = 0; i < 5; i++)
        assert_non_null(strstr(text, ticks[i]));
    assert_null(strstr(text, ">15<"));
    assert_null(strstr(text, ">20<"));
    assert_null(strstr(text, ">0.3<"));
    free(text);
}

static void plot_write__loss_that_stays__is_in_the_frame(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        double heights[2];
        char *const text = draw_one(*state, (const double[]){5, 5}, 2, /* log_scale= */ i == 1);
        assert_int_equal(read_heights(text, "raw", heights, 2), 2);
        assert_true(heights[0] >= 64 && heights[0] <= 368);
        free(text);
    }
}

static void plot_write__log_scale_of_one_power__has_rows_close_together(void **state)
{
    static const char *const ticks[] = {">0.3<", ">0.5<", ">0.7<", ">1<", ">1.5<"};
    char *const text = draw_one(*state, (const double[]){1.4, 0.31}, 2, /* log_scale= */ true);
    for (size_t i = 0; i < 5; i++)
        assert_non_null(strstr(text, ticks[i]));
    assert_null(strstr(text, ">0.2<"));
    free(text);
}

static void plot_write__log_scale_of_many_powers__has_a_row_for_each_power(void **state)
{
    char *const text = draw_one(*state, (const double[]){1, 1e-3, 1e-6}, 3, /* log_scale= */ true);
    assert_non_null(strstr(text, ">0.001<"));
    assert_null(strstr(text, ">0.002<"));
    assert_null(strstr(text, ">0.005<"));
    free(text);
}

/* Points of the same steps, of which the last took three quarters of the time. */
static void plot_write__by_time__has_the_seconds_on_its_axis(void **state)
{
    struct curve curve = make_curve((const double[]){2, 1, 0.5}, 3);
    for (size_t i = 0; i < 3; i++)
        curve.points[i].seconds = 0.5 * (double)(i + 1) * (i == 2 ? 8.0 / 3 : 1);
    const struct plot_series series = {.label = "", .value = "", .curve = &curve};
    struct plot picture = {.title = "", .note = "", .series = &series, .count = 1};
    double x[2][3];
    for (size_t i = 0; i < 2; i++) {
        picture.by_time = i == 1;
        char *const text = draw(*state, &picture);
        const char *const at = strstr(text, "class=\"raw\" points=\"");
        assert_non_null(at);
        assert_int_equal(
            sscanf(at, "class=\"raw\" points=\"%lf,%*f %lf,%*f %lf", &x[i][0], &x[i][1], &x[i][2]),
            3);
        assert_true((strstr(text, ">seconds<") != NULL) == picture.by_time);
        assert_true((strstr(text, ">step<") != NULL) != picture.by_time);
        free(text);
    }
    assert_true(x[0][2] == x[1][2]); /* both reach the end of the frame */
    assert_true(fabs((x[0][1] - x[0][0]) - (x[0][2] - x[0][1])) < 0.2);
    assert_true(fabs(6 * (x[1][1] - x[1][0]) - (x[1][2] - x[1][1])) < 1);
    curve_close(&curve);
}

static void plot_write__by_time_of_less_than_a_second__has_ticks_between(void **state)
{
    struct curve curve = make_curve((const double[]){2, 1}, 2);
    curve.points[1].seconds = 0.5;
    const struct plot_series series = {.label = "", .value = "", .curve = &curve};
    char *const text = draw(
        *state,
        &(struct plot){.title = "", .note = "", .series = &series, .count = 1, .by_time = true});
    assert_non_null(strstr(text, "text-anchor=\"middle\">0.4</text>"));
    assert_null(strstr(text, "text-anchor=\"middle\">0.6</text>"));
    free(text);
    curve_close(&curve);
}

/* ---- Several --------------------------------------------------------------------------------- */

/* Draws so many curves with these labels, all 2, 1, 0.5, but the second as given. */
static char *draw_several(const char *folder, const char *const *labels, size_t count,
                          const double second[3], bool diverged, bool log_scale)
{
    static const double usual[3] = {2, 1, 0.5};
    struct curve curves[SERIES_MOST];
    struct plot_series series[SERIES_MOST];
    assert_true(count <= SERIES_MOST);
    for (size_t s = 0; s < count; s++) {
        curves[s] = make_curve(s == 1 ? second : usual, 3);
        series[s] = (struct plot_series){.label = labels[s],
                                         .value = "9 %",
                                         .curve = &curves[s],
                                         .diverged = diverged && s == 1};
    }
    const struct plot picture = {
        .title = "", .note = "", .series = series, .count = count, .log_scale = log_scale};
    char *const text = draw(folder, &picture);
    for (size_t s = 0; s < count; s++)
        curve_close(&curves[s]);
    return text;
}

static void plot_write__several__have_a_line_and_a_place_in_the_legend_each(void **state)
{
    static const char *const labels[] = {"sgd", "a<b", "adam"};
    double heights[3];
    char *const text = draw_several(*state, labels, 3, (const double[]){2, 2, 2}, false, false);
    for (size_t s = 0; s < 3; s++) {
        char name[8];
        (void)snprintf(name, sizeof name, "s%zu", s);
        assert_int_equal(read_heights(text, name, heights, 3), 3);
    }
    static const char *const parts[] = {">sgd</text>", ">a&lt;b</text>", ">adam</text>",
                                        ">9 %</text>"};
    for (size_t i = 0; i < 4; i++)
        assert_non_null(strstr(text, parts[i]));
    assert_null(strstr(text, "class=\"raw\""));
    assert_null(strstr(text, "class=\"mark"));
    free(text);
}

/* The others must not become flat for it: they use the height of the frame. */
static void plot_write__curve_that_blows_up__leaves_the_frame(void **state)
{
    static const char *const labels[] = {"tame", "wild"};
    double tame[3];
    double wild[3];
    char *const text =
        draw_several(*state, labels, 2, (const double[]){2, 1e9, 1e30}, false, false);
    assert_int_equal(read_heights(text, "s0", tame, 3), 3);
    assert_int_equal(read_heights(text, "s1", wild, 3), 3);
    assert_true(tame[2] - tame[0] > 50);
    assert_true(wild[0] == tame[0]);
    assert_true(wild[1] < 64); /* the frame's top; what is above is clipped */
    assert_true(wild[2] > -1000);
    free(text);
}

static void plot_write__noise_of_several__does_not_stretch_the_frame(void **state)
{
    static const char *const labels[] = {"quiet", "noisy"};
    char *const text = draw_several(*state, labels, 2, (const double[]){2, 2, 1e-3}, false, true);
    assert_non_null(strstr(text, ">1<"));
    assert_null(strstr(text, ">0.001<"));
    free(text);
}

static void plot_write__curve_that_diverged__has_its_end_marked(void **state)
{
    static const char *const labels[] = {"tame", "wild"};
    char *const text = draw_several(*state, labels, 2, (const double[]){2, 3, 1e30}, true, false);
    assert_non_null(strstr(text, "<path class=\"mark s1\""));
    assert_null(strstr(text, "<path class=\"mark s0\""));
    free(text);
}

static void plot_write__more_curves_than_colours__differ_in_their_dashes(void **state)
{
    static const char *const labels[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    char *const text = draw_several(*state, labels, 9, (const double[]){2, 2, 2}, false, false);
    assert_non_null(strstr(text, ".s0 { stroke: #2f81f7; stroke-dasharray: none; }"));
    assert_non_null(strstr(text, ".s8 { stroke: #2f81f7; stroke-dasharray: 7 3; }"));
    free(text);
}

static void plot_write__label_that_is_long__is_cut(void **state)
{
    static const char *const labels[] = {"short", "0123456789012345678901234567890123456789012345"};
    char *const text = draw_several(*state, labels, 2, (const double[]){2, 2, 2}, false, false);
    assert_non_null(strstr(text, ">01234567890123456789012345678901234567890123...<"));
    free(text);
}

static void plot_write__nothing_yet__is_a_frame(void **state)
{
    const struct plot picture = {.title = "nothing", .note = ""};
    char *const text = draw(*state, &picture);
    assert_non_null(strstr(text, ">nothing</text>"));
    free(text);
}

static void plot_write__full_disk__is_an_error(void **state)
{
    (void)state;
    const struct plot picture = {.title = "", .note = ""};
    assert_int_equal(plot_write("/dev/full", &picture, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "/dev/full"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, files_setup, files_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(plot_write__any_curve__is_well_formed),
        IN_FOLDER(plot_write__title_with_markup__is_escaped),
        IN_FOLDER(plot_write__long_run__is_thinned_but_ends_at_its_end),
        IN_FOLDER(plot_write__log_scale__has_equal_steps_for_equal_ratios),
        IN_FOLDER(plot_write__loss_that_stays__is_in_the_frame),
        IN_FOLDER(plot_write__noise_of_several__does_not_stretch_the_frame),
        IN_FOLDER(plot_write__log_scale_of_one_power__has_rows_close_together),
        IN_FOLDER(plot_write__log_scale_of_many_powers__has_a_row_for_each_power),
        IN_FOLDER(plot_write__by_time__has_the_seconds_on_its_axis),
        IN_FOLDER(plot_write__by_time_of_less_than_a_second__has_ticks_between),
        IN_FOLDER(plot_write__several__have_a_line_and_a_place_in_the_legend_each),
        IN_FOLDER(plot_write__curve_that_blows_up__leaves_the_frame),
        IN_FOLDER(plot_write__curve_that_diverged__has_its_end_marked),
        IN_FOLDER(plot_write__more_curves_than_colours__differ_in_their_dashes),
        IN_FOLDER(plot_write__label_that_is_long__is_cut),
        IN_FOLDER(plot_write__nothing_yet__is_a_frame),
        IN_FOLDER(plot_write__full_disk__is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
