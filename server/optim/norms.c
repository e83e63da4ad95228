/* SPDX-License-Identifier: Apache-2.0
 *
 * Dot products and norms in an order of their own (norms.h). One build serves every instruction
 * set: the lanes are what a compiler needs to vectorise a sum that it may not reorder.
 *
 * The product of two floats has at most 48 bits and is exact in double, and so is every sum of a
 * few; the error of the whole is far below half an ulp of float for any tensor that fits memory.
 */
#include "server/optim/norms.h"

#include <math.h>

static double block_dot(size_t n, const float *x, const float *y)
{
    double lane[NORMS_LANES] = {0.0};
    size_t i = 0;
    for (; i + NORMS_LANES <= n; i += NORMS_LANES) {
        for (size_t l = 0; l < NORMS_LANES; l++)
            lane[l] += (double)x[i + l] * (double)y[i + l];
    }
    for (size_t l = 0; i + l < n; l++)
        lane[l] += (double)x[i + l] * (double)y[i + l];
    for (size_t width = NORMS_LANES / 2; width > 0; width /= 2) {
        for (size_t l = 0; l < width; l++)
            lane[l] += lane[l + width];
    }
    return lane[0];
}

double norms_dot(size_t n, const float *x, const float *y)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i += NORMS_BLOCK)
        sum += block_dot(n - i < NORMS_BLOCK ? n - i : NORMS_BLOCK, x + i, y + i);
    return sum;
}

void norms_block_sums(size_t n, const float *x, double *ret_sum)
{
    for (size_t i = 0; i < n; i += NORMS_BLOCK)
        *ret_sum++ = block_dot(n - i < NORMS_BLOCK ? n - i : NORMS_BLOCK, x + i, x + i);
}

double norms_sum_squares(size_t n, const float *x)
{
    return norms_dot(n, x, x);
}

double norms_length(size_t n, const float *x)
{
    return sqrt(norms_sum_squares(n, x));
}
