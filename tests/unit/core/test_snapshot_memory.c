/* SPDX-License-Identifier: Apache-2.0
 *
 * Where there is no memory for a snapshot, or for a job that goes on from one, whoever wanted it is
 * told so, and the training that goes on meanwhile does not notice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/scarcity.h"
#include "tests/unit/core/course.h"

/* Gives an order whose obeying may allocate so often. */
static void give(struct shard *shard, struct order *like, size_t allowed)
{
    like->job_name = shard->job->name;
    like->query = 7;
    struct order *order = order_copy(like);
    assert_non_null(order);
    scarcity_after(allowed);
    core_on_order(shard->core, order, shard->now_ms);
    shard_spare(shard); /* which needs no memory */
    scarcity_after(SCARCITY_NEVER);
}

static const struct course *the_course(void)
{
    static struct stepd_group group;
    static struct course course;
    group = settings_group("adam", "ema_decay=0.5");
    course = (struct course){.mode = STEPD_SYNC, .group = &group};
    return &course;
}

static void snapshot__without_memory__is_refused(void **state)
{
    (void)state;
    struct runner runner;
    runner_open(&runner, the_course(), NULL, 0);
    struct shard *shard = &runner.shard;
    runner_go(&runner, 0, 2);
    size_t allowed = 0;
    size_t refused = 0;
    for (bool taken = false; !taken; allowed++) {
        struct order order = {.kind = ORDER_SNAPSHOT, .version = 2};
        shard->snapshot = notice_destroy(shard->snapshot);
        give(shard, &order, allowed);
        taken = shard->snapshot != NULL && shard->snapshot->state != NULL;
        if (taken)
            break;
        assert_non_null(shard->snapshot); /* the notice of the refusal had memory again */
        assert_int_equal(shard->snapshot->error.code, STEPD_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(shard->snapshot->error.text, "no memory for a snapshot of job 'j'"));
        refused++;
    }
    assert_true(refused > 10);
    runner_close(&runner);
}

static void step__after_a_snapshot_was_refused__comes_to_the_same_bits(void **state)
{
    (void)state;
    struct runner plain;
    struct runner runner;
    runner_open(&plain, the_course(), NULL, 0);
    runner_open(&runner, the_course(), NULL, 0);
    for (size_t entry = 0; entry < COURSE_STEPS; entry++) {
        struct order order = {.kind = ORDER_SNAPSHOT, .version = entry + 1};
        give(&runner.shard, &order, 2 * entry);
        assert_null(runner.shard.snapshot->state);
        runner_go(&runner, entry, entry + 1);
    }
    runner_go(&plain, 0, COURSE_STEPS);
    runner_order(&plain, COURSE_STEPS);
    runner_order(&runner, COURSE_STEPS);
    shard_spare(&plain.shard);
    shard_spare(&runner.shard);
    assert_same_state(plain.shard.snapshot->state, runner.shard.snapshot->state, "course");
    runner_close(&plain);
    runner_close(&runner);
}

static void job__that_goes_on_from_a_state_without_memory__is_not_opened(void **state)
{
    (void)state;
    struct runner runner;
    runner_open(&runner, the_course(), NULL, 0);
    struct shard *shard = &runner.shard;
    runner_order(&runner, 0);
    struct job_state *taken = shard_state(shard);
    shard_snapshot_end(shard);
    size_t allowed = 1; /* the notice must be there */
    for (bool opened = false; !opened; allowed++) {
        struct order close = {.kind = ORDER_JOB_CLOSE};
        struct order open = {.kind = ORDER_JOB_OPEN, .job = shard->job, .state = taken};
        give(shard, &close, SCARCITY_NEVER);
        shard->opened.code = STEPD_UNKNOWN;
        give(shard, &open, allowed + 1);
        opened = shard->opened.code == STEPD_OK;
        if (!opened)
            assert_int_equal(shard->opened.code, STEPD_RESOURCE_EXHAUSTED);
    }
    assert_true(allowed > 10);
    (void)job_state_unref(taken);
    runner_close(&runner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot__without_memory__is_refused),
        cmocka_unit_test(step__after_a_snapshot_was_refused__comes_to_the_same_bits),
        cmocka_unit_test(job__that_goes_on_from_a_state_without_memory__is_not_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
