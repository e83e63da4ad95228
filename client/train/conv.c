/* SPDX-License-Identifier: Apache-2.0
 *
 * The convolution, image by image, as one matrix product each (Chellapilla, Puri and Simard, "High
 * Performance Convolutional Neural Networks for Document Processing", 2006, section 2: im2col).
 * For one image X (C, H, W), with K = 9 C, P = H W pixels, H' = H / 2, W' = W / 2:
 *
 *     U (K, P)        row (c, i, j) is channel c moved by (i - 1, j - 1), zeros from outside
 *     Z (C', P)       = W (C', K) U + b
 *     Y (C', H', W')  = max(the largest of each 2x2 of Z, 0)                      forward
 *
 *     dZ (C', P)      = dY where the largest was, if it was above 0; 0 elsewhere
 *     db += sum over P of dZ
 *     dU (K, P)       = W^T dZ;  dX adds up the rows of dU, moved back            backward
 *     dW += dZ U^T                                                                gradients
 *
 * This is PyTorch's Conv2d(C, C', 3, padding=1), ReLU, MaxPool2d(2): the largest of the values
 * after the ReLU is the ReLU of the largest, and of equal ones the first in the row counts. Of a
 * forward pass only Y is kept, and for each of its elements which of the four it was (`marks`); U
 * and dZ are made again, which costs less than a batch of them would take. The sum over the batch
 * goes image by image, so it has one order.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "client/train/blas.h"
#include "client/train/layer.h"

#define SIDE  ((size_t)3)   /* of the kernel */
#define TAPS  (SIDE * SIDE) /* of the kernel, per channel */
#define POOL  ((size_t)2)
#define LANES 16u

static size_t pixels_of(const struct layer *layer)
{
    return layer->in.height * layer->in.width;
}

/* U (K, P), Z or dZ (C', P), dU (K, P). */
static size_t scratch_floats(const struct layer *layer)
{
    return (2 * layer->fan_in + layer->biases) * pixels_of(layer);
}

static float *columns_of(const struct layer *layer) /* U */
{
    return layer->scratch;
}

static float *plane_of(const struct layer *layer) /* Z, dZ */
{
    return layer->scratch + layer->fan_in * pixels_of(layer);
}

static float *columns_delta_of(const struct layer *layer) /* dU */
{
    return plane_of(layer) + layer->biases * pixels_of(layer);
}

static size_t marks_of(const struct layer *layer, size_t batch_max)
{
    return batch_max * layer->outputs;
}

/* What of a line of n elements is still inside when it is moved by tap - 1. */
struct overlap {
    size_t to;   /* first element in U's row */
    size_t from; /* first element in the image */
    size_t count;
};

static struct overlap overlap_of(size_t n, size_t tap)
{
    return (struct overlap){
        .to = tap == 0,
        .from = tap == 2,
        .count = tap == 1 ? n : n - 1,
    };
}

/* U (K, P) from X (C, H, W). */
static void unfold(const struct layer *layer, const float *image, float *columns)
{
    const size_t height = layer->in.height;
    const size_t width = layer->in.width;
    memset(columns, 0, layer->fan_in * height * width * sizeof(float));
    for (size_t k = 0; k < layer->fan_in; k++) {
        const float *const channel = image + k / TAPS * height * width;
        float *const row = columns + k * height * width;
        const struct overlap v = overlap_of(height, k % TAPS / SIDE);
        const struct overlap h = overlap_of(width, k % SIDE);
        for (size_t y = 0; y < v.count; y++)
            memcpy(row + (v.to + y) * width + h.to, channel + (v.from + y) * width + h.from,
                   h.count * sizeof(float));
    }
}

/* dX (C, H, W) from dU (K, P). */
static void fold(const struct layer *layer, const float *columns, float *image)
{
    const size_t height = layer->in.height;
    const size_t width = layer->in.width;
    memset(image, 0, layer->inputs * sizeof(float));
    for (size_t k = 0; k < layer->fan_in; k++) {
        float *const channel = image + k / TAPS * height * width;
        const float *const row = columns + k * height * width;
        const struct overlap v = overlap_of(height, k % TAPS / SIDE);
        const struct overlap h = overlap_of(width, k % SIDE);
        for (size_t y = 0; y < v.count; y++) {
            float *const to = channel + (v.from + y) * width + h.from;
            const float *const from = row + (v.to + y) * width + h.to;
            for (size_t x = 0; x < h.count; x++)
                to[x] += from[x];
        }
    }
}

/* Where in Z the first 2x2 of row y of a channel of Y lies. */
static size_t corner_of(const struct layer *layer, size_t channel, size_t y)
{
    return (channel * layer->in.height + POOL * y) * layer->in.width;
}

/* One row of Y and its marks from the two rows of Z that it is made of. Without branches: which of
 * four numbers is the largest, no processor can guess. */
static void pool_row(const float *first, const float *second, size_t count, float *output,
                     uint8_t *marks)
{
    for (size_t x = 0; x < count; x++) {
        const float *const a = first + POOL * x;
        const float *const b = second + POOL * x;
        const unsigned in_a = a[1] > a[0];
        const unsigned in_b = b[1] > b[0];
        const float of_a = a[1] > a[0] ? a[1] : a[0];
        const float of_b = b[1] > b[0] ? b[1] : b[0];
        const unsigned lower = of_b > of_a;
        const float largest = of_b > of_a ? of_b : of_a;
        output[x] = largest > 0.0f ? largest : 0.0f;
        marks[x] = (uint8_t)(in_a + lower * (2u + in_b - in_a)); /* in_a, or 2 + in_b */
    }
}

/* Y (C', H', W') and its marks from Z (C', P). */
static void pool(const struct layer *layer, const float *plane, float *output, uint8_t *marks)
{
    const size_t across = layer->out.width;
    for (size_t c = 0; c < layer->out.channels; c++)
        for (size_t y = 0; y < layer->out.height; y++) {
            const float *const corner = plane + corner_of(layer, c, y);
            const size_t o = (c * layer->out.height + y) * across;
            pool_row(corner, corner + layer->in.width, across, output + o, marks + o);
        }
}

/* dZ (C', P) from dY (C', H', W'). */
static void unpool(const struct layer *layer, size_t example, float *plane)
{
    const float *const output = layer->output + example * layer->outputs;
    const float *const delta = layer->delta + example * layer->outputs;
    const uint8_t *const marks = layer->marks + example * layer->outputs;
    const size_t across = layer->out.width;
    memset(plane, 0, layer->biases * pixels_of(layer) * sizeof(float));
    for (size_t c = 0; c < layer->out.channels; c++)
        for (size_t y = 0; y < layer->out.height; y++) {
            float *const corner = plane + corner_of(layer, c, y);
            const size_t o = (c * layer->out.height + y) * across;
            for (size_t x = 0; x < across; x++) {
                const size_t mark = marks[o + x];
                corner[mark / POOL * layer->in.width + POOL * x + mark % POOL] =
                    output[o + x] > 0.0f ? delta[o + x] : 0.0f;
            }
        }
}

static void forward(const struct layer *layer, const float *input, size_t batch)
{
    const size_t pixels = pixels_of(layer);
    float *const plane = plane_of(layer);
    for (size_t i = 0; i < batch; i++) {
        unfold(layer, input + i * layer->inputs, columns_of(layer));
        for (size_t c = 0; c < layer->biases; c++)
            for (size_t p = 0; p < pixels; p++)
                plane[c * pixels + p] = layer->bias[c];
        blas_multiply(
            &(struct blas_product){
                .rows = layer->biases,
                .cols = pixels,
                .inner = layer->fan_in,
                .beta = 1.0f,
            },
            layer->weight, columns_of(layer), plane);
        pool(layer, plane, layer->output + i * layer->outputs, layer->marks + i * layer->outputs);
    }
}

/* In LANES partial sums, which a processor adds at the same time; still in one order. */
static float sum_of(const float *values, size_t count)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += values[i + k];
    for (size_t k = 0; i < count; i++, k++)
        lane[k] += values[i];
    float sum = 0;
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

/* Adds what one image gives to dW; dZ stands in `plane`. */
static void add_gradients(const struct layer *layer, const float *image, const float *plane)
{
    const size_t pixels = pixels_of(layer);
    unfold(layer, image, columns_of(layer));
    blas_multiply(
        &(struct blas_product){
            .b_turned = true,
            .rows = layer->biases,
            .cols = layer->fan_in,
            .inner = pixels,
            .beta = 1.0f,
        },
        plane, columns_of(layer), layer->weight_grad);
}

static void backward(const struct layer *layer, size_t batch, float *below)
{
    const size_t pixels = pixels_of(layer);
    float *const plane = plane_of(layer);
    memset(layer->bias_grad, 0, layer->biases * sizeof(float));
    for (size_t i = 0; i < batch; i++) {
        unpool(layer, i, plane);
        for (size_t c = 0; c < layer->biases; c++)
            layer->bias_grad[c] += sum_of(plane + c * pixels, pixels);
        if (below == NULL)
            continue;
        blas_multiply(
            &(struct blas_product){
                .a_turned = true,
                .rows = layer->fan_in,
                .cols = pixels,
                .inner = layer->biases,
            },
            layer->weight, plane, columns_delta_of(layer));
        fold(layer, columns_delta_of(layer), below + i * layer->inputs);
    }
}

static void gradients(const struct layer *layer, const float *input, size_t batch)
{
    float *const plane = plane_of(layer);
    memset(layer->weight_grad, 0, layer_weights(layer) * sizeof(float));
    for (size_t i = 0; i < batch; i++) {
        unpool(layer, i, plane);
        add_gradients(layer, input + i * layer->inputs, plane);
    }
}

static const struct layer_kind conv = {
    .scratch_floats = scratch_floats,
    .marks = marks_of,
    .forward = forward,
    .backward = backward,
    .gradients = gradients,
};

struct layer conv_layer(size_t n, const struct layer_image *in, size_t channels)
{
    assert(in->height >= POOL && in->width >= POOL);
    struct layer layer = {
        .kind = &conv,
        .in = *in,
        .out = {.channels = channels, .height = in->height / POOL, .width = in->width / POOL},
        .inputs = layer_elements(in),
        .biases = channels,
        .fan_in = in->channels * TAPS,
        .dims = 4,
        .shape = {channels, in->channels, SIDE, SIDE},
        .relu = true,
    };
    layer.outputs = layer_elements(&layer.out);
    (void)snprintf(layer.name, sizeof layer.name, "conv%zu", n);
    return layer;
}
