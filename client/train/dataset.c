/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading a labelled image set: two IDX files that must agree. The plain file is preferred where a
 * folder holds both forms. What is checked here is what the model relies on without looking again:
 * as many labels as images, and every label below the number of classes.
 */
#include "client/train/dataset.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/train/idx.h"
#include "proto/error.h"

/* Writes the path of <folder>/<part>-<kind> or, where that is not there, of the same with .gz. */
static enum stepd_status find_file(const char *folder, const char *part, const char *kind,
                                   char ret_path[PATH_MAX], struct stepd_error *reterr)
{
    static const char *const endings[] = {"", ".gz"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const int length =
            snprintf(ret_path, PATH_MAX, "%s/%s-%s%s", folder, part, kind, endings[i]);
        if (length < 0 || length >= PATH_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the data folder's path is too long");
        if (access(ret_path, R_OK) == 0)
            return STEPD_OK;
    }
    return stepd_fail(reterr, STEPD_NOT_FOUND, "%s: no readable %s-%s or %s-%s.gz there", folder,
                      part, kind, part, kind);
}

static enum stepd_status read_file(const char *folder, const char *part, const char *kind,
                                   size_t dims, struct idx *ret_idx, struct stepd_error *reterr)
{
    char path[PATH_MAX];
    const enum stepd_status status = find_file(folder, part, kind, path, reterr);
    return status == STEPD_OK ? idx_read(path, dims, ret_idx, reterr) : status;
}

static enum stepd_status check_labels(const struct idx *images, const struct idx *labels,
                                      const char *part, struct stepd_error *reterr)
{
    if (images->shape[0] != labels->shape[0])
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s-images-idx3-ubyte has %zu images, but %s-labels-idx1-ubyte has %zu "
                          "labels",
                          part, images->shape[0], part, labels->shape[0]);
    for (size_t i = 0; i < labels->bytes; i++)
        if (labels->elements[i] >= DATASET_CLASSES)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "%s-labels-idx1-ubyte: label %u of example %zu is not below %u", part,
                              labels->elements[i], i, DATASET_CLASSES);
    return STEPD_OK;
}

enum stepd_status dataset_load(const char *folder, const char *part, struct dataset *ret_dataset,
                               struct stepd_error *reterr)
{
    struct idx images = {.elements = NULL};
    struct idx labels = {.elements = NULL};
    enum stepd_status status = read_file(folder, part, "images-idx3-ubyte", 3, &images, reterr);
    if (status != STEPD_OK)
        goto fail;
    status = read_file(folder, part, "labels-idx1-ubyte", 1, &labels, reterr);
    if (status != STEPD_OK)
        goto fail;
    status = check_labels(&images, &labels, part, reterr);
    if (status != STEPD_OK)
        goto fail;
    *ret_dataset = (struct dataset){
        .examples = images.shape[0],
        .height = images.shape[1],
        .width = images.shape[2],
        .inputs = images.shape[1] * images.shape[2],
        .pixels = images.elements,
        .labels = labels.elements,
    };
    return STEPD_OK;

fail:
    idx_deinit(&labels);
    idx_deinit(&images);
    return status;
}

void dataset_deinit(struct dataset *dataset)
{
    free(dataset->pixels);
    free(dataset->labels);
    dataset->pixels = NULL;
    dataset->labels = NULL;
}

void dataset_measure(const struct dataset *dataset, struct dataset_scale *ret_scale)
{
    const size_t count = dataset->examples * dataset->inputs;
    uint64_t times[256] = {0};
    for (size_t i = 0; i < count; i++)
        times[dataset->pixels[i]]++;
    double sum = 0;
    double square_sum = 0;
    for (size_t v = 0; v < 256; v++) {
        sum += (double)v * (double)times[v];
        square_sum += (double)(v * v) * (double)times[v];
    }
    const double mean = sum / (double)count;
    const double variance = square_sum / (double)count - mean * mean;
    const double deviation = variance > 0 ? sqrt(variance) : 1;
    for (size_t v = 0; v < 256; v++)
        ret_scale->value[v] = (float)(((double)v - mean) / deviation);
}

enum stepd_status train_data_load(const char *folder, bool with_test, struct train_data *ret_data,
                                  struct stepd_error *reterr)
{
    struct train_data data = {.train = {.examples = 0}};
    enum stepd_status status = dataset_load(folder, "train", &data.train, reterr);
    if (status == STEPD_OK && with_test)
        status = dataset_load(folder, "t10k", &data.test, reterr);
    if (status == STEPD_OK && with_test && data.test.inputs != data.train.inputs)
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "%s: training images have %zu pixels, test images %zu", folder,
                            data.train.inputs, data.test.inputs);
    if (status != STEPD_OK) {
        train_data_deinit(&data);
        return status;
    }
    dataset_measure(&data.train, &data.scale);
    *ret_data = data;
    return STEPD_OK;
}

void train_data_deinit(struct train_data *data)
{
    dataset_deinit(&data->test);
    dataset_deinit(&data->train);
}

void dataset_gather(const struct dataset *dataset, const struct dataset_scale *scale,
                    const uint32_t *rows, size_t count, float *x, uint8_t *y)
{
    const size_t inputs = dataset->inputs;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *pixels = dataset->pixels + (size_t)rows[i] * inputs;
        for (size_t d = 0; d < inputs; d++)
            x[i * inputs + d] = scale->value[pixels[d]];
        y[i] = dataset->labels[rows[i]];
    }
}
