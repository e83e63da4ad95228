/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders that are not to be taken for a store, and links in one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/disk/place.h"
#include "tests/unit/disk/scratch.h"

static void make_folder(const struct scratch *scratch, const char *name)
{
    assert_int_equal(mkdir(scratch_path(scratch, name), 0700), 0);
}

/* "store/job/step-00000005", with its files. */
static void make_checkpoint(const struct scratch *scratch)
{
    make_folder(scratch, "store");
    make_folder(scratch, "store/job");
    make_folder(scratch, "store/job/step-00000005");
    scratch_write(scratch, "store/job/step-00000005/manifest.json", "{}");
    scratch_write(scratch, "store/job/step-00000005/model.safetensors", "");
}

static void assert_refused(const struct scratch *scratch, const char *path, const char *is)
{
    struct store *store = NULL;
    struct stepd_error error = {.text = ""};
    char *const meant = realpath(scratch_path(scratch, "store"), NULL);
    char expected[256];
    (void)snprintf(expected, sizeof expected,
                   "%s is %s, and not the folder that the checkpoints "
                   "of all jobs are kept in: that is %s",
                   path, is, meant);
    free(meant);
    assert_int_equal(store_open(path, &store, &error), STEPD_FAILED_PRECONDITION);
    assert_string_equal(error.text, expected);
}

/* ---- One level too deep ---------------------------------------------------------------------- */

static void store_open__on_the_folder_of_one_job__names_the_one_above(void **state)
{
    make_checkpoint(*state);
    assert_refused(*state, scratch_path(*state, "store/job"), "the folder of one job");
    assert_refused(*state, scratch_path(*state, "store/job/"), "the folder of one job");
    assert_false(scratch_has(*state, "store/job/lock"));
}

static void store_open__on_a_checkpoint__names_the_one_above_its_job(void **state)
{
    make_checkpoint(*state);
    assert_refused(*state, scratch_path(*state, "store/job/step-00000005"), "a checkpoint");
    assert_false(scratch_has(*state, "store/job/step-00000005/lock"));
}

static void store_open__on_one_through_a_link__names_the_folder_itself(void **state)
{
    make_checkpoint(*state);
    assert_int_equal(symlink("store/job", scratch_path(*state, "link")), 0);
    assert_refused(*state, scratch_path(*state, "link"), "the folder of one job");
}

static void store_open__on_a_damaged_checkpoint__is_refused_too(void **state)
{
    make_checkpoint(*state);
    assert_int_equal(unlink(scratch_path(*state, "store/job/step-00000005/manifest.json")), 0);
    assert_refused(*state, scratch_path(*state, "store/job/step-00000005"), "a checkpoint");
    assert_refused(*state, scratch_path(*state, "store/job"), "the folder of one job");
}

static void store_open__on_a_store_and_on_anybodys_folder__is_fine(void **state)
{
    static const char *const good[] = {"store", "any"};
    make_checkpoint(*state);
    make_folder(*state, "any");
    make_folder(*state, "any/step-00000001"); /* a job's of a version that called it so, perhaps */
    make_folder(*state, "any/step-00000001/step-00000009");
    scratch_write(*state, "any/manifest.json", "of somebody");
    for (size_t i = 0; i < 2; i++) {
        struct store *store = NULL;
        struct stepd_error error;
        assert_int_equal(store_open(scratch_path(*state, good[i]), &store, &error), STEPD_OK);
        (void)store_close(store);
    }
}

/* ---- Links ----------------------------------------------------------------------------------- */

static enum stepd_status check_links(const struct scratch *scratch, struct stepd_error *reterr)
{
    struct store *store = NULL;
    assert_int_equal(store_open(scratch_path(scratch, "store"), &store, reterr), STEPD_OK);
    const enum stepd_status status = place_check_links(store, NULL, reterr);
    (void)store_close(store);
    return status;
}

static void links__to_checkpoints_elsewhere_or_to_themselves__are_refused_by_name(void **state)
{
    static const char *const targets[] = {"elsewhere", "../link-to-itself"};
    struct stepd_error error;
    make_checkpoint(*state);
    assert_int_equal(rename(scratch_path(*state, "store/job"), scratch_path(*state, "elsewhere")),
                     0);
    assert_int_equal(symlink("link-to-itself", scratch_path(*state, "link-to-itself")), 0);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        const char *const link = scratch_path(*state, "store/linked");
        assert_int_equal(symlink(i == 0 ? scratch_path(*state, targets[0]) : targets[i], link), 0);
        assert_int_equal(check_links(*state, &error), STEPD_FAILED_PRECONDITION);
        assert_non_null(strstr(error.text, "linked in the checkpoint folder is a symbolic link"));
        assert_non_null(strstr(error.text, "put the folder that it leads to in its place"));
        assert_int_equal(unlink(link), 0);
    }
}

static void links__to_what_others_have__are_let_alone(void **state)
{
    struct stepd_error error;
    make_checkpoint(*state);
    make_folder(*state, "elsewhere");
    scratch_write(*state, "file", "");
    assert_int_equal(symlink("../elsewhere", scratch_path(*state, "store/a")), 0);
    assert_int_equal(symlink("../file", scratch_path(*state, "store/b")), 0);
    assert_int_equal(symlink("nowhere", scratch_path(*state, "store/.hidden")), 0);
    assert_int_equal(check_links(*state, &error), STEPD_OK);
}

static void links__to_nowhere_or_within_the_store__are_let_alone(void **state)
{
    struct stepd_error error;
    make_checkpoint(*state);
    assert_int_equal(symlink("nowhere", scratch_path(*state, "store/gone")), 0);
    assert_int_equal(symlink("job", scratch_path(*state, "store/best")), 0);
    assert_int_equal(symlink("job/step-00000005", scratch_path(*state, "store/latest")), 0);
    assert_int_equal(check_links(*state, &error), STEPD_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(store_open__on_the_folder_of_one_job__names_the_one_above),
        TEST(store_open__on_a_checkpoint__names_the_one_above_its_job),
        TEST(store_open__on_one_through_a_link__names_the_folder_itself),
        TEST(store_open__on_a_damaged_checkpoint__is_refused_too),
        TEST(store_open__on_a_store_and_on_anybodys_folder__is_fine),
        TEST(links__to_checkpoints_elsewhere_or_to_themselves__are_refused_by_name),
        TEST(links__to_what_others_have__are_let_alone),
        TEST(links__to_nowhere_or_within_the_store__are_let_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
