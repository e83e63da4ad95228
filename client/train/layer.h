/* SPDX-License-Identifier: Apache-2.0
 *
 * A layer of a model: a weight and a bias, and the passes over them. The kinds are dense
 * (dense.c) and a convolution with its pooling (conv.c); both can put a ReLU on their output.
 *
 * Letters: B examples of the batch, I inputs and O outputs of one example, all arrays row-major.
 * An image is (C, H, W): channels, height, width; what has no such shape is (I, 1, 1). A weight is
 * (O', K): O' biases, and K inputs of each output, with PyTorch's names and layouts: (O, I) for
 * dense, (C_out, C_in, 3, 3) for a convolution.
 */
#ifndef TRAIN_LAYER_H
#define TRAIN_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAYER_NAME_BYTES 16u
#define LAYER_DIMS_MAX   4u

struct layer;

struct layer_image {
    size_t channels; /* C */
    size_t height;   /* H */
    size_t width;    /* W */
};

struct layer_kind {
    /* Floats, and bytes, of working memory for batches of at most batch_max examples. */
    size_t (*scratch_floats)(const struct layer *layer);
    size_t (*marks)(const struct layer *layer, size_t batch_max);
    /* Computes `output` from `input` (B, I). B is at least 1. */
    void (*forward)(const struct layer *layer, const float *input, size_t batch);
    /*
     * Begins the backward pass from delta (B, O), the loss by `output`, which is written over.
     * Writes bias_grad, a mean over the batch. below (B, I): receives the loss by `input`; NULL:
     * nobody asks. Nothing reads the weights afterwards.
     */
    void (*backward)(const struct layer *layer, size_t batch, float *below);
    /* Ends it: writes weight_grad, likewise. */
    void (*gradients)(const struct layer *layer, const float *input, size_t batch);
};

struct layer {
    const struct layer_kind *kind; /* static */
    char name[LAYER_NAME_BYTES];   /* "fc1": its tensors are fc1.weight and fc1.bias */
    struct layer_image in;
    struct layer_image out;
    size_t inputs;  /* I */
    size_t outputs; /* O */
    size_t biases;  /* O' */
    size_t fan_in;  /* K */
    size_t dims;    /* of the weight's shape */
    uint64_t shape[LAYER_DIMS_MAX];
    bool relu; /* on the output */

    /* Parts of the model's memory. */
    float *weight;      /* (O', K) */
    float *bias;        /* (O',) */
    float *weight_grad; /* (O', K) */
    float *bias_grad;   /* (O',) */
    float *output;      /* (B, O), after the ReLU */
    float *delta;       /* (B, O), the loss by the output */
    float *scratch;     /* as the kind asks */
    uint8_t *marks;     /* as the kind asks */
};

/* Elements of a weight. */
static inline size_t layer_weights(const struct layer *layer)
{
    return layer->biases * layer->fan_in;
}

/* Elements of an image. */
static inline size_t layer_elements(const struct layer_image *image)
{
    return image->channels * image->height * image->width;
}

/* The n-th dense layer of a model (1 first): `inputs` numbers in, `outputs` numbers out. */
struct layer dense_layer(size_t n, size_t inputs, size_t outputs, bool relu);

/*
 * The n-th convolution (1 first): 3x3, stride 1, zeros around the image so that it keeps its size;
 * then the largest of each 2x2 (what is left of an odd row or column is not seen), then a ReLU.
 * An image is at least 2x2.
 */
struct layer conv_layer(size_t n, const struct layer_image *in, size_t channels);

#endif
