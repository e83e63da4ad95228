/* SPDX-License-Identifier: Apache-2.0
 *
 * What rank 0 leaves behind: the CSV of losses, the picture of them, the saved weights, and the
 * line of progress. The picture's XML is checked by a small reader of tags: every one is closed, in
 * order.
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

#include "client/train/curve.h"
#include "client/train/patience.h"
#include "client/train/plot.h"
#include "client/train/progress.h"
#include "client/train/weights_file.h"
#include "tests/unit/train/files.h"

static struct stepd_error error;

/* ---- Curve ----------------------------------------------------------------------------------- */

static struct curve make_curve(const char *csv, const double *losses, size_t count)
{
    struct curve curve;
    assert_int_equal(curve_open(csv, &curve, &error), STEPD_OK);
    for (size_t i = 0; i < count; i++) {
        const struct curve_point point = {
            .step = i + 1,
            .epoch = i / 2 + 1,
            .loss = losses[i],
            .examples = 10 * i,
            .seconds = 0.25 * (double)i,
        };
        assert_int_equal(curve_append(&curve, &point, &error), STEPD_OK);
    }
    return curve;
}

static void curve_append__points__stand_in_the_csv_line_by_line(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "loss.csv", path);
    struct curve curve = make_curve(path, (const double[]){2.5, 0.125, 1e-9}, 3);
    char *text;
    (void)files_read(path, &text); /* before it is closed: lines are flushed */
    assert_string_equal(text, "step,epoch,loss,examples,seconds\n"
                              "1,1,2.5,0,0.000\n"
                              "2,1,0.125,10,0.250\n"
                              "3,2,1e-09,20,0.500\n");
    free(text);
    curve_close(&curve);
}

static void curve_append__many_points__are_all_kept(void **state)
{
    (void)state;
    static double losses[1000];
    for (size_t i = 0; i < 1000; i++)
        losses[i] = (double)i;
    struct curve curve = make_curve(NULL, losses, 1000);
    assert_int_equal(curve.count, 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_true(curve.points[i].loss == losses[i]);
    curve_close(&curve);
}

static void curve_open__folder_that_is_not_there__names_the_file(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "no/loss.csv", path);
    struct curve curve;
    assert_int_equal(curve_open(path, &curve, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "no/loss.csv"));
}

static void curve_append__full_disk__is_an_error_at_once(void **state)
{
    (void)state;
    struct curve curve;
    assert_int_equal(curve_open("/dev/full", &curve, &error), STEPD_FAILED_PRECONDITION);
}

/* ---- Plot ------------------------------------------------------------------------------------ */

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

static char *plot(const char *folder, const double *losses, size_t count)
{
    char path[FILES_PATH_BYTES];
    files_path(folder, "loss.svg", path);
    struct curve curve = make_curve(NULL, losses, count);
    const struct plot_labels labels = {.title = "a <job> & \x01more", .note = "accuracy 0.9"};
    const struct plot_line line = {.label = "", .curve = &curve};
    assert_int_equal(plot_write(path, &line, 1, &labels, &error), STEPD_OK);
    curve_close(&curve);
    char *text;
    (void)files_read(path, &text);
    return text;
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
        {4, {2.3, NAN, 0.4, 0.3}},
        {4, {INFINITY, 1e30, 1e-30, -5}},
        {2, {NAN, NAN}},
        {2, {1e308, -1e308}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *const text = plot(*state, cases[i].losses, cases[i].count);
        check_xml(text);
        free(text);
    }
}

static void plot_write__several_curves__has_a_legend_and_a_line_for_each(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "runs.svg", path);
    const double fine[] = {2.3, 1.1, 0.4};
    const double wild[] = {2.3, 900.0, 1e30, NAN};
    struct curve curves[10];
    struct plot_line lines[10];
    for (size_t i = 0; i < 10; i++) {
        curves[i] = make_curve(NULL, i == 3 ? wild : fine, i == 3 ? 4 : 3);
        lines[i] = (struct plot_line){.label = "adam <lr>", .curve = &curves[i]};
    }
    const struct plot_labels labels = {.title = "runs", .note = ""};
    assert_int_equal(plot_write(path, lines, 10, &labels, &error), STEPD_OK);
    char *text;
    (void)files_read(path, &text);
    check_xml(text);
    size_t rows = 0;
    for (const char *at = text; (at = strstr(at, "adam &lt;lr&gt;")) != NULL; at++)
        rows++;
    assert_int_equal(rows, 10);
    assert_non_null(strstr(text, "stroke-dasharray")); /* the ninth */
    assert_non_null(strstr(text, ">3.5</text>"));      /* the wild one does not set the scale */
    assert_null(strstr(text, ">900</text>"));
    free(text);
    for (size_t i = 0; i < 10; i++)
        curve_close(&curves[i]);
}

static void plot_write__title_with_markup__is_escaped(void **state)
{
    char *const text = plot(*state, (const double[]){2, 1}, 2);
    assert_non_null(strstr(text, "<title>a &lt;job&gt; &amp; more</title>"));
    assert_non_null(strstr(text, "accuracy 0.9"));
    free(text);
}

static void plot_write__long_run__is_thinned_but_ends_at_its_end(void **state)
{
    static double losses[20000];
    for (size_t i = 0; i < 20000; i++)
        losses[i] = 1.0 / (double)(i + 1);
    char *const text = plot(*state, losses, 20000);
    check_xml(text);
    assert_true(strlen(text) < 60000);
    assert_non_null(strstr(text, "\n<polyline class=\"raw\""));
    assert_non_null(strstr(text, "736.0,")); /* the right end of the frame */
    free(text);
}

/* ---- Saved weights --------------------------------------------------------------------------- */

static void weights_file_write__model__is_read_back_by_the_format(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "weights.safetensors", path);
    const struct model_task task = {.image = {1, 1, 3}, .classes = 2};
    struct model *model;
    assert_int_equal(model_create("mlp:3-2-2", &task, 1, &model, &error), STEPD_OK);
    for (size_t i = 0; i < 6; i++)
        model->layer[0].weight[i] = (float)i + 0.5f;
    model->layer[1].bias[1] = -2.0f;
    assert_int_equal(weights_file_write(path, model, &error), STEPD_OK);
    model_destroy(model);

    char *file;
    const size_t size = files_read(path, &file);
    size_t length = 0;
    for (size_t i = 0; i < 8; i++)
        length |= (size_t)(uint8_t)file[i] << (8 * i);
    assert_int_equal(length % 8, 0);
    assert_int_equal(size, 8 + length + sizeof(float[6 + 2 + 4 + 2]));
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"fc1.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"fc1.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
        "\"fc2.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[32,48]},"
        "\"fc2.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[48,56]}}";
    assert_memory_equal(file + 8, header, sizeof header - 1);
    const uint8_t one_and_a_half[] = {0, 0, 0xC0, 0x3F};
    const uint8_t minus_two[] = {0, 0, 0, 0xC0};
    assert_memory_equal(file + 8 + length + 4, one_and_a_half, 4);
    assert_memory_equal(file + 8 + length + 52, minus_two, 4);
    free(file);
}

static void weights_file_write__full_disk__is_an_error(void **state)
{
    (void)state;
    const struct model_task task = {.image = {1, 1, 3}, .classes = 2};
    struct model *model;
    assert_int_equal(model_create("mlp:3-2-2", &task, 1, &model, &error), STEPD_OK);
    /* A folder cannot be opened as a file, and nothing must be removed for it. */
    assert_int_equal(weights_file_write(*state, model, &error), STEPD_FAILED_PRECONDITION);
    model_destroy(model);
}

/* ---- Progress -------------------------------------------------------------------------------- */

static void progress_update__off_a_terminal__gives_a_line_when_it_is_time(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "progress", path);
    FILE *const out = fopen(path, "w");
    assert_non_null(out);
    struct progress progress = progress_start(out, /* terminal= */ false, 0, 100, 50.0);
    progress_update(&progress, &(struct progress_step){1, 2.0, 32, 51.0}); /* too early */
    progress_update(&progress, &(struct progress_step){2, NAN, 0, 52.5});
    progress_end(&progress);
    assert_int_equal(fclose(out), 0);
    char *text;
    (void)files_read(path, &text);
    assert_string_equal(text, "step 2/100  loss 2.0000  13 examples/s  122 s left\n");
    free(text);
}

static void progress_update__last_step__is_always_shown(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "progress", path);
    FILE *const out = fopen(path, "w");
    assert_non_null(out);
    struct progress progress = progress_start(out, /* terminal= */ true, 90, 91, 50.0);
    progress_update(&progress, &(struct progress_step){91, 0.5, 10, 50.01});
    progress_end(&progress);
    assert_int_equal(fclose(out), 0);
    char *text;
    (void)files_read(path, &text);
    assert_string_equal(text, "\rstep 91/91  loss 0.5000  1000 examples/s  0 s left\x1b[K\n");
    free(text);
}

/* The first wait is over at once; the second would last for ever. */
static void patience__at_its_end__has_said_what_is_waited_for(void **state)
{
    (void)state;
    char *said = NULL;
    size_t size = 0;
    FILE *const out = open_memstream(&said, &size);
    assert_non_null(out);
    struct patience patience;
    patience_begin(&patience, out, "waiting", 0);
    assert_int_equal(pthread_join(patience.thread, NULL), 0);
    patience.running = false;
    patience_end(&patience);
    patience_begin(&patience, out, "never", UINT32_MAX);
    patience_end(&patience);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(said, "waiting\n");
    free(said);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, files_setup, files_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(curve_append__points__stand_in_the_csv_line_by_line),
        cmocka_unit_test(patience__at_its_end__has_said_what_is_waited_for),
        cmocka_unit_test(curve_append__many_points__are_all_kept),
        IN_FOLDER(curve_open__folder_that_is_not_there__names_the_file),
        cmocka_unit_test(curve_append__full_disk__is_an_error_at_once),
        IN_FOLDER(plot_write__any_curve__is_well_formed),
        IN_FOLDER(plot_write__several_curves__has_a_legend_and_a_line_for_each),
        IN_FOLDER(plot_write__title_with_markup__is_escaped),
        IN_FOLDER(plot_write__long_run__is_thinned_but_ends_at_its_end),
        IN_FOLDER(weights_file_write__model__is_read_back_by_the_format),
        IN_FOLDER(weights_file_write__full_disk__is_an_error),
        IN_FOLDER(progress_update__off_a_terminal__gives_a_line_when_it_is_time),
        IN_FOLDER(progress_update__last_step__is_always_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
