/* SPDX-License-Identifier: Apache-2.0
 *
 * What a snapshot takes and when, and what it does to a job that goes on meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/settings.h"
#include "tests/unit/core/two_slices.h"

static const uint32_t second[] = {1};
static const uint64_t shape[] = {SLICES, SLICE};

static void assert_refused(const struct shard *shard, enum stepd_status code, const char *words)
{
    assert_non_null(shard->snapshot);
    assert_null(shard->snapshot->state);
    assert_int_equal(shard->snapshot->error.code, code);
    if (strstr(shard->snapshot->error.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, shard->snapshot->error.text);
}

/* ---- When ------------------------------------------------------------------------------------ */

static void snapshot__at_a_version__takes_each_slice_as_it_closes_that(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 1);
    for (uint32_t rank = 0; rank < WORKERS; rank++) /* slice 0 runs ahead of slice 1 */
        two_push(&shard, rank, 1, 1, NULL);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        two_push(&shard, rank, 2, 1, NULL);
    assert_null(shard.snapshot);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        two_push(&shard, rank, 1, 1, second);
    assert_non_null(shard.snapshot);
    const struct job_state *taken = shard.snapshot->state;
    for (size_t i = 0; i < SLICES; i++)
        assert_int_equal(taken->slice[i].version, 1);
    assert_true(taken->slice[0].view[STEPD_EVALUATION][0] == -1.0F);
    shard_teardown(&shard);
}

static void snapshot__at_the_version_of_all_slices__is_taken_at_once(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    shard_snapshot(&shard, 1);
    assert_int_equal(shard.snapshot->state->slice[1].version, 1);
    shard_teardown(&shard);
}

static void snapshot__of_an_async_job__takes_slices_as_they_stand(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_ASYNC);
    two_setup(&shard, &job);
    two_push(&shard, 0, 1, 1, NULL);
    shard_snapshot(&shard, JOB_STATE_AS_IT_STANDS);
    assert_int_equal(shard.snapshot->state->slice[0].version, 1);
    assert_int_equal(shard.snapshot->state->slice[1].version, 0);
    shard_teardown(&shard);
}

static void snapshot__past_its_version__is_refused_with_the_newest(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    two_step(&shard, 2);
    shard_snapshot(&shard, 1);
    assert_refused(&shard, STEPD_OUT_OF_RANGE, "is at version 2 on shard 1, past 1");
    assert_int_equal(shard.snapshot->version_max, 2);
    shard_teardown(&shard);
}

static void snapshot__of_a_sync_job_without_a_version__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, JOB_STATE_AS_IT_STANDS);
    assert_refused(&shard, STEPD_INVALID_ARGUMENT, "needs a version");
    shard_teardown(&shard);
}

static void snapshot__of_an_async_job_at_a_version__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_ASYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 1);
    assert_refused(&shard, STEPD_INVALID_ARGUMENT, "has no version");
    shard_teardown(&shard);
}

static void snapshot__beside_another__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 1);
    shard_snapshot(&shard, 2);
    assert_refused(&shard, STEPD_FAILED_PRECONDITION, "is under way");
    shard_teardown(&shard);
}

static void snapshot__after_the_end_of_another__is_taken(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 1); /* which is given up */
    shard_snapshot_end(&shard);
    two_step(&shard, 1);
    assert_null(shard.snapshot);
    shard_snapshot(&shard, 1);
    assert_non_null(shard.snapshot->state);
    shard_teardown(&shard);
}

static void snapshot__of_a_frozen_slice_that_nobody_pushes__has_it_as_it_is(void **state)
{
    (void)state;
    static const uint64_t small[] = {4};
    const struct stepd_tensor_def tensor[] = {shard_tensor("w", small, 1, 0.0),
                                              shard_tensor("ice", small, 1, 3.0)};
    struct stepd_group group[] = {settings_group("sgd", ""), settings_group("adam", "")};
    group[1].name = group[1].match = "w";
    group[0].name = group[0].match = "ice";
    group[0].frozen = true;
    const struct shard_job job = {
        .workers = 1, .groups = 2, .group = group, .tensors = 2, .tensor = tensor};
    struct shard shard;
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    shard_snapshot(&shard, 1);
    const uint32_t stepped = shard.job->group[shard.job->layout.slice[0].group].frozen ? 1 : 0;
    const struct shard_push request = {.id = 1,
                                       .clock = 1,
                                       .examples = 1,
                                       .slices = 1,
                                       .slice = &stepped,
                                       .grad = two_ones,
                                       .values = 4};
    shard_push(&shard, 0, &request);
    shard_spare(&shard);
    assert_non_null(shard.snapshot);
    const struct slice_state *ice = &shard.snapshot->state->slice[1 - stepped];
    assert_int_equal(ice->version, 0);
    assert_true(ice->view[STEPD_EVALUATION][3] == 3.0F);
    shard_teardown(&shard);
}

/* ---- Meanwhile ------------------------------------------------------------------------------- */

static void step__while_a_snapshot_and_a_reader_hold_versions__is_made(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    shard_snapshot(&shard, 1);
    two_step(&shard, 2);
    shard.hold = true;
    shard_pull(&shard, 0, 50, 0, SLICES); /* version 2 is on its way and not sent */
    two_step(&shard, 3);
    assert_int_equal(shard_last(&shard, 1)->version[0], 3);
    shard_teardown(&shard);
}

static void snapshot__while_steps_are_made__stays_as_it_was(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    shard_snapshot(&shard, 1);
    for (uint64_t clock = 2; clock < 6; clock++)
        two_step(&shard, clock);
    assert_true(shard.snapshot->state->slice[0].view[STEPD_EVALUATION][0] == -1.0F);
    assert_true(two_first_weight(&shard) == -5.0F);
    shard_teardown(&shard);
}

static void snapshot__when_its_job_is_closed__can_still_be_read(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    shard_snapshot(&shard, 1);
    shard_order(&shard, ORDER_JOB_CLOSE);
    struct job_state *copy = shard_state(&shard);
    assert_true(copy->slice[0].view[STEPD_EVALUATION][0] == -1.0F);
    (void)job_state_unref(copy);
    shard_snapshot_end(&shard);
    shard_teardown(&shard);
}

static void snapshot__when_its_job_is_closed_before_it_is_whole__is_called_off(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 1);
    shard_order(&shard, ORDER_JOB_CLOSE);
    assert_refused(&shard, STEPD_ABORTED, "was closed on shard 1 before its snapshot was whole");
    shard_teardown(&shard);
}

/* ---- What is counted ------------------------------------------------------------------------- */

static void contribution__to_an_open_round__counts_once_when_it_is_sent_again(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    two_push(&shard, 0, 2, SLICES, NULL); /* counted, and nobody has an answer */
    shard_snapshot(&shard, 1);
    two_go_back(&shard, &job);
    two_push(&shard, 1, 2, SLICES, NULL);
    assert_int_equal(shard.peer[1].replies, 1); /* its Welcome: it waits for rank 0 */
    two_push(&shard, 0, 2, SLICES, NULL);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(two_first_weight(&shard) == -2.0F);
    shard_teardown(&shard);
}

static void push__that_the_snapshot_has_counted__is_a_duplicate(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    two_step(&shard, 2);
    shard_snapshot(&shard, 2);
    two_go_back(&shard, &job);
    two_push(&shard, 0, 1, SLICES, NULL);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_DUPLICATE);
    assert_int_equal(shard_last(&shard, 0)->version[0], 1); /* which it had then */
    assert_true(two_first_weight(&shard) == -2.0F);
    shard_teardown(&shard);
}

static void push__that_was_turned_away_before_the_snapshot__is_told_the_same_again(void **state)
{
    (void)state;
    struct shard shard;
    struct shard_job job = two_job(STEPD_ASYNC);
    job.settings = settings_of("staleness_max=0");
    two_setup(&shard, &job);
    two_push(&shard, 0, 1, SLICES, NULL);
    two_push(&shard, 1, 1, SLICES, NULL); /* of version 0, and the slices are at 1 */
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_STALE);
    shard_snapshot(&shard, JOB_STATE_AS_IT_STANDS);
    two_go_back(&shard, &job);
    two_push(&shard, 1, 1, SLICES, NULL);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_STALE);
    shard_teardown(&shard);
}

static void assign__after_a_snapshot__does_not_reach_it(void **state)
{
    (void)state;
    struct shard shard;
    struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    tensor.init.kind = STEPD_INIT_VALUES;
    struct shard_job job = two_job(STEPD_SYNC);
    job.tensor = &tensor;
    two_setup(&shard, &job);
    shard_snapshot(&shard, 0);
    static const uint32_t both[] = {0, 1};
    const struct stepd_message assign = {
        .request_id = 5,
        .kind = STEPD_MESSAGE_ASSIGN,
        .body.assign = {.incarnation = 1, .slices = {.count = SLICES, .at = both}},
    };
    assert_int_equal(
        shard_send(&shard, 0, &assign, two_ones, sizeof two_ones, sizeof two_ones, NULL), STEPD_OK);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_false(shard.snapshot->state->slice[0].valued);
    two_go_back(&shard, &job);
    shard_pull(&shard, 0, 6, 0, SLICES);
    assert_int_equal(shard.peer[0].replies, 1); /* there is nothing to pull before rank 0 sends */
    shard_teardown(&shard);
}

static void job__that_is_halted__is_halted_when_it_goes_on_from_there(void **state)
{
    (void)state;
    struct shard shard;
    struct shard_job job = two_job(STEPD_SYNC);
    job.settings = settings_of("nonfinite=halt");
    two_setup(&shard, &job);
    two_step(&shard, 1);
    struct order halt = {.kind = ORDER_COMMIT, .job_name = shard.job->name, .verdict = ORDER_HALT};
    (void)strcpy(halt.error.text, "for a test");
    shard_give(&shard, &halt);
    shard_snapshot(&shard, 1);
    two_go_back(&shard, &job);
    two_push(&shard, 0, 2, SLICES, NULL);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "for a test"));
    shard_teardown(&shard);
}

/* ---- The last one ---------------------------------------------------------------------------- */

static void last__of_a_sync_job__is_followed_by_no_step(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    shard_snapshot_last(&shard, 1);
    assert_non_null(shard.snapshot);
    two_step(&shard, 2);
    assert_true(two_first_weight(&shard) == -1.0F);
    shard_snapshot_last_written(&shard);
    assert_true(two_first_weight(&shard) == -1.0F);
    shard_teardown(&shard);
}

static void last__where_a_slice_is_behind__waits_for_it_and_keeps_the_others(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot_last(&shard, 1);
    for (uint64_t clock = 1; clock <= 2; clock++) {
        for (uint32_t rank = 0; rank < WORKERS; rank++)
            two_push(&shard, rank, clock, 1, NULL);
    }
    assert_null(shard.snapshot);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        two_push(&shard, rank, 1, 1, second);
    shard_spare(&shard);
    assert_non_null(shard.snapshot);
    assert_true(two_first_weight(&shard) == -1.0F);
    shard_teardown(&shard);
}

static void last__of_an_async_job__is_followed_by_no_step(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_ASYNC);
    two_setup(&shard, &job);
    two_push(&shard, 0, 1, SLICES, NULL);
    const float before = two_first_weight(&shard);
    shard_snapshot_last(&shard, JOB_STATE_AS_IT_STANDS);
    two_push(&shard, 0, 2, SLICES, NULL);
    assert_true(two_first_weight(&shard) == before);
    shard_teardown(&shard);
}

static void last__called_off__lets_steps_go_on(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    two_step(&shard, 1);
    shard_snapshot_last(&shard, 1);
    two_step(&shard, 2);
    shard_snapshot_end(&shard);
    assert_true(two_first_weight(&shard) == -2.0F);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot__at_a_version__takes_each_slice_as_it_closes_that),
        cmocka_unit_test(snapshot__at_the_version_of_all_slices__is_taken_at_once),
        cmocka_unit_test(snapshot__of_an_async_job__takes_slices_as_they_stand),
        cmocka_unit_test(snapshot__past_its_version__is_refused_with_the_newest),
        cmocka_unit_test(snapshot__of_a_sync_job_without_a_version__is_refused),
        cmocka_unit_test(snapshot__of_an_async_job_at_a_version__is_refused),
        cmocka_unit_test(snapshot__beside_another__is_refused),
        cmocka_unit_test(snapshot__after_the_end_of_another__is_taken),
        cmocka_unit_test(snapshot__of_a_frozen_slice_that_nobody_pushes__has_it_as_it_is),
        cmocka_unit_test(step__while_a_snapshot_and_a_reader_hold_versions__is_made),
        cmocka_unit_test(snapshot__while_steps_are_made__stays_as_it_was),
        cmocka_unit_test(snapshot__when_its_job_is_closed__can_still_be_read),
        cmocka_unit_test(snapshot__when_its_job_is_closed_before_it_is_whole__is_called_off),
        cmocka_unit_test(contribution__to_an_open_round__counts_once_when_it_is_sent_again),
        cmocka_unit_test(push__that_the_snapshot_has_counted__is_a_duplicate),
        cmocka_unit_test(push__that_was_turned_away_before_the_snapshot__is_told_the_same_again),
        cmocka_unit_test(assign__after_a_snapshot__does_not_reach_it),
        cmocka_unit_test(job__that_is_halted__is_halted_when_it_goes_on_from_there),
        cmocka_unit_test(last__of_a_sync_job__is_followed_by_no_step),
        cmocka_unit_test(last__where_a_slice_is_behind__waits_for_it_and_keeps_the_others),
        cmocka_unit_test(last__of_an_async_job__is_followed_by_no_step),
        cmocka_unit_test(last__called_off__lets_steps_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
