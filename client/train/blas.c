/* SPDX-License-Identifier: Apache-2.0
 *
 * The product on OpenBLAS. cblas_sgemm's sizes are BLAS integers, and every leading dimension here
 * is the row length of its array as it lies.
 */
#include "client/train/blas.h"

#include <cblas.h>

void blas_multiply(const struct blas_product *product, const float *a, const float *b, float *c)
{
    const blasint m = (blasint)product->rows;
    const blasint n = (blasint)product->cols;
    const blasint k = (blasint)product->inner;
    cblas_sgemm(CblasRowMajor, product->a_turned ? CblasTrans : CblasNoTrans,
                product->b_turned ? CblasTrans : CblasNoTrans, m, n, k, 1.0f, a,
                product->a_turned ? m : k, b, product->b_turned ? k : n, product->beta, c, n);
}
