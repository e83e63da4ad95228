/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop that kernels are measured against: as an optimizer's step, but with no arithmetic to
 * speak of. slot must have two arrays.
 */
#ifndef BENCH_BARE_KERNEL_H
#define BENCH_BARE_KERNEL_H

#include "server/optim/isa.h"

OPTIM_DECLARE(optim_step_fn, bare_streams);

#endif
