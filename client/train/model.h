/* SPDX-License-Identifier: Apache-2.0
 *
 * The models: layers (layer.h) and a loss.
 *
 *     linear                     one layer, mean squared error to one-hot labels
 *     softmax                    one layer, cross-entropy: multinomial logistic regression
 *     mlp:784-1000-1000-10       dense layers with ReLU between them, cross-entropy
 *     mlp                        the same: two hidden layers of 1000
 *     cnn:16-32                  3x3 convolutions of so many channels, each with 2x2 pooling and
 *                                ReLU, and a dense layer; cross-entropy
 *     cnn                        cnn:16-32
 *
 * A step over a batch goes layer by layer, so that weights may arrive late and gradients may leave
 * early. What the backward pass hands on from layer to layer does not need the weights' gradients,
 * so these come last, in any order (traffic.h).
 *
 *     dataset_gather(..., model_input(model), labels)
 *     for l = 0 .. layers - 1:   model_forward(model, l, B)        reads the weights of layer l
 *     loss = model_loss(model, labels, B)
 *     for l = layers - 1 .. 0:   model_backward(model, l, B)       the last to read them
 *     for each l:                model_gradients(model, l, B)
 *
 * Letters as in layer.h. Gradients are means over the B examples. One thread.
 */
#ifndef TRAIN_MODEL_H
#define TRAIN_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/train/layer.h"

#define MODEL_LAYERS_MAX 32u
#define MODEL_WIDTH_MAX  (1u << 16)

/* What is to be learnt: which of so many classes an image is of. */
struct model_task {
    struct layer_image image;
    size_t classes;
};

struct model_loss;

struct model {
    size_t layers;
    size_t batch_max;                     /* B is at most this */
    struct layer layer[MODEL_LAYERS_MAX]; /* their arrays are parts of the two below */
    const struct model_loss *loss;        /* static */
    float *input;                         /* (B, I of layer 0) */
    float *arrays;                        /* owned: all arrays of floats in one piece */
    uint8_t *marks;                       /* owned: all marks of layers in one piece */
};

/*
 * Builds the model that `spec` names for a task (borrowed until return); weights are 0.
 * *ret_model: caller frees with model_destroy.
 * INVALID_ARGUMENT: the spec is malformed, or its widths do not fit the task.
 * RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status model_create(const char *spec, const struct model_task *task, size_t batch_max,
                               struct model **ret_model,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct model *model_destroy(struct model *model);

/* Is `spec` well formed, whatever the data? INVALID_ARGUMENT says where not. */
enum stepd_status model_check_spec(const char *spec, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Where a batch's inputs go, (batch_max, I of layer 0). Owned by the model. */
float *model_input(struct model *model);

/* Computes the output of layer l from the output below it. batch <= batch_max. */
void model_forward(struct model *model, size_t l, size_t batch);

/*
 * The mean loss over the batch, which is at least 1. labels: (B,), each below C. Prepares the
 * backward pass; must follow the forward of the last layer.
 */
double model_loss(struct model *model, const uint8_t *labels, size_t batch);

/*
 * Writes the bias's gradient of layer l, and prepares the weight's, and layer l - 1. After its
 * return nothing reads the weights of layer l until the next forward, so new ones may be written
 * over them.
 */
void model_backward(struct model *model, size_t l, size_t batch);

/* Writes the weight's gradient of layer l, whose backward pass has been. */
void model_gradients(struct model *model, size_t l, size_t batch);

/* Is none of the newest gradients NaN or infinite? */
bool model_gradients_are_finite(const struct model *model);

/* How many of the batch have their label as the highest score, after a forward. */
size_t model_correct(const struct model *model, const uint8_t *labels, size_t batch);

/* All weights and biases, as a number of floats. */
uint64_t model_parameters(const struct model *model);

#endif
