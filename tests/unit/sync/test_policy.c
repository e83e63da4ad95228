/* SPDX-License-Identifier: Apache-2.0
 *
 * The policies: which pushes count, when a round closes, and who waits for whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/sync/policy.h"

enum { RANKS = 4, VERSION = 9 };

/* Ranks 0 to 2 are members for good, rank 3 never joined; the job has started. Each rank has pushed
 * VERSION times. */
struct fixture {
    struct consistency consistency;
    struct members members;
    struct round round;
    struct slice_rank by_rank[RANKS];
};

static struct fixture setup(enum stepd_mode mode)
{
    struct fixture f = {.consistency = {.mode = mode, .staleness_max = CONSISTENCY_NONE},
                        .members = {.started = true}};
    for (uint32_t rank = 0; rank < 3; rank++)
        assert_int_equal(
            members_set(&f.members, rank, &(struct interval){.from = 0, .last_clock = UINT64_MAX}),
            STEPD_OK);
    assert_int_equal(round_admit(&f.round, RANKS - 1), STEPD_OK);
    for (uint32_t rank = 0; rank < RANKS; rank++)
        f.by_rank[rank].record.clock = VERSION;
    return f;
}

static void teardown(struct fixture *f)
{
    members_deinit(&f->members);
    round_deinit(&f->round);
}

static void contribute(struct fixture *f, uint32_t rank, uint64_t examples)
{
    round_begin(&f->round, rank, VERSION + 1, VERSION);
    round_count(&f->round, rank, examples, NULL);
}

static struct scene scene_of(const struct fixture *f)
{
    return (struct scene){.consistency = &f->consistency,
                          .members = &f->members,
                          .round = &f->round,
                          .version = VERSION,
                          .ranks = RANKS,
                          .by_rank = f->by_rank};
}

static enum verdict judge(const struct fixture *f, uint32_t rank, uint64_t base_version)
{
    const struct scene scene = scene_of(f);
    const struct claim claim = {.rank = rank, .clock = VERSION + 1, .base_version = base_version};
    return sync_policy_of(f->consistency.mode)->judge(&scene, &claim);
}

static bool closes(const struct fixture *f)
{
    const struct scene scene = scene_of(f);
    return sync_policy_of(f->consistency.mode)->closes(&scene);
}

static bool waits_for(const struct fixture *f, uint64_t clock, uint32_t rank)
{
    const struct scene scene = scene_of(f);
    return sync_policy_of(f->consistency.mode)->waits_for(&scene, clock, rank);
}

static bool holds_back(const struct fixture *f, uint64_t clock)
{
    const struct scene scene = scene_of(f);
    return sync_policy_of(f->consistency.mode)->holds_back(&scene, clock);
}

/* ---- sync ------------------------------------------------------------------------------------ */

static void sync_judge__by_base_version__counts_the_current_one_only(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    assert_int_equal(judge(&f, 0, VERSION), VERDICT_COUNT);
    assert_int_equal(judge(&f, 0, VERSION - 1), VERDICT_LATE);
    assert_int_equal(judge(&f, 0, VERSION + 1), VERDICT_IMPOSSIBLE);
    teardown(&f);
}

static void sync_judge__of_who_is_no_member__fences_it(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    assert_int_equal(judge(&f, 3, VERSION), VERDICT_FENCED);
    assert_int_equal(
        members_set(&f.members, 2, &(struct interval){.from = 0, .last_clock = VERSION}), STEPD_OK);
    assert_int_equal(judge(&f, 2, VERSION), VERDICT_FENCED);
    assert_int_equal(
        members_set(&f.members, 2, &(struct interval){.from = 0, .last_clock = VERSION + 1}),
        STEPD_OK);
    assert_int_equal(judge(&f, 2, VERSION), VERDICT_COUNT);
    teardown(&f);
}

static void sync_judge__of_a_late_one_to_be_applied__counts_it_up_to_its_age(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    f.consistency.late = CONSISTENCY_LATE_APPLY;
    assert_int_equal(judge(&f, 0, 0), VERDICT_COUNT);
    assert_int_equal(judge(&f, 3, 0), VERDICT_FENCED);
    f.consistency.staleness_max = 2;
    assert_int_equal(judge(&f, 0, VERSION - 2), VERDICT_COUNT);
    assert_int_equal(judge(&f, 0, VERSION - 3), VERDICT_STALE);
    teardown(&f);
}

static void sync_closes__when_each_member_has_contributed__and_not_before(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    assert_false(closes(&f));
    contribute(&f, 2, 1);
    contribute(&f, 0, 1);
    assert_false(closes(&f));
    assert_true(waits_for(&f, 0, 1));
    round_begin(&f.round, 1, 10, VERSION); /* half received is not contributed */
    assert_false(closes(&f));
    round_count(&f.round, 1, 0, NULL); /* empty is */
    assert_true(closes(&f));
    assert_false(waits_for(&f, 0, 1));
    teardown(&f);
}

static void sync_closes__without_who_owes_nothing__does_not_wait_for_it(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    contribute(&f, 0, 1);
    contribute(&f, 1, 1);
    assert_false(closes(&f));
    assert_int_equal(members_set(&f.members, 2,
                                 &(struct interval){.from = VERSION + 1, .last_clock = UINT64_MAX}),
                     STEPD_OK);
    assert_true(closes(&f));
    assert_int_equal(
        members_set(&f.members, 2, &(struct interval){.from = 0, .last_clock = VERSION}), STEPD_OK);
    assert_true(closes(&f));
    assert_int_equal(
        members_set(&f.members, 2, &(struct interval){.from = 0, .last_clock = VERSION + 1}),
        STEPD_OK);
    assert_false(closes(&f));
    teardown(&f);
}

static void sync_closes__on_identity__not_on_counts(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    contribute(&f, 0, 1);
    contribute(&f, 1, 1);
    contribute(&f, 3, 1); /* as many as members, but not they */
    assert_false(closes(&f));
    teardown(&f);
}

static void sync_closes__before_the_job_has_started__never(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    for (uint32_t rank = 0; rank < 3; rank++)
        contribute(&f, rank, 1);
    f.members.started = false;
    assert_false(closes(&f));
    teardown(&f);
}

static void sync_closes__without_any_member__never(void **state)
{
    (void)state;
    struct fixture f = {.members = {.started = true}};
    assert_false(closes(&f));
    teardown(&f);
}

static void sync_closes__with_backup_workers__does_without_so_many(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    f.consistency.backup = 1;
    contribute(&f, 1, 1);
    assert_false(closes(&f));
    contribute(&f, 2, 1);
    assert_true(closes(&f));
    f.consistency.backup = 2;
    teardown(&f);
    f = setup(STEPD_SYNC);
    f.consistency.backup = 3;
    assert_false(closes(&f)); /* a round of nothing */
    teardown(&f);
}

static void sync_closes__on_examples__needs_not_all_members(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    f.consistency.close_examples = 64;
    contribute(&f, 1, 63);
    assert_false(closes(&f));
    contribute(&f, 0, 1);
    assert_true(closes(&f));
    teardown(&f);
}

static void sync_closes__on_examples_that_never_come__when_all_have_contributed(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    f.consistency.close_examples = 64;
    contribute(&f, 0, 1);
    contribute(&f, 1, 1);
    assert_false(closes(&f));
    contribute(&f, 2, 0);
    assert_true(closes(&f));
    teardown(&f);
}

static void sync_goes_on__of_a_member_with_pushes_to_come__until_it_leaves(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    f.consistency.accumulate = 2;
    contribute(&f, 1, 8);
    const struct scene scene = scene_of(&f);
    const struct sync_policy *policy = sync_policy_of(STEPD_SYNC);
    assert_true(policy->goes_on(&scene, 1));
    const struct interval leaving = {.last_clock = VERSION + 1};
    assert_int_equal(members_set(&f.members, 1, &leaving), STEPD_OK);
    assert_false(policy->goes_on(&scene, 1));
    teardown(&f);
}

static bool turns(const struct fixture *f)
{
    const struct scene scene = scene_of(f);
    return sync_policy_of(STEPD_SYNC)->turns(&scene);
}

static void sync_turns__of_whole_turns__until_the_examples_are_there(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    f.consistency.accumulate_examples = 40;
    contribute(&f, 0, 10);
    contribute(&f, 1, 10);
    assert_false(turns(&f)); /* rank 2 is to come */
    contribute(&f, 2, 10);
    assert_true(turns(&f));
    assert_false(closes(&f));
    round_go_on_all(&f.round);
    for (uint32_t rank = 0; rank < 3; rank++) {
        assert_false(closes(&f));
        round_begin(&f.round, rank, VERSION + 2, VERSION);
        round_count(&f.round, rank, 10, NULL);
    }
    assert_false(turns(&f));
    assert_true(closes(&f));
    teardown(&f);
}

/* ---- async ----------------------------------------------------------------------------------- */

static void async_judge__of_any_base_version_that_exists__counts_it(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_ASYNC);
    assert_int_equal(judge(&f, 0, 0), VERDICT_COUNT);
    assert_int_equal(judge(&f, 0, VERSION), VERDICT_COUNT);
    assert_int_equal(judge(&f, 0, VERSION + 1), VERDICT_IMPOSSIBLE);
    teardown(&f);
}

static void async_judge__of_who_is_no_member__fences_it(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_ASYNC);
    assert_int_equal(judge(&f, 3, VERSION), VERDICT_FENCED);
    assert_int_equal(members_set(&f.members, 1, &(struct interval){.from = 0, .last_clock = 0}),
                     STEPD_OK);
    assert_int_equal(judge(&f, 1, VERSION), VERDICT_FENCED);
    teardown(&f);
}

static void async_judge__of_one_too_old__says_stale(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_ASYNC);
    f.consistency.staleness_max = 4;
    assert_int_equal(judge(&f, 0, VERSION - 4), VERDICT_COUNT);
    assert_int_equal(judge(&f, 0, VERSION - 5), VERDICT_STALE);
    f.consistency.staleness_max = 0;
    assert_int_equal(judge(&f, 0, VERSION), VERDICT_COUNT);
    assert_int_equal(judge(&f, 0, VERSION - 1), VERDICT_STALE);
    teardown(&f);
}

static void async_closes__with_one_contribution__at_once(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_ASYNC);
    f.members.started = false;
    assert_false(closes(&f));
    contribute(&f, 1, 1);
    assert_true(closes(&f));
    assert_false(waits_for(&f, VERSION + 100, 2));
    teardown(&f);
}

/* ---- bounded --------------------------------------------------------------------------------- */

static void bounded_holds_back__who_is_too_far_ahead__until_the_slowest_has_moved(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_BOUNDED);
    f.consistency.staleness = 2;
    f.by_rank[1].record.clock = 5;
    assert_false(holds_back(&f, 7));
    assert_true(holds_back(&f, 8));
    assert_true(waits_for(&f, 8, 1));
    assert_false(waits_for(&f, 8, 2));
    f.by_rank[1].record.clock = 6;
    assert_false(holds_back(&f, 8));
    teardown(&f);
}

static void bounded_holds_back__for_who_has_left_or_never_was__never(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_BOUNDED);
    f.by_rank[3].record.clock = 0; /* never joined */
    assert_false(holds_back(&f, VERSION));
    f.by_rank[1].record.clock = 5;
    assert_true(holds_back(&f, VERSION));
    assert_int_equal(members_set(&f.members, 1, &(struct interval){.from = 0, .last_clock = 5}),
                     STEPD_OK);
    assert_false(holds_back(&f, VERSION));
    teardown(&f);
}

static void bounded_closes__when_the_job_has_started__at_once(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_BOUNDED);
    contribute(&f, 1, 1);
    assert_true(closes(&f));
    f.members.started = false;
    assert_false(closes(&f));
    teardown(&f);
}

static void policy__of_each_mode__says_what_makes_an_update_and_its_clock(void **state)
{
    (void)state;
    assert_true(sync_policy_of(STEPD_SYNC)->together);
    assert_true(sync_policy_of(STEPD_SYNC)->schedule_by_version);
    assert_null(sync_policy_of(STEPD_SYNC)->holds_back);
    for (enum stepd_mode mode = STEPD_ASYNC; mode <= STEPD_BOUNDED; mode++) {
        assert_false(sync_policy_of(mode)->together);
        assert_false(sync_policy_of(mode)->schedule_by_version);
    }
}

static void leave_all(struct fixture *f)
{
    const struct interval left = {.last_clock = VERSION};
    for (uint32_t rank = 0; rank < 3; rank++)
        assert_int_equal(members_set(&f->members, rank, &left), STEPD_OK);
}

static void sync_closes__between_those_who_left_and_who_comes__empty(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    const struct interval later = {
        .from = VERSION + 1, .clock = VERSION + 1, .last_clock = UINT64_MAX};
    leave_all(&f);
    assert_false(closes(&f)); /* nobody comes */
    assert_int_equal(members_set(&f.members, 3, &later), STEPD_OK);
    assert_true(closes(&f));
    f.by_rank[1].record.clock = VERSION - 1; /* its last push is on the way */
    assert_false(closes(&f));
    teardown(&f);
}

static void sync_closes__with_a_joiner_of_this_version__waits_for_it(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    const struct interval now = {.from = VERSION, .clock = VERSION, .last_clock = UINT64_MAX};
    f.by_rank[3].record.clock = 0;
    leave_all(&f);
    assert_int_equal(members_set(&f.members, 3, &now), STEPD_OK);
    assert_false(closes(&f));
    contribute(&f, 3, 1);
    assert_true(closes(&f));
    teardown(&f);
}

static void sync_closes__with_who_was_given_up__counts_it_and_waits_no_more(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_SYNC);
    contribute(&f, 0, 1);
    contribute(&f, 1, 1);
    members_give_up(&f.members, 1);
    assert_false(closes(&f));
    members_give_up(&f.members, 2);
    assert_true(closes(&f));
    assert_int_equal(judge(&f, 2, VERSION), VERDICT_FENCED);
    teardown(&f);
}

static void bounded_holds_back__for_a_joiner__from_the_clock_that_it_goes_on_from(void **state)
{
    (void)state;
    struct fixture f = setup(STEPD_BOUNDED);
    f.consistency.staleness = 2;
    f.by_rank[3].record.clock = 0;
    const struct interval joiner = {.clock = VERSION - 2, .last_clock = UINT64_MAX};
    assert_int_equal(members_set(&f.members, 3, &joiner), STEPD_OK);
    assert_false(holds_back(&f, VERSION));
    assert_true(holds_back(&f, VERSION + 1));
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sync_goes_on__of_a_member_with_pushes_to_come__until_it_leaves),
        cmocka_unit_test(sync_turns__of_whole_turns__until_the_examples_are_there),
        cmocka_unit_test(sync_judge__by_base_version__counts_the_current_one_only),
        cmocka_unit_test(sync_judge__of_who_is_no_member__fences_it),
        cmocka_unit_test(sync_judge__of_a_late_one_to_be_applied__counts_it_up_to_its_age),
        cmocka_unit_test(sync_closes__when_each_member_has_contributed__and_not_before),
        cmocka_unit_test(sync_closes__without_who_owes_nothing__does_not_wait_for_it),
        cmocka_unit_test(sync_closes__on_identity__not_on_counts),
        cmocka_unit_test(sync_closes__before_the_job_has_started__never),
        cmocka_unit_test(sync_closes__without_any_member__never),
        cmocka_unit_test(sync_closes__with_backup_workers__does_without_so_many),
        cmocka_unit_test(sync_closes__on_examples__needs_not_all_members),
        cmocka_unit_test(sync_closes__on_examples_that_never_come__when_all_have_contributed),
        cmocka_unit_test(async_judge__of_any_base_version_that_exists__counts_it),
        cmocka_unit_test(async_judge__of_who_is_no_member__fences_it),
        cmocka_unit_test(async_judge__of_one_too_old__says_stale),
        cmocka_unit_test(async_closes__with_one_contribution__at_once),
        cmocka_unit_test(bounded_holds_back__who_is_too_far_ahead__until_the_slowest_has_moved),
        cmocka_unit_test(bounded_holds_back__for_who_has_left_or_never_was__never),
        cmocka_unit_test(bounded_closes__when_the_job_has_started__at_once),
        cmocka_unit_test(policy__of_each_mode__says_what_makes_an_update_and_its_clock),
        cmocka_unit_test(sync_closes__between_those_who_left_and_who_comes__empty),
        cmocka_unit_test(sync_closes__with_a_joiner_of_this_version__waits_for_it),
        cmocka_unit_test(sync_closes__with_who_was_given_up__counts_it_and_waits_no_more),
        cmocka_unit_test(bounded_holds_back__for_a_joiner__from_the_clock_that_it_goes_on_from),
    };
    return cmocka_run_group_tests_name("sync/policy", tests, NULL, NULL);
}
