/* SPDX-License-Identifier: Apache-2.0
 *
 * What jobs go on from when a reign begins: each daemon with what its own shards need.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/disk/shelf.h"
#include "tests/unit/keeping/daemons.h"

enum { STEP = 7 };

static void jobs__of_a_reign__come_back_with_the_floats_of_their_own_shards(void **state)
{
    struct daemons fixture, *const f = &fixture;
    const size_t slices = 12;
    struct store *store = NULL;
    struct shelf shelf;
    struct stepd_error error = {.code = STEPD_OK};
    uint64_t incarnation = 0;
    daemons_setup(f, *state);
    assert_int_equal(f->shares.job->layout.slices, slices);
    daemons_write(f, STEP);
    keeping_resume_begin(&f->daemon[0].keeping, 4, 1, UINT64_MAX);
    DAEMONS_UNTIL(f, f->resumed == 1);
    if (f->resumed_error.code != STEPD_OK)
        fail_msg("%s", f->resumed_error.text);
    assert_int_equal(f->restored, 1);
    assert_int_equal(f->floats, slices / 4);
    assert_int_equal(store_open_to_read(scratch_path(*state, "store"), &store, &error), STEPD_OK);
    const struct store_shelf_name name = store_shelf_name("j");
    assert_int_equal(shelf_open(store, &name, &shelf, &error), STEPD_OK);
    assert_int_equal(shelf_read_incarnation(&shelf, &incarnation, &error), STEPD_OK);
    assert_int_equal(incarnation, f->incarnation); /* before anybody is told */
    shelf_close(&shelf);
    (void)store_close(store);
    daemons_teardown(f);
}

static void state__of_a_member__is_that_of_its_own_shards(void **state)
{
    struct daemons fixture, *const f = &fixture;
    struct job *job = NULL;
    struct job_draft *draft = NULL;
    size_t floats = 0;
    daemons_setup(f, *state);
    daemons_write(f, STEP);
    assert_int_equal(job_draft_of(f->shares.job, f->shares.job->slice_elements, &draft, NULL),
                     STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 6, 6, &job, NULL), STEPD_OK);
    (void)job_draft_destroy(draft);
    for (uint32_t i = 1; i < DAEMONS; i++) {
        keeping_load(&f->daemon[i].keeping, job, "step-00000007",
                     (struct keeping_shards){.first = 2 * i, .count = 2}, UINT64_MAX, NULL);
        DAEMONS_UNTIL(f, f->loaded[i] != NULL || f->loaded_error.code != STEPD_OK);
        if (f->loaded[i] == NULL)
            fail_msg("%s", f->loaded_error.text);
        for (size_t k = 0; k < job->layout.slices; k++)
            assert_int_equal(f->loaded[i]->slice[k].taken, job->layout.slice[k].shard / 2 == i);
        floats += daemons_count_floats(f, f->loaded[i]);
    }
    assert_int_equal(floats, 8); /* of 12: the rest are control's */
    (void)job_unref(job);
    daemons_teardown(f);
}

static void load__of_what_is_no_checkpoint__is_refused(void **state)
{
    static const char *const names[] = {
        "", "..", "step-7", "../j/step-00000007", ".new-step-00000007", "step-00000009"};
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    daemons_write(f, STEP);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        f->loaded_error.code = STEPD_OK;
        keeping_load(&f->daemon[1].keeping, f->shares.job, names[i],
                     (struct keeping_shards){.count = 1}, UINT64_MAX, NULL);
        DAEMONS_UNTIL(f, f->loaded_error.code != STEPD_OK);
        assert_null(f->loaded[1]);
        assert_null(strstr(f->loaded_error.text, f->scratch->path));
    }
    daemons_teardown(f);
}

static void reign__that_begins_while_one_is_written__gives_it_up_first(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    daemons_write(f, STEP);
    f->holds = 1;
    daemons_ask(f, STEP + 1);
    DAEMONS_UNTIL(f, f->held.number != 0);
    keeping_resume_begin(&f->daemon[0].keeping, 1, 1, UINT64_MAX);
    DAEMONS_UNTIL(f, f->resumed == 1);
    assert_int_equal(f->resumed_error.code, STEPD_OK);
    assert_int_equal(f->written, 2);
    assert_int_equal(f->outcome.error.code, STEPD_CANCELLED);
    assert_int_equal(f->floats, 12);
    daemons_expect_there(f, "step-00000007");
    daemons_teardown(f);
}

static void reign__that_ends_before_its_jobs_are_back__brings_none(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    daemons_write(f, STEP);
    keeping_resume_begin(&f->daemon[0].keeping, 1, 1, UINT64_MAX);
    keeping_resume_begin(&f->daemon[0].keeping, 2, 1, UINT64_MAX);
    DAEMONS_UNTIL(f, f->resumed == 1);
    assert_int_equal(f->restored, 1);
    assert_int_equal(f->floats, 6); /* of the second one's layout */
    keeping_load(&f->daemon[1].keeping, f->shares.job, "", (struct keeping_shards){.count = 1},
                 UINT64_MAX, NULL);
    DAEMONS_UNTIL(f, f->loaded_error.code != STEPD_OK); /* nothing else comes before */
    assert_int_equal(f->resumed, 1);
    daemons_teardown(f);
}

/* What a shard of a member daemon says of it. */
static void fall_back(struct daemons *f, const char *name)
{
    struct stepd_error error = {.code = STEPD_OK};
    const size_t before = f->resumed;
    (void)stepd_fail(&error, STEPD_UNAVAILABLE, "%s: cannot read it", name);
    const struct control_returning failed = {
        .job_name = "j", .checkpoint = name, .error = &error, .failed = true, .place = 2};
    keeping_resume_older(&f->daemon[0].keeping, &failed);
    DAEMONS_UNTIL(f, f->resumed > before);
}

static void begin_with_two(struct daemons *f)
{
    daemons_write(f, STEP);
    daemons_write(f, STEP + 1);
    keeping_resume_begin(&f->daemon[0].keeping, 1, 1, UINT64_MAX);
    DAEMONS_UNTIL(f, f->resumed == 1);
    assert_string_equal(f->origin, "step-00000008");
}

static void checkpoint__that_a_daemon_cannot_read__gives_way_to_the_next_older_one(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    begin_with_two(f);
    const uint64_t incarnation = f->incarnation;
    fall_back(f, "step-00000008");
    assert_int_equal(f->resumed_error.code, STEPD_OK);
    assert_string_equal(f->origin, "step-00000007");
    assert_int_equal(f->floats, 12);
    assert_int_equal(f->incarnation, incarnation + 1); /* never one twice */
    daemons_teardown(f);
}

static void job__without_an_older_checkpoint__does_not_come_back_and_says_why(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    begin_with_two(f);
    fall_back(f, "step-00000008");
    fall_back(f, "step-00000007");
    assert_int_equal(f->restored, 2);
    assert_int_equal(f->resumed_error.code, STEPD_DATA_LOSS);
    assert_non_null(strstr(f->resumed_error.text,
                           "no checkpoint of job 'j' is good (daemon 2: step-00000007: cannot"));
    assert_non_null(strstr(f->resumed_error.text, "move the folder j out of the checkpoint"));
    daemons_teardown(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(jobs__of_a_reign__come_back_with_the_floats_of_their_own_shards),
        TEST(state__of_a_member__is_that_of_its_own_shards),
        TEST(load__of_what_is_no_checkpoint__is_refused),
        TEST(reign__that_begins_while_one_is_written__gives_it_up_first),
        TEST(reign__that_ends_before_its_jobs_are_back__brings_none),
        TEST(checkpoint__that_a_daemon_cannot_read__gives_way_to_the_next_older_one),
        TEST(job__without_an_older_checkpoint__does_not_come_back_and_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
