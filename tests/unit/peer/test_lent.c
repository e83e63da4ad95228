/* SPDX-License-Identifier: Apache-2.0
 *
 * Which shares a member daemon may look at: those of snapshots that have not been ended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/message.h"
#include "server/peer/lent.h"

static const struct job_state state[3];

static void order(struct lent *lent, enum order_kind kind, uint64_t query)
{
    struct order *const order = order_create(kind, "j");
    assert_non_null(order);
    order->query = query;
    lent_note_order(lent, order);
    (void)order_destroy(order);
}

static enum stepd_status take(struct lent *lent, const char *job_name, uint64_t query,
                              const struct job_state *share)
{
    struct notice *const notice = notice_create(NOTICE_SNAPSHOT, job_name);
    struct stepd_error error;
    assert_non_null(notice);
    notice->query = query;
    notice->state = share;
    const enum stepd_status status = lent_take(lent, notice, &error);
    (void)notice_destroy(notice);
    return status;
}

static void share__of_a_snapshot_that_is_asked_for__is_taken(void **unused)
{
    struct lent lent = {.asked = NULL};
    const struct job_state *share[STEPD_SHARDS_MAX];
    (void)unused;
    assert_int_equal(lent_newest(&lent, "j", share), 0);
    order(&lent, ORDER_SNAPSHOT, 7);
    assert_int_equal(take(&lent, "j", 7, &state[0]), STEPD_OK);
    assert_int_equal(take(&lent, "j", 7, &state[1]), STEPD_OK);
    assert_int_equal(lent_newest(&lent, "j", share), 2);
    assert_int_equal(lent_newest(&lent, "another", share), 0);
    lent_forget(&lent);
}

/* Its shard has freed it, or is about to. */
static void share__that_comes_behind_the_end_of_its_snapshot__is_not_looked_at(void **unused)
{
    struct lent lent = {.asked = NULL};
    const struct job_state *share[STEPD_SHARDS_MAX];
    (void)unused;
    order(&lent, ORDER_SNAPSHOT, 7);
    assert_int_equal(take(&lent, "j", 7, &state[0]), STEPD_OK);
    order(&lent, ORDER_SNAPSHOT_END, 7);
    assert_int_equal(lent_newest(&lent, "j", share), 0);
    order(&lent, ORDER_SNAPSHOT, 8);
    assert_int_equal(take(&lent, "j", 7, &state[1]), STEPD_ABORTED);
    assert_int_equal(take(&lent, "j", 8, &state[2]), STEPD_OK);
    assert_int_equal(lent_newest(&lent, "j", share), 1);
    assert_ptr_equal(share[0], &state[2]);
    order(&lent, ORDER_SNAPSHOT_END, 9); /* that was never heard of */
    lent_forget(&lent);
    assert_int_equal(take(&lent, "j", 8, &state[0]), STEPD_ABORTED);
}

static void share__of_two_snapshots__is_the_newest_ones(void **unused)
{
    struct lent lent = {.asked = NULL};
    const struct job_state *share[STEPD_SHARDS_MAX];
    (void)unused;
    order(&lent, ORDER_SNAPSHOT, 7);
    order(&lent, ORDER_SNAPSHOT, 8);
    assert_int_equal(take(&lent, "j", 8, &state[1]), STEPD_OK);
    assert_int_equal(take(&lent, "j", 7, &state[0]), STEPD_OK);
    assert_int_equal(lent_newest(&lent, "j", share), 1);
    assert_ptr_equal(share[0], &state[1]);
    lent_forget(&lent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(share__of_a_snapshot_that_is_asked_for__is_taken),
        cmocka_unit_test(share__that_comes_behind_the_end_of_its_snapshot__is_not_looked_at),
        cmocka_unit_test(share__of_two_snapshots__is_the_newest_ones),
    };
    return cmocka_run_group_tests_name("peer/lent", tests, NULL, NULL);
}
