/* SPDX-License-Identifier: Apache-2.0
 *
 * The arrays that kernels work on, in memory that has been faulted in: huge pages where the system
 * gives them, for all lanes alike.
 */
#ifndef BENCH_ARRAYS_H
#define BENCH_ARRAYS_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/status.h>

#include "server/optim/optimizer.h"
#include "tests/bench/bare_kernel.h"

struct arrays {
    size_t n;
    float *memory; /* owned: all that follows, n floats each */
    float *w;
    float *g;
    float *slots[BARE_SLOTS_MAX];
    float *from; /* what memcpy copies */
    float *to;
};

/* Does the machine have the memory for arrays of n floats, with some to spare? */
bool arrays_fit(size_t n);

/* A block of zeros in such memory. Freed with free(). RESOURCE_EXHAUSTED: no memory. */
enum stepd_status arrays_block(size_t floats, float **ret_block,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Freed with arrays_deinit. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status arrays_init(size_t n, struct arrays *ret_arrays,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Weights, gradient and slots as they are before a first step. */
void arrays_reset(struct arrays *arrays);

/* Bytes that a step moves which uses so many slots: weights, gradient and slots are read, weights
 * and slots written. */
size_t arrays_step_bytes(const struct arrays *arrays, size_t slots);

/* Copies until so many bytes have been moved. Copying a byte moves two: one is read, one is
 * written. */
void arrays_memcpy(const struct arrays *arrays, size_t bytes);

void arrays_deinit(struct arrays *arrays);

#endif
