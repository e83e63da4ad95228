/* SPDX-License-Identifier: Apache-2.0
 *
 * The one setting of OpenBLAS. Its number of threads is the process's and no thread's own
 * (OpenBLAS issue 2809), so it is set at one place and not around each product.
 */
#include "server/optim/blas.h"

#include <cblas.h>

void blas_use_one_thread(void)
{
    openblas_set_num_threads(1);
}
