/* SPDX-License-Identifier: Apache-2.0
 *
 * What results say of versions that would survive a crash: those of the newest snapshot that was
 * written down, of the slices that the result is about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/settings.h"
#include "tests/unit/core/two_slices.h"

static const uint32_t second[] = {1};

/* Of the first `slices`, as rank 0 is told when it pulls them. */
static uint64_t durable_of(struct shard *shard, size_t slices)
{
    shard_pull(shard, 0, 1000, 0, slices);
    assert_int_equal(shard_last(shard, 0)->kind, STEPD_MESSAGE_RESULT);
    return shard_last(shard, 0)->durable_version;
}

static struct shard_job setup(struct shard *shard, enum stepd_mode mode)
{
    const struct shard_job job = two_job(mode);
    two_setup(shard, &job);
    return job;
}

static void result__before_any_snapshot_was_written__says_0(void **state)
{
    (void)state;
    struct shard shard;
    (void)setup(&shard, STEPD_SYNC);
    two_step(&shard, 1);
    assert_int_equal(durable_of(&shard, SLICES), 0);
    shard_teardown(&shard);
}

static void result__after_one_was_written__says_its_version(void **state)
{
    (void)state;
    struct shard shard;
    (void)setup(&shard, STEPD_SYNC);
    two_step(&shard, 1);
    shard_snapshot(&shard, 1);
    two_step(&shard, 2);
    assert_int_equal(durable_of(&shard, SLICES), 0); /* taken, and not written yet */
    shard_snapshot_written(&shard);
    two_step(&shard, 3);
    assert_int_equal(shard_last(&shard, 0)->version[0], 3);
    assert_int_equal(shard_last(&shard, 0)->durable_version, 1); /* of the push itself */
    assert_int_equal(durable_of(&shard, SLICES), 1);
    shard_teardown(&shard);
}

static void result__after_one_that_was_not_written__says_the_older(void **state)
{
    (void)state;
    struct shard shard;
    (void)setup(&shard, STEPD_SYNC);
    two_step(&shard, 1);
    shard_snapshot(&shard, 1);
    shard_snapshot_written(&shard);
    two_step(&shard, 2);
    shard_snapshot(&shard, 2);
    shard_snapshot_end(&shard);
    assert_int_equal(durable_of(&shard, SLICES), 1);
    shard_teardown(&shard);
}

static void result__of_slices_at_several_versions__says_the_oldest(void **state)
{
    (void)state;
    struct shard shard;
    (void)setup(&shard, STEPD_ASYNC);
    two_push(&shard, 0, 1, SLICES, NULL);
    two_push(&shard, 0, 2, 1, second);
    shard_snapshot(&shard, JOB_STATE_AS_IT_STANDS);
    shard_snapshot_written(&shard);
    two_push(&shard, 0, 3, 1, second);
    assert_int_equal(shard_last(&shard, 0)->durable_version, 2); /* of the second slice alone */
    assert_int_equal(durable_of(&shard, SLICES), 1);
    shard_teardown(&shard);
}

static void result__of_frozen_slices_too__is_about_the_others(void **state)
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
    const uint32_t stepped = shard.job->group[shard.job->layout.slice[0].group].frozen ? 1 : 0;
    const struct shard_push request = {.id = 1,
                                       .clock = 1,
                                       .examples = 1,
                                       .slices = 1,
                                       .slice = &stepped,
                                       .grad = two_ones,
                                       .values = 4};
    shard_push(&shard, 0, &request);
    shard_snapshot(&shard, 1);
    shard_snapshot_written(&shard);
    assert_int_equal(durable_of(&shard, 2), 1);
    shard_teardown(&shard);
}

static void result__of_a_job_that_went_back__says_what_it_went_back_to(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = setup(&shard, STEPD_SYNC);
    two_step(&shard, 1);
    two_step(&shard, 2);
    shard_snapshot(&shard, 2);
    two_step(&shard, 3);
    two_go_back(&shard, &job);
    assert_int_equal(durable_of(&shard, SLICES), 2);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result__before_any_snapshot_was_written__says_0),
        cmocka_unit_test(result__after_one_was_written__says_its_version),
        cmocka_unit_test(result__after_one_that_was_not_written__says_the_older),
        cmocka_unit_test(result__of_slices_at_several_versions__says_the_oldest),
        cmocka_unit_test(result__of_frozen_slices_too__is_about_the_others),
        cmocka_unit_test(result__of_a_job_that_went_back__says_what_it_went_back_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
