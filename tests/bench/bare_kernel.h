/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop that kernels are measured against: as an optimizer's step, but with no arithmetic to
 * speak of. slot has OPTIMIZER_SLOTS_MAX places, NULL where there is none, and at most
 * BARE_SLOTS_MAX others.
 */
#ifndef BENCH_BARE_KERNEL_H
#define BENCH_BARE_KERNEL_H

#include "server/optim/isa.h"

#define BARE_SLOTS_MAX 3u

OPTIM_DECLARE(optim_step_fn, bare_streams);

#endif
