/* SPDX-License-Identifier: Apache-2.0
 *
 * What has the name of a checkpoint is whole, and nothing else is left lying about.
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

#include "server/control/snapshot.h"
#include "server/disk/file.h"
#include "server/disk/shelf.h"
#include "tests/unit/disk/scratch.h"

struct fixture {
    struct store *store;
    struct shelf shelf;
};

static struct fixture open_shelf(const struct scratch *scratch)
{
    struct fixture fixture = {.store = NULL};
    struct stepd_error error;
    const struct store_shelf_name name = store_shelf_name("job");
    assert_int_equal(store_open(scratch_path(scratch, "store"), &fixture.store, &error), STEPD_OK);
    assert_int_equal(shelf_open_to_write(fixture.store, &name, &fixture.shelf, &error), STEPD_OK);
    return fixture;
}

static void close_shelf(struct fixture *fixture)
{
    shelf_close(&fixture->shelf);
    fixture->store = store_close(fixture->store);
}

/* A checkpoint with one file in it. */
static void commit(const struct shelf *shelf, uint64_t step, const char *file_name)
{
    struct stepd_error error;
    const struct shelf_checkpoint checkpoint = shelf_checkpoint_of(step);
    struct shelf_begun begun;
    assert_int_equal(shelf_begin(shelf, &checkpoint, false, &begun, &error), STEPD_OK);
    assert_true(file_finish(file_create(begun.folder, file_name)));
    assert_int_equal(shelf_commit(shelf, &begun, &error), STEPD_OK);
    shelf_begun_close(&begun);
}

static void shelf_list__of_many__falls(void **state)
{
    struct fixture fixture = open_shelf(*state);
    commit(&fixture.shelf, 900, "a");
    commit(&fixture.shelf, 123456789012, "a");
    commit(&fixture.shelf, 1200, "a");
    assert_int_equal(mkdir(scratch_path(*state, "store/job/step-12"), 0700), 0); /* no such name */
    struct shelf_checkpoint *list = NULL;
    size_t count = 0;
    struct stepd_error error;
    assert_int_equal(shelf_list(&fixture.shelf, &list, &count, &error), STEPD_OK);
    assert_int_equal(count, 3);
    assert_string_equal(list[0].name, "step-123456789012");
    assert_string_equal(list[1].name, "step-00001200");
    assert_int_equal(list[2].step, 900);
    free(list);
    close_shelf(&fixture);
}

static void shelf_begin__without_commit__leaves_no_checkpoint(void **state)
{
    struct fixture fixture = open_shelf(*state);
    struct stepd_error error;
    const struct shelf_checkpoint checkpoint = shelf_checkpoint_of(7);
    assert_int_equal(shelf_write_incarnation(&fixture.shelf, 1, &error), STEPD_OK);
    struct shelf_begun begun;
    assert_int_equal(shelf_begin(&fixture.shelf, &checkpoint, false, &begun, &error), STEPD_OK);
    assert_true(file_finish(file_create(begun.folder, "half")));
    shelf_begun_close(&begun);
    assert_false(scratch_has(*state, "store/job/step-00000007"));
    assert_true(scratch_has(*state, "store/job/.new-step-00000007/half"));
    close_shelf(&fixture);
    fixture = open_shelf(*state); /* the next daemon */
    assert_false(scratch_has(*state, "store/job/.new-step-00000007"));
    close_shelf(&fixture);
}

/* Makes a folder with one file in it. */
static void make_folder(const struct scratch *scratch, const char *folder, const char *file)
{
    assert_int_equal(mkdir(scratch_path(scratch, folder), 0700), 0);
    scratch_write(scratch, file, "text");
}

static void shelf_open_to_write__of_what_others_have_hidden__lets_it_alone(void **state)
{
    struct fixture fixture = open_shelf(*state);
    commit(&fixture.shelf, 5, "a");
    close_shelf(&fixture);
    make_folder(*state, "store/job/.old-backup", "store/job/.old-backup/thesis");
    make_folder(*state, "store/job/.new-step-12", "store/job/.new-step-12/thesis");
    make_folder(*state, "store/job/.old-incarnation", "store/job/.old-incarnation/thesis");
    make_folder(*state, "store/job/.new-incarnation", "store/job/.new-incarnation/thesis");
    make_folder(*state, "store/job/.old-step-00000004", "store/job/.old-step-00000004/half");
    scratch_write(*state, "store/job/.new-thesis", "text");
    scratch_write(*state, "store/job/.new-step-00000006", "a file");
    assert_int_equal(symlink(".old-backup", scratch_path(*state, "store/job/.old-step-00000007")),
                     0);
    fixture = open_shelf(*state);
    assert_true(scratch_has(*state, "store/job/.old-backup/thesis"));
    assert_true(scratch_has(*state, "store/job/.new-step-12/thesis"));
    assert_true(scratch_has(*state, "store/job/.old-incarnation/thesis"));
    assert_true(scratch_has(*state, "store/job/.new-incarnation/thesis"));
    assert_true(scratch_has(*state, "store/job/.new-thesis"));
    assert_true(scratch_has(*state, "store/job/.new-step-00000006"));
    assert_false(scratch_has(*state, "store/job/.old-step-00000004")); /* that is ours */
    close_shelf(&fixture);
}

static void shelf_open_to_write__of_a_folder_that_is_not_ours__removes_nothing(void **state)
{
    struct fixture fixture = open_shelf(*state);
    make_folder(*state, "store/job/.old-step-00000004", "store/job/.old-step-00000004/thesis");
    close_shelf(&fixture);
    fixture = open_shelf(*state);
    assert_true(scratch_has(*state, "store/job/.old-step-00000004/thesis"));
    close_shelf(&fixture);
}

static void shelf_commit__over_an_older_one__takes_its_place(void **state)
{
    struct fixture fixture = open_shelf(*state);
    commit(&fixture.shelf, 5, "old");
    commit(&fixture.shelf, 5, "new");
    assert_true(scratch_has(*state, "store/job/step-00000005/new"));
    assert_false(scratch_has(*state, "store/job/step-00000005/old"));
    assert_false(scratch_has(*state, "store/job/.new-step-00000005"));
    close_shelf(&fixture);
}

static void shelf_remove__of_one__leaves_the_others(void **state)
{
    struct fixture fixture = open_shelf(*state);
    struct stepd_error error;
    commit(&fixture.shelf, 5, "a");
    commit(&fixture.shelf, 6, "a");
    assert_int_equal(shelf_remove(&fixture.shelf, "step-00000005", &error), STEPD_OK);
    assert_false(scratch_has(*state, "store/job/step-00000005"));
    assert_true(scratch_has(*state, "store/job/step-00000006/a"));
    assert_int_equal(shelf_remove(&fixture.shelf, "step-00000005", &error), STEPD_UNAVAILABLE);
    assert_string_equal(error.text,
                        "job/step-00000005: cannot remove it: No such file or directory");
    close_shelf(&fixture);
}

static void shelf_open_to_write__of_a_link__is_refused(void **state)
{
    struct fixture fixture = open_shelf(*state);
    struct stepd_error error;
    struct shelf shelf;
    const struct store_shelf_name name = store_shelf_name("link");
    assert_int_equal(symlink("/tmp", scratch_path(*state, "store/link")), 0);
    assert_int_equal(shelf_open_to_write(fixture.store, &name, &shelf, &error), STEPD_UNAVAILABLE);
    assert_non_null(strstr(error.text, "it must be a folder, and no symbolic link"));
    close_shelf(&fixture);
}

static void shelf_incarnation__is_read_as_it_was_written(void **state)
{
    struct fixture fixture = open_shelf(*state);
    struct stepd_error error;
    uint64_t incarnation = 1;
    assert_int_equal(shelf_read_incarnation(&fixture.shelf, &incarnation, &error), STEPD_OK);
    assert_int_equal(incarnation, 0);
    assert_int_equal(shelf_write_incarnation(&fixture.shelf, JOB_INCARNATION_MAX, &error),
                     STEPD_OK);
    assert_int_equal(shelf_read_incarnation(&fixture.shelf, &incarnation, &error), STEPD_OK);
    assert_true(incarnation == JOB_INCARNATION_MAX);
    static const char *const bad[] = {"",
                                      "7",
                                      "x\n",
                                      "-1\n",
                                      "7\n7\n",
                                      "99999999999999999999999\n",
                                      "18446744073709551615\n",
                                      "4611686018427387905\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        scratch_write(*state, "store/job/incarnation", bad[i]);
        assert_int_equal(shelf_read_incarnation(&fixture.shelf, &incarnation, &error),
                         STEPD_DATA_LOSS);
        assert_non_null(strstr(error.text, "job/incarnation: what stands there is no number"));
        assert_non_null(strstr(error.text, "write one there that is higher than what `stepctl"));
    }
    close_shelf(&fixture);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shelf_list__of_many__falls),
        TEST(shelf_begin__without_commit__leaves_no_checkpoint),
        TEST(shelf_open_to_write__of_what_others_have_hidden__lets_it_alone),
        TEST(shelf_open_to_write__of_a_folder_that_is_not_ours__removes_nothing),
        TEST(shelf_commit__over_an_older_one__takes_its_place),
        TEST(shelf_remove__of_one__leaves_the_others),
        TEST(shelf_open_to_write__of_a_link__is_refused),
        TEST(shelf_incarnation__is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
