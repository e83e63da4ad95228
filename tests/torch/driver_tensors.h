/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensors of a run, as the lines at the beginning of the input name them, and arrays for what
 * a step brings and leaves.
 */
#ifndef TORCH_DRIVER_TENSORS_H
#define TORCH_DRIVER_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/message.h"

#define DRIVER_TENSORS_MAX    64u
#define DRIVER_LINE_MAX_BYTES 512u

struct driver_tensors {
    size_t count;
    struct stepd_tensor_def def[DRIVER_TENSORS_MAX];
    char name[DRIVER_TENSORS_MAX][DRIVER_LINE_MAX_BYTES];
    uint64_t shape[DRIVER_TENSORS_MAX][STEPD_DIMS_MAX];
    size_t elements[DRIVER_TENSORS_MAX];
    size_t extras[DRIVER_TENSORS_MAX];
    float *weights[DRIVER_TENSORS_MAX]; /* owned */
    float *grad[DRIVER_TENSORS_MAX];    /* owned */
    float *extra[DRIVER_TENSORS_MAX];   /* owned; NULL where there are none */
};

/* Says on stderr what is wrong with what. Returns false. */
bool driver_complain(const char *what, const char *text);

/* Lines NAME EXTRA DIMENSION..., and an empty one. False: complained of. Released with
 * driver_release_tensors in any case; the struct was zeroed before. */
bool driver_read_tensors(FILE *input, struct driver_tensors *tensors);

/* Numbers in the machine's own form. False: complained of. */
bool driver_read_floats(FILE *input, size_t count, float *ret_at);

/* First values into weights; each tensor's gradient into grad and its extra into extra. */
bool driver_read_weights(FILE *input, const struct driver_tensors *tensors);
bool driver_read_gradients(FILE *input, const struct driver_tensors *tensors);

/* False: complained of. */
bool driver_write(FILE *output, const void *at, size_t size, size_t count);

void driver_release_tensors(struct driver_tensors *tensors);

#endif
