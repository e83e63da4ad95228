/* SPDX-License-Identifier: Apache-2.0
 *
 * How the optimizers that compute with OpenBLAS (muon, newton) share it with everybody else in the
 * process: shards are the parallelism, and one thread sums in one order.
 */
#ifndef OPTIM_BLAS_H
#define OPTIM_BLAS_H

/* Makes OpenBLAS compute in its callers' threads, in the whole process. Once, at start, before
 * there are other threads. */
void blas_use_one_thread(void);

#endif
