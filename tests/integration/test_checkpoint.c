/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints that a worker asks for, and what its steps are told of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/integration/pair.h"
#include "tests/unit/disk/scratch.h"

/* A pair whose daemon keeps checkpoints in a folder of the test's. */
struct kept {
    struct pair *pair;
    struct scratch *scratch;
};

static int set_up(void **state)
{
    struct kept *const kept = calloc(1, sizeof *kept);
    assert_non_null(kept);
    *state = kept;
    void *made = NULL;
    assert_int_equal(scratch_setup(&made), 0);
    kept->scratch = made;
    const int status =
        pair_set_up_with(&made, (const char *const[]){"--shards", "2", "--checkpoint-dir",
                                                      scratch_path(kept->scratch, "kept"), NULL});
    kept->pair = made;
    return status;
}

static int tear_down(void **state)
{
    struct kept *const kept = *state;
    void *pair = kept->pair, *scratch = kept->scratch;
    const int ended = pair_tear_down(&pair);
    const int removed = scratch_teardown(&scratch);
    free(kept);
    return ended + removed;
}

static void define(struct pair *pair)
{
    static const struct stepd_param lr = {.name = "lr", .value = 1};
    static const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = &lr, .params_count = 1};
    pair_define_one(pair, &group);
}

static struct stepd_checkpoint_result take(struct pair *pair, size_t worker)
{
    struct stepd_checkpoint_result result = {.step = 0};
    if (stepd_checkpoint(pair->worker[worker].client, NULL, PAIR_PATIENCE_MS, &result,
                         &pair->error) != STEPD_OK)
        fail_msg("%s", pair->error.text);
    return result;
}

static void checkpoint__that_a_worker_asks_for__is_on_the_disk(void **state)
{
    struct kept *const kept = *state;
    define(kept->pair);
    pair_round(kept->pair);
    pair_round(kept->pair);
    const struct stepd_checkpoint_result result = take(kept->pair, 0);
    assert_string_equal(result.name, "step-00000002");
    assert_int_equal(result.step, 2);
    assert_true(result.bytes > 0);
    assert_true(scratch_has(kept->scratch, "kept/pair/step-00000002/manifest.json"));
}

static void step__after_a_checkpoint__is_told_the_version_that_is_durable(void **state)
{
    struct kept *const kept = *state;
    struct pair *const pair = kept->pair;
    define(pair);
    pair_round(pair);
    assert_int_equal(pair->worker[1].counts.durable_version, 0);
    (void)take(pair, 0);
    pair_round(pair);
    pair_round(pair);
    for (size_t i = 0; i < PAIR_WORKERS; i++) {
        assert_int_equal(pair->worker[i].counts.version_max, 3);
        assert_int_equal(pair->worker[i].counts.durable_version, 1);
    }
    (void)take(pair, 1);
    pair_round(pair);
    assert_int_equal(pair->worker[0].counts.durable_version, 3);
}

static void checkpoint__of_a_job_that_is_not_there__is_refused(void **state)
{
    struct kept *const kept = *state;
    assert_int_equal(
        stepd_checkpoint(kept->pair->worker[0].client, "nowhere", 0, NULL, &kept->pair->error),
        STEPD_NOT_FOUND);
    pair_expect_text(kept->pair, "there is no job 'nowhere'");
}

static void checkpoint__of_a_daemon_that_keeps_none__is_refused(void **state)
{
    struct pair *const pair = *state;
    define(pair);
    pair_round(pair);
    assert_int_equal(stepd_checkpoint(pair->worker[0].client, NULL, 0, NULL, &pair->error),
                     STEPD_FAILED_PRECONDITION);
    pair_expect_text(pair, "start it with --checkpoint-dir");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(checkpoint__that_a_worker_asks_for__is_on_the_disk, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            step__after_a_checkpoint__is_told_the_version_that_is_durable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checkpoint__of_a_job_that_is_not_there__is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(checkpoint__of_a_daemon_that_keeps_none__is_refused,
                                        pair_set_up, pair_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
