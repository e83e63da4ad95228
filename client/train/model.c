/* SPDX-License-Identifier: Apache-2.0
 *
 * A model's memory, and its passes, which are those of its layers in a row. All arrays of floats
 * are cut from one allocation, on cache lines; each layer's output is the input of the next, and
 * its delta is written by the one above it (or by the loss).
 */
#include "client/train/model.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/train/loss.h"
#include "client/train/model_spec.h"
#include "proto/error.h"

#define ARRAY_ALIGN_FLOATS 16u /* 64 bytes: a cache line and an AVX-512 register */

/* ---- Memory ---------------------------------------------------------------------------------- */

/* The next array of `count` floats: at base + *used, or nowhere while base is NULL (counting). */
static float *take(float *base, size_t *used, size_t count)
{
    float *const array = base == NULL ? NULL : base + *used;
    *used += (count + ARRAY_ALIGN_FLOATS - 1) / ARRAY_ALIGN_FLOATS * ARRAY_ALIGN_FLOATS;
    return array;
}

/* Cuts all arrays of floats from base, and returns how many floats they take. */
static size_t cut_arrays(struct model *model, float *base)
{
    const size_t batch = model->batch_max;
    size_t used = 0;
    model->input = take(base, &used, batch * model->layer[0].inputs);
    for (size_t l = 0; l < model->layers; l++) {
        struct layer *const layer = &model->layer[l];
        layer->weight = take(base, &used, layer_weights(layer));
        layer->bias = take(base, &used, layer->biases);
        layer->weight_grad = take(base, &used, layer_weights(layer));
        layer->bias_grad = take(base, &used, layer->biases);
        layer->output = take(base, &used, batch * layer->outputs);
        layer->delta = take(base, &used, batch * layer->outputs);
        layer->scratch = take(base, &used, layer->kind->scratch_floats(layer));
    }
    return used;
}

/* The same for the marks. */
static size_t cut_marks(struct model *model, uint8_t *base)
{
    size_t used = 0;
    for (size_t l = 0; l < model->layers; l++) {
        struct layer *const layer = &model->layer[l];
        layer->marks = base == NULL ? NULL : base + used;
        used += layer->kind->marks(layer, model->batch_max);
    }
    return used;
}

enum stepd_status model_create(const char *spec, const struct model_task *task, size_t batch_max,
                               struct model **ret_model, struct stepd_error *reterr)
{
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        goto fail_memory;
    const enum stepd_status status =
        model_spec_layers(spec, task, model->layer, &model->layers, &model->loss, reterr);
    if (status != STEPD_OK) {
        model_destroy(model);
        return status;
    }
    model->batch_max = batch_max;
    const size_t bytes = cut_arrays(model, NULL) * sizeof(float);
    model->arrays = aligned_alloc(ARRAY_ALIGN_FLOATS * sizeof(float), bytes);
    model->marks = malloc(cut_marks(model, NULL) + 1); /* never 0 bytes */
    if (model->arrays == NULL || model->marks == NULL)
        goto fail_memory;
    memset(model->arrays, 0, bytes);
    (void)cut_arrays(model, model->arrays);
    (void)cut_marks(model, model->marks);
    *ret_model = model;
    return STEPD_OK;

fail_memory:
    model_destroy(model);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for model '%s'", spec);
}

struct model *model_destroy(struct model *model)
{
    if (model != NULL) {
        free(model->marks);
        free(model->arrays);
    }
    free(model);
    return NULL;
}

/* ---- The passes ------------------------------------------------------------------------------ */

float *model_input(struct model *model)
{
    return model->input;
}

/* X of layer l, (B, I). */
static const float *input_of(const struct model *model, size_t l)
{
    return l == 0 ? model->input : model->layer[l - 1].output;
}

void model_forward(struct model *model, size_t l, size_t batch)
{
    assert(l < model->layers && batch <= model->batch_max);
    const struct layer *const layer = &model->layer[l];
    if (batch > 0)
        layer->kind->forward(layer, input_of(model, l), batch);
}

double model_loss(struct model *model, const uint8_t *labels, size_t batch)
{
    assert(batch > 0 && batch <= model->batch_max);
    const struct layer *const last = &model->layer[model->layers - 1];
    return model->loss->compute(last->output, labels, batch, last->outputs, last->delta);
}

void model_backward(struct model *model, size_t l, size_t batch)
{
    assert(l < model->layers && batch <= model->batch_max);
    const struct layer *const layer = &model->layer[l];
    if (batch > 0)
        layer->kind->backward(layer, batch, l == 0 ? NULL : model->layer[l - 1].delta);
}

void model_gradients(struct model *model, size_t l, size_t batch)
{
    assert(l < model->layers && batch <= model->batch_max);
    const struct layer *const layer = &model->layer[l];
    if (batch > 0)
        layer->kind->gradients(layer, input_of(model, l), batch);
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

bool model_gradients_are_finite(const struct model *model)
{
    for (size_t l = 0; l < model->layers; l++) {
        const struct layer *const layer = &model->layer[l];
        if (!all_finite(layer->weight_grad, layer_weights(layer)) ||
            !all_finite(layer->bias_grad, layer->biases))
            return false;
    }
    return true;
}

size_t model_correct(const struct model *model, const uint8_t *labels, size_t batch)
{
    const struct layer *const last = &model->layer[model->layers - 1];
    const size_t classes = last->outputs;
    size_t correct = 0;
    for (size_t i = 0; i < batch; i++) {
        const float *const scores = last->output + i * classes;
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            if (scores[c] > scores[best])
                best = c;
        correct += best == labels[i];
    }
    return correct;
}

uint64_t model_parameters(const struct model *model)
{
    uint64_t sum = 0;
    for (size_t l = 0; l < model->layers; l++)
        sum += layer_weights(&model->layer[l]) + model->layer[l].biases;
    return sum;
}
