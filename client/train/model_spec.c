/* SPDX-License-Identifier: Apache-2.0
 *
 * The spec is a kind and, behind a colon, numbers with '-' between them: widths of an mlp, channels
 * of a cnn. It is read whatever the task (model_check_spec), and then fitted to it: the first and
 * the last width are the data's, and each convolution halves the image.
 */
#include "client/train/model_spec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/train/loss.h"
#include "proto/error.h"

enum kind { KIND_DENSE, KIND_CNN };

struct spec {
    const char *text; /* borrowed; for errors */
    enum kind kind;
    size_t count;                        /* 0: not given */
    size_t number[MODEL_LAYERS_MAX + 1]; /* widths, or channels */
    const struct model_loss *loss;
};

/* ---- Reading --------------------------------------------------------------------------------- */

/* Reads "784-1000-10" into spec->number, at most `most` of them. */
static enum stepd_status read_numbers(const char *text, size_t most, const char *what,
                                      struct spec *spec, struct stepd_error *reterr)
{
    const char *at = text;
    for (;;) {
        if (spec->count == most)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "model '%s' has more than %u layers",
                              spec->text, MODEL_LAYERS_MAX);
        if (*at < '0' || *at > '9')
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "model '%s': expected a %s at '%s', as in mlp:784-1000-10 or "
                              "cnn:16-32",
                              spec->text, what, at);
        char *end;
        const unsigned long number = strtoul(at, &end, 10);
        if (number == 0 || number > MODEL_WIDTH_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "model '%s': %s %.*s is not between 1 and %u", spec->text, what,
                              (int)(end - at), at, MODEL_WIDTH_MAX);
        spec->number[spec->count++] = number;
        if (*end == '\0')
            return STEPD_OK;
        if (*end != '-')
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "model '%s': expected '-' between numbers at '%s'", spec->text, end);
        at = end + 1;
    }
}

static enum stepd_status read_spec(const char *text, struct spec *ret_spec,
                                   struct stepd_error *reterr)
{
    *ret_spec = (struct spec){.text = text, .kind = KIND_DENSE, .loss = &loss_cross_entropy};
    if (strncmp(text, "mlp:", 4) == 0) {
        const enum stepd_status status =
            read_numbers(text + 4, MODEL_LAYERS_MAX + 1, "width", ret_spec, reterr);
        if (status != STEPD_OK || ret_spec->count >= 2)
            return status;
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "model '%s' needs at least two widths, inputs and classes", text);
    }
    if (strncmp(text, "cnn:", 4) == 0) {
        ret_spec->kind = KIND_CNN;
        return read_numbers(text + 4, MODEL_LAYERS_MAX - 1, "number of channels", ret_spec, reterr);
    }
    if (strcmp(text, "cnn") == 0) {
        ret_spec->kind = KIND_CNN;
        ret_spec->count = 2;
        ret_spec->number[0] = 16;
        ret_spec->number[1] = 32;
        return STEPD_OK;
    }
    if (strcmp(text, "mlp") == 0) {
        ret_spec->count = 4;
        ret_spec->number[1] = ret_spec->number[2] = 1000; /* the task gives the outer two */
        return STEPD_OK;
    }
    if (strcmp(text, "softmax") == 0)
        return STEPD_OK;
    if (strcmp(text, "linear") == 0) {
        ret_spec->loss = &loss_squared_error;
        return STEPD_OK;
    }
    return stepd_fail(
        reterr, STEPD_INVALID_ARGUMENT,
        "unknown model '%s': known are linear, softmax, mlp:A-B-...-Z and cnn:C-D-...", text);
}

enum stepd_status model_check_spec(const char *spec, struct stepd_error *reterr)
{
    struct spec read;
    return read_spec(spec, &read, reterr);
}

/* ---- Fitting to the task --------------------------------------------------------------------- */

/* Fills in or checks the first and the last width. */
static enum stepd_status fit_widths(struct spec *spec, const struct model_task *task,
                                    struct stepd_error *reterr)
{
    const size_t inputs = layer_elements(&task->image);
    if (spec->count == 0)
        spec->count = 2;
    size_t *const first = &spec->number[0];
    size_t *const last = &spec->number[spec->count - 1];
    *first = *first == 0 ? inputs : *first;
    *last = *last == 0 ? task->classes : *last;
    if (*first != inputs)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "model '%s' takes %zu inputs, but an example has %zu", spec->text, *first,
                          inputs);
    if (*last != task->classes)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "model '%s' tells %zu classes apart, but the data has %zu", spec->text,
                          *last, task->classes);
    return STEPD_OK;
}

static enum stepd_status make_dense(struct spec *spec, const struct model_task *task,
                                    struct layer *layer, size_t *ret_layers,
                                    struct stepd_error *reterr)
{
    const enum stepd_status status = fit_widths(spec, task, reterr);
    if (status != STEPD_OK)
        return status;
    const size_t layers = spec->count - 1;
    for (size_t l = 0; l < layers; l++)
        layer[l] = dense_layer(l + 1, spec->number[l], spec->number[l + 1], l + 1 < layers);
    *ret_layers = layers;
    return STEPD_OK;
}

static enum stepd_status make_cnn(const struct spec *spec, const struct model_task *task,
                                  struct layer *layer, size_t *ret_layers,
                                  struct stepd_error *reterr)
{
    struct layer_image image = task->image;
    for (size_t l = 0; l < spec->count; l++) {
        if (image.height < 2 || image.width < 2)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "model '%s': each convolution halves the image, and of %zux%zu "
                              "nothing is left for the one with %zu channels",
                              spec->text, task->image.height, task->image.width, spec->number[l]);
        layer[l] = conv_layer(l + 1, &image, spec->number[l]);
        image = layer[l].out;
    }
    layer[spec->count] = dense_layer(1, layer_elements(&image), task->classes, /* relu= */ false);
    *ret_layers = spec->count + 1;
    return STEPD_OK;
}

enum stepd_status model_spec_layers(const char *spec, const struct model_task *task,
                                    struct layer *layer, size_t *ret_layers,
                                    const struct model_loss **ret_loss, struct stepd_error *reterr)
{
    struct spec read;
    enum stepd_status status = read_spec(spec, &read, reterr);
    if (status != STEPD_OK)
        return status;
    size_t layers = 0;
    status = read.kind == KIND_CNN ? make_cnn(&read, task, layer, &layers, reterr)
                                   : make_dense(&read, task, layer, &layers, reterr);
    if (status != STEPD_OK)
        return status;
    assert(layers >= 1 && layers <= MODEL_LAYERS_MAX);
    *ret_layers = layers;
    *ret_loss = read.loss;
    return STEPD_OK;
}
