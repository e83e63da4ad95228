/* SPDX-License-Identifier: Apache-2.0
 *
 * Files are made, read and replaced whole, and nothing that is no file is taken for one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/disk/file.h"
#include "tests/unit/disk/scratch.h"

static int open_folder(const struct scratch *scratch)
{
    const int folder = open(scratch->path, O_RDONLY | O_DIRECTORY);
    assert_true(folder >= 0);
    return folder;
}

static void file_write__of_many_pieces__writes_all_in_order(void **state)
{
    const int folder = open_folder(*state);
    const int file = file_create(folder, "a");
    assert_true(file >= 0);
    static uint8_t bytes[5000];
    struct iovec piece[5000]; /* more than a system takes at once */
    for (size_t i = 0; i < 5000; i++) {
        bytes[i] = (uint8_t)(i * 7);
        piece[i] = (struct iovec){.iov_base = &bytes[i], .iov_len = i % 5 == 0 ? 0 : 1};
    }
    assert_true(file_write(file, piece, 5000));
    assert_true(file_finish(file));
    uint64_t length = 0;
    const int again = file_open(folder, "a", &length);
    assert_true(again >= 0);
    assert_int_equal(length, 4000);
    uint8_t read[4000];
    assert_true(file_read(again, read, sizeof read, 0));
    size_t at = 0;
    for (size_t i = 0; i < 5000; i++) {
        if (i % 5 != 0)
            assert_int_equal(read[at++], bytes[i]);
    }
    assert_false(file_read(again, read, 2, 3999));
    assert_int_equal(errno, ENODATA);
    assert_int_equal(close(again), 0);
    assert_int_equal(close(folder), 0);
}

static void file_create__where_there_is_one__refuses(void **state)
{
    const int folder = open_folder(*state);
    scratch_write(*state, "a", "old");
    assert_int_equal(file_create(folder, "a"), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(close(folder), 0);
}

static void file_create__is_the_owners_alone(void **state)
{
    const int folder = open_folder(*state);
    const int file = file_create(folder, "a");
    struct stat stat;
    assert_int_equal(fstat(file, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0600);
    assert_true(file_finish(file));
    assert_int_equal(close(folder), 0);
}

static void file_open__of_what_is_no_file__refuses(void **state)
{
    const int folder = open_folder(*state);
    uint64_t bytes = 0;
    scratch_write(*state, "a", "text");
    assert_int_equal(symlink("a", scratch_path(*state, "link")), 0);
    assert_int_equal(mkdir(scratch_path(*state, "folder"), 0700), 0);
    assert_int_equal(mkfifo(scratch_path(*state, "pipe"), 0600), 0);
    assert_int_equal(file_open(folder, "link", &bytes), -1);
    assert_int_equal(file_open(folder, "folder", &bytes), -1);
    assert_int_equal(file_open(folder, "pipe", &bytes), -1);
    assert_int_equal(file_open(folder, "nothing", &bytes), -1);
    assert_int_equal(close(folder), 0);
}

static void file_replace__of_an_old_one__leaves_the_new_alone(void **state)
{
    const int folder = open_folder(*state);
    assert_true(file_replace(folder, "a", "one", 3));
    scratch_write(*state, ".new-a", "left behind by one that died");
    assert_true(file_replace(folder, "a", "other", 5));
    uint64_t bytes = 0;
    const int file = file_open(folder, "a", &bytes);
    char text[8] = "";
    assert_int_equal(bytes, 5);
    assert_true(file_read(file, text, 5, 0));
    assert_string_equal(text, "other");
    assert_false(scratch_has(*state, ".new-a"));
    assert_int_equal(close(file), 0);
    assert_int_equal(close(folder), 0);
}

static void file_remove_folder__of_files__removes_all(void **state)
{
    const int folder = open_folder(*state);
    assert_int_equal(mkdir(scratch_path(*state, "f"), 0700), 0);
    scratch_write(*state, "f/a", "text");
    scratch_write(*state, "f/b", "text");
    assert_true(file_remove_folder(folder, "f"));
    assert_false(scratch_has(*state, "f"));
    assert_true(file_remove_folder(folder, "f"));
    assert_int_equal(close(folder), 0);
}

static void file_remove_folder__of_a_link__leaves_what_it_points_to(void **state)
{
    const int folder = open_folder(*state);
    assert_int_equal(mkdir(scratch_path(*state, "f"), 0700), 0);
    scratch_write(*state, "f/a", "text");
    assert_int_equal(symlink("f", scratch_path(*state, "link")), 0);
    assert_false(file_remove_folder(folder, "link"));
    assert_true(scratch_has(*state, "f/a"));
    assert_int_equal(close(folder), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file_write__of_many_pieces__writes_all_in_order),
        TEST(file_create__where_there_is_one__refuses),
        TEST(file_create__is_the_owners_alone),
        TEST(file_open__of_what_is_no_file__refuses),
        TEST(file_replace__of_an_old_one__leaves_the_new_alone),
        TEST(file_remove_folder__of_files__removes_all),
        TEST(file_remove_folder__of_a_link__leaves_what_it_points_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
