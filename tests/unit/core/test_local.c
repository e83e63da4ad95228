/* SPDX-License-Identifier: Apache-2.0
 *
 * The same bits by every road: a job in this process, a shard, two shards. The model is large
 * enough for slices of every kind (cut, whole, packed).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/core/local.h"
#include "tests/lib/random.h"
#include "tests/lib/shard.h"

enum { TENSORS = 4, LARGEST = 700, STEPS = 5, SLICE_ELEMENTS = 256 };

static const uint64_t shapes[TENSORS][2] = {{700, 1}, {3, 1}, {10, 20}, {1, 2}};

/* The elements of every tensor. */
struct arrays {
    float at[TENSORS][LARGEST];
};

static void define(struct stepd_tensor_def tensor[TENSORS])
{
    static const char *const name[TENSORS] = {"fc.weight", "fc.bias", "out.weight", "out.bias"};
    for (size_t i = 0; i < TENSORS; i++) {
        tensor[i] = shard_tensor(name[i], shapes[i], 2, 0.0);
        tensor[i].init = (struct stepd_init){.kind = STEPD_INIT_NORMAL, .b = 0.1, .seed = 11};
    }
}

static struct arrays random_gradient(uint64_t step)
{
    struct random random = {.state = step};
    struct arrays grad;
    for (size_t t = 0; t < TENSORS; t++) {
        for (size_t i = 0; i < LARGEST; i++)
            grad.at[t][i] = (float)random_between(&random, 0, 2000) / 1000.0F - 1.0F;
    }
    return grad;
}

/* ---- A job in this process ------------------------------------------------------------------- */

static struct local *open_local(const struct stepd_tensor_def *tensor, size_t tensors)
{
    static const double lr = 0.01;
    static const struct stepd_setting setting = {.name = "lr", .values = 1, .value = &lr};
    static const struct stepd_group group = {.name = "all",
                                             .match = "*",
                                             .optimizer = "adam",
                                             .settings = {.count = 1, .at = &setting},
                                             .schedule = ""};
    const struct stepd_define_job def = {
        .workers = 1, .groups = 1, .group = &group, .slice_elements = SLICE_ELEMENTS};
    const struct stepd_define_tensors page = {.tensors = tensors, .tensor = tensor, .last = true};
    struct stepd_error error = {.code = STEPD_OK};
    struct local *local = NULL;
    assert_int_equal(local_create(&def, &page, kernels_choose(), &local, &error), STEPD_OK);
    return local;
}

static enum stepd_status step(struct local *local, const struct arrays *grad,
                              struct arrays *weights, struct stepd_error *reterr)
{
    const float *from[TENSORS];
    float *to[TENSORS];
    for (size_t i = 0; i < TENSORS; i++) {
        from[i] = grad->at[i];
        to[i] = weights->at[i];
    }
    const struct local_push push = {.grad = from, .examples = 1};
    return local_step(local, &push, to, reterr);
}

static struct arrays train_locally(void)
{
    struct stepd_tensor_def tensor[TENSORS];
    define(tensor);
    struct local *local = open_local(tensor, TENSORS);
    struct arrays weights = {.at = {{0}}};
    for (uint64_t i = 0; i < STEPS; i++) {
        const struct arrays grad = random_gradient(i);
        assert_int_equal(step(local, &grad, &weights, NULL), STEPD_OK);
    }
    (void)local_destroy(local);
    return weights;
}

/* ---- Shards ---------------------------------------------------------------------------------- */

/* Steps the slices of this shard, and puts their weights into the tensors' arrays. */
static void step_shard(struct shard *shard, uint64_t clock, const struct arrays *grad,
                       struct arrays *weights)
{
    const struct layout *layout = &shard->job->layout;
    for (uint32_t s = 0; s < layout->slices; s++) {
        if (layout->slice[s].shard != shard->index)
            continue;
        float payload[SLICE_ELEMENTS];
        float *at = payload;
        const struct part *part = &layout->part[layout->slice[s].first_part];
        for (uint32_t i = 0; i < layout->slice[s].parts; i++) {
            memcpy(at, grad->at[part[i].tensor] + part[i].offset, part[i].elements * sizeof *at);
            at += part[i].elements;
        }
        const struct shard_push push = {.id = 10 + clock,
                                        .clock = clock,
                                        .base_version = clock - 1,
                                        .examples = 1,
                                        .slices = 1,
                                        .slice = &s,
                                        .grad = payload,
                                        .values = layout->slice[s].elements,
                                        .step = true};
        shard_push(shard, 0, &push);
        const float *from = shard_last(shard, 0)->value;
        for (uint32_t i = 0; i < layout->slice[s].parts; i++) {
            memcpy(weights->at[part[i].tensor] + part[i].offset, from,
                   part[i].elements * sizeof *from);
            from += part[i].elements;
        }
    }
}

static struct arrays train_on_shards(uint32_t shards)
{
    struct stepd_tensor_def tensor[TENSORS];
    define(tensor);
    struct shard *shard = calloc(shards, sizeof *shard);
    assert_non_null(shard);
    for (uint32_t k = 0; k < shards; k++) {
        const struct shard_job job = {.workers = 1,
                                      .optimizer = "adam",
                                      .lr = 0.01,
                                      .slice_elements = SLICE_ELEMENTS,
                                      .shards = shards,
                                      .shard = k,
                                      .tensors = TENSORS,
                                      .tensor = tensor};
        shard_setup(&shard[k], &job);
        shard_connect(&shard[k], 0, 0);
    }
    struct arrays weights = {.at = {{0}}};
    for (uint64_t i = 0; i < STEPS; i++) {
        const struct arrays grad = random_gradient(i);
        for (uint32_t k = 0; k < shards; k++)
            step_shard(&shard[k], i + 1, &grad, &weights);
    }
    for (uint32_t k = 0; k < shards; k++)
        shard_teardown(&shard[k]);
    free(shard);
    return weights;
}

static void local_step__of_a_job__gives_the_bits_of_a_shard(void **state)
{
    (void)state;
    const struct arrays local = train_locally();
    const struct arrays shard = train_on_shards(1);
    assert_memory_equal(&local, &shard, sizeof local);
}

static void shards__of_any_number__give_the_bits_of_one(void **state)
{
    (void)state;
    const struct arrays one = train_on_shards(1);
    for (uint32_t shards = 2; shards <= 4; shards++) {
        const struct arrays many = train_on_shards(shards);
        assert_memory_equal(&one, &many, sizeof one);
    }
}

/* ---- Local's own ----------------------------------------------------------------------------- */

static void local_pull__after_steps__gives_what_the_last_step_gave(void **state)
{
    (void)state;
    struct stepd_tensor_def tensor[TENSORS];
    define(tensor);
    struct local *local = open_local(tensor, TENSORS);
    struct arrays stepped = {.at = {{0}}};
    struct arrays pulled = {.at = {{0}}};
    const struct arrays grad = random_gradient(3);
    assert_int_equal(step(local, &grad, &stepped, NULL), STEPD_OK);
    float *to[TENSORS];
    for (size_t i = 0; i < TENSORS; i++)
        to[i] = pulled.at[i];
    assert_int_equal(local_pull(local, STEPD_TRAINING, to, NULL), STEPD_OK);
    assert_memory_equal(&stepped, &pulled, sizeof stepped);
    (void)local_destroy(local);
}

static void local_step__with_nan__is_refused_and_may_be_done_again(void **state)
{
    (void)state;
    struct stepd_tensor_def tensor[TENSORS];
    define(tensor);
    struct local *local = open_local(tensor, TENSORS);
    struct arrays weights = {.at = {{0}}};
    struct stepd_error error = {.code = STEPD_OK};
    for (uint64_t i = 0; i < STEPS; i++) {
        const struct arrays grad = random_gradient(i);
        struct arrays bad = grad;
        bad.at[2][7] = NAN; /* tensors before it take the step all the same */
        assert_int_equal(step(local, &bad, &weights, &error), STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "tensor 'out.weight'"));
        assert_non_null(strstr(error.text, "element 7;"));
        assert_int_equal(step(local, &grad, &weights, NULL), STEPD_OK);
    }
    const struct arrays undisturbed = train_locally();
    assert_memory_equal(&weights, &undisturbed, sizeof weights);
    (void)local_destroy(local);
}

static void local_step__without_examples__changes_no_weight(void **state)
{
    (void)state;
    struct stepd_tensor_def tensor[TENSORS];
    define(tensor);
    struct local *local = open_local(tensor, TENSORS);
    struct arrays before = {.at = {{0}}};
    struct arrays after = {.at = {{0}}};
    float *to_before[TENSORS];
    float *to_after[TENSORS];
    for (size_t i = 0; i < TENSORS; i++) {
        to_before[i] = before.at[i];
        to_after[i] = after.at[i];
    }
    assert_int_equal(local_pull(local, STEPD_TRAINING, to_before, NULL), STEPD_OK);
    const struct local_push nothing = {.examples = 0};
    assert_int_equal(local_step(local, &nothing, to_after, NULL), STEPD_OK);
    assert_memory_equal(&before, &after, sizeof before);
    (void)local_destroy(local);
}

static void local_assign__of_values__is_what_is_pulled(void **state)
{
    (void)state;
    const uint64_t shape[] = {300};
    struct stepd_tensor_def tensor[2] = {shard_tensor("a", shape, 1, 0.5),
                                         shard_tensor("b", shape, 1, 0.0)};
    tensor[1].init.kind = STEPD_INIT_VALUES;
    struct local *local = open_local(tensor, 2);
    float values[300];
    for (size_t i = 0; i < 300; i++)
        values[i] = (float)i;
    const float *const from[2] = {NULL, values};
    assert_int_equal(local_assign(local, from, NULL), STEPD_OK);
    float pulled[2][300];
    float *const to[2] = {pulled[0], pulled[1]};
    assert_int_equal(local_pull(local, STEPD_TRAINING, to, NULL), STEPD_OK);
    assert_true(pulled[0][299] == 0.5F);
    assert_memory_equal(pulled[1], values, sizeof values);
    (void)local_destroy(local);
}

static void local_step__of_a_job_of_two_workers__is_refused(void **state)
{
    (void)state;
    const uint64_t shape[] = {1};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 0.5);
    const struct stepd_group group = {
        .name = "all", .match = "*", .optimizer = "sgd", .schedule = ""};
    const struct stepd_define_job def = {.workers = 2, .groups = 1, .group = &group};
    const struct stepd_define_tensors page = {.tensors = 1, .tensor = &tensor, .last = true};
    struct stepd_error error = {.code = STEPD_OK};
    struct local *local = NULL;
    assert_int_equal(local_create(&def, &page, kernels_choose(), &local, &error), STEPD_OK);
    float weight = 0;
    float *const weights[] = {&weight};
    assert_int_equal(local_pull(local, STEPD_TRAINING, weights, &error), STEPD_OK);
    assert_true(weight == 0.5F);
    const float *const grad[] = {&weight};
    const struct local_push push = {.grad = grad, .examples = 1};
    assert_int_equal(local_step(local, &push, weights, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "is of 1 worker, and the job has 2"));
    (void)local_destroy(local);
}

static void local_create__of_a_wrong_shape__is_refused(void **state)
{
    (void)state;
    const uint64_t zero[] = {0};
    const struct stepd_tensor_def tensor = shard_tensor("w", zero, 1, 0.0);
    const struct stepd_group group = {
        .name = "all", .match = "*", .optimizer = "sgd", .schedule = ""};
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
    const struct stepd_define_tensors page = {.tensors = 1, .tensor = &tensor, .last = true};
    struct stepd_error error = {.code = STEPD_OK};
    struct local *local = NULL;
    assert_int_equal(local_create(&def, &page, kernels_choose(), &local, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "a dimension of 0"));
    assert_null(local_destroy(local));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_step__of_a_job__gives_the_bits_of_a_shard),
        cmocka_unit_test(shards__of_any_number__give_the_bits_of_one),
        cmocka_unit_test(local_pull__after_steps__gives_what_the_last_step_gave),
        cmocka_unit_test(local_step__with_nan__is_refused_and_may_be_done_again),
        cmocka_unit_test(local_step__without_examples__changes_no_weight),
        cmocka_unit_test(local_assign__of_values__is_what_is_pulled),
        cmocka_unit_test(local_step__of_a_job_of_two_workers__is_refused),
        cmocka_unit_test(local_create__of_a_wrong_shape__is_refused),
    };
    return cmocka_run_group_tests_name("core/local", tests, NULL, NULL);
}
