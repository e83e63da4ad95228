/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint of three daemons of which something is not as it was written: whoever needs it
 * notices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/disk/load.h"
#include "server/disk/save.h"
#include "server/disk/shelf.h"
#include "tests/unit/disk/portions.h"

static enum stepd_status load(int folder, const struct load_wanted *wanted,
                              struct stepd_error *error)
{
    struct manifest manifest;
    const enum stepd_status status =
        load_checkpoint_of(folder, UINT64_MAX, NULL, wanted, &manifest, error);
    if (status == STEPD_OK)
        manifest_deinit(&manifest);
    return status;
}

static void flip_all(int folder, const char *name)
{
    const int file = openat(folder, name, O_RDWR);
    struct stat stat;
    assert_int_equal(fstat(file, &stat), 0);
    assert_true(stat.st_size > 8);
    for (off_t at = 0; at < stat.st_size; at++) {
        struct stepd_error error;
        uint8_t byte = 0;
        assert_int_equal(pread(file, &byte, 1, at), 1);
        const uint8_t other = byte ^ (uint8_t)(1U << (at % 8));
        assert_int_equal(pwrite(file, &other, 1, at), 1);
        if (load(folder, NULL, &error) == STEPD_OK)
            fail_msg("%s: a changed byte %lld is not seen", name, (long long)at);
        assert_int_equal(pwrite(file, &byte, 1, at), 1);
    }
    assert_int_equal(close(file), 0);
}

static void load__of_one_with_any_byte_changed__is_refused(void **state)
{
    struct portions f;
    struct stepd_error error;
    portions_setup(&f, *state, 7);
    portions_save(&f);
    const int folder = portions_open(&f);
    flip_all(folder, MANIFEST_FILE);
    for (uint32_t i = 0; i < PORTIONS_DAEMONS; i++) {
        flip_all(folder, portion_file(ARRAYS_MODEL, i, PORTIONS_DAEMONS).text);
        flip_all(folder, portion_file(ARRAYS_OPTIMIZER, i, PORTIONS_DAEMONS).text);
    }
    assert_int_equal(load(folder, NULL, &error), STEPD_OK);
    assert_int_equal(close(folder), 0);
    portions_end(&f);
}

/* Daemons that share a checkpoint notice together whatever has changed of its floats. */
static void load__of_some_slices_with_any_float_changed__is_refused_by_who_needs_it(void **state)
{
    struct portions f;
    struct stepd_error error;
    const struct load_wanted wanted[] = {{.shards = 2, .count = 1},
                                         {.shards = 2, .first = 1, .count = 1}};
    portions_setup(&f, *state, 60); /* so that none reads all of a file */
    portions_save(&f);
    const int folder = portions_open(&f);
    for (uint32_t i = 0; i < 2 * PORTIONS_DAEMONS; i++) {
        const struct portion_file_name name =
            portion_file(i % 2 == 0 ? ARRAYS_MODEL : ARRAYS_OPTIMIZER, i / 2, PORTIONS_DAEMONS);
        const int file = openat(folder, name.text, O_RDWR);
        uint64_t head = 0;
        struct stat stat;
        assert_int_equal(fstat(file, &stat), 0);
        assert_int_equal(pread(file, &head, sizeof head, 0), sizeof head);
        for (off_t at = (off_t)head + 8; at < stat.st_size; at += 61) {
            uint8_t byte = 0;
            assert_int_equal(pread(file, &byte, 1, at), 1);
            const uint8_t other = byte ^ 0x10;
            assert_int_equal(pwrite(file, &other, 1, at), 1);
            const bool first = load(folder, &wanted[0], &error) == STEPD_OK;
            const bool second = load(folder, &wanted[1], &error) == STEPD_OK;
            assert_true(!first || !second);
            assert_int_equal(pwrite(file, &byte, 1, at), 1);
        }
        assert_int_equal(close(file), 0);
    }
    assert_int_equal(load(folder, &wanted[0], &error), STEPD_OK);
    assert_int_equal(close(folder), 0);
    portions_end(&f);
}

static void load__without_one_of_the_files__names_it(void **state)
{
    for (uint32_t i = 0; i < 2 * PORTIONS_DAEMONS; i++) {
        struct portions f;
        struct stepd_error error;
        struct manifest manifest;
        const struct portion_file_name name =
            portion_file(i % 2 == 0 ? ARRAYS_MODEL : ARRAYS_OPTIMIZER, i / 2, PORTIONS_DAEMONS);
        portions_setup(&f, *state, 7);
        portions_save(&f);
        const int folder = portions_open(&f);
        assert_int_equal(unlinkat(folder, name.text, 0), 0);
        assert_int_equal(load(folder, NULL, &error), STEPD_NOT_FOUND);
        assert_non_null(strstr(error.text, name.text));
        assert_int_equal(load_manifest(folder, &manifest, &error), STEPD_OK);
        assert_int_equal(load_check_files(folder, &manifest, &error), STEPD_NOT_FOUND);
        manifest_deinit(&manifest);
        assert_int_equal(close(folder), 0);
        portions_end(&f);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(load__of_one_with_any_byte_changed__is_refused),
        TEST(load__of_some_slices_with_any_float_changed__is_refused_by_who_needs_it),
        TEST(load__without_one_of_the_files__names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
