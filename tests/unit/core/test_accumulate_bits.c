/* SPDX-License-Identifier: Apache-2.0
 *
 * The bits of a step that several pushes of each worker make: neither the order of arrival nor the
 * number of shards changes one of them, and the step is that of the mean of all.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/random.h"
#include "tests/unit/core/accumulate.h"

static const double two = 2.0;

/* ---- The same bits --------------------------------------------------------------------------- */

enum { RANKS = 3, TENSORS = 3, WIDEST = 600, STEPS = 3, PUSHES = 4 };

static const uint64_t widest[] = {WIDEST};
static const uint64_t nine[] = {9};

/* A run of one job over several shards, whose workers push in a random order. */
struct run {
    uint32_t shards;
    double accumulate; /* 1: each rank's pushes of a step come as one, their mean */
    const char *reduction;
    uint64_t seed;
    float weights[TENSORS * WIDEST]; /* of all slices, one after another */
    size_t elements;
};

static uint64_t examples_of(uint32_t rank, uint64_t clock)
{
    return 1 + ((uint64_t)rank * 5 + clock * 3) % 7;
}

static float gradient_of(uint32_t rank, uint64_t clock, uint32_t slice, size_t i)
{
    struct random random = {.state = (((uint64_t)rank * 1000 + clock) * 1000 + slice) * 1000 + i};
    return (float)((double)random_below(&random, 2000001) / 1e6 - 1.0);
}

/* What pushes are answered is not kept: there are too many of them. */
static void watch(void *watcher, const struct stepd_message *message)
{
    (void)watcher;
    assert_int_equal(message->kind, STEPD_MESSAGE_RESULT);
}

static size_t fill(const struct shard *shard, uint32_t rank, uint64_t clock, uint32_t *slice,
                   float *grad, size_t *ret_values)
{
    const struct layout *layout = &shard->job->layout;
    size_t slices = 0;
    *ret_values = 0;
    for (uint32_t s = 0; s < layout->slices; s++) {
        if (layout->slice[s].shard != shard->index)
            continue;
        slice[slices++] = s;
        for (size_t i = 0; i < layout->slice[s].elements; i++)
            grad[(*ret_values)++] = gradient_of(rank, clock, s, i);
    }
    return slices;
}

static void push_all(struct shard *shard, uint32_t rank, uint64_t clock)
{
    uint32_t slice[SHARD_SLICES];
    float grad[TENSORS * WIDEST];
    struct shard_push push = {.id = clock,
                              .clock = clock,
                              .base_version = (clock - 1) / PUSHES,
                              .examples = examples_of(rank, clock),
                              .slice = slice,
                              .grad = grad};
    push.slices = fill(shard, rank, clock, slice, grad, &push.values);
    shard_push(shard, rank, &push);
}

/* All pushes of a step, each rank's own in their order, the ranks' in any. */
static void push_step(struct shard *shard, uint64_t step, struct random *random)
{
    uint64_t pushed[RANKS] = {0};
    for (int left = RANKS * PUSHES; left > 0; left--) {
        uint32_t rank = (uint32_t)random_below(random, RANKS);
        while (pushed[rank] == PUSHES)
            rank = (rank + 1) % RANKS;
        push_all(shard, rank, step * PUSHES + ++pushed[rank]);
    }
}

static void run_shard(struct run *run, uint32_t index)
{
    const double betas[] = {0.9, 0.99};
    const struct stepd_setting hyper = {.name = "betas", .values = 2, .value = betas, .word = ""};
    const struct stepd_group group = {.name = "all",
                                      .match = "*",
                                      .optimizer = "adam",
                                      .schedule = "",
                                      .settings = {.count = 1, .at = &hyper}};
    const struct stepd_tensor_def tensor[TENSORS] = {
        shard_tensor("a", widest, 1, 1.0),
        shard_tensor("b", nine, 1, 2.0),
        shard_tensor("c", widest, 1, 3.0),
    };
    const struct stepd_setting settings[] = {accumulate_number("accumulate", &run->accumulate),
                                             accumulate_word("reduction", run->reduction)};
    const struct shard_job job = {.mode = STEPD_SYNC,
                                  .settings = {.count = 2, .at = settings},
                                  .workers = RANKS,
                                  .groups = 1,
                                  .group = &group,
                                  .slice_elements = 256,
                                  .shards = run->shards,
                                  .shard = index,
                                  .tensors = TENSORS,
                                  .tensor = tensor};
    struct random random = {.state = run->seed + index};
    struct shard shard;
    shard_setup(&shard, &job);
    for (uint32_t rank = 0; rank < RANKS; rank++)
        shard_connect(&shard, rank, rank);
    shard.watch = watch;
    for (uint64_t step = 0; step < STEPS; step++)
        push_step(&shard, step, &random);
    shard.watch = NULL;
    size_t at = 0;
    shard_session(&shard, 15, 1, /* observer= */ true);
    shard_connect(&shard, 15, 15);
    for (uint32_t s = 0; s < shard.job->layout.slices; s++) {
        const struct slice_plan *plan = &shard.job->layout.slice[s];
        if (plan->shard == index) {
            const struct stepd_message pull = {.request_id = 1 + s,
                                               .kind = STEPD_MESSAGE_PULL,
                                               .body.pull = {.incarnation = shard.job->incarnation,
                                                             .min_version = STEPS,
                                                             .slices = {.count = 1, .at = &s}}};
            assert_int_equal(shard_send(&shard, 15, &pull, NULL, 0, 0, NULL), STEPD_OK);
            memcpy(run->weights + at, shard_last(&shard, 15)->value,
                   plan->elements * sizeof(float));
        }
        at += plan->elements;
    }
    run->elements = at;
    shard_teardown(&shard);
}

static struct run run_of(uint32_t shards, uint64_t seed)
{
    struct run run = {.shards = shards, .accumulate = PUSHES, .reduction = "rank", .seed = seed};
    for (uint32_t i = 0; i < shards; i++)
        run_shard(&run, i);
    return run;
}

static void accumulate__in_any_order_over_any_shards__gives_the_same_bits(void **state)
{
    (void)state;
    const struct run right = run_of(1, 1);
    assert_true(right.elements > 0 && right.weights[0] != 1.0F);
    for (uint32_t shards = 1; shards <= 3; shards++) {
        for (uint64_t seed = 2; seed <= 20; seed++) {
            print_message("%u shards, seed %u\n", shards, (unsigned)seed);
            const struct run run = run_of(shards, seed);
            assert_memory_equal(run.weights, right.weights, sizeof run.weights);
        }
    }
}

/* ---- A float64 reference --------------------------------------------------------------------- */

/* Sums of a step that is being pushed, in float64. */
struct reference {
    double sum[4];
    double examples;
};

static void push_one(struct shard *shard, uint32_t rank, uint64_t clock,
                     struct reference *reference)
{
    const double examples = (double)examples_of(rank, clock);
    float grad[4];
    for (size_t i = 0; i < 4; i++) {
        grad[i] = gradient_of(rank, clock, 0, i);
        reference->sum[i] += examples * (double)grad[i];
    }
    reference->examples += examples;
    accumulate_push(shard, rank, clock, (clock - 1) / PUSHES, examples_of(rank, clock), grad);
}

/* sgd of lr 1 over a job of one slice. */
static void accumulate__of_uneven_pushes__is_the_float64_mean(void **state)
{
    (void)state;
    struct shard shard;
    const double pushes = PUSHES;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &pushes);
    accumulate_setup(&shard, RANKS, &accumulate, 1);
    double right[4] = {10, 10, 10, 10};
    for (uint64_t step = 0; step < STEPS; step++) {
        struct reference reference = {.examples = 0};
        for (uint64_t clock = step * PUSHES + 1; clock <= (step + 1) * PUSHES; clock++) {
            for (uint32_t rank = 0; rank < RANKS; rank++)
                push_one(&shard, rank, clock, &reference);
        }
        for (size_t i = 0; i < 4; i++)
            right[i] -= reference.sum[i] / reference.examples;
    }
    for (size_t i = 0; i < 4; i++) {
        const double got = (double)shard_last(&shard, 0)->value[i];
        assert_true(fabs(got - right[i]) < 4e-6);
    }
    shard_teardown(&shard);
}

/* Numbers of which no sum is rounded: the same bits as one push of all that a rank has. */
static void accumulate__of_exact_numbers__equals_one_big_push(void **state)
{
    (void)state;
    static const float part[2][2] = {{0.5F, 1.5F}, {-2.0F, 0.25F}};
    const struct stepd_setting accumulate = accumulate_number("accumulate", &two);
    struct shard many;
    struct shard one;
    accumulate_setup(&many, 2, &accumulate, 1);
    accumulate_setup(&one, 2, NULL, 0);
    for (uint32_t rank = 0; rank < 2; rank++) {
        const float first[4] = {part[rank][0], part[rank][0], 1, 1};
        const float second[4] = {part[rank][1], part[rank][1], 2, 3};
        float mean[4];
        for (size_t i = 0; i < 4; i++)
            mean[i] = (first[i] + second[i]) / 2;
        accumulate_push(&many, rank, 1, 0, 4, first);
        accumulate_push(&many, rank, 2, 0, 4, second);
        accumulate_push(&one, rank, 1, 0, 8, mean);
    }
    assert_memory_equal(shard_last(&many, 1)->value, shard_last(&one, 1)->value, 4 * sizeof(float));
    shard_teardown(&many);
    shard_teardown(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulate__in_any_order_over_any_shards__gives_the_same_bits),
        cmocka_unit_test(accumulate__of_uneven_pushes__is_the_float64_mean),
        cmocka_unit_test(accumulate__of_exact_numbers__equals_one_big_push),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
