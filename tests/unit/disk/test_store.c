/* SPDX-License-Identifier: Apache-2.0
 *
 * One daemon has a store, and no name of a job leads out of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stepd/types.h>

#include "server/disk/shelf.h"
#include "server/disk/store.h"
#include "tests/unit/disk/scratch.h"

static struct store *open_store(const struct scratch *scratch)
{
    struct store *store = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(store_open(scratch_path(scratch, "store"), &store, &error), STEPD_OK);
    return store;
}

static void store_open__of_one_in_use__is_refused_until_it_is_closed(void **state)
{
    struct store *store = open_store(*state);
    struct store *other = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(store_open(scratch_path(*state, "store"), &other, &error),
                     STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "another stepd keeps its checkpoints in"));
    assert_null(other);
    (void)store_close(store);
    (void)store_close(open_store(*state));
}

static void store_open__where_it_cannot_be__names_the_folder_and_the_cause(void **state)
{
    struct store *store = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(store_open(scratch_path(*state, "no/such"), &store, &error),
                     STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "no/such: No such file or directory"));
}

static void store_open_to_read__of_one_in_use__sees_it_and_takes_no_lock(void **state)
{
    struct store *reader = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    struct store *store = open_store(*state);
    assert_int_equal(store_open_to_read(scratch_path(*state, "store"), &reader, &error), STEPD_OK);
    (void)store_close(store);
    (void)store_close(open_store(*state)); /* the reader is there yet */
    (void)store_close(reader);
}

static void store_open_to_read__where_there_is_none__makes_none(void **state)
{
    struct store *reader = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(store_open_to_read(scratch_path(*state, "store"), &reader, &error),
                     STEPD_NOT_FOUND);
    assert_non_null(strstr(error.text, "there is no folder"));
    assert_false(scratch_has(*state, "store"));
}

static void store_open_to_read__of_a_file__names_it_and_the_cause(void **state)
{
    struct store *reader = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    scratch_write(*state, "file", "");
    assert_int_equal(store_open_to_read(scratch_path(*state, "file"), &reader, &error),
                     STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "file: Not a directory"));
}

static void store_shelf_name__of_any_name__stays_in_the_store(void **state)
{
    (void)state;
    assert_string_equal(store_shelf_name("mnist-2_a.b").text, "mnist-2_a.b");
    assert_string_equal(store_shelf_name("..").text, "%2E.");
    assert_string_equal(store_shelf_name(".new-x").text, "%2Enew-x");
    assert_string_equal(store_shelf_name("a/../../b").text, "a%2F..%2F..%2Fb");
    assert_string_equal(store_shelf_name("a b\xC3\xBC~%").text, "a%20b%C3%BC%7E%25");
}

static void store_shelf_name__of_a_name_that_stands_for_something__is_another(void **state)
{
    (void)state;
    assert_string_equal(store_shelf_name("lock").text, "%6Cock");
    assert_string_equal(store_shelf_name("incarnation").text, "%69ncarnation");
    assert_string_equal(store_shelf_name("manifest.json").text, "%6Danifest.json");
    assert_string_equal(store_shelf_name("model.safetensors").text, "%6Dodel.safetensors");
    assert_string_equal(store_shelf_name("optimizer.safetensors").text, "%6Fptimizer.safetensors");
    assert_string_equal(store_shelf_name("step-00000001").text, "%73tep-00000001");
    assert_string_equal(store_shelf_name("%73tep-00000001").text, "%2573tep-00000001");
    assert_string_equal(store_shelf_name("step-1").text, "step-1"); /* no checkpoint's */
    assert_string_equal(store_shelf_name("locks").text, "locks");
}

static void store_shelf_name__of_long_names__differ(void **state)
{
    (void)state;
    char one[STEPD_NAME_MAX_BYTES + 1], other[STEPD_NAME_MAX_BYTES + 1];
    memset(one, '/', STEPD_NAME_MAX_BYTES);
    one[STEPD_NAME_MAX_BYTES] = '\0';
    memcpy(other, one, sizeof one);
    other[STEPD_NAME_MAX_BYTES - 1] = 'x';
    const struct store_shelf_name a = store_shelf_name(one), b = store_shelf_name(other);
    assert_string_not_equal(a.text, b.text);
    assert_null(strchr(a.text, '/'));
    assert_true(strlen(a.text) < STORE_SHELF_BYTES);
}

static void store_shelves__are_folders_of_jobs_alone_by_name(void **state)
{
    struct store *store = open_store(*state);
    assert_int_equal(mkdir(scratch_path(*state, "store/b"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(*state, "store/a"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(*state, "store/.c"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(*state, "store/lost+found"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(*state, "store/\033[2J"), 0700), 0);
    assert_int_equal(symlink("a", scratch_path(*state, "store/link")), 0);
    struct store_shelf_name *shelf = NULL;
    size_t shelves = 0;
    struct stepd_error error;
    assert_int_equal(store_shelves(store, &shelf, &shelves, &error), STEPD_OK);
    assert_int_equal(shelves, 2);
    assert_string_equal(shelf[0].text, "a");
    assert_string_equal(shelf[1].text, "b");
    free(shelf);
    (void)store_close(store);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(store_open__of_one_in_use__is_refused_until_it_is_closed),
        TEST(store_open__where_it_cannot_be__names_the_folder_and_the_cause),
        TEST(store_shelf_name__of_any_name__stays_in_the_store),
        TEST(store_shelf_name__of_a_name_that_stands_for_something__is_another),
        TEST(store_shelf_name__of_long_names__differ),
        TEST(store_open_to_read__of_one_in_use__sees_it_and_takes_no_lock),
        TEST(store_open_to_read__where_there_is_none__makes_none),
        TEST(store_open_to_read__of_a_file__names_it_and_the_cause),
        TEST(store_shelves__are_folders_of_jobs_alone_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
