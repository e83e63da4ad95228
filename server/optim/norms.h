/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums over a whole tensor: what trust ratios, clipped updates and L-BFGS are made of. The terms
 * are exact in double, and the order in which they are added is fixed: blocks of NORMS_BLOCK
 * elements of the tensor, in each of them NORMS_LANES sums that take turns, added in pairs. So a
 * sum has the same bits on every machine, whatever instructions the compiler makes of it.
 */
#ifndef OPTIM_NORMS_H
#define OPTIM_NORMS_H

#include <stddef.h>

#define NORMS_BLOCK 4096u /* elements */
#define NORMS_LANES 16u   /* divides the block */

/* The sum of x[i] y[i] over n elements; x and y may be the same. Any thread. */
double norms_dot(size_t n, const float *x, const float *y);

/* The sum of x[i]^2 over n elements. Any thread. */
double norms_sum_squares(size_t n, const float *x);

/* The same by blocks of NORMS_BLOCK elements: ret_sum[i] is block i's, which norms_sum_squares adds
 * up in their order. Any thread. */
void norms_block_sums(size_t n, const float *x, double *ret_sum);

/* The root of that: the Euclidean norm. Any thread. */
double norms_length(size_t n, const float *x);

#endif
