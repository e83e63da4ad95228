/* SPDX-License-Identifier: Apache-2.0
 *
 * No memory when a link comes back: the n-th allocation fails, for n from 0 until all goes well.
 * However far it got, each operation ends or is under way, nothing leaks, and the next one
 * succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/scarcity.h"
#include "tests/unit/client/keeper_rig.h"
#include "tests/unit/client/rig.h"

static const float big_grad[] = {1, 2, 3, 4, 5, 6};
static const float a_grad[] = {7, 8};
static const float b_grad[] = {9};
static float big[6], a[2], b[1];
static const struct stepd_array all[] = {
    {.tensor = 0, .grad = big_grad, .weights = big},
    {.tensor = 1, .grad = a_grad, .weights = a},
    {.tensor = 2, .grad = b_grad, .weights = b},
};
static const struct stepd_error lost = {.code = STEPD_UNAVAILABLE, .text = "lost"};

static bool down;
static size_t allowed;
static struct stepd_port rig_port;

static bool port_holds(void *self, uint32_t shard)
{
    (void)self;
    return down && shard == 1;
}

/* The bench always has memory: what it keeps of a frame is not what is tested. After the first
 * frame the rest has to do with the same number of allocations. */
static enum stepd_status send_with_memory(void *self, uint32_t shard,
                                          struct stepd_outgoing *outgoing,
                                          struct stepd_error *reterr)
{
    scarcity_from(SCARCITY_NEVER);
    const enum stepd_status status = rig_port.send(self, shard, outgoing, reterr);
    scarcity_from(allowed);
    return status;
}

/* One frame that was sent and one that was held go out again with n allocations. True: both did. */
static bool resend_with(enum stepd_dtype dtype, size_t n)
{
    struct rig rig;
    rig_setup(&rig);
    rig.exchange.push_dtype = dtype;
    rig.exchange.port.holds = port_holds;
    down = false;
    const struct rig_operation *const sent = rig_start(&rig, STEPD_OPERATION_STEP, all, 3, NULL);
    down = true;
    stepd_pending_suspend(&rig.pending, 1, &lost);
    const struct rig_operation *const held = rig_start(&rig, STEPD_OPERATION_PULL, all, 3, NULL);
    const size_t before = rig.sent_count;
    rig_port = rig.exchange.port;
    rig.exchange.port.send = send_with_memory;
    down = false;
    allowed = n;
    scarcity_from(n);
    stepd_exchange_resend(&rig.exchange, 1, 1000);
    scarcity_from(SCARCITY_NEVER);
    rig.exchange.port.send = rig_port.send;
    const bool whole = rig.sent_count == before + 2;
    const struct rig_operation *const next = rig_start(&rig, STEPD_OPERATION_PULL, all, 3, NULL);
    assert_int_equal(next->operation.error.code, STEPD_OK);
    stepd_exchange_lose(&rig.exchange, 1, &lost);
    stepd_exchange_lose(&rig.exchange, 2, &lost);
    assert_true(sent->done && held->done && next->done);
    assert_true(sent->operation.error.code == STEPD_RESOURCE_EXHAUSTED ||
                sent->operation.error.code == STEPD_UNAVAILABLE);
    if (!whole)
        assert_true(sent->operation.error.code == STEPD_RESOURCE_EXHAUSTED ||
                    held->operation.error.code == STEPD_RESOURCE_EXHAUSTED);
    rig_teardown(&rig);
    return whole;
}

static void resend__without_memory__fails_what_it_cannot_send(void **state)
{
    static const enum stepd_dtype dtypes[] = {STEPD_F32, STEPD_F16};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t n = 0;
        while (!resend_with(dtypes[i], n))
            n++;
        assert_in_range(n, 3, 100);
    }
}

static void open__of_a_link_without_memory__fails_and_may_be_repeated(void **state)
{
    static struct keeper_rig rig;
    struct stepd_error error;
    (void)state;
    keeper_setup(&rig);
    scarcity_from(0);
    assert_int_equal(stepd_keeper_open(&rig.keeper, 0, rig.now_ms, &error),
                     STEPD_RESOURCE_EXHAUSTED);
    scarcity_from(SCARCITY_NEVER);
    assert_false(stepd_keeper_holds(&rig.keeper, 0));
    keeper_want(&rig, 0);
    assert_string_equal(keeper_did(&rig), "attempt 0 new");
    keeper_teardown(&rig);
}

/* The same payload once more, for a call that is repeated. */
static void outgoing__again_without_memory__is_null(void **state)
{
    (void)state;
    struct stepd_outgoing *const first = stepd_outgoing_create(STEPD_F16, 6);
    assert_non_null(first);
    assert_int_equal(stepd_outgoing_add_floats(first, big_grad, 6), STEPD_OK);
    for (size_t n = 0; n < 2; n++) {
        scarcity_from(n);
        struct stepd_outgoing *const none = stepd_outgoing_again(first);
        scarcity_from(SCARCITY_NEVER);
        assert_null(none);
    }
    struct stepd_outgoing *const again = stepd_outgoing_again(first);
    assert_int_equal(again->payload_bytes, 12);
    assert_ptr_equal(again->span[0].at, first->span[0].at);
    (void)stepd_outgoing_destroy(again);
    (void)stepd_outgoing_destroy(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resend__without_memory__fails_what_it_cannot_send),
        cmocka_unit_test(open__of_a_link_without_memory__fails_and_may_be_repeated),
        cmocka_unit_test(outgoing__again_without_memory__is_null),
    };
    return cmocka_run_group_tests_name("client_resend_memory", tests, NULL, NULL);
}
