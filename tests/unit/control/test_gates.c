/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's side of the gate: when it decides, what the shards are told, and what the log says.
 * What is decided is sync/gate.h's, and tested with shards behind it in core.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/model/order.h"
#include "tests/unit/control/brain_fixture.h"

enum { WORKERS = 2 };

/* A job of two slices, one on each shard, with one setting beside its mode: a word. */
static void open_job(struct brain *brain, const char *setting, const char *word)
{
    const struct stepd_setting settings[] = {{.name = setting, .word = word}};
    struct peer *const peer = peer_join(brain, hello_worker("j", 0));
    struct stepd_message job = define_job(STEPD_SYNC, WORKERS);
    job.body.define_job.settings = (struct stepd_settings){.count = 1, .at = settings};
    job.body.define_job.slice_elements = 1024;
    peer_request(peer, job);
    peer_request(peer, define_tensor(2048));
    brain_opened_all(brain, "j");
    brain_forget_orders(brain);
}

/* A shard is ready for the step from `version`; ranks below `ranks` have contributed to all of it.
 * bad: what is not finite there, or NULL. */
static void report(struct brain *brain, uint32_t shard, uint64_t version, uint32_t ranks,
                   const char *bad)
{
    struct notice *const ready = notice_create(NOTICE_READY, "j");
    assert_non_null(ready);
    ready->shard = shard;
    ready->version_min = version;
    ready->rank = calloc(WORKERS, sizeof *ready->rank);
    assert_non_null(ready->rank);
    for (; ready->ranks < ranks; ready->ranks++)
        ready->rank[ready->ranks] = (uint32_t)ready->ranks;
    if (bad != NULL)
        (void)stepd_fail(&ready->error, STEPD_INVALID_ARGUMENT, "%s", bad);
    control_on_notice(brain->control, ready, brain->now_ms);
}

static void assert_committed(struct brain *brain, uint64_t version, enum order_verdict verdict)
{
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *const commit = brain_newest(brain, shard, ORDER_COMMIT);
        assert_int_equal(commit->version, version);
        assert_int_equal(commit->verdict, verdict);
    }
}

static void gate__one_shard_ready__decides_nothing(void **state)
{
    struct brain *const brain = *state;
    open_job(brain, "atomic", "job");
    report(brain, 0, 0, WORKERS, NULL);
    report(brain, 0, 0, WORKERS, NULL);
    assert_int_equal(brain_count(brain, 0, ORDER_COMMIT), 0);
    assert_int_equal(brain_count(brain, 1, ORDER_COMMIT), 0);
}

static void gate__all_shards_ready__commits_step_after_step(void **state)
{
    struct brain *const brain = *state;
    open_job(brain, "atomic", "job");
    for (uint64_t version = 0; version < 3; version++) {
        report(brain, 1, version, WORKERS, NULL);
        report(brain, 0, version, WORKERS, NULL);
        assert_committed(brain, version, ORDER_APPLY);
        assert_int_equal(brain_count(brain, 0, ORDER_COMMIT), version + 1);
    }
    assert_null(strstr(brain->log, "step_skipped"));
}

static void gate__report_of_a_version_that_is_over__changes_nothing(void **state)
{
    struct brain *const brain = *state;
    open_job(brain, "atomic", "job");
    report(brain, 0, 0, WORKERS, NULL);
    report(brain, 1, 0, WORKERS, NULL);
    report(brain, 0, 0, WORKERS, NULL);
    report(brain, 1, 1, WORKERS, NULL);
    assert_int_equal(brain_count(brain, 0, ORDER_COMMIT), 1);
}

static void gate__rank_that_one_shard_lacks__is_done_without(void **state)
{
    struct brain *const brain = *state;
    open_job(brain, "atomic", "job");
    report(brain, 0, 0, 2, NULL);
    report(brain, 1, 0, 1, NULL);
    assert_int_equal(brain_count(brain, 0, ORDER_COMMIT), 0);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *const without = brain_newest(brain, shard, ORDER_WITHOUT);
        assert_int_equal(without->ranks, 1);
        assert_int_equal(without->rank_list[0], 1);
    }
    report(brain, 0, 0, 1, NULL);
    report(brain, 1, 0, 1, NULL);
    assert_committed(brain, 0, ORDER_APPLY);
}

static void gate__what_is_not_finite__skips_the_step_and_says_why(void **state)
{
    struct brain *const brain = *state;
    open_job(brain, "nonfinite", "skip");
    report(brain, 0, 0, WORKERS, "rank 1: w[3] is nan");
    report(brain, 1, 0, WORKERS, NULL);
    assert_committed(brain, 0, ORDER_SKIP);
    assert_non_null(strstr(brain->log, "step_skipped job=\"j\" version=0 cause="));
    assert_non_null(strstr(brain->log, "rank 1: w[3] is nan"));
}

static void gate__what_is_not_finite__halts_a_job_that_wants_that(void **state)
{
    struct brain *const brain = *state;
    open_job(brain, "nonfinite", "halt");
    report(brain, 0, 0, WORKERS, NULL);
    report(brain, 1, 0, WORKERS, "rank 0: w[1] is inf");
    assert_committed(brain, 0, ORDER_HALT);
    const struct order *const commit = brain_newest(brain, 0, ORDER_COMMIT);
    assert_string_equal(commit->error.text, "rank 0: w[1] is inf");
    assert_non_null(strstr(brain->log, "job_halted job=\"j\" version=0 cause="));
}

static void gate__job_of_single_slices__is_told_nothing(void **state)
{
    struct brain *const brain = *state;
    open_job(brain, "nonfinite", "refuse");
    report(brain, 0, 0, WORKERS, NULL);
    report(brain, 1, 0, WORKERS, NULL);
    assert_int_equal(brain_count(brain, 0, ORDER_COMMIT), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gate__one_shard_ready__decides_nothing),
        TEST(gate__all_shards_ready__commits_step_after_step),
        TEST(gate__report_of_a_version_that_is_over__changes_nothing),
        TEST(gate__rank_that_one_shard_lacks__is_done_without),
        TEST(gate__what_is_not_finite__skips_the_step_and_says_why),
        TEST(gate__what_is_not_finite__halts_a_job_that_wants_that),
        TEST(gate__job_of_single_slices__is_told_nothing),
    };
    return cmocka_run_group_tests_name("control/gates", tests, NULL, NULL);
}
