/* SPDX-License-Identifier: Apache-2.0
 *
 * The dense layer. With X (B, I) the input, W (O, I), b (O,):
 *
 *     Z = X W^T + b,  Y = max(Z, 0) or Z                                          forward
 *     db = sum over B of dZ,  dX = dZ W                                           backward
 *     dW = dZ^T X                                                                 gradients
 *
 * where dZ is dY where the output was positive. The loss has been divided by B, so that every
 * gradient is a mean.
 */
#include <stdio.h>
#include <string.h>

#include "client/train/blas.h"
#include "client/train/layer.h"

static size_t no_scratch(const struct layer *layer)
{
    (void)layer;
    return 0;
}

static size_t no_marks(const struct layer *layer, size_t batch_max)
{
    (void)layer;
    (void)batch_max;
    return 0;
}

static void forward(const struct layer *layer, const float *input, size_t batch)
{
    for (size_t i = 0; i < batch; i++)
        memcpy(layer->output + i * layer->outputs, layer->bias, layer->outputs * sizeof(float));
    blas_multiply(
        &(struct blas_product){
            .b_turned = true,
            .rows = batch,
            .cols = layer->outputs,
            .inner = layer->inputs,
            .beta = 1.0f,
        },
        input, layer->weight, layer->output);
    if (!layer->relu)
        return;
    for (size_t i = 0; i < batch * layer->outputs; i++)
        layer->output[i] = layer->output[i] > 0.0f ? layer->output[i] : 0.0f;
}

static void backward(const struct layer *layer, size_t batch, float *below)
{
    if (layer->relu)
        for (size_t i = 0; i < batch * layer->outputs; i++)
            layer->delta[i] = layer->output[i] > 0.0f ? layer->delta[i] : 0.0f;
    memcpy(layer->bias_grad, layer->delta, layer->outputs * sizeof(float));
    for (size_t i = 1; i < batch; i++)
        for (size_t o = 0; o < layer->outputs; o++)
            layer->bias_grad[o] += layer->delta[i * layer->outputs + o];
    if (below == NULL)
        return;
    blas_multiply(
        &(struct blas_product){
            .rows = batch,
            .cols = layer->inputs,
            .inner = layer->outputs,
        },
        layer->delta, layer->weight, below);
}

static void gradients(const struct layer *layer, const float *input, size_t batch)
{
    blas_multiply(
        &(struct blas_product){
            .a_turned = true,
            .rows = layer->outputs,
            .cols = layer->inputs,
            .inner = batch,
        },
        layer->delta, input, layer->weight_grad);
}

static const struct layer_kind dense = {
    .scratch_floats = no_scratch,
    .marks = no_marks,
    .forward = forward,
    .backward = backward,
    .gradients = gradients,
};

struct layer dense_layer(size_t n, size_t inputs, size_t outputs, bool relu)
{
    struct layer layer = {
        .kind = &dense,
        .in = {.channels = inputs, .height = 1, .width = 1},
        .out = {.channels = outputs, .height = 1, .width = 1},
        .inputs = inputs,
        .outputs = outputs,
        .biases = outputs,
        .fan_in = inputs,
        .dims = 2,
        .shape = {outputs, inputs},
        .relu = relu,
    };
    (void)snprintf(layer.name, sizeof layer.name, "fc%zu", n);
    return layer;
}
