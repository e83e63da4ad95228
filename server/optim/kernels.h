/* SPDX-License-Identifier: Apache-2.0
 *
 * Which instruction set to use, and the kernels that are no optimizer: what is done to gradients
 * before any (the weighted sum, the check that they are finite, their treatment), and the averages
 * of the weights after any. Every row gives the same bits.
 */
#ifndef OPTIM_KERNELS_H
#define OPTIM_KERNELS_H

#include <stepd/types.h>

#include "server/optim/optimizer.h"

/* Kernels that the rounds need besides the optimizers'. Arrays of n floats that do not overlap. */
struct reduce_kernels {
    /* sum[i] = weight * g[i]; a weight of 1 multiplies nothing. */
    void (*scale)(size_t n, float weight, const float *g, float *sum);
    /* sum[i] = sum[i] + weight * g[i], the product rounded first; a weight of 1 as above. */
    void (*add)(size_t n, float weight, const float *g, float *sum);
    /* The index of the first element that is NaN or infinite, or n. */
    size_t (*first_nonfinite)(size_t n, const float *g);

    /* n wire elements into floats, and back, as proto/dtype.h does: the same bits. In widen both
     * may be one memory, as stepd_dtype_widen has it; for F32 they must. */
    void (*widen)(enum stepd_dtype dtype, size_t n, const uint8_t *wire, float *g);
    void (*narrow)(enum stepd_dtype dtype, size_t n, const float *w, uint8_t *wire);

    /* g[i] = g[i] / scale, for a scale above 0: times its reciprocal where that is exact (a power
     * of two), so that nothing is rounded twice. */
    void (*unscale)(size_t n, double scale, float *g);
    /* g[i] = factor * g[i]. */
    void (*multiply)(size_t n, float factor, float *g);
    /* g[i] = -g[i]. */
    void (*negate)(size_t n, float *g);
    /* g[i] into [-most, most]; a NaN stays one. */
    void (*clip)(size_t n, float most, float *g);

    /* g[i] = g[i] + lambda g[i] g[i] (now[i] - then[i]): what a gradient computed at the weights
     * `then` may be at `now`. Zheng et al. 2017, "Asynchronous stochastic gradient descent with
     * delay compensation", equation 10; each operation rounded, from left to right. */
    void (*compensate)(size_t n, double lambda, const float *now, const float *then, float *g);

    /* The exponential moving average of w: mean[i] + (1 - decay) (w[i] - mean[i]), for a decay of
     * at most 1/2 from the other end, as torch.lerp, each operation rounded. Polyak and Juditsky
     * 1992. */
    void (*ema)(size_t n, double decay, const float *w, float *mean);
    /* The running mean of count + 1 weights, of which mean has count and w is the last:
     * mean[i] = mean[i] + (w[i] - mean[i]) / (count + 1). Izmailov et al. 2018, algorithm 1. */
    void (*swa)(size_t n, uint64_t count, const float *w, float *mean);
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
