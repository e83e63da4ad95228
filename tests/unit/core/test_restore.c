/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job that goes on from a snapshot tells its workers, and from what it cannot go on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/settings.h"
#include "tests/unit/core/two_slices.h"

static void welcome__of_a_job_that_went_back__states_incarnation_and_clock(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    shard_snapshot(&shard, 1);
    two_step(&shard, 2);
    two_go_back(&shard, &job);
    assert_int_equal(shard_last(&shard, 0)->welcome.incarnation, 2);
    assert_int_equal(shard_last(&shard, 0)->welcome.clock, 1);
    shard_teardown(&shard);
}

static void request__of_the_old_incarnation__is_told_where_to_go_on(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    shard_snapshot(&shard, 1);
    two_go_back(&shard, &job);
    static const uint32_t both[] = {0, 1};
    const struct stepd_message pull = {
        .request_id = 5,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = 1, .slices = {.count = SLICES, .at = both}},
    };
    assert_int_equal(shard_send(&shard, 0, &pull, NULL, 0, 0, NULL), STEPD_OK);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_ROLLED_BACK);
    assert_non_null(strstr(shard_last(&shard, 0)->text,
                           "at incarnation 2, not 1: it went back or was begun anew, to versions "
                           "1 to 1, and its next clock is 2"));
    shard_teardown(&shard);
}

static void request__of_an_observer_of_the_old_incarnation__is_told_of_versions_alone(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_session(&shard, 5, 1, true);
    shard_connect(&shard, 2, 5);
    static const uint32_t both[] = {0, 1};
    const struct stepd_message pull = {
        .request_id = 5,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = 7, .slices = {.count = SLICES, .at = both}},
    };
    assert_int_equal(shard_send(&shard, 2, &pull, NULL, 0, 0, NULL), STEPD_OK);
    assert_int_equal(shard_last(&shard, 2)->code, STEPD_ROLLED_BACK);
    assert_non_null(strstr(shard_last(&shard, 2)->text, "to versions 0 to 0; pull the weights"));
    shard_teardown(&shard);
}

static void state__of_another_job__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 0);
    struct job_state *taken = shard_state(&shard);
    shard_teardown(&shard);
    job.optimizer = "adam";
    shard_try_open(&shard, &job, taken);
    assert_int_equal(shard.opened.code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard.opened.text, "the state of w[0:256] has 0 floats in a slot"));
    (void)job_state_unref(taken);
    shard_teardown(&shard);
}

/* A tensor is cut into two slices of the blocks that norms are summed over. */
static void assert_one_version(const char *settings)
{
    static const uint64_t shape[] = {SLICES, 4096};
    struct shard shard;
    struct shard_job job = two_job(STEPD_SYNC);
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    job.tensor = &tensor;
    job.slice_elements = 4096;
    job.settings = settings_of(settings);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 0);
    struct job_state *taken = shard_state(&shard);
    assert_int_equal(taken->job->layout.slices, SLICES);
    shard_teardown(&shard);
    taken->slice[1].version = 1;
    shard_try_open(&shard, &job, taken);
    assert_int_equal(shard.opened.code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard.opened.text, "has slices at versions 0 and 1"));
    (void)job_state_unref(taken);
    shard_teardown(&shard);
}

static void state__of_slices_that_must_close_together__has_one_version(void **state)
{
    (void)state;
    assert_one_version("atomic=job");
    assert_one_version("clip_global_norm=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(welcome__of_a_job_that_went_back__states_incarnation_and_clock),
        cmocka_unit_test(request__of_the_old_incarnation__is_told_where_to_go_on),
        cmocka_unit_test(request__of_an_observer_of_the_old_incarnation__is_told_of_versions_alone),
        cmocka_unit_test(state__of_another_job__is_refused),
        cmocka_unit_test(state__of_slices_that_must_close_together__has_one_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
