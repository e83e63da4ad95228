/* SPDX-License-Identifier: Apache-2.0
 *
 * What rank 0 leaves behind: the CSV of losses, the saved weights, and the line of progress.
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
                              "1,1,2.5,0,0.000000\n"
                              "2,1,0.125,10,0.250000\n"
                              "3,2,1e-09,20,0.500000\n");
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
        IN_FOLDER(weights_file_write__model__is_read_back_by_the_format),
        IN_FOLDER(weights_file_write__full_disk__is_an_error),
        IN_FOLDER(progress_update__off_a_terminal__gives_a_line_when_it_is_time),
        IN_FOLDER(progress_update__last_step__is_always_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
