/* SPDX-License-Identifier: Apache-2.0
 *
 * IDX files and data sets: what was written is read, plain and gzipped; a file cut at any byte,
 * going on after its end, or stating sizes that cannot be is refused with a text that names it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/batch.h"
#include "client/train/dataset.h"
#include "client/train/idx.h"
#include "tests/unit/train/files.h"

static const uint32_t sizes[3] = {2, 2, 3};
static const uint8_t elements[12] = {0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255};

#define FILE_BYTES  (4u + 12u + 12u)
#define NOISE_BYTES 40970u

static enum stepd_status read_back(const char *folder, const uint8_t *bytes, size_t count,
                                   bool gzipped, struct idx *ret_idx, struct stepd_error *error)
{
    char path[FILES_PATH_BYTES];
    files_path(folder, "some-file", path);
    files_write(path, bytes, count, gzipped);
    return idx_read(path, 3, ret_idx, error);
}

static void check_whole(const char *folder, bool gzipped)
{
    uint8_t file[FILE_BYTES];
    const size_t count = files_idx(file, 3, sizes, elements, sizeof elements);
    struct idx idx;
    struct stepd_error error;
    assert_int_equal(read_back(folder, file, count, gzipped, &idx, &error), STEPD_OK);
    assert_int_equal(idx.dims, 3);
    assert_int_equal(idx.shape[0], 2);
    assert_int_equal(idx.shape[1], 2);
    assert_int_equal(idx.shape[2], 3);
    assert_int_equal(idx.bytes, 12);
    assert_memory_equal(idx.elements, elements, sizeof elements);
    idx_deinit(&idx);
}

static void idx_read__plain__gives_shape_and_elements(void **state)
{
    check_whole(*state, /* gzipped= */ false);
}

static void idx_read__gzipped__gives_the_same(void **state)
{
    check_whole(*state, /* gzipped= */ true);
}

static void idx_read__plain_cut_at_any_byte__is_data_loss_that_names_the_file(void **state)
{
    uint8_t file[FILE_BYTES];
    const size_t count = files_idx(file, 3, sizes, elements, sizeof elements);
    for (size_t cut = 0; cut < count; cut++) {
        struct idx idx;
        struct stepd_error error;
        assert_int_equal(read_back(*state, file, cut, false, &idx, &error), STEPD_DATA_LOSS);
        assert_non_null(strstr(error.text, "some-file: cut short: expected "));
    }
}

static void idx_read__gzip_stream_cut_at_any_byte__is_refused(void **state)
{
    uint8_t file[FILE_BYTES];
    const size_t count = files_idx(file, 3, sizes, elements, sizeof elements);
    char path[FILES_PATH_BYTES];
    files_path(*state, "whole.gz", path);
    files_write(path, file, count, /* gzipped= */ true);
    char *stream;
    const size_t stream_bytes = files_read(path, &stream);
    for (size_t cut = 0; cut < stream_bytes; cut++) {
        struct idx idx;
        struct stepd_error error;
        const enum stepd_status status =
            read_back(*state, (const uint8_t *)stream, cut, false, &idx, &error);
        assert_int_not_equal(status, STEPD_OK);
        assert_non_null(strstr(error.text, "some-file"));
    }
    free(stream);
}

/* zlib reads 8192 bytes at a time. Around a multiple of that the checksum comes with the last
 * elements for some files, and after all of them for others. */
static void idx_read__gzip_with_a_flipped_checksum__is_data_loss(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "whole.gz", path);
    for (uint32_t count = 40870; count < NOISE_BYTES; count++) {
        static uint8_t noise[NOISE_BYTES];
        static uint8_t file[16 + NOISE_BYTES];
        for (uint32_t i = 0; i < count; i++)
            noise[i] = (uint8_t)batch_mix(i);
        const size_t bytes = files_idx(file, 3, (const uint32_t[]){count, 1, 1}, noise, count);
        files_write(path, file, bytes, /* gzipped= */ true);
        char *stream;
        const size_t stream_bytes = files_read(path, &stream);
        stream[stream_bytes - 8] ^= 1; /* the CRC stands before the length */
        struct idx idx;
        struct stepd_error error;
        assert_int_equal(
            read_back(*state, (const uint8_t *)stream, stream_bytes, false, &idx, &error),
            STEPD_DATA_LOSS);
        assert_non_null(strstr(error.text, "damaged"));
        free(stream);
    }
}

static void idx_read__bytes_after_the_end__is_data_loss(void **state)
{
    uint8_t file[FILE_BYTES + 1] = {0};
    const size_t count = files_idx(file, 3, sizes, elements, sizeof elements);
    struct idx idx;
    struct stepd_error error;
    for (int gzipped = 0; gzipped < 2; gzipped++) {
        assert_int_equal(read_back(*state, file, count + 1, gzipped == 1, &idx, &error),
                         STEPD_DATA_LOSS);
        assert_non_null(strstr(error.text, "goes on after the 12 elements"));
    }
}

static void idx_read__other_magic_number__is_invalid_and_names_both(void **state)
{
    uint8_t file[FILE_BYTES];
    const size_t count = files_idx(file, 3, sizes, elements, sizeof elements);
    file[3] = 1;
    struct idx idx;
    struct stepd_error error;
    assert_int_equal(read_back(*state, file, count, false, &idx, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "expected magic number 0x00000803, found 0x00000801"));
}

static void idx_read__sizes_beyond_the_limit__is_refused_before_allocation(void **state)
{
    static const uint32_t huge[][3] = {
        {UINT32_MAX, UINT32_MAX, UINT32_MAX},
        {1u << 31, 1u << 31, 4}, /* 2^64: wraps to 0 */
        {IDX_BYTES_MAX, 1, 2},
    };
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        uint8_t file[16];
        const size_t count = files_idx(file, 3, huge[i], NULL, 0);
        struct idx idx;
        struct stepd_error error;
        assert_int_equal(read_back(*state, file, count, false, &idx, &error),
                         STEPD_RESOURCE_EXHAUSTED);
    }
}

static void idx_read__size_zero__is_invalid(void **state)
{
    uint8_t file[16];
    const size_t count = files_idx(file, 3, (const uint32_t[]){2, 0, 3}, NULL, 0);
    struct idx idx;
    struct stepd_error error;
    assert_int_equal(read_back(*state, file, count, false, &idx, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "dimension 1 has size 0"));
}

static void idx_read__no_file__is_not_found(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "nothing", path);
    struct idx idx;
    struct stepd_error error;
    assert_int_equal(idx_read(path, 3, &idx, &error), STEPD_NOT_FOUND);
}

/* ---- Data sets ------------------------------------------------------------------------------- */

static void dataset_load__plain_images_and_gzipped_labels__are_one_set(void **state)
{
    files_write_dataset(*state, 30, 20);
    struct dataset dataset;
    struct stepd_error error;
    assert_int_equal(dataset_load(*state, "train", &dataset, &error), STEPD_OK);
    assert_int_equal(dataset.examples, 30);
    assert_int_equal(dataset.inputs, 4);
    assert_int_equal(dataset.labels[13], 3);
    dataset_deinit(&dataset);
}

static void dataset_load__fewer_labels_than_images__is_invalid_with_both_numbers(void **state)
{
    files_write_dataset(*state, 30, 20);
    char path[FILES_PATH_BYTES];
    files_path(*state, "train-labels-idx1-ubyte", path);
    uint8_t file[40];
    const uint8_t labels[29] = {0};
    files_write(path, file, files_idx(file, 1, (const uint32_t[]){29}, labels, 29), false);
    struct dataset dataset;
    struct stepd_error error;
    assert_int_equal(dataset_load(*state, "train", &dataset, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "30 images"));
    assert_non_null(strstr(error.text, "29 labels"));
}

static void dataset_load__label_out_of_range__is_invalid_and_names_the_example(void **state)
{
    files_write_dataset(*state, 3, 20);
    char path[FILES_PATH_BYTES];
    files_path(*state, "train-labels-idx1-ubyte", path);
    uint8_t file[16];
    const uint8_t labels[3] = {9, 10, 0};
    files_write(path, file, files_idx(file, 1, (const uint32_t[]){3}, labels, 3), false);
    struct dataset dataset;
    struct stepd_error error;
    assert_int_equal(dataset_load(*state, "train", &dataset, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "label 10 of example 1"));
}

static void dataset_load__folder_without_the_set__names_folder_and_file(void **state)
{
    struct dataset dataset;
    struct stepd_error error;
    assert_int_equal(dataset_load(*state, "train", &dataset, &error), STEPD_NOT_FOUND);
    assert_non_null(strstr(error.text, *state));
    assert_non_null(strstr(error.text, "train-images-idx3-ubyte.gz"));
}

static void train_data_load__both_parts__have_the_scale_of_the_first(void **state)
{
    struct train_data data;
    struct dataset_scale scale;
    struct stepd_error error;
    files_write_dataset(*state, 30, 20);
    assert_int_equal(train_data_load(*state, /* with_test= */ true, &data, &error), STEPD_OK);
    assert_int_equal(data.test.examples, 20);
    dataset_measure(&data.train, &scale);
    assert_memory_equal(&data.scale, &scale, sizeof scale);
    train_data_deinit(&data);
}

static void
train_data_load__test_part_of_another_size__is_invalid_unless_it_is_not_asked_for(void **state)
{
    static const uint32_t wide[] = {1, 1, 3};
    static const uint8_t pixels[3] = {0};
    uint8_t bytes[4 + 4 * 3 + 3];
    char path[FILES_PATH_BYTES];
    struct train_data data;
    struct stepd_error error;
    files_write_dataset(*state, 30, 1);
    files_path(*state, "t10k-images-idx3-ubyte", path);
    files_write(path, bytes, files_idx(bytes, 3, wide, pixels, 3), /* gzipped= */ false);
    assert_int_equal(train_data_load(*state, /* with_test= */ true, &data, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "training images have 4 pixels, test images 3"));
    assert_int_equal(train_data_load(*state, /* with_test= */ false, &data, &error), STEPD_OK);
    assert_int_equal(data.test.examples, 0);
    train_data_deinit(&data);
}

static void dataset_gather__rows_in_any_order__are_scaled_to_mean_0_variance_1(void **state)
{
    (void)state;
    uint8_t pixels[] = {10, 10, 30, 30};
    uint8_t labels[] = {3, 7};
    const struct dataset dataset = {.examples = 2, .inputs = 2, .pixels = pixels, .labels = labels};
    struct dataset_scale scale;
    dataset_measure(&dataset, &scale);
    float x[6];
    uint8_t y[3];
    dataset_gather(&dataset, &scale, (const uint32_t[]){1, 0, 1}, 3, x, y);
    const float expected_x[] = {1, 1, -1, -1, 1, 1};
    const uint8_t expected_y[] = {7, 3, 7};
    assert_memory_equal(x, expected_x, sizeof x);
    assert_memory_equal(y, expected_y, sizeof y);
}

static void dataset_measure__all_pixels_the_same__scales_to_0(void **state)
{
    (void)state;
    uint8_t pixels[] = {9, 9, 9};
    const struct dataset dataset = {.examples = 1, .inputs = 3, .pixels = pixels};
    struct dataset_scale scale;
    dataset_measure(&dataset, &scale);
    assert_true(scale.value[9] == 0.0f);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, files_setup, files_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(idx_read__plain__gives_shape_and_elements),
        IN_FOLDER(idx_read__gzipped__gives_the_same),
        IN_FOLDER(idx_read__plain_cut_at_any_byte__is_data_loss_that_names_the_file),
        IN_FOLDER(idx_read__gzip_stream_cut_at_any_byte__is_refused),
        IN_FOLDER(idx_read__gzip_with_a_flipped_checksum__is_data_loss),
        IN_FOLDER(idx_read__bytes_after_the_end__is_data_loss),
        IN_FOLDER(idx_read__other_magic_number__is_invalid_and_names_both),
        IN_FOLDER(idx_read__sizes_beyond_the_limit__is_refused_before_allocation),
        IN_FOLDER(idx_read__size_zero__is_invalid),
        IN_FOLDER(idx_read__no_file__is_not_found),
        IN_FOLDER(train_data_load__both_parts__have_the_scale_of_the_first),
        IN_FOLDER(
            train_data_load__test_part_of_another_size__is_invalid_unless_it_is_not_asked_for),
        IN_FOLDER(dataset_load__plain_images_and_gzipped_labels__are_one_set),
        IN_FOLDER(dataset_load__fewer_labels_than_images__is_invalid_with_both_numbers),
        IN_FOLDER(dataset_load__label_out_of_range__is_invalid_and_names_the_example),
        IN_FOLDER(dataset_load__folder_without_the_set__names_folder_and_file),
        cmocka_unit_test(dataset_gather__rows_in_any_order__are_scaled_to_mean_0_variance_1),
        cmocka_unit_test(dataset_measure__all_pixels_the_same__scales_to_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
