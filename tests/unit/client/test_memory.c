/* SPDX-License-Identifier: Apache-2.0
 *
 * No memory: the n-th allocation fails, for n from 1 until the call succeeds. However far it got,
 * the operation ends with RESOURCE_EXHAUSTED, nothing leaks, and the next operation succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/definition.h"
#include "tests/lib/scarcity.h"
#include "tests/unit/client/rig.h"

static const float big_grad[] = {1, 2, 3, 4, 5, 6};
static const float a_grad[] = {7, 8};
static const float b_grad[] = {9};
static const float hessian[9] = {0};
static float big[6], a[2], b[1];
static const struct stepd_array arrays[] = {
    {.tensor = 0, .grad = big_grad, .weights = big},
    {.tensor = 1, .grad = a_grad, .weights = a},
    {.tensor = 2, .grad = b_grad, .weights = b},
};

/* The bench itself always has memory: its port is not what is tested. */
static struct stepd_port rig_port;

static enum stepd_status send_with_memory(void *self, uint32_t shard,
                                          struct stepd_outgoing *outgoing,
                                          struct stepd_error *reterr)
{
    const size_t before = scarcity_left();
    scarcity_from(SCARCITY_NEVER);
    const enum stepd_status status = rig_port.send(self, shard, outgoing, reterr);
    scarcity_from(before);
    return status;
}

static void on_done(struct stepd_operation *operation)
{
    ((struct rig_operation *)operation)->done = true;
    stepd_operation_deinit(operation);
}

/* Starts an operation of this kind with n allocations; true if it got under way whole. */
static bool try_with(struct rig *rig, enum stepd_operation_kind kind, size_t n)
{
    static struct rig_operation operation;
    const struct stepd_hessian of_a = {.tensor = 1, .values = hessian};
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    struct stepd_error error;
    options.hessians = &of_a;
    options.hessians_count = kind == STEPD_OPERATION_PULL ? 0 : 1;
    operation = (struct rig_operation){.done = false};
    assert_int_equal(
        stepd_operation_init(&operation.operation, kind, &rig->layout, &options, &error), STEPD_OK);
    operation.operation.on_done = on_done;
    scarcity_from(n);
    enum stepd_status filled =
        stepd_operation_fill(&operation.operation, &rig->layout, arrays, 3, &error);
    if (filled == STEPD_OK)
        filled =
            stepd_operation_fill_hessians(&operation.operation, &rig->layout, &options, &error);
    if (filled == STEPD_OK)
        stepd_exchange_start(&rig->exchange, &operation.operation, 0);
    scarcity_from(SCARCITY_NEVER);
    if (filled != STEPD_OK) {
        assert_int_equal(filled, STEPD_RESOURCE_EXHAUSTED);
        stepd_operation_deinit(&operation.operation);
        return false;
    }
    assert_int_equal(rig->exchange.gathering, 0);
    const struct stepd_error lost = {.code = STEPD_UNAVAILABLE, .text = "lost"};
    const bool whole = operation.operation.error.code == STEPD_OK;
    stepd_exchange_lose(&rig->exchange, 1, &lost);
    stepd_exchange_lose(&rig->exchange, 2, &lost);
    assert_true(operation.done);
    assert_int_equal(operation.operation.error.code,
                     whole ? STEPD_UNAVAILABLE : STEPD_RESOURCE_EXHAUSTED);
    return whole;
}

static void assert_survives(enum stepd_operation_kind kind, enum stepd_dtype push_dtype)
{
    size_t n = 0;
    bool whole = false;
    while (!whole) {
        struct rig rig;
        rig_setup(&rig);
        rig.layout.slice[2].extra = 9; /* of "a" and "b": a Hessian */
        rig.exchange.push_dtype = push_dtype;
        rig_port = rig.exchange.port;
        rig.exchange.port.send = send_with_memory;
        whole = try_with(&rig, kind, n++);
        assert_true(try_with(&rig, kind, SCARCITY_NEVER));
        rig_teardown(&rig);
        assert_true(n < 1000);
    }
    assert_true(n > 5);
}

static void push__without_memory__fails_and_recovers(void **state)
{
    (void)state;
    assert_survives(STEPD_OPERATION_PUSH, STEPD_F16);
}

static void pull__without_memory__fails_and_recovers(void **state)
{
    (void)state;
    assert_survives(STEPD_OPERATION_PULL, STEPD_F32);
}

static void step__without_memory__fails_and_recovers(void **state)
{
    (void)state;
    assert_survives(STEPD_OPERATION_STEP, STEPD_F32);
}

static void layout__without_memory__fails(void **state)
{
    size_t n = 0;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    (void)state;
    while (status != STEPD_OK) {
        struct stepd_layout_table table;
        struct stepd_error error;
        stepd_layout_init(&table);
        scarcity_from(n++);
        status = stepd_layout_add(&table, rig_page(), &error);
        if (status == STEPD_OK)
            status = stepd_layout_seal(&table, RIG_SHARDS, &error);
        scarcity_from(SCARCITY_NEVER);
        assert_true(status == STEPD_OK || status == STEPD_RESOURCE_EXHAUSTED);
        stepd_layout_deinit(&table);
        assert_true(n < 100);
    }
    assert_true(n > 3);
}

/* Everything that a definition may say takes memory. */
static void definition__without_memory__fails(void **state)
{
    static const struct stepd_param lr = {.name = "lr", .value = 0.5};
    static const struct stepd_schedule_item item = {
        .kind = "linear", .params = &lr, .params_count = 1};
    static const struct stepd_param_phase phase = {
        .from = 9, .optimizer = "sgd", .params = &lr, .params_count = 1};
    static const struct stepd_param_group defaults = {
        .optimizer = "adam", .params = &lr, .params_count = 1};
    const struct stepd_param_group group = {
        .match = "*",
        .params = &lr,
        .params_count = 1,
        .schedule = "chained",
        .schedule_params = &lr,
        .schedule_params_count = 1,
        .schedule_items = &item,
        .schedule_items_count = 1,
        .phases = &phase,
        .phases_count = 1,
    };
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t caps = 0;
    (void)state;
    job.groups = &group;
    job.groups_count = 1;
    job.defaults = &defaults;
    for (size_t cap = 0; status != STEPD_OK; cap += 16, caps++) {
        struct stepd_arena arena;
        struct stepd_define_job define;
        struct stepd_error error = {.text = ""};
        stepd_arena_init(&arena, cap);
        status = stepd_definition_of_job(&job, &arena, &define, &error);
        stepd_arena_deinit(&arena);
        assert_true(status == STEPD_OK || status == STEPD_RESOURCE_EXHAUSTED);
        assert_true(status == STEPD_OK || strstr(error.text, "no memory for the def") != NULL);
        assert_true(cap < 100000);
    }
    assert_true(caps > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push__without_memory__fails_and_recovers),
        cmocka_unit_test(pull__without_memory__fails_and_recovers),
        cmocka_unit_test(step__without_memory__fails_and_recovers),
        cmocka_unit_test(layout__without_memory__fails),
        cmocka_unit_test(definition__without_memory__fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
