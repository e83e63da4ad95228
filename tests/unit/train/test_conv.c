/* SPDX-License-Identifier: Apache-2.0
 *
 * The convolutional model against a transcription of its definition in double: scores and loss of
 * a forward pass, and every gradient against central differences of the double loss. In double the
 * step of the differences can be so small (1e-6) that hardly any of them crosses a kink of the ReLU
 * or of the pooling, and what is left is the error of the float gradients themselves, about 1e-6.
 * The image is 7x6, so that pooling leaves a row over.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/batch.h"
#include "client/train/model.h"

#define BATCH           ((size_t)3)
#define CLASSES         ((size_t)4)
#define LAYERS          ((size_t)3)
#define ELEMENTS_MOST   ((size_t)64)  /* of any image on the way */
#define PARAMETERS_MOST ((size_t)128) /* of any weight */
#define STEP            1e-6
#define TOLERANCE       1e-5 /* absolute, and relative to the gradient */

static const struct model_task task = {
    .image = {.channels = 1, .height = 7, .width = 6},
    .classes = CLASSES,
};

/* A number in [-1, 1), the same on every machine. */
static float noise(uint64_t seed, uint64_t index)
{
    return (float)((double)(batch_mix(seed ^ batch_mix(index)) >> 11) * 0x1p-52 - 1.0);
}

static struct model *make(uint8_t *labels)
{
    struct model *model;
    struct stepd_error error;
    assert_int_equal(model_create("cnn:3-4", &task, BATCH, &model, &error), STEPD_OK);
    assert_int_equal(model->layers, LAYERS);
    for (size_t l = 0; l < LAYERS; l++) {
        struct layer *const layer = &model->layer[l];
        for (size_t i = 0; i < layer_weights(layer); i++)
            layer->weight[i] = noise(2 * l, i);
        for (size_t i = 0; i < layer->biases; i++)
            layer->bias[i] = 0.5f * noise(2 * l + 1, i);
    }
    for (size_t i = 0; i < BATCH * 42; i++)
        model_input(model)[i] = noise(99, i);
    for (size_t i = 0; i < BATCH; i++)
        labels[i] = (uint8_t)(i % CLASSES);
    return model;
}

/* ---- The definition, in double --------------------------------------------------------------- */

/* The same parameters in double: floats could not take steps as small as STEP. */
struct reference {
    const struct model *model; /* for the shapes */
    double weight[LAYERS][PARAMETERS_MOST];
    double bias[LAYERS][CLASSES];
};

static struct reference reference_of(const struct model *model)
{
    struct reference reference = {.model = model};
    for (size_t l = 0; l < LAYERS; l++) {
        const struct layer *const layer = &model->layer[l];
        assert_true(layer_weights(layer) <= PARAMETERS_MOST && layer->biases <= CLASSES);
        for (size_t i = 0; i < layer_weights(layer); i++)
            reference.weight[l][i] = (double)layer->weight[i];
        for (size_t i = 0; i < layer->biases; i++)
            reference.bias[l][i] = (double)layer->bias[i];
    }
    return reference;
}

/* One pixel of the image moved by (i - 1, j - 1): zeros outside. */
static double moved_pixel(const struct layer_image *in, const double *channel, size_t row,
                          size_t column)
{
    /* What lies above the first row has wrapped to something huge. */
    return row < in->height && column < in->width ? channel[row * in->width + column] : 0;
}

/* One element of a convolution's plane. */
static double convolve(const struct reference *r, size_t l, const double *image, size_t out,
                       size_t at)
{
    const struct layer_image *const in = &r->model->layer[l].in;
    const size_t y = at / in->width;
    const size_t x = at % in->width;
    double sum = r->bias[l][out];
    for (size_t c = 0; c < in->channels; c++)
        for (size_t k = 0; k < 9; k++)
            sum +=
                r->weight[l][(out * in->channels + c) * 9 + k] *
                moved_pixel(in, image + c * in->height * in->width, y + k / 3 - 1, x + k % 3 - 1);
    return sum;
}

static void convolve_and_pool(const struct reference *r, size_t l, const double *image, double *out)
{
    const struct layer *const layer = &r->model->layer[l];
    const size_t pooled = layer->out.height * layer->out.width;
    for (size_t o = 0; o < layer->outputs; o++) {
        const size_t y = 2 * (o % pooled / layer->out.width);
        const size_t x = 2 * (o % layer->out.width);
        out[o] = 0; /* the ReLU */
        for (size_t m = 0; m < 4; m++)
            out[o] = fmax(out[o], convolve(r, l, image, o / pooled,
                                           (y + m / 2) * layer->in.width + x + m % 2));
    }
}

/* The scores of one example. */
static void score(const struct reference *r, const float *input, double *scores)
{
    double image[LAYERS][ELEMENTS_MOST];
    for (size_t i = 0; i < r->model->layer[0].inputs; i++)
        image[0][i] = (double)input[i];
    for (size_t l = 0; l + 1 < LAYERS; l++)
        convolve_and_pool(r, l, image[l], image[l + 1]);
    const size_t last = LAYERS - 1;
    const size_t inputs = r->model->layer[last].inputs;
    for (size_t o = 0; o < CLASSES; o++) {
        scores[o] = r->bias[last][o];
        for (size_t i = 0; i < inputs; i++)
            scores[o] += r->weight[last][o * inputs + i] * image[last][i];
    }
}

/* Minus the logarithm of the softmax at the label, mean over the batch. */
static double reference_loss(const struct reference *r, const uint8_t *labels)
{
    double sum = 0;
    for (size_t b = 0; b < BATCH; b++) {
        double scores[CLASSES];
        double total = 0;
        score(r, r->model->input + b * r->model->layer[0].inputs, scores);
        for (size_t c = 0; c < CLASSES; c++)
            total += exp(scores[c]);
        sum += log(total) - scores[labels[b]];
    }
    return sum / (double)BATCH;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static double forward_all(struct model *model, const uint8_t *labels, size_t batch)
{
    for (size_t l = 0; l < model->layers; l++)
        model_forward(model, l, batch);
    return model_loss(model, labels, batch);
}

static void backward_all(struct model *model, size_t batch)
{
    for (size_t l = model->layers; l-- > 0;)
        model_backward(model, l, batch);
    for (size_t l = 0; l < model->layers; l++)
        model_gradients(model, l, batch);
}

static void model_forward__cnn__gives_the_scores_of_the_definition(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make(labels);
    const struct reference reference = reference_of(model);
    const double loss = forward_all(model, labels, BATCH);
    assert_true(fabs(loss - reference_loss(&reference, labels)) < TOLERANCE);
    for (size_t b = 0; b < BATCH; b++) {
        double scores[CLASSES];
        score(&reference, model->input + b * model->layer[0].inputs, scores);
        for (size_t c = 0; c < CLASSES; c++)
            assert_true(fabs((double)model->layer[LAYERS - 1].output[b * CLASSES + c] - scores[c]) <
                        TOLERANCE);
    }
    model_destroy(model);
}

/* Checks `count` float gradients against differences along the same parameters in double. */
static void check_differences(struct reference *reference, double *parameter, const float *gradient,
                              size_t count, const uint8_t *labels)
{
    for (size_t i = 0; i < count; i++) {
        const double before = parameter[i];
        parameter[i] = before + STEP;
        const double above = reference_loss(reference, labels);
        parameter[i] = before - STEP;
        const double below = reference_loss(reference, labels);
        parameter[i] = before;
        const double numeric = (above - below) / (2 * STEP);
        if (fabs(numeric - (double)gradient[i]) > TOLERANCE * (1 + fabs(numeric)))
            fail_msg("gradient %zu is %g, differences say %g", i, (double)gradient[i], numeric);
    }
}

static void model_backward__cnn__agrees_with_differences(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make(labels);
    struct reference reference = reference_of(model);
    (void)forward_all(model, labels, BATCH);
    backward_all(model, BATCH);
    for (size_t l = 0; l < LAYERS; l++) {
        const struct layer *const layer = &model->layer[l];
        check_differences(&reference, reference.weight[l], layer->weight_grad, layer_weights(layer),
                          labels);
        check_differences(&reference, reference.bias[l], layer->bias_grad, layer->biases, labels);
    }
    model_destroy(model);
}

static void model_backward__cnn_twice__gives_the_same_bits(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make(labels);
    const struct layer *const layer = &model->layer[0];
    float first[PARAMETERS_MOST];
    (void)forward_all(model, labels, BATCH);
    backward_all(model, BATCH);
    memcpy(first, layer->weight_grad, layer_weights(layer) * sizeof(float));
    (void)forward_all(model, labels, BATCH);
    backward_all(model, BATCH);
    assert_memory_equal(first, layer->weight_grad, layer_weights(layer) * sizeof(float));
    model_destroy(model);
}

static void model_gradients__cnn_in_any_order_and_with_new_weights__are_the_same(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make(labels);
    struct layer *const layer = &model->layer[0];
    float first[PARAMETERS_MOST];
    (void)forward_all(model, labels, BATCH);
    backward_all(model, BATCH);
    memcpy(first, layer->weight_grad, layer_weights(layer) * sizeof(float));
    (void)forward_all(model, labels, BATCH);
    for (size_t l = model->layers; l-- > 0;) {
        model_backward(model, l, BATCH);
        for (size_t i = 0; i < layer_weights(&model->layer[l]); i++)
            model->layer[l].weight[i] = NAN;
    }
    for (size_t l = model->layers; l-- > 0;)
        model_gradients(model, l, BATCH);
    assert_memory_equal(first, layer->weight_grad, layer_weights(layer) * sizeof(float));
    model_destroy(model);
}

static void model_backward__cnn_in_two_parts__means_add_up_to_the_whole(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make(labels);
    const struct layer *const layer = &model->layer[0];
    const size_t count = layer_weights(layer);
    float whole[PARAMETERS_MOST];
    float front[PARAMETERS_MOST];
    (void)forward_all(model, labels, BATCH);
    backward_all(model, BATCH);
    memcpy(whole, layer->weight_grad, count * sizeof(float));
    (void)forward_all(model, labels, 1);
    backward_all(model, 1);
    memcpy(front, layer->weight_grad, count * sizeof(float));
    memmove(model_input(model), model_input(model) + layer->inputs,
            2 * layer->inputs * sizeof(float));
    (void)forward_all(model, labels + 1, 2);
    backward_all(model, 2);
    for (size_t i = 0; i < count; i++)
        assert_true(fabsf((front[i] + 2 * layer->weight_grad[i]) / 3 - whole[i]) < 1e-6f);
    model_destroy(model);
}

static void model_forward__equal_values_in_a_pool__lets_the_first_have_the_gradient(void **state)
{
    (void)state;
    const struct model_task flat = {.image = {1, 2, 2}, .classes = 2};
    const uint8_t label = 1;
    struct model *model;
    struct stepd_error error;
    assert_int_equal(model_create("cnn:1", &flat, 1, &model, &error), STEPD_OK);
    struct layer *const conv = &model->layer[0];
    conv->bias[0] = 1.0f; /* all four are 1 */
    model->layer[1].weight[1] = 1.0f;
    for (size_t i = 0; i < 4; i++)
        model_input(model)[i] = (float)(i + 1);
    (void)forward_all(model, &label, 1);
    assert_true(conv->output[0] == 1.0f);
    backward_all(model, 1);
    /* The first sees itself under the middle tap, its neighbours right, below and across. */
    const float share = conv->bias_grad[0];
    const float expected[9] = {0, 0, 0, 0, share, 2 * share, 0, 3 * share, 4 * share};
    assert_true(share < 0);
    assert_memory_equal(conv->weight_grad, expected, sizeof expected);
    model_destroy(model);
}

static void
model_forward__equal_values_below__lets_the_first_of_them_have_the_gradient(void **state)
{
    (void)state;
    const struct model_task flat = {.image = {1, 2, 2}, .classes = 2};
    const uint8_t label = 1;
    struct model *model;
    struct stepd_error error;
    assert_int_equal(model_create("cnn:1", &flat, 1, &model, &error), STEPD_OK);
    struct layer *const conv = &model->layer[0];
    conv->weight[4] = 1.0f; /* the middle tap: the image as it is */
    model->layer[1].weight[1] = 1.0f;
    memcpy(model_input(model), (const float[]){0, 0, 1, 1}, sizeof(float[4]));
    (void)forward_all(model, &label, 1);
    backward_all(model, 1);
    /* The first of the two sees itself, and its neighbour on the right. */
    const float share = conv->bias_grad[0];
    const float expected[9] = {0, 0, 0, 0, share, share, 0, 0, 0};
    assert_true(share < 0);
    assert_memory_equal(conv->weight_grad, expected, sizeof expected);
    model_destroy(model);
}

/* Every place of the output has the same gradient d, so the bias has as many times d. A picture
 * that rises has the largest of each pool at its end, one that falls at its beginning. */
static void model_backward__bias__has_the_gradients_of_all_pixels(void **state)
{
    (void)state;
    const struct model_task ramp = {.image = {1, 27, 28}, .classes = 2};
    const float places = 13 * 14;
    const uint8_t label = 1;
    for (int slope = -1; slope <= 1; slope += 2) {
        struct model *model;
        struct stepd_error error;
        assert_int_equal(model_create("cnn:1", &ramp, 1, &model, &error), STEPD_OK);
        struct layer *const conv = &model->layer[0];
        struct layer *const dense = &model->layer[1];
        conv->weight[4] = 0.001f * (float)slope;
        conv->bias[0] = 2.0f;
        for (size_t i = 0; i < conv->inputs; i++)
            model_input(model)[i] = (float)i;
        for (size_t i = 0; i < dense->inputs; i++)
            dense->weight[i] = 0.001f;
        (void)forward_all(model, &label, 1);
        backward_all(model, 1);
        const float each = 0.001f * dense->bias_grad[0];
        assert_true(each > 1e-5f);
        assert_true(fabsf(conv->bias_grad[0] - places * each) < 1e-4f * places * each);
        model_destroy(model);
    }
}

static void model_create__cnn__has_the_parameters_of_its_layers(void **state)
{
    (void)state;
    const struct model_task images = {.image = {1, 28, 28}, .classes = 10};
    struct model *model;
    struct stepd_error error;
    assert_int_equal(model_create("cnn", &images, 1, &model, &error), STEPD_OK);
    assert_int_equal(model_parameters(model),
                     (16 * 9 + 16) + (32 * 16 * 9 + 32) + (1568 * 10 + 10));
    assert_string_equal(model->layer[1].name, "conv2");
    assert_string_equal(model->layer[2].name, "fc1");
    const uint64_t shape[4] = {32, 16, 3, 3};
    assert_int_equal(model->layer[1].dims, 4);
    assert_memory_equal(model->layer[1].shape, shape, sizeof shape);
    model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_forward__cnn__gives_the_scores_of_the_definition),
        cmocka_unit_test(model_backward__cnn__agrees_with_differences),
        cmocka_unit_test(model_backward__cnn_twice__gives_the_same_bits),
        cmocka_unit_test(model_gradients__cnn_in_any_order_and_with_new_weights__are_the_same),
        cmocka_unit_test(model_backward__cnn_in_two_parts__means_add_up_to_the_whole),
        cmocka_unit_test(model_forward__equal_values_in_a_pool__lets_the_first_have_the_gradient),
        cmocka_unit_test(
            model_forward__equal_values_below__lets_the_first_of_them_have_the_gradient),
        cmocka_unit_test(model_backward__bias__has_the_gradients_of_all_pixels),
        cmocka_unit_test(model_create__cnn__has_the_parameters_of_its_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
