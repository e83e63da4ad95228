/* SPDX-License-Identifier: Apache-2.0
 *
 * The schedule in a step: whose clock it follows, and what a plateau hears of the rounds' losses.
 * That a cycled momentum reaches the optimizer is in test_step_momentum.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/training.h"

static const float one_by_one[4] = {1, 1, 1, 1};
static const uint64_t four[] = {4};

/* ---- Its clock ------------------------------------------------------------------------------- */

/* sgd of lr 1 that is halved with every step of the schedule. */
static struct stepd_group halving(void)
{
    struct stepd_group group = settings_group("sgd", "lr=1");
    group.schedule = "exponential";
    group.schedule_settings = settings_of("gamma=0.5");
    return group;
}

static void schedule__in_sync__goes_on_with_rounds_that_make_no_update(void **state)
{
    (void)state;
    const struct stepd_group group = halving();
    struct training training;
    training_open_group(&training, &group, 0.0);
    training_step_all(&training, 1.0F);
    training_skip(&training);
    training_step_all(&training, 1.0F);
    assert_true(training_weight(&training) == -1.25F); /* 1, then 1/4 */
    training_close(&training);
}

/* A push of four gradients of 1 by a rank, or an empty one. */
static void push(struct shard *shard, size_t peer, uint64_t clock, uint64_t examples)
{
    const struct shard_push push = {.id = 10 + clock,
                                    .clock = clock,
                                    .base_version = clock - 1,
                                    .examples = examples,
                                    .slices = 1,
                                    .grad = one_by_one,
                                    .values = examples == 0 ? 0 : 4};
    shard_push(shard, peer, &push);
}

static float weight(struct shard *shard)
{
    shard_pull(shard, 0, 999, 0, 1);
    assert_int_equal(shard_last(shard, 0)->values, 4);
    return shard_last(shard, 0)->value[0];
}

/* A job of these groups and the vector "w" of four zeros, all of its workers connected. */
static void setup(struct shard *shard, enum stepd_mode mode, uint32_t workers,
                  const struct stepd_group *group)
{
    const struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 0.0);
    const struct shard_job job = {.mode = mode,
                                  .workers = workers,
                                  .groups = 1,
                                  .group = group,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < workers; rank++)
        shard_connect(shard, rank, rank);
}

static void schedule__in_async__goes_on_with_updates_alone(void **state)
{
    (void)state;
    const struct stepd_group group = halving();
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 1, &group);
    push(&shard, 0, 1, 1);
    push(&shard, 0, 2, 0);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_SKIPPED);
    push(&shard, 0, 3, 1);
    assert_true(weight(&shard) == -1.5F); /* 1, then 1/2 */
    shard_teardown(&shard);
}

static void step__after_a_skip__is_the_optimizers_next_and_no_later(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("adam", "lr=0.25 betas=0.5,0.75");
    struct training skipping;
    struct training plain;
    training_open_group(&skipping, &group, 1.0);
    training_open_group(&plain, &group, 1.0);
    for (int i = 0; i < 5; i++) {
        training_step_all(&skipping, (float)(i + 1));
        training_step_all(&plain, (float)(i + 1));
        training_skip(&skipping); /* would show in the bias corrections */
    }
    assert_memory_equal(&skipping.weights, &plain.weights, sizeof plain.weights);
    training_close(&skipping);
    training_close(&plain);
}

/* ---- Plateau --------------------------------------------------------------------------------- */

/* sgd of lr 1, halved when a loss is not below the best of before. */
static struct stepd_group on_plateau(void)
{
    struct stepd_group group = settings_group("sgd", "lr=1");
    group.schedule = "plateau";
    group.schedule_settings = settings_of("factor=0.5 patience=0 threshold=0");
    return group;
}

/* What a step with this loss and gradients of 1 takes off the weights. */
static float length_of_step(struct training *training, double loss)
{
    const struct training_arrays grad = {{{1, 1, 1, 1, 1, 1, 1, 1}}};
    const struct local_push push = {.examples = 1, .has_loss = true, .loss = loss};
    const float before = training_weight(training);
    struct stepd_error error = {.code = STEPD_OK};
    if (training_push(training, push, &grad, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return before - training_weight(training);
}

static void plateau__that_hears_of_no_improvement__shortens_the_next_step(void **state)
{
    (void)state;
    const struct stepd_group group = on_plateau();
    struct training training;
    training_open_group(&training, &group, 0.0);
    assert_true(length_of_step(&training, 3.0) == 1.0F);
    assert_true(length_of_step(&training, 2.0) == 1.0F);
    assert_true(length_of_step(&training, 2.0) == 1.0F); /* heard when it is made */
    assert_true(length_of_step(&training, 1.0) == 0.5F);
    assert_true(length_of_step(&training, 1.5) == 0.5F);
    assert_true(length_of_step(&training, 0.5) == 0.25F);
    training_close(&training);
}

static void plateau__of_an_empty_round__hears_nothing(void **state)
{
    (void)state;
    const struct stepd_group group = on_plateau();
    struct training training;
    training_open_group(&training, &group, 0.0);
    assert_true(length_of_step(&training, 3.0) == 1.0F);
    training_skip(&training); /* needs no loss */
    assert_true(length_of_step(&training, 2.0) == 1.0F);
    assert_true(length_of_step(&training, 1.0) == 1.0F);
    training_close(&training);
}

/* Three workers, whose rounds are full when rank 1 has come last. */
static void push_losses(struct shard *shard, uint64_t clock, const uint64_t examples[3],
                        const double loss[3])
{
    static const size_t order[] = {2, 0, 1};
    for (size_t i = 0; i < 3; i++) {
        const struct shard_push push = {.id = 10 * clock,
                                        .clock = clock,
                                        .base_version = clock - 1,
                                        .examples = examples[order[i]],
                                        .slices = 1,
                                        .grad = one_by_one,
                                        .values = 4,
                                        .has_loss = true,
                                        .loss = loss[order[i]]};
        shard_push(shard, order[i], &push);
    }
}

static void plateau__of_three_workers__hears_the_mean_over_their_examples(void **state)
{
    (void)state;
    static const uint64_t examples[] = {6, 1, 1};
    static const double first[] = {1.0, 9.0, 9.0};  /* 3 over the examples; 6.3 over the workers */
    static const double second[] = {4.0, 1.0, 1.0}; /* 3.25; and 2 */
    const struct stepd_group group = on_plateau();
    struct shard shard;
    setup(&shard, STEPD_SYNC, 3, &group);
    push_losses(&shard, 1, examples, first);
    push_losses(&shard, 2, examples, second);
    assert_true(weight(&shard) == -2.0F);
    push_losses(&shard, 3, examples, first);
    assert_true(weight(&shard) == -2.5F);
    shard_teardown(&shard);
}

/* In rank order the large losses cancel and leave 1/4; whoever adds the small one to a large one
 * first loses it. A second loss of 1/8 is better than 1/4, and not than 0. */
static void plateau__of_losses_of_all_sizes__hears_them_added_in_rank_order(void **state)
{
    (void)state;
    static const uint64_t examples[] = {1, 2, 1};
    static const double first[] = {1e16, -0.5e16, 1.0};
    static const double second[] = {0.125, 0.125, 0.125};
    const struct stepd_group group = on_plateau();
    struct shard shard;
    setup(&shard, STEPD_SYNC, 3, &group);
    push_losses(&shard, 1, examples, first);
    push_losses(&shard, 2, examples, second);
    push_losses(&shard, 3, examples, second);
    assert_true(weight(&shard) == -3.0F);
    shard_teardown(&shard);
}

static void plateau__in_async__hears_each_push_by_itself(void **state)
{
    (void)state;
    const struct stepd_group group = on_plateau();
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 2, &group);
    static const double loss[] = {2.0, 3.0};
    for (uint32_t rank = 0; rank < 2; rank++) {
        for (uint64_t clock = 1; clock <= 2; clock++) {
            const struct shard_push push = {.id = clock,
                                            .clock = clock,
                                            .examples = 1,
                                            .slices = 1,
                                            .grad = one_by_one,
                                            .values = 4,
                                            .has_loss = true,
                                            .loss = loss[rank]};
            shard_push(&shard, rank, &push);
        }
    }
    /* 2 is the best, 2 no better, 3 twice worse: 1 + 1 + 1/2 + 1/4 */
    assert_true(weight(&shard) == -2.75F);
    shard_teardown(&shard);
}

/* A Hessian of zeros has no factors, so that newton makes no update of it; the round has closed. */
static void plateau__of_a_round_that_makes_no_update__hears_its_loss(void **state)
{
    (void)state;
    struct stepd_group group = settings_group("newton", "lr=1");
    group.schedule = "plateau";
    group.schedule_settings = settings_of("factor=0.5 patience=0 threshold=0");
    const uint64_t shape[] = {1};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 0.0);
    const struct shard_job job = {
        .workers = 1, .groups = 1, .group = &group, .tensors = 1, .tensor = &tensor};
    struct shard shard;
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    static const float pushes[][2] = {{1, 1}, {1, 0}, {1, 1}}; /* gradient, Hessian */

    static const enum stepd_outcome outcomes[] = {STEPD_APPLIED, STEPD_SKIPPED, STEPD_APPLIED};

    for (uint64_t i = 0; i < 3; i++) {
        const struct shard_push push = {.id = i + 1,
                                        .clock = i + 1,
                                        .base_version = i,
                                        .examples = 1,
                                        .slices = 1,
                                        .grad = pushes[i],
                                        .values = 2,
                                        .has_loss = true,
                                        .loss = 2.0};
        shard_push(&shard, 0, &push);
        assert_int_equal(shard_last(&shard, 0)->outcome[0], outcomes[i]);
        assert_int_equal(shard_last(&shard, 0)->version[0], i + 1);
    }
    shard_pull(&shard, 0, 9, 0, 1);
    assert_true(shard_last(&shard, 0)->value[0] == -1.5F); /* 1, and after one drop 1/2 */
    shard_teardown(&shard);
}

/* ---- Losses that are missing ----------------------------------------------------------------- */

static void refuse_without_loss(const struct stepd_group *group, const char *text)
{
    const struct training_arrays grad = {{{1}}};
    const struct local_push push = {.examples = 1};
    struct training training;
    struct stepd_error error = {.code = STEPD_OK};
    training_open_group(&training, group, 1.0);
    assert_int_equal(training_push(&training, push, &grad, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_true(training_weight(&training) == 1.0F);
    const struct local_push with_loss = {.examples = 1, .has_loss = true, .loss = 1.0};
    assert_int_equal(training_push(&training, with_loss, &grad, NULL), STEPD_OK);
    training_close(&training);
}

static void push__without_a_loss_for_a_plateau__is_refused(void **state)
{
    (void)state;
    const struct stepd_group group = on_plateau();
    refuse_without_loss(&group, "group 'g' takes its step by the loss (plateau), and this push "
                                "brings none; send the mean over its examples as Push.loss");
}

static void push__without_a_loss_for_a_line_search__is_refused_from_the_beginning(void **state)
{
    (void)state;
    struct stepd_group group = settings_group("lbfgs", "line_search=backtracking");
    const char *const text = "group 'g' takes its step by the loss (lbfgs), and this push brings "
                             "none; send the mean over its examples as Push.loss";
    refuse_without_loss(&group, text);
    const struct stepd_phase phase = settings_phase(9, "lbfgs", "line_search=backtracking");
    group = settings_group("sgd", "");
    group.phases = 1;
    group.phase = &phase;
    refuse_without_loss(&group, text);
}

static void push__without_a_loss_that_nobody_wants__is_fine(void **state)
{
    (void)state;
    struct stepd_group group = settings_group("lbfgs", "");
    struct training training;
    training_open_group(&training, &group, 1.0);
    training_step_all(&training, 1.0F);
    training_close(&training);
    group = on_plateau();
    group.frozen = true;
    training_open_group(&training, &group, 1.0);
    training_step_all(&training, 1.0F);
    training_close(&training);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule__in_sync__goes_on_with_rounds_that_make_no_update),
        cmocka_unit_test(schedule__in_async__goes_on_with_updates_alone),
        cmocka_unit_test(step__after_a_skip__is_the_optimizers_next_and_no_later),
        cmocka_unit_test(plateau__that_hears_of_no_improvement__shortens_the_next_step),
        cmocka_unit_test(plateau__of_an_empty_round__hears_nothing),
        cmocka_unit_test(plateau__of_three_workers__hears_the_mean_over_their_examples),
        cmocka_unit_test(plateau__of_losses_of_all_sizes__hears_them_added_in_rank_order),
        cmocka_unit_test(plateau__in_async__hears_each_push_by_itself),
        cmocka_unit_test(plateau__of_a_round_that_makes_no_update__hears_its_loss),
        cmocka_unit_test(push__without_a_loss_for_a_plateau__is_refused),
        cmocka_unit_test(push__without_a_loss_for_a_line_search__is_refused_from_the_beginning),
        cmocka_unit_test(push__without_a_loss_that_nobody_wants__is_fine),
    };
    return cmocka_run_group_tests_name("core/step schedule", tests, NULL, NULL);
}
