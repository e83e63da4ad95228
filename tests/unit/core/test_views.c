/* SPDX-License-Identifier: Apache-2.0
 *
 * Who asks for views: what is refused where nobody keeps one, and what readers hold while steps go
 * on.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/training.h"

/* ---- Views that are not kept ----------------------------------------------------------------- */

static void refuse_view(const char *settings, enum stepd_view view, const char *text)
{
    const struct stepd_group group = settings_group("sgd", settings);
    struct training training;
    training_open_group(&training, &group, 0.0);
    float *const to[] = {training.weights.at[0]};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(local_pull(training.local, view, to, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    training_close(&training);
}

static void pull__of_a_view_that_is_not_kept__says_what_to_set(void **state)
{
    (void)state;
    refuse_view("swa_start=1", STEPD_EMA,
                "tensor 'w': group 'g' keeps no exponential moving average of its weights; set "
                "ema_decay in the group");
    refuse_view(
        "ema_decay=0.5", STEPD_SWA,
        "tensor 'w': group 'g' keeps no running mean of its weights; set swa_start in the group");
}

/* Two groups, of which the first keeps an average; each tensor is a slice. */
static void setup_two(struct shard *shard)
{
    static const uint64_t shape[] = {4};
    static struct stepd_group group[2];
    static struct stepd_tensor_def tensor[2];
    group[0] = settings_group("sgd", "lr=1 ema_decay=0.5");
    group[0].name = "averaged";
    group[0].match = "a";
    group[1] = settings_group("sgd", "lr=1");
    group[1].name = "plain";
    tensor[0] = shard_tensor("a", shape, 1, 1.0);
    tensor[1] = shard_tensor("b", shape, 1, 1.0);
    const struct shard_job job = {
        .workers = 1, .groups = 2, .group = group, .tensors = 2, .tensor = tensor};
    shard_setup(shard, &job);
    shard_connect(shard, 0, 0);
}

static void pull__of_a_view_that_one_of_two_groups_keeps__names_the_other(void **state)
{
    (void)state;
    struct shard shard;
    setup_two(&shard);
    shard_pull_view(&shard, 0, STEPD_EMA, 1);
    assert_int_equal(shard_last(&shard, 0)->values, 4);
    shard_pull_view(&shard, 0, STEPD_EMA, 2);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(shard_last(&shard, 0)->text,
                        "tensor 'b': group 'plain' keeps no exponential moving average of its "
                        "weights; set ema_decay in the group");
    shard_teardown(&shard);
}

static void step__that_wants_a_view_that_is_not_kept__takes_no_gradient(void **state)
{
    (void)state;
    static const float grad[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct shard shard;
    setup_two(&shard);
    struct shard_push push = {.id = 7,
                              .clock = 1,
                              .examples = 1,
                              .slices = 2,
                              .grad = grad,
                              .values = 8,
                              .step = true,
                              .view = STEPD_SWA};
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(shard_last(&shard, 0)->text,
                        "tensor 'a': group 'averaged' keeps no running mean of its weights; set "
                        "swa_start in the group");
    push.view = STEPD_EVALUATION;
    shard_push(&shard, 0, &push); /* the same clock, which has not counted */
    assert_int_equal(shard_last(&shard, 0)->version[0], 1);
    assert_true(shard_last(&shard, 0)->value[0] == 0.0F);
    shard_teardown(&shard);
}

static void step__that_wants_an_average__gets_it(void **state)
{
    (void)state;
    static const float grad[4] = {1, 1, 1, 1};
    struct shard shard;
    setup_two(&shard);
    for (uint64_t clock = 1; clock <= 2; clock++) {
        const struct shard_push push = {.id = clock,
                                        .clock = clock,
                                        .base_version = clock - 1,
                                        .examples = 1,
                                        .slices = 1,
                                        .grad = grad,
                                        .values = 4,
                                        .step = true,
                                        .view = STEPD_EMA};
        shard_push(&shard, 0, &push);
    }
    assert_true(shard_last(&shard, 0)->value[0] == -0.5F); /* of 0 and -1 */
    shard_teardown(&shard);
}

/* ---- Readers --------------------------------------------------------------------------------- */

static void step__while_views_are_read__tears_none_and_waits_when_both_are(void **state)
{
    (void)state;
    static const float grad[4] = {1, 1, 1, 1};
    static const uint64_t shape[] = {4};
    const struct stepd_group group =
        settings_group("nesterov", "form=interim lr=1 momentum=0.5 ema_decay=0.5 swa_start=1");
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 0.0);
    const struct shard_job job = {
        .workers = 1, .groups = 1, .group = &group, .tensors = 1, .tensor = &tensor};
    for (int v = 0; v < STEPD_VIEWS; v++) {
        struct shard shard;
        shard_setup(&shard, &job);
        shard_connect(&shard, 0, 0);
        float held[2] = {0.0F, 0.0F};
        for (uint64_t clock = 1; clock <= 3; clock++) {
            const struct shard_push push = {.id = clock,
                                            .clock = clock,
                                            .base_version = clock - 1,
                                            .examples = 1,
                                            .slices = 1,
                                            .grad = grad,
                                            .values = 4};
            shard.hold = true;
            shard_push(&shard, 0, &push);
            if (clock == 3)
                break; /* readers hold both versions of this view */
            shard_pull_view(&shard, 0, (enum stepd_view)v, 1);
            assert_int_equal(shard_last(&shard, 0)->version[0], clock);
            held[clock - 1] = shard_last(&shard, 0)->value[0];
        }
        assert_int_equal(shard_last(&shard, 0)->request_id, 900); /* the third is not answered */
        for (size_t i = 0; i < 2; i++) {
            for (size_t k = 0; k < 4; k++)
                assert_true(shard.held_piece[i]->values[k] == held[i]);
        }
        assert_true(held[0] != held[1]);
        shard.hold = false;
        shard_release(&shard);
        assert_int_equal(shard_last(&shard, 0)->request_id, 3);
        assert_int_equal(shard_last(&shard, 0)->version[0], 3);
        shard_teardown(&shard);
    }
}

/* More than two blocks, and an odd end. */
enum { LONG = 9001 };

/* Three steps of a long tensor, and its views; while readers hold those of the second, or not. */
static void train_long(bool read, float *const view[STEPD_VIEWS])
{
    static float grad[LONG];
    const uint64_t shape[] = {LONG};
    const struct stepd_group group =
        settings_group("nesterov", "form=interim lr=0.5 ema_decay=0.5 swa_start=1");
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 1.0);
    const struct shard_job job = {.workers = 1,
                                  .groups = 1,
                                  .group = &group,
                                  .slice_elements = 2 * LONG,
                                  .tensors = 1,
                                  .tensor = &tensor};
    struct shard shard;
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    for (uint64_t clock = 1; clock <= 3; clock++) {
        for (size_t i = 0; i < LONG; i++)
            grad[i] = (float)cos((double)(i + clock));
        const struct shard_push push = {.id = clock,
                                        .clock = clock,
                                        .base_version = clock - 1,
                                        .examples = 1,
                                        .slices = 1,
                                        .grad = grad,
                                        .values = LONG};
        shard_push(&shard, 0, &push);
        shard.hold = read && clock == 2;
        for (int v = 0; v < STEPD_VIEWS && clock >= 2; v++) {
            shard_pull_view(&shard, 0, (enum stepd_view)v, 1);
            memcpy(view[v], shard_last(&shard, 0)->value, LONG * sizeof *view[v]);
        }
    }
    shard.hold = false;
    shard_teardown(&shard);
}

static void step__of_a_long_tensor_that_is_read__goes_on_from_every_element(void **state)
{
    (void)state;
    static float memory[2][STEPD_VIEWS][LONG];
    float *views[2][STEPD_VIEWS];
    for (size_t run = 0; run < 2; run++) {
        for (int v = 0; v < STEPD_VIEWS; v++)
            views[run][v] = memory[run][v];
        train_long(run == 1, views[run]);
    }
    assert_memory_equal(memory[0], memory[1], sizeof memory[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pull__of_a_view_that_is_not_kept__says_what_to_set),
        cmocka_unit_test(pull__of_a_view_that_one_of_two_groups_keeps__names_the_other),
        cmocka_unit_test(step__that_wants_a_view_that_is_not_kept__takes_no_gradient),
        cmocka_unit_test(step__that_wants_an_average__gets_it),
        cmocka_unit_test(step__while_views_are_read__tears_none_and_waits_when_both_are),
        cmocka_unit_test(step__of_a_long_tensor_that_is_read__goes_on_from_every_element),
    };
    return cmocka_run_group_tests_name("core/views", tests, NULL, NULL);
}
