/* SPDX-License-Identifier: Apache-2.0
 *
 * Which instruction set to use, and the kernels that are no optimizer: the weighted sum of
 * gradients and the check that they are finite. Every row gives the same bits.
 */
#ifndef OPTIM_KERNELS_H
#define OPTIM_KERNELS_H

#include "server/optim/optimizer.h"

/* Kernels that the rounds need besides the optimizers'. Arrays of n floats that do not overlap. */
struct reduce_kernels {
    /* sum[i] = weight * g[i]; a weight of 1 multiplies nothing. */
    void (*scale)(size_t n, float weight, const float *g, float *sum);
    /* sum[i] = sum[i] + weight * g[i], the product rounded first; a weight of 1 as above. */
    void (*add)(size_t n, float weight, const float *g, float *sum);
    /* The index of the first element that is NaN or infinite, or n. */
    size_t (*first_nonfinite)(size_t n, const float *g);
};

/* Can this build, on this machine, run the kernels of isa? Any thread. */
bool kernels_available(enum optim_isa isa);

/* The best available instruction set. Any thread. */
enum optim_isa kernels_choose(void);

const char *kernels_isa_name(enum optim_isa isa);

/* INVALID_ARGUMENT names the known ones; FAILED_PRECONDITION: this machine cannot run it. */
enum stepd_status kernels_find_isa(const char *name, enum optim_isa *ret_isa,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Static; every function pointer is set where kernels_available(isa). */
const struct reduce_kernels *kernels_reduce(enum optim_isa isa);

#endif
