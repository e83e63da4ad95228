/* SPDX-License-Identifier: Apache-2.0
 *
 * The policies: which pushes count, and when a round closes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/sync/policy.h"

/* Ranks 0 and 1 are members for good, rank 2 for the versions 2 to 4; the job has started. */
struct fixture {
    struct members members;
    struct round round;
};

static void setup(struct fixture *fixture)
{
    *fixture = (struct fixture){.members = {.started = true}};
    assert_int_equal(members_set(&fixture->members, 0, 0, UINT64_MAX), STEPD_OK);
    assert_int_equal(members_set(&fixture->members, 1, 0, UINT64_MAX), STEPD_OK);
    assert_int_equal(members_set(&fixture->members, 2, 2, 5), STEPD_OK);
    assert_int_equal(round_admit(&fixture->round, 3), STEPD_OK);
}

static void teardown(struct fixture *fixture)
{
    members_deinit(&fixture->members);
    round_deinit(&fixture->round);
}

static void contribute(struct fixture *fixture, uint32_t rank)
{
    round_begin(&fixture->round, rank, 1);
    round_count(&fixture->round, rank, 1, NULL);
}

static enum verdict judge(const struct fixture *fixture, enum stepd_mode mode, uint32_t rank,
                          uint64_t base_version)
{
    const struct claim claim = {.rank = rank, .base_version = base_version, .version = 3};
    return sync_policy_of(mode)->judge(&fixture->members, &claim);
}

static bool closes(const struct fixture *fixture, enum stepd_mode mode, uint64_t version)
{
    return sync_policy_of(mode)->closes(&fixture->members, &fixture->round, version);
}

/* ---- sync ------------------------------------------------------------------------------------ */

static void sync_judge__by_base_version__counts_the_current_one_only(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(judge(&f, STEPD_SYNC, 0, 3), VERDICT_COUNT);
    assert_int_equal(judge(&f, STEPD_SYNC, 0, 2), VERDICT_LATE);
    assert_int_equal(judge(&f, STEPD_SYNC, 0, 4), VERDICT_IMPOSSIBLE);
    teardown(&f);
}

static void sync_judge__of_a_rank_outside_its_interval__fences_it(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(judge(&f, STEPD_SYNC, 2, 3), VERDICT_COUNT);
    assert_int_equal(members_set(&f.members, 2, 2, 3), STEPD_OK);
    assert_int_equal(judge(&f, STEPD_SYNC, 2, 3), VERDICT_FENCED);
    assert_int_equal(judge(&f, STEPD_SYNC, 9, 3), VERDICT_FENCED);
    teardown(&f);
}

static void sync_closes__when_each_member_has_contributed__and_not_before(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_false(closes(&f, STEPD_SYNC, 3));
    contribute(&f, 2);
    contribute(&f, 0);
    assert_false(closes(&f, STEPD_SYNC, 3));
    assert_true(sync_lacks(&f.members, &f.round, 3, 1));
    round_begin(&f.round, 1, 1); /* half received is not contributed */
    assert_false(closes(&f, STEPD_SYNC, 3));
    round_count(&f.round, 1, 0, NULL); /* empty is */
    assert_true(closes(&f, STEPD_SYNC, 3));
    assert_false(sync_lacks(&f.members, &f.round, 3, 1));
    teardown(&f);
}

static void sync_closes__for_a_version_outside_an_interval__does_without_that_rank(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    contribute(&f, 0);
    contribute(&f, 1);
    assert_true(closes(&f, STEPD_SYNC, 1));
    assert_false(closes(&f, STEPD_SYNC, 2));
    assert_false(closes(&f, STEPD_SYNC, 4));
    assert_true(closes(&f, STEPD_SYNC, 5));
    teardown(&f);
}

static void sync_closes__on_identity__not_on_counts(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    contribute(&f, 0);
    contribute(&f, 3); /* as many as members of version 0, but not they */
    assert_false(closes(&f, STEPD_SYNC, 0));
    teardown(&f);
}

static void sync_closes__before_the_job_has_started__never(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    contribute(&f, 0);
    contribute(&f, 1);
    f.members.started = false;
    assert_false(closes(&f, STEPD_SYNC, 0));
    teardown(&f);
}

static void sync_closes__without_any_member__never(void **state)
{
    (void)state;
    struct fixture f = {.members = {.started = true}};
    assert_false(closes(&f, STEPD_SYNC, 0));
    teardown(&f);
}

/* ---- async ----------------------------------------------------------------------------------- */

static void async_judge__of_any_base_version_that_exists__counts_it(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(judge(&f, STEPD_ASYNC, 0, 0), VERDICT_COUNT);
    assert_int_equal(judge(&f, STEPD_ASYNC, 0, 3), VERDICT_COUNT);
    assert_int_equal(judge(&f, STEPD_ASYNC, 0, 4), VERDICT_IMPOSSIBLE);
    teardown(&f);
}

static void async_judge__of_a_rank_that_is_no_member__fences_it(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(judge(&f, STEPD_ASYNC, 3, 3), VERDICT_FENCED);
    assert_int_equal(members_set(&f.members, 1, 0, 0), STEPD_OK);
    assert_int_equal(judge(&f, STEPD_ASYNC, 1, 3), VERDICT_FENCED);
    teardown(&f);
}

static void async_closes__with_one_contribution__at_once(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_false(closes(&f, STEPD_ASYNC, 0));
    contribute(&f, 1);
    assert_true(closes(&f, STEPD_ASYNC, 0));
    teardown(&f);
}

static void policy__of_each_mode__says_what_makes_an_update_and_its_clock(void **state)
{
    (void)state;
    assert_true(sync_policy_of(STEPD_SYNC)->together);
    assert_true(sync_policy_of(STEPD_SYNC)->schedule_by_version);
    assert_false(sync_policy_of(STEPD_ASYNC)->together);
    assert_false(sync_policy_of(STEPD_ASYNC)->schedule_by_version);
    assert_string_equal(sync_policy_of(STEPD_ASYNC)->name, "async");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sync_judge__by_base_version__counts_the_current_one_only),
        cmocka_unit_test(sync_judge__of_a_rank_outside_its_interval__fences_it),
        cmocka_unit_test(sync_closes__when_each_member_has_contributed__and_not_before),
        cmocka_unit_test(sync_closes__for_a_version_outside_an_interval__does_without_that_rank),
        cmocka_unit_test(sync_closes__on_identity__not_on_counts),
        cmocka_unit_test(sync_closes__before_the_job_has_started__never),
        cmocka_unit_test(sync_closes__without_any_member__never),
        cmocka_unit_test(async_judge__of_any_base_version_that_exists__counts_it),
        cmocka_unit_test(async_judge__of_a_rank_that_is_no_member__fences_it),
        cmocka_unit_test(async_closes__with_one_contribution__at_once),
        cmocka_unit_test(policy__of_each_mode__says_what_makes_an_update_and_its_clock),
    };
    return cmocka_run_group_tests_name("sync/policy", tests, NULL, NULL);
}
