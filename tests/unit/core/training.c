/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays of every tensor are as long as the longest may be, so that a test need not size them.
 */
#include "tests/unit/core/training.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TOLERANCE 1e-6 /* of a step or two in float */

void training_open(struct training *training, const struct stepd_define_job *def,
                   const struct stepd_tensor_def *tensor, size_t tensors)
{
    const struct stepd_define_tensors page = {.tensors = tensors, .tensor = tensor, .last = true};
    struct stepd_error error = {.code = STEPD_OK};
    assert_true(tensors <= TRAINING_TENSORS);
    *training = (struct training){.tensors = tensors};
    if (local_create(def, &page, kernels_choose(), &training->local, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

void training_close(struct training *training)
{
    training->local = local_destroy(training->local);
}

void training_open_group(struct training *training, const struct stepd_group *group, double start)
{
    static const uint64_t shape[] = {TRAINING_ELEMENTS};
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = group};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, start);
    training_open(training, &def, &tensor, 1);
}

enum stepd_status training_push(struct training *training, struct local_push push,
                                const struct training_arrays *grad, struct stepd_error *reterr)
{
    const float *from[TRAINING_TENSORS];
    float *to[TRAINING_TENSORS];
    for (size_t i = 0; i < TRAINING_TENSORS; i++) {
        from[i] = grad->at[i];
        to[i] = training->weights.at[i];
    }
    push.grad = from;
    return local_step(training->local, &push, to, reterr);
}

void training_step(struct training *training, const struct training_arrays *grad)
{
    const struct local_push push = {.examples = 1};
    struct stepd_error error = {.code = STEPD_OK};
    if (training_push(training, push, grad, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

void training_step_all(struct training *training, float grad)
{
    struct training_arrays arrays = {{{0}}};
    for (size_t i = 0; i < TRAINING_ELEMENTS; i++)
        arrays.at[0][i] = grad;
    training_step(training, &arrays);
}

void training_skip(struct training *training)
{
    const struct training_arrays none = {{{0}}};
    const struct local_push push = {.examples = 0};
    assert_int_equal(training_push(training, push, &none, NULL), STEPD_OK);
}

struct training_arrays training_view(struct training *training, enum stepd_view view)
{
    struct training_arrays arrays = {{{0}}};
    float *to[TRAINING_TENSORS];
    for (size_t i = 0; i < TRAINING_TENSORS; i++)
        to[i] = arrays.at[i];
    struct stepd_error error = {.code = STEPD_OK};
    if (local_pull(training->local, view, to, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return arrays;
}

float training_weight(struct training *training)
{
    return training_view(training, STEPD_EVALUATION).at[0][0];
}

void assert_close(double got, double right)
{
    if (!(fabs(got - right) <= TOLERANCE * fmax(1.0, fabs(right))))
        fail_msg("got %.9g, right is %.9g", got, right);
}
