/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done to gradients on their way to an optimizer, and in which order: divided by their loss
 * scale, looked through, averaged in rank order, turned, clipped, and then weight decay. A Hessian
 * goes the same way and is not clipped.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/training.h"

/* ---- Loss scale ------------------------------------------------------------------------------ */

/* The weight after a step of sgd with lr 1 from 0, of gradients of this number at this scale. */
static float step_scaled(const char *settings, float grad, double loss_scale)
{
    struct training_arrays arrays = {{{0}}};
    for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
        arrays.at[0][i] = grad;
    const struct stepd_group group = settings_group("sgd", settings);
    const struct local_push push = {.examples = 1, .loss_scale = loss_scale};
    struct training training;
    training_open_group(&training, &group, 0.0);
    assert_int_equal(training_push(&training, push, &arrays, NULL), STEPD_OK);
    const float weight = training_weight(&training);
    training_close(&training);
    return weight;
}

static void step__with_a_loss_scale__divides_by_it(void **state)
{
    (void)state;
    assert_true(step_scaled("lr=1", 3.0F, 0.0) == -3.0F);
    assert_true(step_scaled("lr=1", 3.0F, 1.0) == -3.0F);
    assert_true(step_scaled("lr=1", 3.0F, 65536.0) == -3.0F / 65536.0F);
    assert_true(step_scaled("lr=1", 1.0F, 3.0) == -(1.0F / 3.0F));
    assert_true(step_scaled("lr=1", 1.0F, 0.25) == -4.0F);
}

static void step__with_a_loss_scale__clips_what_is_left(void **state)
{
    (void)state;
    assert_true(step_scaled("lr=1 clip_value=2", 8.0F, 8.0) == -1.0F);
    assert_true(step_scaled("lr=1 clip_value=2", 8.0F, 2.0) == -2.0F);
}

/* Each worker scales its own: the mean is of what they divide to. */
static void step__of_two_loss_scales__takes_the_mean_of_what_they_leave(void **state)
{
    (void)state;
    static const uint64_t shape[] = {4};
    static const float grad[][4] = {{8, 8, 8, 8}, {48, 48, 48, 48}};
    static const double scale[] = {8.0, 16.0};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 0.0);
    const struct shard_job job = {.workers = 2, .lr = 1.0, .tensors = 1, .tensor = &tensor};
    struct shard shard;
    shard_setup(&shard, &job);
    for (uint32_t rank = 0; rank < 2; rank++) {
        shard_connect(&shard, rank, rank);
        const struct shard_push push = {.id = 7,
                                        .clock = 1,
                                        .examples = 1,
                                        .slices = 1,
                                        .grad = grad[rank],
                                        .values = 4,
                                        .step = true,
                                        .loss_scale = scale[rank]};
        shard_push(&shard, rank, &push);
    }
    assert_true(shard_last(&shard, 0)->value[0] == -2.0F); /* of 1 and 3 */
    shard_teardown(&shard);
}

/* ---- NaN and infinity ------------------------------------------------------------------------ */

static void refuse_gradient(struct training *training, float bad, double loss_scale)
{
    struct training_arrays grad = {{{0}}};
    grad.at[1][5] = bad;
    const struct local_push push = {.examples = 1, .loss_scale = loss_scale};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(training_push(training, push, &grad, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "the gradient of tensor 'b' from rank 0 (worker 'local') is "
                                    "NaN or infinite at element 5; it was not counted");
}

static void step__with_nan_or_infinity__names_tensor_and_element(void **state)
{
    (void)state;
    static const uint64_t shape[] = {TRAINING_ELEMENTS};
    const struct stepd_group group = settings_group("sgd", "lr=1");
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
    const struct stepd_tensor_def tensor[] = {shard_tensor("a", shape, 1, 0.0),
                                              shard_tensor("b", shape, 1, 0.0)};
    struct training training;
    training_open(&training, &def, tensor, 2);
    refuse_gradient(&training, NAN, 0.0);
    refuse_gradient(&training, INFINITY, 0.0);
    refuse_gradient(&training, -INFINITY, 1024.0);
    refuse_gradient(&training, 1e38F, 0x1p-20); /* finite, until it is divided */
    const struct training_arrays grad = {{{1}}};
    training_step(&training, &grad); /* the same step, which has not been counted */
    assert_true(training_weight(&training) == -1.0F);
    training_close(&training);
}

/* ---- Turned, clipped, decayed ---------------------------------------------------------------- */

/* The weight after a step from 2 of gradients of this number. */
static float step_from_two(const char *settings, float grad)
{
    const struct stepd_group group = settings_group("sgd", settings);
    struct training training;
    training_open_group(&training, &group, 2.0);
    training_step_all(&training, grad);
    const float weight = training_weight(&training);
    training_close(&training);
    return weight;
}

static void step__that_maximizes__climbs_and_decays_towards_0(void **state)
{
    (void)state;
    assert_true(step_from_two("lr=1 maximize=1", 3.0F) == 5.0F);
    /* PyTorch: -g, and then plus weight_decay w */
    assert_true(step_from_two("lr=1 maximize=1 weight_decay=0.5", 3.0F) == 4.0F);
}

static void step__that_clips__clips_the_gradient_and_not_its_decay(void **state)
{
    (void)state;
    assert_true(step_from_two("lr=1 clip_value=0.5", 3.0F) == 1.5F);
    assert_true(step_from_two("lr=1 clip_value=0.5", -3.0F) == 2.5F);
    assert_true(step_from_two("lr=1 clip_value=0.5", 0.25F) == 1.75F);
    assert_true(step_from_two("lr=1 clip_value=0.5 weight_decay=0.5", 3.0F) == 0.5F);
    assert_true(step_from_two("lr=1 clip_value=0.5 maximize=1", 3.0F) == 2.5F);
}

/* An optimizer that sees whole tensors gets them treated, too. */
static void step__of_a_whole_tensor__is_treated_as_well(void **state)
{
    (void)state;
    const struct stepd_group turned = settings_group("adafactor", "maximize=1 clip_value=0.5");
    const struct stepd_group plain = settings_group("adafactor", "");
    struct training first;
    struct training second;
    training_open_group(&first, &turned, 1.0);
    training_open_group(&second, &plain, 1.0);
    for (int i = 1; i <= 3; i++) {
        training_step_all(&first, (float)i);
        training_step_all(&second, -0.5F);
    }
    assert_memory_equal(&first.weights, &second.weights, sizeof first.weights);
    training_close(&first);
    training_close(&second);
}

/* ---- The mean -------------------------------------------------------------------------------- */

enum { WORKERS = 3 };

/* A round of three workers of whom rank 1 comes last; `values` floats of each. */
static void push_round(struct shard *shard, const float *const grad[WORKERS],
                       const uint64_t examples[WORKERS], size_t values)
{
    static const size_t order[WORKERS] = {2, 0, 1};
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        shard_connect(shard, rank, rank);
    for (size_t i = 0; i < WORKERS; i++) {
        const struct shard_push push = {.id = 7,
                                        .clock = 1,
                                        .examples = examples[order[i]],
                                        .slices = 1,
                                        .grad = grad[order[i]],
                                        .values = values,
                                        .step = true};
        shard_push(shard, order[i], &push);
    }
}

static void setup(struct shard *shard, const struct stepd_group *group, const uint64_t *shape)
{
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 0.0);
    const struct shard_job job = {
        .workers = WORKERS, .groups = 1, .group = group, .tensors = 1, .tensor = &tensor};
    shard_setup(shard, &job);
}

/* Large ones cancel first, in rank order; beside them the small one would be lost. */
static void step__of_gradients_of_all_sizes__adds_them_in_rank_order(void **state)
{
    (void)state;
    static const uint64_t shape[] = {1};
    static const uint64_t examples[] = {1, 2, 1};
    static const float large[] = {4e8F}, negative[] = {-2e8F}, small[] = {4};
    const float *const grad[] = {large, negative, small};
    const struct stepd_group group = settings_group("sgd", "lr=1");
    struct shard shard;
    setup(&shard, &group, shape);
    push_round(&shard, grad, examples, 1);
    assert_true(shard_last(&shard, 0)->value[0] == -1.0F);
    shard_teardown(&shard);
}

static void step__that_clips__clips_the_mean_and_not_its_parts(void **state)
{
    (void)state;
    static const uint64_t shape[] = {1};
    static const uint64_t examples[] = {1, 1, 2};
    static const float much[] = {4}, none[] = {0};
    const float *const grad[] = {much, none, none};
    const struct stepd_group group = settings_group("sgd", "lr=1 clip_value=2");
    struct shard shard;
    setup(&shard, &group, shape);
    push_round(&shard, grad, examples, 1);
    assert_true(shard_last(&shard, 0)->value[0] == -1.0F);
    shard_teardown(&shard);
}

/* ---- Hessians -------------------------------------------------------------------------------- */

/* w <- w - H^-1 g: here H is diag(2, 4) over the examples, and g (2, 8). */
static void newton__of_three_workers__takes_the_mean_hessian_over_examples(void **state)
{
    (void)state;
    static const uint64_t shape[] = {2};
    static const uint64_t examples[] = {1, 1, 2};
    static const float first[] = {2, 8, /* */ 4, 0, 0, 6};
    static const float second[] = {2, 8, /* */ 0, 0, 0, 2};
    static const float third[] = {2, 8, /* */ 2, 0, 0, 4};
    const float *const grad[] = {first, second, third};
    const struct stepd_group group = settings_group("newton", "");
    struct shard shard;
    setup(&shard, &group, shape);
    push_round(&shard, grad, examples, 6);
    assert_true(shard_last(&shard, 0)->value[0] == -1.0F);
    assert_true(shard_last(&shard, 0)->value[1] == -2.0F);
    shard_teardown(&shard);
}

static void newton__of_hessians_of_all_sizes__adds_them_in_rank_order(void **state)
{
    (void)state;
    static const uint64_t shape[] = {1};
    static const uint64_t examples[] = {1, 2, 1};
    static const float large[] = {1, 4e8F}, negative[] = {1, -2e8F}, small[] = {1, 8};
    const float *const grad[] = {large, negative, small};
    const struct stepd_group group = settings_group("newton", "");
    struct shard shard;
    setup(&shard, &group, shape);
    push_round(&shard, grad, examples, 2);
    assert_true(shard_last(&shard, 0)->value[0] == -0.5F); /* 1 over 8 / 4 */
    shard_teardown(&shard);
}

/* Of one variable: f has slope g and second derivative h where the weight is. */
static float newton_step(const char *settings, float g, float h, double loss_scale)
{
    const struct training_arrays grad = {{{g}}};
    const float *const extra[] = {&h};
    const uint64_t shape[] = {1};
    const struct stepd_group group = settings_group("newton", settings);
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 0.0);
    struct training training;
    training_open(&training, &def, &tensor, 1);
    const struct local_push push = {.extra = extra, .examples = 1, .loss_scale = loss_scale};
    assert_int_equal(training_push(&training, push, &grad, NULL), STEPD_OK);
    const float weight = training_weight(&training);
    training_close(&training);
    return weight;
}

static void newton__with_a_loss_scale__divides_gradient_and_hessian(void **state)
{
    (void)state;
    assert_true(newton_step("", 3.0F, 2.0F, 1.0) == -1.5F);
    assert_true(newton_step("", 3.0F * 64.0F, 2.0F * 64.0F, 64.0) == -1.5F);
    /* damping stands beside the Hessian that is meant */
    assert_true(newton_step("damping=2", 3.0F * 64.0F, 2.0F * 64.0F, 64.0) == -0.75F);
}

static void newton__that_maximizes__goes_to_the_top(void **state)
{
    (void)state;
    /* f = -(w - 3)^2: at 0 its slope is 6 and its second derivative -2 */
    assert_true(newton_step("maximize=1", 6.0F, -2.0F, 0.0) == 3.0F);
}

static void newton__that_clips__clips_the_gradient_and_not_the_hessian(void **state)
{
    (void)state;
    assert_true(newton_step("clip_value=1", 3.0F, 4.0F, 0.0) == -0.25F);
}

static void newton__with_nan_in_its_hessian__names_row_and_column(void **state)
{
    (void)state;
    static const uint64_t shape[] = {2};
    const struct training_arrays grad = {{{1, 1}}};
    const float hessian[] = {1, 0, NAN, 1};
    const float *const extra[] = {hessian};
    const struct stepd_group group = settings_group("newton", "");
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 0.0);
    struct training training;
    struct stepd_error error = {.code = STEPD_OK};
    training_open(&training, &def, &tensor, 1);
    const struct local_push push = {.extra = extra, .examples = 1};
    assert_int_equal(training_push(&training, push, &grad, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text,
                        "the Hessian of group 'g' from rank 0 (worker 'local') is NaN or infinite "
                        "at row 1, column 0; it was not counted");
    training_close(&training);
}

static void newton__without_a_hessian__is_told_what_the_payload_lacks(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("newton", "");
    const struct training_arrays grad = {{{1}}};
    struct training training;
    struct stepd_error error = {.code = STEPD_OK};
    training_open_group(&training, &group, 0.0);
    const struct local_push push = {.examples = 1};
    assert_int_equal(training_push(&training, push, &grad, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text,
                        "group 'g' wants a Hessian of 64 numbers behind its 8 gradients: the "
                        "slices take 288 bytes of f32, and the payload has 32");
    training_close(&training);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step__with_a_loss_scale__divides_by_it),
        cmocka_unit_test(step__with_a_loss_scale__clips_what_is_left),
        cmocka_unit_test(step__of_two_loss_scales__takes_the_mean_of_what_they_leave),
        cmocka_unit_test(step__with_nan_or_infinity__names_tensor_and_element),
        cmocka_unit_test(step__that_maximizes__climbs_and_decays_towards_0),
        cmocka_unit_test(step__that_clips__clips_the_gradient_and_not_its_decay),
        cmocka_unit_test(step__of_a_whole_tensor__is_treated_as_well),
        cmocka_unit_test(step__of_gradients_of_all_sizes__adds_them_in_rank_order),
        cmocka_unit_test(step__that_clips__clips_the_mean_and_not_its_parts),
        cmocka_unit_test(newton__of_three_workers__takes_the_mean_hessian_over_examples),
        cmocka_unit_test(newton__of_hessians_of_all_sizes__adds_them_in_rank_order),
        cmocka_unit_test(newton__with_a_loss_scale__divides_gradient_and_hessian),
        cmocka_unit_test(newton__that_maximizes__goes_to_the_top),
        cmocka_unit_test(newton__that_clips__clips_the_gradient_and_not_the_hessian),
        cmocka_unit_test(newton__with_nan_in_its_hessian__names_row_and_column),
        cmocka_unit_test(newton__without_a_hessian__is_told_what_the_payload_lacks),
    };
    return cmocka_run_group_tests_name("core/step treatment", tests, NULL, NULL);
}
