/* SPDX-License-Identifier: Apache-2.0
 *
 * A labelled set of images in a folder, in the files and under the names that MNIST made common:
 * train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-..., t10k-labels-..., each plain
 * or with .gz behind. Pixels stay bytes, a quarter of what floats would take, and become numbers
 * of mean 0 and variance 1 when a batch is gathered, which saves about an epoch in three.
 */
#ifndef TRAIN_DATASET_H
#define TRAIN_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define DATASET_CLASSES 10u

struct dataset {
    size_t examples; /* N */
    size_t height;   /* of an image */
    size_t width;
    size_t inputs;   /* D: pixels of an image, height x width */
    uint8_t *pixels; /* (N, D), owned */
    uint8_t *labels; /* (N,), each below DATASET_CLASSES, owned */
};

/*
 * Loads the part "train" or "t10k" of the set in `folder`. *ret_dataset: caller frees with
 * dataset_deinit. As idx_read, and INVALID_ARGUMENT: images and labels differ in number, or a label
 * is out of range (the text names file and example).
 */
enum stepd_status dataset_load(const char *folder, const char *part, struct dataset *ret_dataset,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Frees what dataset_load made. A zeroed struct is fine. */
void dataset_deinit(struct dataset *dataset);

/* What each value of a pixel becomes. */
struct dataset_scale {
    float value[256];
};

/*
 * The scale that gives all pixels of a set together mean 0 and variance 1 (variance 0 where they
 * are all the same). Test images are scaled by what was measured on the training images.
 */
void dataset_measure(const struct dataset *dataset, struct dataset_scale *ret_scale);

/* What a worker works with, loaded once for all that share it. */
struct train_data {
    struct dataset train;
    struct dataset test;        /* no examples: it was not asked for */
    struct dataset_scale scale; /* of both, measured on the training images */
};

/*
 * Loads the set in `folder`, the test part only where it is asked for. *ret_data: caller frees with
 * train_data_deinit. As dataset_load, and INVALID_ARGUMENT: the images of the parts differ in size.
 */
enum stepd_status train_data_load(const char *folder, bool with_test, struct train_data *ret_data,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Frees what train_data_load made. A zeroed struct is fine. */
void train_data_deinit(struct train_data *data);

/*
 * Gathers `count` examples by their numbers, `rows` (count,), each below dataset->examples.
 * x: (count, D), written with scaled pixels. y: (count,), written with labels.
 */
void dataset_gather(const struct dataset *dataset, const struct dataset_scale *scale,
                    const uint32_t *rows, size_t count, float *x, uint8_t *y);

#endif
