/* SPDX-License-Identifier: Apache-2.0
 *
 * Plain loops of the optimizers that most people use, compiled for the machine that compiles them:
 * what a kernel costs whose author cares neither for other machines nor for the same bits.
 */
#ifndef BENCH_PLAIN_KERNEL_H
#define BENCH_PLAIN_KERNEL_H

#include "server/optim/optimizer.h"

/* The loop of an optimizer with its defaults, or NULL: there is none for it. */
optim_step_fn *plain_kernel(const char *optimizer);

#endif
