/* SPDX-License-Identifier: Apache-2.0
 *
 * Fully connected models on OpenBLAS. The three kinds differ in two facts only, their widths and
 * their loss, so there is one forward and one backward pass. With X (B, I) the output below,
 *
 *     Z = X W^T + b,  Y = max(Z, 0) or Z                                          forward
 *     dW = dZ^T X,  db = sum over B of dZ,  dX = dZ W                             backward
 *
 * where dZ of the last layer comes from the loss, divided by B there so that every gradient is a
 * mean, and dZ of a layer below is dX where its output was positive. All arrays of a model are cut
 * from one allocation, on cache lines. BLAS must have been told to use one thread: see main.c.
 */
#include "client/train/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "client/train/loss.h"
#include "proto/error.h"

#define ARRAY_ALIGN_FLOATS 16u /* 64 bytes: a cache line and an AVX-512 register */

/* ---- The spec -------------------------------------------------------------------------------- */

struct layout {
    size_t widths;                      /* layers + 1 */
    size_t width[MODEL_LAYERS_MAX + 1]; /* inputs, hidden ..., classes */
    bool given;                         /* the spec states the widths */
    const struct model_loss *loss;
};

/* Reads "784-1000-10" into layout->width. `spec` is the whole text, for the error. */
static enum stepd_status parse_widths(const char *spec, const char *text, struct layout *layout,
                                      struct stepd_error *reterr)
{
    const char *at = text;
    for (;;) {
        if (layout->widths > MODEL_LAYERS_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "model '%s' has more than %u layers",
                              spec, MODEL_LAYERS_MAX);
        if (*at < '0' || *at > '9')
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "model '%s': expected a width at '%s', as in mlp:784-1000-10", spec,
                              at);
        char *end;
        const unsigned long width = strtoul(at, &end, 10);
        if (width == 0 || width > MODEL_WIDTH_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "model '%s': width %.*s is not between 1 and %u", spec,
                              (int)(end - at), at, MODEL_WIDTH_MAX);
        layout->width[layout->widths++] = width;
        if (*end == '\0')
            break;
        if (*end != '-')
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "model '%s': expected '-' between widths at '%s'", spec, end);
        at = end + 1;
    }
    if (layout->widths < 2)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "model '%s' needs at least two widths, inputs and classes", spec);
    layout->given = true;
    return STEPD_OK;
}

static enum stepd_status parse_spec(const char *spec, struct layout *ret_layout,
                                    struct stepd_error *reterr)
{
    *ret_layout = (struct layout){.widths = 0, .loss = &loss_cross_entropy};
    if (strncmp(spec, "mlp:", 4) == 0)
        return parse_widths(spec, spec + 4, ret_layout, reterr);
    if (strcmp(spec, "softmax") == 0)
        return STEPD_OK;
    if (strcmp(spec, "linear") == 0) {
        ret_layout->loss = &loss_squared_error;
        return STEPD_OK;
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "unknown model '%s': known are linear, softmax and mlp:A-B-...-Z", spec);
}

enum stepd_status model_check_spec(const char *spec, struct stepd_error *reterr)
{
    struct layout layout;
    return parse_spec(spec, &layout, reterr);
}

/* Fills in or checks the first and the last width. */
static enum stepd_status fit_to_data(const char *spec, size_t inputs, size_t classes,
                                     struct layout *layout, struct stepd_error *reterr)
{
    if (!layout->given) {
        layout->widths = 2;
        layout->width[0] = inputs;
        layout->width[1] = classes;
    }
    const size_t last = layout->width[layout->widths - 1];
    if (layout->width[0] != inputs)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "model '%s' takes %zu inputs, but an example has %zu", spec,
                          layout->width[0], inputs);
    if (last != classes)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "model '%s' tells %zu classes apart, but the data has %zu", spec, last,
                          classes);
    return STEPD_OK;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* The next array of `count` floats: at base + *used, or nowhere while base is NULL (counting). */
static float *take(float *base, size_t *used, size_t count)
{
    float *const array = base == NULL ? NULL : base + *used;
    *used += (count + ARRAY_ALIGN_FLOATS - 1) / ARRAY_ALIGN_FLOATS * ARRAY_ALIGN_FLOATS;
    return array;
}

/* Cuts all arrays from base, and returns how many floats they take. */
static size_t cut_arrays(struct model *model, float *base)
{
    const size_t batch = model->batch_max;
    size_t used = 0;
    model->input = take(base, &used, batch * model->layer[0].inputs);
    for (size_t l = 0; l < model->layers; l++) {
        struct model_layer *const layer = &model->layer[l];
        layer->weight = take(base, &used, layer->outputs * layer->inputs);
        layer->bias = take(base, &used, layer->outputs);
        layer->weight_grad = take(base, &used, layer->outputs * layer->inputs);
        layer->bias_grad = take(base, &used, layer->outputs);
        layer->output = take(base, &used, batch * layer->outputs);
        layer->delta = take(base, &used, batch * layer->outputs);
    }
    return used;
}

enum stepd_status model_create(const char *spec, size_t inputs, size_t classes, size_t batch_max,
                               struct model **ret_model, struct stepd_error *reterr)
{
    struct layout layout;
    enum stepd_status status = parse_spec(spec, &layout, reterr);
    if (status == STEPD_OK)
        status = fit_to_data(spec, inputs, classes, &layout, reterr);
    if (status != STEPD_OK)
        return status;

    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        goto fail_memory;
    model->layers = layout.widths - 1;
    model->batch_max = batch_max;
    model->loss = layout.loss;
    for (size_t l = 0; l < model->layers; l++)
        model->layer[l] = (struct model_layer){
            .inputs = layout.width[l],
            .outputs = layout.width[l + 1],
            .relu = l + 1 < model->layers,
        };
    const size_t bytes = cut_arrays(model, NULL) * sizeof(float);
    model->arrays = aligned_alloc(ARRAY_ALIGN_FLOATS * sizeof(float), bytes);
    if (model->arrays == NULL)
        goto fail_memory;
    memset(model->arrays, 0, bytes);
    (void)cut_arrays(model, model->arrays);
    *ret_model = model;
    return STEPD_OK;

fail_memory:
    model_destroy(model);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for model '%s'", spec);
}

struct model *model_destroy(struct model *model)
{
    if (model != NULL)
        free(model->arrays);
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

/* Row-major C (M, N) = alpha A B + beta C, with A and B transposed or not: cblas_sgemm's sizes are
 * BLAS integers, and every leading dimension here is the row length of its array as it lies. */
struct product {
    CBLAS_TRANSPOSE a_order;
    CBLAS_TRANSPOSE b_order;
    size_t rows;  /* M */
    size_t cols;  /* N */
    size_t inner; /* K */
    float beta;
};

static void multiply(const struct product *p, const float *a, const float *b, float *c)
{
    const blasint m = (blasint)p->rows;
    const blasint n = (blasint)p->cols;
    const blasint k = (blasint)p->inner;
    cblas_sgemm(CblasRowMajor, p->a_order, p->b_order, m, n, k, 1.0f, a,
                p->a_order == CblasNoTrans ? k : m, b, p->b_order == CblasNoTrans ? n : k, p->beta,
                c, n);
}

void model_forward(struct model *model, size_t l, size_t batch)
{
    assert(l < model->layers && batch <= model->batch_max);
    if (batch == 0)
        return;
    const struct model_layer *const layer = &model->layer[l];
    for (size_t i = 0; i < batch; i++)
        memcpy(layer->output + i * layer->outputs, layer->bias, layer->outputs * sizeof(float));
    multiply(
        &(struct product){
            .a_order = CblasNoTrans,
            .b_order = CblasTrans,
            .rows = batch,
            .cols = layer->outputs,
            .inner = layer->inputs,
            .beta = 1.0f,
        },
        input_of(model, l), layer->weight, layer->output);
    if (!layer->relu)
        return;
    for (size_t i = 0; i < batch * layer->outputs; i++)
        layer->output[i] = layer->output[i] > 0.0f ? layer->output[i] : 0.0f;
}

double model_loss(struct model *model, const uint8_t *labels, size_t batch)
{
    assert(batch > 0 && batch <= model->batch_max);
    const struct model_layer *const last = &model->layer[model->layers - 1];
    return model->loss->compute(last->output, labels, batch, last->outputs, last->delta);
}

/* delta of the layer below l: dX = dZ W, kept where the ReLU below let its input through. */
static void backward_below(struct model *model, size_t l, size_t batch)
{
    const struct model_layer *const layer = &model->layer[l];
    const struct model_layer *const below = &model->layer[l - 1];
    multiply(
        &(struct product){
            .a_order = CblasNoTrans,
            .b_order = CblasNoTrans,
            .rows = batch,
            .cols = layer->inputs,
            .inner = layer->outputs,
        },
        layer->delta, layer->weight, below->delta);
    for (size_t i = 0; i < batch * below->outputs; i++)
        below->delta[i] = below->output[i] > 0.0f ? below->delta[i] : 0.0f;
}

void model_backward(struct model *model, size_t l, size_t batch)
{
    assert(l < model->layers && batch <= model->batch_max);
    if (batch == 0)
        return;
    const struct model_layer *const layer = &model->layer[l];
    multiply(
        &(struct product){
            .a_order = CblasTrans,
            .b_order = CblasNoTrans,
            .rows = layer->outputs,
            .cols = layer->inputs,
            .inner = batch,
        },
        layer->delta, input_of(model, l), layer->weight_grad);
    memcpy(layer->bias_grad, layer->delta, layer->outputs * sizeof(float));
    for (size_t i = 1; i < batch; i++)
        for (size_t o = 0; o < layer->outputs; o++)
            layer->bias_grad[o] += layer->delta[i * layer->outputs + o];
    if (l > 0)
        backward_below(model, l, batch);
}

size_t model_correct(const struct model *model, const uint8_t *labels, size_t batch)
{
    const struct model_layer *const last = &model->layer[model->layers - 1];
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
        sum += (model->layer[l].inputs + 1) * model->layer[l].outputs;
    return sum;
}
