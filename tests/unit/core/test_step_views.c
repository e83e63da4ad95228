/* SPDX-License-Identifier: Apache-2.0
 *
 * What a step makes beside the weights: the point that Nesterov's momentum looks ahead to, the
 * exponential moving average, the running mean; against their formulas in double.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/training.h"

enum { STEPS = 12 };

/* A gradient that is another one for each element and step. */
static struct training_arrays gradient(size_t step)
{
    struct training_arrays grad = {{{0}}};
    for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
        grad.at[0][i] = (float)cos((double)(7 * step + 3 * i));
    return grad;
}

static void assert_arrays_close(const struct training_arrays *got,
                                const double right[TRAINING_ELEMENTS])
{
    for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
        assert_close((double)got->at[0][i], right[i]);
}

static void assert_same_view(struct training *training, enum stepd_view a, enum stepd_view b)
{
    const struct training_arrays first = training_view(training, a);
    const struct training_arrays second = training_view(training, b);
    assert_memory_equal(&first, &second, sizeof first);
}

/* ---- The point ahead ------------------------------------------------------------------------- */

/* Algorithm 8.3: g is computed at theta + alpha v. */
struct nesterov {
    double theta[TRAINING_ELEMENTS];
    double v[TRAINING_ELEMENTS];
};

static void nesterov_step(struct nesterov *n, double lr, double momentum,
                          const struct training_arrays *grad)
{
    for (size_t i = 0; i < TRAINING_ELEMENTS; i++) {
        n->v[i] = momentum * n->v[i] - lr * (double)grad->at[0][i];
        n->theta[i] += n->v[i];
    }
}

static void interim_of(const struct nesterov *n, double momentum, double ret_point[])
{
    for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
        ret_point[i] = n->theta[i] + momentum * n->v[i];
}

static void nesterov__before_any_step__is_looked_ahead_from_the_weights(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("nesterov", "form=interim");
    struct training training;
    training_open_group(&training, &group, 1.5);
    assert_true(training_weight(&training) == 1.5F);
    assert_same_view(&training, STEPD_TRAINING, STEPD_EVALUATION);
    training_close(&training);
}

static void nesterov__after_every_step__trains_ahead_of_what_it_evaluates(void **state)
{
    (void)state;
    const struct stepd_group group =
        settings_group("nesterov", "form=interim lr=0.125 momentum=0.75");
    struct nesterov right = {.v = {0}};
    struct training training;
    training_open_group(&training, &group, 0.0);
    for (size_t step = 0; step < STEPS; step++) {
        const struct training_arrays grad = gradient(step);
        training_step(&training, &grad);
        nesterov_step(&right, 0.125, 0.75, &grad);
        double interim[TRAINING_ELEMENTS];
        interim_of(&right, 0.75, interim);
        const struct training_arrays evaluated = training_view(&training, STEPD_EVALUATION);
        assert_arrays_close(&evaluated, right.theta);
        assert_arrays_close(&training.weights, interim); /* what the step answers */
        const struct training_arrays pulled = training_view(&training, STEPD_TRAINING);
        assert_memory_equal(&pulled, &training.weights, sizeof pulled);
    }
    training_close(&training);
}

/* The momentum of the step at which a gradient from there will count. */
static void nesterov__with_cycled_momentum__looks_ahead_by_that_of_the_next_step(void **state)
{
    (void)state;
    static const double cycle[] = {0.9, 0.5}; /* up and down, from the top */
    struct stepd_group group = settings_group("nesterov", "form=interim");
    group.schedule = "cyclic";
    group.schedule_settings = settings_of("base_lr=0.25 max_lr=0.25 step_size_up=1 "
                                          "base_momentum=0.5 max_momentum=0.9");
    struct nesterov right = {.v = {0}};
    struct training training;
    training_open_group(&training, &group, 0.0);
    for (size_t step = 0; step < STEPS; step++) {
        const struct training_arrays grad = gradient(step);
        training_step(&training, &grad);
        nesterov_step(&right, 0.25, cycle[step % 2], &grad);
        double interim[TRAINING_ELEMENTS];
        interim_of(&right, cycle[(step + 1) % 2], interim);
        assert_arrays_close(&training.weights, interim);
    }
    training_close(&training);
}

/* 8.6, whose gradients are wanted there, too. */
static void rmsprop_nesterov__after_every_step__trains_ahead_of_what_it_evaluates(void **state)
{
    (void)state;
    const struct stepd_group group =
        settings_group("rmsprop_nesterov", "lr=0.125 momentum=0.75 rho=0.5 eps=0.25");
    double theta = 0.0, v = 0.0, r = 0.0;
    struct training training;
    training_open_group(&training, &group, 0.0);
    for (size_t step = 0; step < STEPS; step++) {
        const float g = (float)cos((double)step);
        training_step_all(&training, g);
        r = 0.5 * r + 0.5 * (double)g * (double)g;
        v = 0.75 * v - 0.125 * (double)g / sqrt(r + 0.25);
        theta += v;
        assert_close((double)training.weights.at[0][0], theta + 0.75 * v);
        assert_close((double)training_weight(&training), theta);
    }
    training_close(&training);
}

static void nesterov__in_the_forms_of_others__trains_at_what_it_evaluates(void **state)
{
    (void)state;
    static const char *const forms[] = {"form=torch", "form=classic"};
    for (size_t i = 0; i < 2; i++) {
        const struct stepd_group group = settings_group("nesterov", forms[i]);
        struct training training;
        training_open_group(&training, &group, 0.0);
        training_step_all(&training, 1.0F);
        training_step_all(&training, 1.0F);
        assert_same_view(&training, STEPD_TRAINING, STEPD_EVALUATION);
        training_close(&training);
    }
}

/* ---- Averages -------------------------------------------------------------------------------- */

static void ema__of_the_first_update__is_its_weights_exactly(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("sgd", "lr=0.3 ema_decay=0.75");
    const struct training_arrays grad = gradient(0);
    struct training training;
    training_open_group(&training, &group, 1.5);
    assert_same_view(&training, STEPD_EMA, STEPD_EVALUATION);
    training_step(&training, &grad);
    assert_true(training_weight(&training) != 1.5F);
    assert_same_view(&training, STEPD_EMA, STEPD_EVALUATION);
    training_close(&training);
}

static void ema__of_later_updates__decays_towards_the_weights(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("sgd", "lr=0.3 ema_decay=0.75");
    double mean[TRAINING_ELEMENTS] = {0};
    struct training training;
    training_open_group(&training, &group, 1.5);
    for (size_t step = 0; step < STEPS; step++) {
        const struct training_arrays grad = gradient(step);
        training_step(&training, &grad);
        const struct training_arrays w = training_view(&training, STEPD_EVALUATION);
        for (size_t i = 0; i < TRAINING_ELEMENTS; i++) {
            const double now = (double)w.at[0][i];
            mean[i] = step == 0 ? now : 0.75 * mean[i] + 0.25 * now;
        }
        const struct training_arrays ema = training_view(&training, STEPD_EMA);
        assert_arrays_close(&ema, mean);
    }
    training_close(&training);
}

static void ema__of_weights_that_stand_still__comes_to_rest_on_them(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("sgd", "lr=0 ema_decay=0.9999");
    struct training training;
    training_open_group(&training, &group, 1.0 / 3.0);
    for (int step = 0; step < 500; step++)
        training_step_all(&training, 1.0F);
    assert_same_view(&training, STEPD_EMA, STEPD_EVALUATION);
    training_close(&training);
}

static void swa__of_its_updates__is_the_mean_of_their_weights(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("sgd", "lr=0.3 swa_start=3 swa_every=4");
    double sum[TRAINING_ELEMENTS] = {0};
    double models = 0.0;
    struct training training;
    training_open_group(&training, &group, 1.5);
    for (size_t update = 1; update <= STEPS; update++) {
        const struct training_arrays grad = gradient(update);
        training_step(&training, &grad);
        if (update < 3) {
            assert_same_view(&training, STEPD_SWA, STEPD_EVALUATION);
            continue;
        }
        const bool taken = update == 3 || update == 7 || update == 11;
        const struct training_arrays w = training_view(&training, STEPD_EVALUATION);
        models += taken ? 1.0 : 0.0;
        double mean[TRAINING_ELEMENTS];
        for (size_t i = 0; i < TRAINING_ELEMENTS; i++) {
            sum[i] += taken ? (double)w.at[0][i] : 0.0;
            mean[i] = sum[i] / models;
        }
        const struct training_arrays swa = training_view(&training, STEPD_SWA);
        assert_arrays_close(&swa, mean);
    }
    training_close(&training);
}

static void averages__of_a_skipped_round__stay_and_count_no_update(void **state)
{
    (void)state;
    const struct stepd_group group =
        settings_group("sgd", "lr=0.5 ema_decay=0.5 swa_start=1 swa_every=2");
    struct training training;
    training_open_group(&training, &group, 0.0);
    training_step_all(&training, -2.0F); /* w 1: the first of both */
    training_skip(&training);
    assert_true(training_view(&training, STEPD_EMA).at[0][0] == 1.0F);
    training_step_all(&training, -2.0F); /* w 2 */
    assert_true(training_view(&training, STEPD_EMA).at[0][0] == 1.5F);
    assert_true(training_view(&training, STEPD_SWA).at[0][0] == 1.0F);
    training_step_all(&training, -2.0F); /* w 3: the third update */
    assert_true(training_view(&training, STEPD_SWA).at[0][0] == 2.0F);
    training_close(&training);
}

static void averages__of_the_interim_point__are_of_the_weights(void **state)
{
    (void)state;
    const struct stepd_group group =
        settings_group("nesterov", "form=interim lr=1 momentum=0.5 ema_decay=0.5");
    struct training training;
    training_open_group(&training, &group, 0.0);
    training_step_all(&training, -1.0F); /* v 1, theta 1, interim 1.5 */
    assert_true(training.weights.at[0][0] == 1.5F);
    assert_true(training_view(&training, STEPD_EMA).at[0][0] == 1.0F);
    training_close(&training);
}

/* ---- Long tensors ---------------------------------------------------------------------------- */

/* More than one block, and an odd end. */
enum { LONG = 9001 };

static float long_gradient(size_t i)
{
    return (float)cos((double)i);
}

/* Two steps of a long tensor; every element like an element by itself. */
static void check_long(const char *optimizer, const char *settings, const float *first,
                       const float *second)
{
    static float grad[LONG], pulled[STEPD_VIEWS][LONG];
    const uint64_t shape[] = {LONG};
    const struct stepd_group group = settings_group(optimizer, settings);
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 1.0);
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
    struct training training;
    training_open(&training, &def, &tensor, 1);
    for (size_t i = 0; i < LONG; i++)
        grad[i] = long_gradient(i);
    const float *const from[] = {grad};
    float *const to[] = {pulled[0]};
    const struct local_push push = {.grad = from, .examples = 1};
    for (int step = 0; step < 2; step++)
        assert_int_equal(local_step(training.local, &push, to, NULL), STEPD_OK);
    for (int v = 0; v < STEPD_VIEWS; v++) {
        float *const view[] = {pulled[v]};
        assert_int_equal(local_pull(training.local, (enum stepd_view)v, view, NULL), STEPD_OK);
    }
    for (size_t i = 0; i < LONG; i++) {
        const double w = (double)second[i];
        const double mean = 0.5 * ((double)first[i] + w);
        assert_close((double)pulled[STEPD_EVALUATION][i], w);
        assert_close((double)pulled[STEPD_EMA][i], mean);
        assert_close((double)pulled[STEPD_SWA][i], mean);
    }
    training_close(&training);
}

static void views__of_a_long_tensor__are_made_of_every_element(void **state)
{
    (void)state;
    static float first[LONG], second[LONG];
    for (size_t i = 0; i < LONG; i++) {
        first[i] = 1.0F - 0.5F * long_gradient(i);
        second[i] = first[i] - 0.5F * long_gradient(i);
    }
    check_long("sgd", "lr=0.5 ema_decay=0.5 swa_start=1", first, second);
}

/* With a momentum of 0 and a trust_coefficient of 1, LARS goes lr |w| / |g| times the gradient. */
static void views__of_a_tensor_that_is_stepped_whole__are_made_of_every_element(void **state)
{
    (void)state;
    static float first[LONG], second[LONG];
    double norm = 0.0, step[2];
    for (size_t i = 0; i < LONG; i++)
        norm += (double)long_gradient(i) * (double)long_gradient(i);
    for (int k = 0; k < 2; k++) {
        double weights = 0.0;
        for (size_t i = 0; i < LONG; i++) {
            const double w = k == 0 ? 1.0 : (double)first[i];
            weights += w * w;
        }
        step[k] = 0.5 * sqrt(weights / norm);
        for (size_t i = 0; i < LONG; i++) {
            const double w = k == 0 ? 1.0 : (double)first[i];
            (k == 0 ? first : second)[i] = (float)(w - step[k] * (double)long_gradient(i));
        }
    }
    check_long("lars", "lr=0.5 momentum=0 trust_coefficient=1 ema_decay=0.5 swa_start=1", first,
               second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesterov__before_any_step__is_looked_ahead_from_the_weights),
        cmocka_unit_test(nesterov__after_every_step__trains_ahead_of_what_it_evaluates),
        cmocka_unit_test(nesterov__with_cycled_momentum__looks_ahead_by_that_of_the_next_step),
        cmocka_unit_test(rmsprop_nesterov__after_every_step__trains_ahead_of_what_it_evaluates),
        cmocka_unit_test(nesterov__in_the_forms_of_others__trains_at_what_it_evaluates),
        cmocka_unit_test(ema__of_the_first_update__is_its_weights_exactly),
        cmocka_unit_test(ema__of_later_updates__decays_towards_the_weights),
        cmocka_unit_test(ema__of_weights_that_stand_still__comes_to_rest_on_them),
        cmocka_unit_test(swa__of_its_updates__is_the_mean_of_their_weights),
        cmocka_unit_test(averages__of_a_skipped_round__stay_and_count_no_update),
        cmocka_unit_test(averages__of_the_interim_point__are_of_the_weights),
        cmocka_unit_test(views__of_a_long_tensor__are_made_of_every_element),
        cmocka_unit_test(views__of_a_tensor_that_is_stepped_whole__are_made_of_every_element),
    };
    return cmocka_run_group_tests_name("core/step views", tests, NULL, NULL);
}
