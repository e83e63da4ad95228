/* SPDX-License-Identifier: Apache-2.0
 *
 * One matrix product, as the layers need it: row-major, dense, nothing skipped. BLAS must have been
 * told to use one thread (main.c): workers are the parallelism, and one thread sums in one order.
 */
#ifndef TRAIN_BLAS_H
#define TRAIN_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/* C (M, N) = A B + beta C. A is (M, K), or (K, M) when a_turned; B is (K, N), or (N, K). */
struct blas_product {
    bool a_turned;
    bool b_turned;
    size_t rows;  /* M */
    size_t cols;  /* N */
    size_t inner; /* K */
    float beta;   /* 0: what is in C is not read */
};

/* Sizes are at most INT_MAX. */
void blas_multiply(const struct blas_product *product, const float *a, const float *b, float *c);

#endif
