/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings beside the mode, through a shard's core: what they make of pushes, of weights, and
 * of who waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/shard.h"

static const uint64_t four[] = {4};
static const float ones[4] = {1, 1, 1, 1};
static const float threes[4] = {3, 3, 3, 3};

/* One tensor of four weights that start at 10, and plain sgd with lr 1. */
static void setup(struct shard *shard, enum stepd_mode mode, uint32_t workers,
                  const struct stepd_setting *setting, size_t count)
{
    struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 10.0);
    const struct shard_job job = {.mode = mode,
                                  .settings = {.count = count, .at = setting},
                                  .workers = workers,
                                  .lr = 1.0,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < workers; rank++)
        shard_connect(shard, rank, rank);
}

static struct stepd_setting number(const char *name, const double *value)
{
    return (struct stepd_setting){.name = name, .values = 1, .value = value, .word = ""};
}

static struct stepd_setting word(const char *name, const char *text)
{
    return (struct stepd_setting){.name = name, .word = text};
}

static void push(struct shard *shard, uint32_t rank, uint64_t clock, uint64_t base,
                 const float *grad)
{
    const struct shard_push push = {.id = clock,
                                    .clock = clock,
                                    .base_version = base,
                                    .examples = 1,
                                    .slices = 1,
                                    .grad = grad,
                                    .values = 4,
                                    .step = true};
    shard_push(shard, rank, &push);
}

/* What peer 15, an observer, sees. */
static float weight(struct shard *shard)
{
    shard_pull(shard, 15, 999, 0, 1);
    return shard_last(shard, 15)->value[0];
}

static void observe(struct shard *shard)
{
    shard_session(shard, 15, 1, /* observer= */ true);
    shard_connect(shard, 15, 15);
}

static const double one = 1.0;
static const double two = 2.0;

/* ---- sync ------------------------------------------------------------------------------------ */

static void backup__of_three_workers__closes_with_two_and_drops_the_third(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting backup = number("backup", &one);
    setup(&shard, STEPD_SYNC, 3, &backup, 1);
    observe(&shard);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 2, 1, 0, threes);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(weight(&shard) == 8.0F);
    push(&shard, 1, 1, 0, threes);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_LATE_DROPPED);
    assert_true(shard_last(&shard, 1)->value[0] == 8.0F); /* with the weights to go on from */
    assert_true(weight(&shard) == 8.0F);
    push(&shard, 1, 1, 0, threes); /* sent again: the same answer, and still nothing counted */
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_LATE_DROPPED);
    shard_teardown(&shard);
}

static void backup__after_rounds_without_it__goes_on_from_the_version(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting backup = number("backup", &one);
    setup(&shard, STEPD_SYNC, 2, &backup, 1);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 1, 1, 0, ones); /* late */
    for (uint64_t clock = 2; clock <= 4; clock++)
        push(&shard, 0, clock, clock - 1, ones);
    push(&shard, 1, 5, 4, threes); /* clocks 2 to 4 were never used */
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    push(&shard, 1, 7, 5, threes);
    assert_non_null(strstr(shard_last(&shard, 1)->text, "clock 7 leaves a gap"));
    shard_teardown(&shard);
}

static void late_apply__of_the_third__counts_in_the_open_round(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting settings[] = {number("backup", &one), word("late", "apply")};
    setup(&shard, STEPD_SYNC, 3, settings, 2);
    observe(&shard);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 2, 1, 0, threes);
    const size_t before = shard.peer[1].replies;
    push(&shard, 1, 1, 0, threes); /* late: it waits for the next round */
    assert_int_equal(shard.peer[1].replies, before);
    push(&shard, 0, 2, 1, ones);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    assert_int_equal(shard_last(&shard, 1)->version[0], 2);
    assert_true(weight(&shard) == 6.0F); /* 8 - (1 + 3) / 2 */
    shard_teardown(&shard);
}

static void late_apply__beyond_its_age__is_stale(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting settings[] = {number("backup", &two), word("late", "apply"),
                                             number("staleness_max", &one)};
    setup(&shard, STEPD_SYNC, 3, settings, 3);
    observe(&shard);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 0, 2, 1, ones);
    push(&shard, 1, 1, 0, threes);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_STALE);
    assert_true(weight(&shard) == 8.0F);
    push(&shard, 1, 2, 2, ones);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

static void close_examples__reached__closes_without_the_others(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting close = number("close_examples", &two);
    setup(&shard, STEPD_SYNC, 3, &close, 1);
    observe(&shard);
    push(&shard, 1, 1, 0, ones);
    assert_true(weight(&shard) == 10.0F);
    push(&shard, 0, 1, 0, threes);
    assert_true(weight(&shard) == 8.0F);
    shard_teardown(&shard);
}

static void push_examples(struct shard *shard, uint32_t rank, uint64_t clock, uint64_t base,
                          uint64_t examples)
{
    const struct shard_push push = {.id = clock,
                                    .clock = clock,
                                    .base_version = base,
                                    .examples = examples,
                                    .slices = 1,
                                    .grad = ones,
                                    .values = 4};
    shard_push(shard, rank, &push);
}

/* Rank 0 has closed the first round alone, and has too few examples for the next; rank 1 was late.
 */
static void setup_dropped(struct shard *shard)
{
    static struct stepd_setting close;
    close = number("close_examples", &two);
    setup(shard, STEPD_SYNC, 2, &close, 1);
    observe(shard);
    push_examples(shard, 0, 1, 0, 2);
}

static void close_examples__not_reached__does_not_wait_for_who_was_dropped(void **state)
{
    (void)state;
    struct shard shard;
    setup_dropped(&shard);
    push_examples(&shard, 1, 1, 0, 1); /* dropped */
    push_examples(&shard, 0, 2, 1, 1);
    assert_true(weight(&shard) == 8.0F);
    shard_teardown(&shard);
}

static void close_examples__not_reached__closes_when_the_last_is_dropped(void **state)
{
    (void)state;
    struct shard shard;
    setup_dropped(&shard);
    push_examples(&shard, 0, 2, 1, 1);
    push_examples(&shard, 1, 1, 0, 1); /* dropped */
    assert_true(weight(&shard) == 8.0F);
    shard_teardown(&shard);
}

static void close_examples__not_reached__waits_again_in_the_round_after(void **state)
{
    (void)state;
    struct shard shard;
    setup_dropped(&shard);
    push_examples(&shard, 1, 1, 0, 1); /* dropped */
    push_examples(&shard, 0, 2, 1, 1);
    push_examples(&shard, 0, 3, 2, 1);
    assert_true(weight(&shard) == 8.0F);
    shard_teardown(&shard);
}

static void leave__behind_the_version__ends_at_its_own_clock(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting backup = number("backup", &one);
    setup(&shard, STEPD_SYNC, 2, &backup, 1);
    observe(&shard);
    for (uint64_t clock = 1; clock <= 5; clock++)
        push(&shard, 0, clock, clock - 1, ones);
    push(&shard, 1, 1, 0, threes); /* late; its second push is its last */
    shard_member(&shard, 1, 0, 2);
    push(&shard, 1, 2, 5, threes);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

static void arrival__in_any_order__takes_the_weighted_mean(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting arrival = word("reduction", "arrival");
    setup(&shard, STEPD_SYNC, 2, &arrival, 1);
    observe(&shard);
    for (uint64_t clock = 1; clock <= 2; clock++) {
        struct shard_push of_one = {.id = 1,
                                    .clock = clock,
                                    .base_version = clock - 1,
                                    .examples = 3,
                                    .slices = 1,
                                    .grad = ones,
                                    .values = 4};
        shard_push(&shard, 1, &of_one);
        of_one.examples = 1;
        of_one.grad = threes;
        shard_push(&shard, 0, &of_one);
    }
    assert_true(weight(&shard) == 7.0F); /* 10 - 2 (3 * 1 + 1 * 3) / 4 */
    shard_teardown(&shard);
}

static void arrival__of_half_a_push__leaves_nothing_behind(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting arrival = word("reduction", "arrival");
    setup(&shard, STEPD_SYNC, 2, &arrival, 1);
    observe(&shard);
    const uint32_t slice = 0;
    const uint64_t base = 0;
    const struct stepd_message half = {.request_id = 1,
                                       .kind = STEPD_MESSAGE_PUSH,
                                       .body.push = {.incarnation = 1,
                                                     .clock = 1,
                                                     .slices = {.count = 1, .at = &slice},
                                                     .base_versions = {.count = 1, .at = &base},
                                                     .examples = 1,
                                                     .loss_scale = 1.0}};
    assert_int_equal(shard_send(&shard, 1, &half, threes, 8, sizeof threes, NULL), STEPD_OK);
    shard_close(&shard, 1);
    shard_connect(&shard, 1, 1);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 1, 1, 0, ones);
    assert_true(weight(&shard) == 9.0F);
    shard_teardown(&shard);
}

/* ---- bounded --------------------------------------------------------------------------------- */

static void bounded__too_far_ahead__waits_for_the_slowest(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting staleness = number("staleness", &one);
    setup(&shard, STEPD_BOUNDED, 2, &staleness, 1);
    observe(&shard);
    push(&shard, 0, 1, 0, ones);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    const size_t before = shard.peer[0].replies;
    push(&shard, 0, 2, 1, ones);
    assert_int_equal(shard.peer[0].replies, before); /* two ahead of rank 1 */
    assert_true(weight(&shard) == 8.0F);             /* applied all the same, and seen */
    shard_query(&shard);
    assert_int_equal(shard.waited_for, 2); /* rank 1 */
    push(&shard, 1, 1, 0, threes);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(shard_last(&shard, 0)->value[0] == 5.0F);
    shard_teardown(&shard);
}

static void bounded__when_the_slowest_leaves__waits_no_more(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting staleness = number("staleness", &one);
    setup(&shard, STEPD_BOUNDED, 2, &staleness, 1);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 0, 2, 1, ones);
    const size_t before = shard.peer[0].replies;
    shard_member(&shard, 1, 0, 0);
    assert_int_equal(shard.peer[0].replies, before + 1);
    shard_teardown(&shard);
}

static void bounded__at_its_deadline__names_who_is_behind(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting staleness = number("staleness", &one);
    setup(&shard, STEPD_BOUNDED, 2, &staleness, 1);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 0, 2, 1, ones);
    shard.now_ms += 10000;
    core_on_tick(shard.core, shard.now_ms);
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->kind, STEPD_MESSAGE_ERROR);
    assert_int_equal(reply->waited_for, 1);
    assert_int_equal(reply->waited[0], 1);
    assert_non_null(strstr(reply->text, "waiting for rank 1"));
    shard_teardown(&shard);
}

static void bounded__when_a_stale_push_is_refused__moves_on_all_the_same(void **state)
{
    (void)state;
    struct shard shard;
    static const double none = 0.0;
    const struct stepd_setting settings[] = {number("staleness", &one),
                                             number("staleness_max", &none)};
    setup(&shard, STEPD_BOUNDED, 2, settings, 2);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 0, 2, 1, ones);
    const size_t before = shard.peer[0].replies;
    push(&shard, 1, 1, 0, threes);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_STALE);
    assert_int_equal(shard.peer[0].replies, before + 1);
    shard_teardown(&shard);
}

/* ---- async ----------------------------------------------------------------------------------- */

static void lr_by_staleness__of_an_old_gradient__takes_a_part_of_the_step(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting setting = number("lr_by_staleness", &one);
    setup(&shard, STEPD_ASYNC, 2, &setting, 1);
    observe(&shard);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 0, 2, 1, ones);
    assert_true(weight(&shard) == 8.0F);
    push(&shard, 1, 1, 0, threes); /* two versions old */
    assert_true(weight(&shard) == 7.0F);
    shard_teardown(&shard);
}

static void staleness_max__exceeded__refuses_and_goes_on(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting setting = number("staleness_max", &one);
    setup(&shard, STEPD_ASYNC, 2, &setting, 1);
    observe(&shard);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 0, 2, 1, ones);
    push(&shard, 1, 1, 0, threes);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_STALE);
    assert_true(weight(&shard) == 8.0F);
    push(&shard, 1, 1, 0, threes); /* sent again */
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_STALE);
    push(&shard, 1, 2, 2, threes);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    assert_true(weight(&shard) == 5.0F);
    shard_teardown(&shard);
}

/* Three were fresh when they came, and wait for the job to begin; then each ages the others. */
static void staleness_max__exceeded_while_it_waited__refuses(void **state)
{
    (void)state;
    struct shard shard;
    struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 10.0);
    const struct stepd_setting settings[] = {number("staleness", &two),
                                             number("staleness_max", &one)};
    const struct shard_job job = {.mode = STEPD_BOUNDED,
                                  .settings = {.count = 2, .at = settings},
                                  .workers = 3,
                                  .lr = 1.0,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_open_job(&shard, &job);
    observe(&shard);
    for (uint32_t rank = 0; rank < 3; rank++) {
        shard_session(&shard, rank, 1, false);
        shard_member(&shard, rank, 0, UINT64_MAX);
        shard_connect(&shard, rank, rank);
        push(&shard, rank, 1, 0, ones);
    }
    shard_start(&shard);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    assert_int_equal(shard_last(&shard, 2)->outcome[0], STEPD_STALE);
    assert_true(weight(&shard) == 8.0F);
    shard_teardown(&shard);
}

static const double lambda = 0.5;

static void delay_compensation__of_an_old_gradient__corrects_it(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting setting = number("delay_compensation", &lambda);
    setup(&shard, STEPD_ASYNC, 2, &setting, 1);
    observe(&shard);
    shard_pull(&shard, 0, 5, 0, 1);
    shard_pull(&shard, 1, 5, 0, 1); /* rank 1 computes at 10 */
    push(&shard, 0, 1, 0, ones);    /* 9 */
    push(&shard, 0, 2, 1, ones);    /* 8 */
    push(&shard, 1, 1, 0, threes);  /* 3 + 0.5 * 9 * (8 - 10) = -6 */
    assert_true(weight(&shard) == 14.0F);
    shard_teardown(&shard);
}

static void delay_compensation__of_a_fresh_gradient__leaves_it_alone(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting setting = number("delay_compensation", &lambda);
    setup(&shard, STEPD_ASYNC, 1, &setting, 1);
    shard_pull(&shard, 0, 5, 0, 1);
    push(&shard, 0, 1, 0, threes);
    assert_true(shard_last(&shard, 0)->value[0] == 7.0F);
    shard_teardown(&shard);
}

static void delay_compensation__of_weights_never_pulled__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting setting = number("delay_compensation", &lambda);
    setup(&shard, STEPD_ASYNC, 2, &setting, 1);
    shard_pull(&shard, 0, 5, 0, 1);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 1, 1, 0, threes);
    const struct shard_reply *reply = shard_last(&shard, 1);
    assert_int_equal(reply->code, STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(reply->text, "base version 0 is not what rank 1 pulled last"));
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backup__of_three_workers__closes_with_two_and_drops_the_third),
        cmocka_unit_test(backup__after_rounds_without_it__goes_on_from_the_version),
        cmocka_unit_test(late_apply__of_the_third__counts_in_the_open_round),
        cmocka_unit_test(late_apply__beyond_its_age__is_stale),
        cmocka_unit_test(close_examples__reached__closes_without_the_others),
        cmocka_unit_test(close_examples__not_reached__does_not_wait_for_who_was_dropped),
        cmocka_unit_test(close_examples__not_reached__closes_when_the_last_is_dropped),
        cmocka_unit_test(close_examples__not_reached__waits_again_in_the_round_after),
        cmocka_unit_test(leave__behind_the_version__ends_at_its_own_clock),
        cmocka_unit_test(arrival__in_any_order__takes_the_weighted_mean),
        cmocka_unit_test(arrival__of_half_a_push__leaves_nothing_behind),
        cmocka_unit_test(bounded__too_far_ahead__waits_for_the_slowest),
        cmocka_unit_test(bounded__when_the_slowest_leaves__waits_no_more),
        cmocka_unit_test(bounded__at_its_deadline__names_who_is_behind),
        cmocka_unit_test(bounded__when_a_stale_push_is_refused__moves_on_all_the_same),
        cmocka_unit_test(lr_by_staleness__of_an_old_gradient__takes_a_part_of_the_step),
        cmocka_unit_test(staleness_max__exceeded__refuses_and_goes_on),
        cmocka_unit_test(staleness_max__exceeded_while_it_waited__refuses),
        cmocka_unit_test(delay_compensation__of_an_old_gradient__corrects_it),
        cmocka_unit_test(delay_compensation__of_a_fresh_gradient__leaves_it_alone),
        cmocka_unit_test(delay_compensation__of_weights_never_pulled__is_refused),
    };
    return cmocka_run_group_tests_name("core/consistency", tests, NULL, NULL);
}
