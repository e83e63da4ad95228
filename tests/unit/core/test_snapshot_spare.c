/* SPDX-License-Identifier: Apache-2.0
 *
 * When the arrays of slices that a snapshot has taken are copied: before they change, or when the
 * shard has nothing else to do; never those of all slices at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/settings.h"
#include "tests/unit/core/two_slices.h"

static const uint32_t both[] = {0, 1};

/* Of momentum, whose slot is the gradient after the first step: of a push of both slices 1 in the
 * first slice, and 0 in the second. */
static struct shard_job momentum_job(enum stepd_mode mode)
{
    static struct stepd_group group;
    struct shard_job job = two_job(mode);
    group = (struct stepd_group){.name = "g",
                                 .optimizer = "momentum",
                                 .settings = settings_of("lr=1 momentum=0.5"),
                                 .match = "*"};
    job.groups = 1;
    job.group = &group;
    return job;
}

static float slot_of(const struct shard *shard, size_t slice)
{
    assert_non_null(shard->snapshot);
    assert_non_null(shard->snapshot->state);
    assert_non_null(shard->snapshot->state->slice[slice].slot[0]);
    return shard->snapshot->state->slice[slice].slot[0][0];
}

/* All slices have been stepped once, and a snapshot is ordered of that. */
static void setup(struct shard *shard, const struct shard_job *job)
{
    two_setup(shard, job);
    if (job->mode == STEPD_SYNC)
        two_step(shard, 1);
    else
        two_push(shard, 0, 1, SLICES, NULL);
    shard_snapshot_order(shard, job->mode == STEPD_SYNC ? 1 : JOB_STATE_AS_IT_STANDS);
}

static void snapshot__of_an_async_job__copies_a_slice_in_each_idle_moment(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = momentum_job(STEPD_ASYNC);
    setup(&shard, &job);
    for (size_t i = 0; i < SLICES; i++) {
        assert_null(shard.snapshot);
        assert_true(core_owes(shard.core));
        assert_true(core_on_idle(shard.core));
    }
    assert_non_null(shard.snapshot);
    assert_false(core_owes(shard.core));
    assert_false(core_on_idle(shard.core));
    shard_teardown(&shard);
}

static void step__of_a_slice_that_is_not_copied__copies_that_one_alone(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = momentum_job(STEPD_ASYNC);
    setup(&shard, &job);
    two_push(&shard, 0, 2, 1, &both[1]);
    two_push(&shard, 0, 3, 1, &both[1]); /* copied already */
    assert_true(core_on_idle(shard.core));
    assert_true(slot_of(&shard, 0) == 1.0F);
    assert_true(slot_of(&shard, 1) == 0.0F);
    assert_int_equal(shard.snapshot->state->slice[1].version, 1);
    assert_int_equal(shard.snapshot->state->slice[1].by_rank[0].record.clock, 1);
    shard_teardown(&shard);
}

static void steps__of_all_slices__leave_only_the_notice_for_an_idle_moment(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = momentum_job(STEPD_ASYNC);
    setup(&shard, &job);
    two_push(&shard, 0, 2, SLICES, NULL);
    assert_true(core_on_idle(shard.core));
    assert_true(slot_of(&shard, 0) == 1.0F);
    assert_false(core_on_idle(shard.core));
    shard_teardown(&shard);
}

static void pull__that_is_backed_up__leaves_the_snapshot_the_backup_before(void **state)
{
    (void)state;
    struct shard shard;
    struct shard_job job = momentum_job(STEPD_ASYNC);
    job.settings = settings_of("delay_compensation=0.5");
    two_setup(&shard, &job);
    shard_pull(&shard, 0, 5, 0, SLICES);
    two_push(&shard, 0, 1, SLICES, NULL);
    shard_pull(&shard, 0, 6, 0, SLICES); /* at version 1, whose first weight is -1 */
    two_push(&shard, 0, 2, SLICES, NULL);
    shard_snapshot_order(&shard, JOB_STATE_AS_IT_STANDS);
    shard_pull(&shard, 0, 7, 0, SLICES);
    shard_spare(&shard);
    const struct rank_state *rank = &shard.snapshot->state->slice[0].by_rank[0];
    assert_int_equal(rank->backup_version, 1);
    assert_true(rank->backup[0] == -1.0F);
    shard_teardown(&shard);
}

static void snapshot__at_the_version_of_all_slices__copies_them_in_idle_moments(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = momentum_job(STEPD_SYNC);
    setup(&shard, &job);
    assert_null(shard.snapshot);
    two_step(&shard, 2);
    assert_true(core_on_idle(shard.core));
    assert_true(slot_of(&shard, 0) == 1.0F);
    shard_teardown(&shard);
}

static void snapshot__of_a_slice_that_closes_its_version__is_copied_with_the_step(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = momentum_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot_order(&shard, 1);
    two_step(&shard, 1);
    assert_true(slot_of(&shard, 0) == 1.0F);
    shard_teardown(&shard);
}

static void snapshot__of_slices_that_close_together__is_copied_behind_the_step(void **state)
{
    (void)state;
    struct shard shard;
    struct shard_job job = momentum_job(STEPD_SYNC);
    job.settings = settings_of("atomic=job");
    two_setup(&shard, &job);
    shard_snapshot_order(&shard, 1);
    two_step(&shard, 1);
    const struct order commit = {
        .kind = ORDER_COMMIT, .job_name = shard.job->name, .verdict = ORDER_APPLY};
    shard_give(&shard, &commit);
    assert_int_equal(shard_last(&shard, 0)->version[0], 1); /* answered, and nothing is copied */
    for (size_t i = 0; i < SLICES; i++) {
        assert_null(shard.snapshot);
        assert_true(core_on_idle(shard.core));
    }
    assert_true(slot_of(&shard, 0) == 1.0F);
    shard_teardown(&shard);
}

/* Without an update too the next phase begins with other slots. */
static void skip__into_another_phase__leaves_the_snapshot_the_slots_before(void **state)
{
    (void)state;
    struct shard shard;
    struct shard_job job = momentum_job(STEPD_SYNC);
    const struct stepd_phase phase = {.from = 2, .optimizer = "adam"};
    struct stepd_group group = *job.group;
    group.phases = 1;
    group.phase = &phase;
    job.group = &group;
    setup(&shard, &job);
    for (uint32_t rank = 0; rank < WORKERS; rank++) {
        const struct shard_push empty = {
            .id = 2, .clock = 2, .base_version = 1, .slices = SLICES, .grad = two_ones};
        shard_push(&shard, rank, &empty);
    }
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_SKIPPED);
    shard_spare(&shard);
    assert_true(slot_of(&shard, 0) == 1.0F);
    shard_teardown(&shard);
}

static void close__of_a_job_that_is_not_copied__calls_the_snapshot_off(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = momentum_job(STEPD_ASYNC);
    setup(&shard, &job);
    shard_order(&shard, ORDER_JOB_CLOSE);
    assert_non_null(shard.snapshot);
    assert_int_equal(shard.snapshot->error.code, STEPD_ABORTED);
    assert_false(core_owes(shard.core));
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot__of_an_async_job__copies_a_slice_in_each_idle_moment),
        cmocka_unit_test(step__of_a_slice_that_is_not_copied__copies_that_one_alone),
        cmocka_unit_test(steps__of_all_slices__leave_only_the_notice_for_an_idle_moment),
        cmocka_unit_test(pull__that_is_backed_up__leaves_the_snapshot_the_backup_before),
        cmocka_unit_test(snapshot__at_the_version_of_all_slices__copies_them_in_idle_moments),
        cmocka_unit_test(snapshot__of_a_slice_that_closes_its_version__is_copied_with_the_step),
        cmocka_unit_test(snapshot__of_slices_that_close_together__is_copied_behind_the_step),
        cmocka_unit_test(skip__into_another_phase__leaves_the_snapshot_the_slots_before),
        cmocka_unit_test(close__of_a_job_that_is_not_copied__calls_the_snapshot_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
