/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard that is asked to make no step from a version on before control has decided on a change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/sync/gate.h"
#include "tests/lib/settings.h"
#include "tests/lib/shard.h"

enum { SLICES = 2, SLICE = 4096, JOINER = 1 }; /* whole blocks, that norms are summed over */

static const float grad[SLICES * SLICE] = {1};

/* Two slices of a tensor. Of two ranks only 0 is a member. */
static void open_with(struct shard *shard, struct stepd_settings settings)
{
    const uint64_t shape[] = {SLICES, SLICE};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    const struct shard_job job = {.workers = 2,
                                  .settings = settings,
                                  .lr = 1.0,
                                  .slice_elements = SLICE,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_open_job(shard, &job);
    for (uint32_t rank = 0; rank < 2; rank++) {
        shard_session(shard, rank, 1, false);
        shard_connect(shard, rank, rank);
    }
    shard_member(shard, 0, 0, UINT64_MAX);
    shard_start(shard);
}

static void open(struct shard *shard)
{
    open_with(shard, (struct stepd_settings){.count = 0});
}

/* Pushes the step from a version to the first slices. */
static void push_some(struct shard *shard, uint32_t rank, uint64_t version, size_t slices)
{
    const struct shard_push push = {.id = version + 2,
                                    .clock = version + 1,
                                    .base_version = version,
                                    .examples = 1,
                                    .slices = slices,
                                    .grad = grad,
                                    .values = slices * SLICE,
                                    .deadline_ms = 500};
    shard_push(shard, rank, &push);
}

static void push(struct shard *shard, uint32_t rank, uint64_t version)
{
    push_some(shard, rank, version, SLICES);
}

static void propose(struct shard *shard, uint64_t number, uint64_t version)
{
    const struct order order = {
        .kind = ORDER_PROPOSE, .job_name = shard->job->name, .query = number, .version = version};
    shard_give(shard, &order);
    assert_int_equal(shard->proposal, number);
}

static void join_at(struct shard *shard, uint64_t version)
{
    const struct order order = {.kind = ORDER_CHANGE,
                                .job_name = shard->job->name,
                                .change = ORDER_CHANGE_MEMBER,
                                .version = version,
                                .rank = JOINER,
                                .from = version,
                                .last_clock = UINT64_MAX};
    shard_give(shard, &order);
}

static bool is_answered(const struct shard *shard, uint32_t rank, uint64_t version)
{
    const struct shard_reply *reply = shard_last(shard, rank);
    return reply->kind == STEPD_MESSAGE_RESULT && reply->request_id == version + 2 && reply->last;
}

static void propose__ahead_of_all_slices__is_agreed_to(void **state)
{
    (void)state;
    struct shard shard;
    open(&shard);
    push(&shard, 0, 0);
    propose(&shard, 7, 1);
    assert_true(shard.agreed);
    assert_int_equal(shard.newest_step, 1);
    shard_teardown(&shard);
}

static void propose__behind_one_slice__is_answered_with_its_version(void **state)
{
    (void)state;
    struct shard shard;
    open(&shard);
    push(&shard, 0, 0);
    push_some(&shard, 0, 1, 1);
    propose(&shard, 7, 1);
    assert_false(shard.agreed);
    assert_int_equal(shard.newest_step, 2);
    shard_teardown(&shard);
}

static void proposal__agreed__lets_the_steps_before_it_be_made(void **state)
{
    (void)state;
    struct shard shard;
    open(&shard);
    propose(&shard, 7, 1);
    push(&shard, 0, 0);
    assert_true(is_answered(&shard, 0, 0));
    shard_teardown(&shard);
}

static void proposal__agreed__holds_the_step_from_its_version(void **state)
{
    (void)state;
    struct shard shard;
    open(&shard);
    propose(&shard, 7, 1);
    push(&shard, 0, 0);
    push(&shard, 0, 1);
    assert_false(is_answered(&shard, 0, 1));
    shard.now_ms += 500;
    core_on_tick(shard.core, shard.now_ms);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "all shards to agree on a change"));
    shard_teardown(&shard);
}

static void proposal__refused__holds_nothing(void **state)
{
    (void)state;
    struct shard shard;
    open(&shard);
    push(&shard, 0, 0);
    propose(&shard, 7, 0);
    push(&shard, 0, 1);
    assert_true(is_answered(&shard, 0, 1));
    shard_teardown(&shard);
}

static void proposal__of_a_later_version__lets_go_what_the_one_before_held(void **state)
{
    (void)state;
    struct shard shard;
    open(&shard);
    propose(&shard, 7, 0);
    push(&shard, 0, 0);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_WELCOME);
    propose(&shard, 8, 1);
    assert_true(is_answered(&shard, 0, 0));
    push(&shard, 0, 1);
    assert_false(is_answered(&shard, 0, 1));
    shard_teardown(&shard);
}

static void join__of_a_held_step__waits_for_the_joiner(void **state)
{
    (void)state;
    struct shard shard;
    open(&shard);
    propose(&shard, 7, 0);
    push(&shard, 0, 0);
    join_at(&shard, 0);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_WELCOME);
    push(&shard, JOINER, 0);
    assert_true(is_answered(&shard, 0, 0));
    assert_true(is_answered(&shard, JOINER, 0));
    shard_teardown(&shard);
}

static void join__at_a_later_version__lets_go_what_was_held_before_it(void **state)
{
    (void)state;
    struct shard shard;
    open(&shard);
    propose(&shard, 7, 0);
    push(&shard, 0, 0);
    join_at(&shard, 1);
    assert_true(is_answered(&shard, 0, 0));
    push(&shard, 0, 1);
    assert_false(is_answered(&shard, 0, 1));
    shard_teardown(&shard);
}

/* ---- With a gate ----------------------------------------------------------------------------- */

/* Why the slices close together: whole or not at all, or by the norm of the tensor that both are a
 * part of. */
static const char *const gated[] = {"atomic=job", "clip_global_norm=1"};

enum { GATED = sizeof gated / sizeof gated[0] };

static void assert_report_is_held(const char *settings)
{
    struct shard shard;
    open_with(&shard, settings_of(settings));
    propose(&shard, 7, 0);
    push(&shard, 0, 0);
    core_on_tick(shard.core, shard.now_ms);
    assert_null(shard.ready);
    join_at(&shard, 1);
    assert_non_null(shard.ready);
    shard_teardown(&shard);
}

static void proposal__of_a_gated_job__holds_the_report(void **state)
{
    (void)state;
    for (size_t i = 0; i < GATED; i++)
        assert_report_is_held(gated[i]);
}

static void report__that_was_held__has_the_norms_of_all_slices(void **state)
{
    (void)state;
    struct shard shard;
    open_with(&shard, settings_of("clip_global_norm=1"));
    propose(&shard, 7, 0);
    push(&shard, 0, 0);
    join_at(&shard, 1);
    assert_int_equal(gate_blocks(shard.job, 0), SLICES);
    assert_true(shard.ready->sum[0] == 1.0); /* all of the gradient is 0 but for its first */
    assert_true(shard.ready->sum[1] == 0.0);
    shard_teardown(&shard);
}

static void assert_step_is_not_agreed_to(const char *settings)
{
    struct shard shard;
    open_with(&shard, settings_of(settings));
    push(&shard, 0, 0);
    assert_non_null(shard.ready);
    propose(&shard, 7, 0);
    assert_false(shard.agreed);
    assert_int_equal(shard.newest_step, 1);
    shard_teardown(&shard);
}

static void propose__of_a_step_that_control_decides_on__is_not_agreed_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < GATED; i++)
        assert_step_is_not_agreed_to(gated[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(propose__ahead_of_all_slices__is_agreed_to),
        cmocka_unit_test(propose__behind_one_slice__is_answered_with_its_version),
        cmocka_unit_test(proposal__agreed__lets_the_steps_before_it_be_made),
        cmocka_unit_test(proposal__agreed__holds_the_step_from_its_version),
        cmocka_unit_test(proposal__refused__holds_nothing),
        cmocka_unit_test(proposal__of_a_later_version__lets_go_what_the_one_before_held),
        cmocka_unit_test(join__of_a_held_step__waits_for_the_joiner),
        cmocka_unit_test(join__at_a_later_version__lets_go_what_was_held_before_it),
        cmocka_unit_test(proposal__of_a_gated_job__holds_the_report),
        cmocka_unit_test(report__that_was_held__has_the_norms_of_all_slices),
        cmocka_unit_test(propose__of_a_step_that_control_decides_on__is_not_agreed_to),
    };
    return cmocka_run_group_tests_name("core/change", tests, NULL, NULL);
}
