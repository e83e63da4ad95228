/* SPDX-License-Identifier: Apache-2.0
 *
 * Several groups in one job, trained: each with its own optimizer, rate and state; and frozen ones,
 * which go along and never change.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/training.h"

enum { STEPS = 6 };

static const uint64_t matrix[] = {2, 4};
static const uint64_t vector[] = {4};

static struct stepd_group matching(const char *name, const char *match, const char *optimizer,
                                   const char *settings)
{
    struct stepd_group group = settings_group(optimizer, settings);
    group.name = name;
    group.match = match;
    return group;
}

static struct training_arrays gradient(size_t step)
{
    struct training_arrays grad = {{{0}}};
    for (size_t t = 0; t < TRAINING_TENSORS; t++) {
        for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
            grad.at[t][i] = (float)cos((double)(11 * step + 5 * t + 3 * i));
    }
    return grad;
}

/* The elements of base.weight, base.bias, classifier.weight, classifier.bias. */
static const size_t elements[TRAINING_TENSORS] = {8, 4, 8, 4};

static void define_tensors(struct stepd_tensor_def tensor[TRAINING_TENSORS])
{
    tensor[0] = shard_tensor("base.weight", matrix, 2, 0.5);
    tensor[1] = shard_tensor("base.bias", vector, 1, 0.5);
    tensor[2] = shard_tensor("classifier.weight", matrix, 2, 0.5);
    tensor[3] = shard_tensor("classifier.bias", vector, 1, 0.5);
}

/* ---- The lecture's per-layer options --------------------------------------------------------- */

/* optim.SGD([{'params': model.base.parameters()},
 *            {'params': model.classifier.parameters(), 'lr': 1e-3}], lr=1e-2, momentum=0.9) */
static void step__of_the_lectures_base_and_classifier__takes_each_at_its_rate(void **state)
{
    (void)state;
    const struct stepd_group group[] = {matching("base", "base.*", "", ""),
                                        matching("classifier", "classifier.*", "", "lr=1e-3")};
    const struct stepd_define_job def = {
        .workers = 1,
        .groups = 2,
        .group = group,
        .strict = true,
        .defaults = {.optimizer = "momentum", .settings = settings_of("lr=1e-2 momentum=0.9")}};
    struct stepd_tensor_def tensor[TRAINING_TENSORS];
    define_tensors(tensor);
    double w[TRAINING_TENSORS][TRAINING_ELEMENTS];
    double b[TRAINING_TENSORS][TRAINING_ELEMENTS] = {{0}};
    for (size_t t = 0; t < TRAINING_TENSORS; t++) {
        for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
            w[t][i] = 0.5;
    }
    struct training training;
    training_open(&training, &def, tensor, TRAINING_TENSORS);
    for (size_t step = 0; step < STEPS; step++) {
        const struct training_arrays grad = gradient(step);
        training_step(&training, &grad);
        for (size_t t = 0; t < TRAINING_TENSORS; t++) {
            for (size_t i = 0; i < elements[t]; i++) {
                b[t][i] = 0.9 * b[t][i] + (double)grad.at[t][i];
                w[t][i] -= (t < 2 ? 1e-2 : 1e-3) * b[t][i];
                assert_close((double)training.weights.at[t][i], w[t][i]);
            }
        }
    }
    training_close(&training);
}

/* ---- Each by itself -------------------------------------------------------------------------- */

/* The weights of one tensor trained alone, in a group of these. */
static struct training_arrays train_alone(const struct stepd_group *group, size_t index)
{
    struct stepd_tensor_def tensor[TRAINING_TENSORS];
    define_tensors(tensor);
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = group};
    struct training training;
    training_open(&training, &def, &tensor[index], 1);
    for (size_t step = 0; step < STEPS; step++) {
        struct training_arrays grad = gradient(step);
        memcpy(grad.at[0], grad.at[index], sizeof grad.at[0]);
        training_step(&training, &grad);
    }
    const struct training_arrays weights = training.weights;
    training_close(&training);
    return weights;
}

static void step__of_groups_with_different_optimizers__is_what_each_does_alone(void **state)
{
    (void)state;
    static const uint32_t two[] = {2};
    struct stepd_group group[] = {matching("first", "base.bias", "adam", "lr=0.125"),
                                  matching("matrices", "*.weight", "muon", "lr=0.125"),
                                  matching("rest", "*", "lion", "lr=0.0625 ema_decay=0.5")};
    group[1].ndim = (struct stepd_u32s){.count = 1, .at = two};
    group[2].schedule = "exponential";
    group[2].schedule_settings = settings_of("gamma=0.5");
    static const size_t group_of[] = {1, 0, 1, 2};
    const struct stepd_define_job def = {.workers = 1, .groups = 3, .group = group, .strict = true};
    struct stepd_tensor_def tensor[TRAINING_TENSORS];
    define_tensors(tensor);
    struct training training;
    training_open(&training, &def, tensor, TRAINING_TENSORS);
    for (size_t step = 0; step < STEPS; step++) {
        const struct training_arrays grad = gradient(step);
        training_step(&training, &grad);
    }
    for (size_t t = 0; t < TRAINING_TENSORS; t++) {
        const struct training_arrays alone = train_alone(&group[group_of[t]], t);
        assert_memory_equal(training.weights.at[t], alone.at[0], sizeof alone.at[0]);
    }
    training_close(&training);
}

/* Small tensors travel in one slice; an optimizer that sees whole tensors sees each by itself. */
static void step__of_packed_tensors__is_what_each_does_alone(void **state)
{
    (void)state;
    /* Without a memory of its rates swats switches at once, each tensor at a rate of its own. */
    static const char *const rows[][2] = {{"adafactor", "lr=0.125"},
                                          {"swats", "lr=0.125 betas=0.9,0"},
                                          {"lamb", "lr=0.125"},
                                          {"lars", "lr=0.125"}};
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        const struct stepd_group group = matching("all", "*", rows[k][0], rows[k][1]);
        const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
        struct stepd_tensor_def tensor[TRAINING_TENSORS];
        define_tensors(tensor);
        struct training training;
        training_open(&training, &def, tensor, TRAINING_TENSORS);
        for (size_t step = 0; step < STEPS; step++) {
            const struct training_arrays grad = gradient(step);
            training_step(&training, &grad);
        }
        for (size_t t = 0; t < TRAINING_TENSORS; t++) {
            const struct training_arrays alone = train_alone(&group, t);
            assert_memory_equal(training.weights.at[t], alone.at[0], sizeof alone.at[0]);
        }
        training_close(&training);
    }
}

/* ---- Frozen ---------------------------------------------------------------------------------- */

static void step__of_a_frozen_group__never_changes_it(void **state)
{
    (void)state;
    struct stepd_group group[] = {matching("base", "base.*", "adamw", "weight_decay=0.5"),
                                  matching("rest", "*", "sgd", "lr=0.5")};
    group[0].frozen = true;
    const struct stepd_define_job def = {.workers = 1, .groups = 2, .group = group};
    struct stepd_tensor_def tensor[TRAINING_TENSORS];
    define_tensors(tensor);
    struct training training;
    training_open(&training, &def, tensor, TRAINING_TENSORS);
    for (size_t step = 0; step < STEPS; step++) {
        struct training_arrays grad = gradient(step);
        grad.at[0][0] = NAN; /* nobody looks at it */
        training_step(&training, &grad);
    }
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < elements[t]; i++)
            assert_true(training.weights.at[t][i] == 0.5F);
    }
    assert_true(training.weights.at[2][0] != 0.5F);
    training_close(&training);
}

static void local_assign__of_a_frozen_tensor__is_what_every_view_gives(void **state)
{
    (void)state;
    struct stepd_group group = matching("all", "*", "", "");
    group.frozen = true;
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
    struct stepd_tensor_def tensor = shard_tensor("w", vector, 1, 0.0);
    tensor.init.kind = STEPD_INIT_VALUES;
    static const float values[TRAINING_ELEMENTS] = {1, 2, 3, 4};
    const float *const from[] = {values};
    struct training training;
    training_open(&training, &def, &tensor, 1);
    assert_int_equal(local_assign(training.local, from, NULL), STEPD_OK);
    training_step_all(&training, 1.0F);
    assert_memory_equal(training.weights.at[0], values, sizeof values);
    const struct training_arrays evaluated = training_view(&training, STEPD_EVALUATION);
    assert_memory_equal(evaluated.at[0], values, sizeof values);
    training_close(&training);
}

/* A frozen slice in a round of two workers: it waits for both like any other, and its version goes
 * up with an outcome that says that nothing was made of it. */
static void push__of_a_frozen_slice__is_skipped_when_the_round_has_closed(void **state)
{
    (void)state;
    static const float grad[] = {1, 1, 1, 1};
    struct stepd_group group = matching("all", "*", "sgd", "lr=1 ema_decay=0.5");
    group.frozen = true;
    const struct stepd_tensor_def tensor = shard_tensor("w", vector, 1, 3.0);
    const struct shard_job job = {
        .workers = 2, .groups = 1, .group = &group, .tensors = 1, .tensor = &tensor};
    struct shard shard;
    shard_setup(&shard, &job);
    for (uint32_t rank = 0; rank < 2; rank++)
        shard_connect(&shard, rank, rank);
    const struct shard_push push = {
        .id = 7, .clock = 1, .examples = 1, .slices = 1, .grad = grad, .values = 4, .step = true};
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_WELCOME); /* no answer yet */
    shard_push(&shard, 1, &push);
    for (size_t peer = 0; peer < 2; peer++) {
        const struct shard_reply *reply = shard_last(&shard, peer);
        assert_int_equal(reply->outcome[0], STEPD_SKIPPED);
        assert_int_equal(reply->version[0], 1);
        assert_true(reply->value[0] == 3.0F);
    }
    shard_pull_view(&shard, 0, STEPD_EMA, 1); /* of weights that never change */
    assert_true(shard_last(&shard, 0)->value[0] == 3.0F);
    shard_teardown(&shard);
}

static void push__of_a_frozen_slice_with_a_wrong_length__is_refused_all_the_same(void **state)
{
    (void)state;
    static const float grad[] = {1, 1, 1};
    struct stepd_group group = matching("all", "*", "sgd", "");
    group.frozen = true;
    const struct stepd_tensor_def tensor = shard_tensor("w", vector, 1, 3.0);
    const struct shard_job job = {
        .workers = 1, .groups = 1, .group = &group, .tensors = 1, .tensor = &tensor};
    struct shard shard;
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    const struct shard_push push = {
        .id = 7, .clock = 1, .examples = 1, .slices = 1, .grad = grad, .values = 3};
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(shard_last(&shard, 0)->text,
                        "the slices take 16 bytes of f32, and the payload has 12");
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step__of_the_lectures_base_and_classifier__takes_each_at_its_rate),
        cmocka_unit_test(step__of_groups_with_different_optimizers__is_what_each_does_alone),
        cmocka_unit_test(step__of_packed_tensors__is_what_each_does_alone),
        cmocka_unit_test(step__of_a_frozen_group__never_changes_it),
        cmocka_unit_test(local_assign__of_a_frozen_tensor__is_what_every_view_gives),
        cmocka_unit_test(push__of_a_frozen_slice__is_skipped_when_the_round_has_closed),
        cmocka_unit_test(push__of_a_frozen_slice_with_a_wrong_length__is_refused_all_the_same),
    };
    return cmocka_run_group_tests_name("core/step groups", tests, NULL, NULL);
}
