/* SPDX-License-Identifier: Apache-2.0
 *
 * Phases of a group as they are trained: each is what its optimizer does by itself from where the
 * one before it has left the weights, to the last bit; its state and its t begin anew, and the
 * schedule goes on.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/group.h"
#include "tests/unit/core/training.h"

enum { STEPS = 10 };

static struct training_arrays gradient(size_t step)
{
    struct training_arrays grad = {{{0}}};
    for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
        grad.at[0][i] = (float)cos((double)(5 * step + 3 * i));
    return grad;
}

/* ---- By hand --------------------------------------------------------------------------------- */

/* An optimizer of element scope by itself. */
struct by_hand {
    const struct optimizer *optimizer;
    struct optim_hyper hyper;
    uint64_t t;
    float slot[OPTIMIZER_SLOTS_MAX][TRAINING_ELEMENTS];
    double scalar[OPTIMIZER_SCALARS_MAX];
};

/* As a group's first phase is made of these settings. */
static struct by_hand begin(const char *optimizer, const char *settings)
{
    const struct stepd_group nothing = {.name = ""};
    const struct stepd_group def = settings_group(optimizer, settings);
    struct group group;
    assert_int_equal(group_init(&nothing, &def, &group, NULL), STEPD_OK);
    const struct by_hand hand = {.optimizer = group.phase[0].optimizer,
                                 .hyper = group.phase[0].hyper};
    group_deinit(&group);
    return hand;
}

/* One update of the weights at this learning rate. */
static void update(struct by_hand *hand, double lr, const struct training_arrays *grad,
                   float weights[TRAINING_ELEMENTS])
{
    const enum optim_isa isa = kernels_choose();
    const struct optim_step step = {
        .hyper = &hand->hyper, .lr = lr, .t = ++hand->t, .scalar = hand->scalar};
    float *slot[OPTIMIZER_SLOTS_MAX];
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        slot[k] = hand->slot[k];
    if (hand->optimizer->prepare != NULL)
        hand->optimizer->prepare(&step, hand->scalar);
    hand->optimizer->step[isa](&step, TRAINING_ELEMENTS, weights, grad->at[0], slot);
}

/* A group of two phases against its optimizers, one after the other. */
static void compare(const struct stepd_group *group, struct by_hand first, struct by_hand second,
                    size_t from)
{
    float weights[TRAINING_ELEMENTS];
    for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
        weights[i] = 1.5F;
    struct training training;
    training_open_group(&training, group, 1.5);
    for (size_t step = 0; step < STEPS; step++) {
        const struct training_arrays grad = gradient(step);
        struct by_hand *hand = step < from ? &first : &second;
        training_step(&training, &grad);
        update(hand, hand->hyper.lr, &grad, weights);
        const struct training_arrays got = training_view(&training, STEPD_EVALUATION);
        assert_memory_equal(got.at[0], weights, sizeof weights);
    }
    training_close(&training);
}

/* ---- One after the other --------------------------------------------------------------------- */

static void phases__of_adam_and_then_sgd__are_the_two_by_hand(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(4, "momentum", "lr=0.125 momentum=0.75");
    struct stepd_group group = settings_group("adam", "lr=0.0625 betas=0.75,0.875");
    group.phases = 1;
    group.phase = &phase;
    compare(&group, begin("adam", "lr=0.0625 betas=0.75,0.875"),
            begin("momentum", "lr=0.125 momentum=0.75"), 4);
}

static void phases__of_the_same_optimizer__begin_it_anew(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(3, "adam", "lr_mult=0.5");
    struct stepd_group group = settings_group("adam", "lr=0.25 amsgrad=1");
    group.phases = 1;
    group.phase = &phase;
    compare(&group, begin("adam", "lr=0.25 amsgrad=1"), begin("adam", "lr=0.125 amsgrad=1"), 3);
}

/* The second has fewer slots than the first, and asgd's scalars. */
static void phases__of_more_and_of_less_state__are_the_two_by_hand(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(6, "asgd", "lr=0.125");
    struct stepd_group group = settings_group("rmsprop", "lr=0.25 centered=1 momentum=0.5");
    group.phases = 1;
    group.phase = &phase;
    compare(&group, begin("rmsprop", "lr=0.25 centered=1 momentum=0.5"), begin("asgd", "lr=0.125"),
            6);
}

/* The point ahead is of the phase that has it: from the first update of that phase to its last. */
static void phases__of_which_one_looks_ahead__train_ahead_in_that_one_only(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {settings_phase(2, "nesterov", "form=interim"),
                                        settings_phase(5, "sgd", "")};
    struct stepd_group group = settings_group("sgd", "lr=0.5");
    group.phases = 2;
    group.phase = phase;
    struct training training;
    training_open_group(&training, &group, 0.0);
    for (int version = 1; version <= 7; version++) {
        training_step_all(&training, 1.0F);
        const bool ahead = training.weights.at[0][0] != training_weight(&training);
        assert_int_equal(ahead, version == 3 || version == 4);
    }
    training_close(&training);
}

/* ---- Clocks ---------------------------------------------------------------------------------- */

static void phases__under_a_schedule__do_not_begin_it_anew(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(2, "sgd", "lr=8");
    struct stepd_group group = settings_group("sgd", "lr=1");
    group.phases = 1;
    group.phase = &phase;
    group.schedule = "exponential";
    group.schedule_settings = settings_of("gamma=0.5");
    struct training training;
    training_open_group(&training, &group, 0.0);
    for (int i = 0; i < 4; i++)
        training_step_all(&training, 1.0F);
    assert_true(training_weight(&training) == -(1.0F + 0.5F + 8.0F * (0.25F + 0.125F)));
    training_close(&training);
}

/* In sync mode a phase begins with a version, whether updates came of the rounds before it or not;
 * its t counts from its first update. */
static void phases__after_skipped_rounds__begin_with_their_version_at_t_1(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(3, "adam", "lr=0.25");
    struct stepd_group group = settings_group("sgd", "lr=0.5");
    group.phases = 1;
    group.phase = &phase;
    struct by_hand sgd = begin("sgd", "lr=0.5");
    struct by_hand adam = begin("adam", "lr=0.25");
    float weights[TRAINING_ELEMENTS] = {0.0F};
    struct training training;
    training_open_group(&training, &group, 0.0);
    for (size_t version = 0; version < STEPS; version++) {
        if (version == 1 || version == 2 || version == 5) {
            training_skip(&training);
            continue;
        }
        const struct training_arrays grad = gradient(version);
        training_step(&training, &grad);
        if (version < 3)
            update(&sgd, 0.5, &grad, weights);
        else
            update(&adam, 0.25, &grad, weights);
        const struct training_arrays got = training_view(&training, STEPD_EVALUATION);
        assert_memory_equal(got.at[0], weights, sizeof weights);
    }
    training_close(&training);
}

static void phases__in_async__begin_with_updates(void **state)
{
    (void)state;
    static const uint64_t four[] = {4};
    static const float grad[] = {1, 1, 1, 1};
    const struct stepd_phase phase = settings_phase(2, "sgd", "lr=8");
    struct stepd_group group = settings_group("sgd", "lr=1");
    group.phases = 1;
    group.phase = &phase;
    const struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 0.0);
    const struct shard_job job = {.mode = STEPD_ASYNC,
                                  .workers = 1,
                                  .groups = 1,
                                  .group = &group,
                                  .tensors = 1,
                                  .tensor = &tensor};
    struct shard shard;
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    for (uint64_t clock = 1; clock <= 4; clock++) {
        const struct shard_push push = {.id = clock,
                                        .clock = clock,
                                        .base_version = clock - 1,
                                        .examples = clock == 2 ? 0 : 1,
                                        .slices = 1,
                                        .grad = grad,
                                        .values = clock == 2 ? 0 : 4,
                                        .step = true};
        shard_push(&shard, 0, &push);
    }
    assert_true(shard_last(&shard, 0)->value[0] == -10.0F); /* 1 + 1 + 8 */
    shard_teardown(&shard);
}

/* ---- Other scopes ---------------------------------------------------------------------------- */

/* From one that takes elements to one that takes the group; the Hessian travels all the time. */
static void phases__of_sgd_and_then_newton__solve_what_is_left(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(2, "newton", "lr=1");
    struct stepd_group group = settings_group("sgd", "lr=0.25");
    group.phases = 1;
    group.phase = &phase;
    const uint64_t shape[] = {2};
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 3.0);
    struct training training;
    training_open(&training, &def, &tensor, 1);
    static const float hessian[] = {1, 0, 0, 2}; /* of w0^2 / 2 + w1^2 */
    static const double expected[][2] = {{2.25, 1.5}, {1.6875, 0.75}, {0.0, 0.0}};
    const float *const extra[] = {hessian};
    float w[2] = {3.0F, 3.0F};
    for (size_t step = 0; step < 3; step++) {
        const struct training_arrays grad = {{{w[0], 2.0F * w[1]}}};
        const struct local_push push = {.extra = extra, .examples = 1};
        assert_int_equal(training_push(&training, push, &grad, NULL), STEPD_OK);
        const struct training_arrays got = training_view(&training, STEPD_EVALUATION);
        for (size_t i = 0; i < 2; i++) {
            w[i] = got.at[0][i];
            assert_close((double)w[i], expected[step][i]);
        }
    }
    training_close(&training);
}

/* Two tensors in one slice, each with slots and scalars of its own in the second phase. */
static void phases__of_sgd_and_then_adafactor__keep_tensors_apart(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(2, "adafactor", "lr=0.25");
    struct stepd_group phased = settings_group("sgd", "lr=0");
    phased.phases = 1;
    phased.phase = &phase;
    const struct stepd_group plain = settings_group("adafactor", "lr=0.25");
    const uint64_t shape[] = {2, 3};
    const struct stepd_tensor_def tensor[] = {shard_tensor("a", shape, 2, 1.0),
                                              shard_tensor("b", shape, 2, 1.0)};
    struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &phased};
    struct training first;
    struct training second;
    training_open(&first, &def, tensor, 2);
    def.group = &plain;
    training_open(&second, &def, tensor, 2);
    for (size_t step = 0; step < STEPS; step++) {
        struct training_arrays grad = gradient(step);
        memcpy(grad.at[1], gradient(step + 100).at[0], sizeof grad.at[1]);
        training_step(&first, &grad);
        if (step < 2)
            continue; /* at a rate of 0 */
        training_step(&second, &grad);
        assert_memory_equal(&first.weights, &second.weights, sizeof first.weights);
    }
    training_close(&first);
    training_close(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases__of_adam_and_then_sgd__are_the_two_by_hand),
        cmocka_unit_test(phases__of_the_same_optimizer__begin_it_anew),
        cmocka_unit_test(phases__of_more_and_of_less_state__are_the_two_by_hand),
        cmocka_unit_test(phases__of_which_one_looks_ahead__train_ahead_in_that_one_only),
        cmocka_unit_test(phases__under_a_schedule__do_not_begin_it_anew),
        cmocka_unit_test(phases__after_skipped_rounds__begin_with_their_version_at_t_1),
        cmocka_unit_test(phases__in_async__begin_with_updates),
        cmocka_unit_test(phases__of_sgd_and_then_newton__solve_what_is_left),
        cmocka_unit_test(phases__of_sgd_and_then_adafactor__keep_tensors_apart),
    };
    return cmocka_run_group_tests_name("core/step phases", tests, NULL, NULL);
}
