/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays that are lent: what they are memory of.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/integration/sharing.h"

enum { STEPS = 4 };

/* ---- Lending --------------------------------------------------------------------------------- */

static void lend__twice__gives_the_same_arrays(void **state)
{
    struct stage *const stage = *state;
    struct stepd_param_group group;
    const struct stepd_job_options job = job_options("sgd", 1, &group);
    struct worker *const worker = worker_connect(stage, WAY_LENT, "same");
    float *grad[2], *weights[2];
    worker_define(stage, worker, WAY_LENT, &job);
    for (size_t i = 0; i < 2; i++)
        must(stage, stepd_lend(worker->client, 1, &grad[i], &weights[i], &stage->error));
    assert_ptr_equal(grad[0], grad[1]);
    assert_ptr_equal(weights[0], weights[1]);
    for (size_t i = 0; i < elements[1]; i++)
        assert_true(grad[0][i] == 0.0F && weights[0][i] == 0.0F);
    worker_leave(stage, worker);
}

static void lend__of_what_there_is_not__says_so(void **state)
{
    struct stage *const stage = *state;
    struct stepd_param_group group;
    const struct stepd_job_options job = job_options("sgd", 1, &group);
    struct worker *const worker = worker_connect(stage, WAY_LENT, "none");
    float *grad = NULL, *weights = NULL;
    assert_int_equal(stepd_lend(worker->client, 0, &grad, &weights, &stage->error),
                     STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(stage->error.text, "stepd_define"));
    worker_define(stage, worker, WAY_LENT, &job);
    assert_int_equal(stepd_lend(worker->client, TENSORS, &grad, &weights, &stage->error),
                     STEPD_OUT_OF_RANGE);
    assert_non_null(strstr(stage->error.text, "no tensor 4; the job has 4"));
    assert_null(grad);
    assert_null(weights);
    worker_leave(stage, worker);
}

/* Is this page of this process memory that is shared with a daemon? */
static bool is_shared(const void *page)
{
    FILE *const maps = fopen("/proc/self/maps", "r");
    char line[512];
    bool found = false;
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && from <= (uintptr_t)page &&
            (uintptr_t)page < to)
            found = strstr(line, "memfd:stepd") != NULL;
    }
    assert_int_equal(fclose(maps), 0);
    return found;
}

static void assert_large_is_shared(const struct worker *worker, bool grad, bool weights)
{
    assert_int_equal(is_shared(worker->grad[0]), grad);
    assert_int_equal(is_shared(worker->weights[0]), weights);
}

/* Nothing is copied, that is. */
static void lent__on_this_host__is_the_daemons_memory_itself(void **state)
{
    struct stage *const stage = *state;
    struct stepd_param_group group;
    const struct stepd_job_options job = job_options("sgd", 1, &group);
    struct worker *const worker = worker_connect(stage, WAY_LENT, "itself");
    worker_define(stage, worker, WAY_LENT, &job);
    worker_train(stage, worker, STEPS);
    assert_large_is_shared(worker, true, true);
    assert_false(is_shared(worker->weights[1])); /* it travels with others */
    worker_leave(stage, worker);
}

static void lent__over_tcp__is_ordinary_memory(void **state)
{
    struct stage *const stage = *state;
    struct stepd_param_group group;
    const struct stepd_job_options job = job_options("sgd", 1, &group);
    struct worker *const worker = worker_connect(stage, WAY_TCP, "tcp");
    worker_define(stage, worker, WAY_LENT, &job);
    worker_train(stage, worker, STEPS);
    assert_large_is_shared(worker, false, false);
    worker_leave(stage, worker);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_set_up, stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lend__twice__gives_the_same_arrays),
        TEST(lend__of_what_there_is_not__says_so),
        TEST(lent__on_this_host__is_the_daemons_memory_itself),
        TEST(lent__over_tcp__is_ordinary_memory),
    };
    return cmocka_run_group_tests_name("integration/lend", tests, NULL, NULL);
}
