/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes when a checkpoint has come, and what is set aside instead.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/disk/retire.h"
#include "tests/unit/disk/scratch.h"

struct fixture {
    const struct scratch *scratch;
    struct store *store;
    struct store_shelf_name name;
};

static struct fixture open_store(void **state)
{
    struct fixture fixture = {.scratch = *state, .name = store_shelf_name("job")};
    struct stepd_error error;
    assert_int_equal(store_open(scratch_path(*state, "store"), &fixture.store, &error), STEPD_OK);
    return fixture;
}

/* A checkpoint of the job that was written so many seconds after the first of all times. */
static void write_checkpoint(const struct fixture *fixture, uint64_t step, long written_s)
{
    struct shelf shelf;
    struct stepd_error error;
    const struct timespec times[2] = {{.tv_sec = written_s}, {.tv_sec = written_s}};
    const struct shelf_checkpoint checkpoint = shelf_checkpoint_of(step);
    assert_int_equal(shelf_open_to_write(fixture->store, &fixture->name, &shelf, &error), STEPD_OK);
    struct shelf_begun begun;
    assert_int_equal(shelf_begin(&shelf, &checkpoint, false, &begun, &error), STEPD_OK);
    assert_int_equal(shelf_commit(&shelf, &begun, &error), STEPD_OK);
    assert_int_equal(futimens(begun.folder, times), 0);
    shelf_begun_close(&begun);
    shelf_close(&shelf);
}

static bool has_checkpoint(const struct fixture *fixture, uint64_t step)
{
    char path[64];
    (void)snprintf(path, sizeof path, "store/job/%s", shelf_checkpoint_of(step).name);
    return scratch_has(fixture->scratch, path);
}

static void retire(const struct fixture *fixture, uint32_t keep, uint64_t step)
{
    struct shelf shelf;
    struct stepd_error error;
    assert_int_equal(shelf_open_to_write(fixture->store, &fixture->name, &shelf, &error), STEPD_OK);
    assert_int_equal(retire_oldest(&shelf, keep, step, &error), STEPD_OK);
    shelf_close(&shelf);
}

/* ---- The oldest ------------------------------------------------------------------------------ */

static void oldest__of_more_than_are_kept__go(void **state)
{
    struct fixture fixture = open_store(state);
    for (uint64_t step = 1; step <= 5; step++)
        write_checkpoint(&fixture, 100 * step, (long)step);
    retire(&fixture, 2, 500);
    for (uint64_t step = 1; step <= 5; step++)
        assert_int_equal(has_checkpoint(&fixture, 100 * step), step >= 4);
    fixture.store = store_close(fixture.store);
}

/* Of a job that went back and is at lower steps again. */
static void oldest__is_said_by_the_time_of_writing_not_by_the_step(void **state)
{
    struct fixture fixture = open_store(state);
    write_checkpoint(&fixture, 900, 1);
    write_checkpoint(&fixture, 800, 2);
    write_checkpoint(&fixture, 100, 3);
    retire(&fixture, 2, 100);
    assert_true(has_checkpoint(&fixture, 100));
    assert_true(has_checkpoint(&fixture, 800));
    assert_false(has_checkpoint(&fixture, 900));
    fixture.store = store_close(fixture.store);
}

/* Where the clock was set back, too. */
static void oldest__is_never_the_one_that_has_just_come(void **state)
{
    struct fixture fixture = open_store(state);
    write_checkpoint(&fixture, 100, 50);
    write_checkpoint(&fixture, 200, 1);
    retire(&fixture, 1, 200);
    assert_true(has_checkpoint(&fixture, 200));
    assert_false(has_checkpoint(&fixture, 100));
    fixture.store = store_close(fixture.store);
}

static void oldest__of_fewer_than_are_kept__stay(void **state)
{
    struct fixture fixture = open_store(state);
    write_checkpoint(&fixture, 100, 1);
    write_checkpoint(&fixture, 200, 2);
    retire(&fixture, 3, 200);
    assert_true(has_checkpoint(&fixture, 100));
    assert_true(has_checkpoint(&fixture, 200));
    fixture.store = store_close(fixture.store);
}

/* ---- Setting aside --------------------------------------------------------------------------- */

static void shelf__set_aside__keeps_what_it_has_under_the_next_name(void **state)
{
    struct fixture fixture = open_store(state);
    struct stepd_error error;
    for (uint64_t i = 1; i <= 2; i++) {
        write_checkpoint(&fixture, 100 * i, 1);
        assert_int_equal(retire_set_aside(fixture.store, &fixture.name, /* log= */ NULL, &error),
                         STEPD_OK);
        assert_false(scratch_has(*state, "store/job"));
    }
    assert_true(scratch_has(*state, "store/job~1/step-00000100"));
    assert_true(scratch_has(*state, "store/job~2/step-00000200"));
    fixture.store = store_close(fixture.store);
}

static void shelf__that_cannot_be_set_aside__is_named(void **state)
{
    struct fixture fixture = open_store(state);
    struct stepd_error error = {.text = ""};
    assert_int_equal(retire_set_aside(fixture.store, &fixture.name, /* log= */ NULL, &error),
                     STEPD_UNAVAILABLE);
    assert_non_null(strstr(error.text, "job: cannot set the checkpoints of another training"));
    fixture.store = store_close(fixture.store);
}

static void name__of_a_shelf_that_was_set_aside__is_known(void **state)
{
    (void)state;
    char long_name[STEPD_NAME_MAX_BYTES + 1];
    memset(long_name, '%', sizeof long_name - 1); /* each is written with three characters */
    long_name[sizeof long_name - 1] = '\0';
    const struct store_shelf_name own = store_shelf_name(long_name);
    assert_non_null(strrchr(own.text, '~')); /* with a checksum behind it */
    assert_false(retire_is_aside(&own));
    assert_false(retire_is_aside(&(struct store_shelf_name){"job"}));
    assert_true(retire_is_aside(&(struct store_shelf_name){"job~1"}));
    assert_true(retire_is_aside(&(struct store_shelf_name){"job~999999"}));
}

/* ---- Another training of the name ------------------------------------------------------------ */

static void write_incarnation(const struct fixture *fixture, uint64_t incarnation)
{
    struct shelf shelf;
    struct stepd_error error;
    assert_int_equal(shelf_open_to_write(fixture->store, &fixture->name, &shelf, &error), STEPD_OK);
    assert_int_equal(shelf_write_incarnation(&shelf, incarnation, &error), STEPD_OK);
    shelf_close(&shelf);
}

static void other_training__of_a_higher_incarnation__is_set_aside(void **state)
{
    struct fixture fixture = open_store(state);
    struct stepd_error error;
    write_checkpoint(&fixture, 100, 1);
    write_incarnation(&fixture, 8);
    assert_int_equal(
        retire_other_training(fixture.store, &fixture.name, 8, /* log= */ NULL, &error), STEPD_OK);
    assert_true(has_checkpoint(&fixture, 100)); /* it is this one */
    assert_int_equal(
        retire_other_training(fixture.store, &fixture.name, 7, /* log= */ NULL, &error), STEPD_OK);
    assert_false(scratch_has(*state, "store/job"));
    assert_true(scratch_has(*state, "store/job~1/step-00000100"));
    fixture.store = store_close(fixture.store);
}

static void other_training__that_is_none__is_fine(void **state)
{
    struct fixture fixture = open_store(state);
    struct stepd_error error;
    assert_int_equal(
        retire_other_training(fixture.store, &fixture.name, 7, /* log= */ NULL, &error), STEPD_OK);
    assert_false(scratch_has(*state, "store/job~1"));
    fixture.store = store_close(fixture.store);
}

static void other_training__of_no_known_incarnation__is_set_aside_with_its_checkpoints(void **state)
{
    struct fixture fixture = open_store(state);
    struct stepd_error error;
    write_incarnation(&fixture, 8);
    scratch_write(*state, "store/job/incarnation", "a novel");
    assert_int_equal(
        retire_other_training(fixture.store, &fixture.name, 7, /* log= */ NULL, &error), STEPD_OK);
    assert_true(scratch_has(*state, "store/job/incarnation")); /* somebody else's, perhaps */
    write_checkpoint(&fixture, 100, 1);
    assert_int_equal(
        retire_other_training(fixture.store, &fixture.name, 7, /* log= */ NULL, &error), STEPD_OK);
    assert_true(scratch_has(*state, "store/job~1/step-00000100"));
    fixture.store = store_close(fixture.store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(oldest__of_more_than_are_kept__go),
        TEST(oldest__is_said_by_the_time_of_writing_not_by_the_step),
        TEST(oldest__is_never_the_one_that_has_just_come),
        TEST(oldest__of_fewer_than_are_kept__stay),
        TEST(shelf__set_aside__keeps_what_it_has_under_the_next_name),
        TEST(shelf__that_cannot_be_set_aside__is_named),
        TEST(name__of_a_shelf_that_was_set_aside__is_known),
        TEST(other_training__of_a_higher_incarnation__is_set_aside),
        TEST(other_training__of_no_known_incarnation__is_set_aside_with_its_checkpoints),
        TEST(other_training__that_is_none__is_fine),
    };
    return cmocka_run_group_tests_name("disk_retire", tests, NULL, NULL);
}
