/* SPDX-License-Identifier: Apache-2.0
 *
 * Naming of the kernels. A kernel file is compiled once per instruction set with OPTIM_ISA defined
 * as base, v3 or v4, and suffixes what it exports: OPTIM_KERNEL(adam_step) is adam_step_v3 there.
 * Whoever fills a table declares and lists all of them without naming an instruction set.
 *
 * OPTIM_X86_LEVELS is defined by CMake where the levels v3 and v4 are compiled at all.
 */
#ifndef OPTIM_ISA_H
#define OPTIM_ISA_H

#include "server/optim/kernels.h"
#include "server/optim/optimizer.h"

#define OPTIM_JOIN(name, isa)       name##_##isa
#define OPTIM_JOIN_VALUE(name, isa) OPTIM_JOIN(name, isa)
#define OPTIM_KERNEL(name)          OPTIM_JOIN_VALUE(name, OPTIM_ISA)

/* The type of a kernel's declarations, and the initialiser of a row's array of it. */
#ifdef OPTIM_X86_LEVELS
#define OPTIM_DECLARE(type, name) type name##_base, name##_v3, name##_v4
#define OPTIM_EACH(name)                                                                           \
    {                                                                                              \
        [OPTIM_ISA_base] = name##_base, [OPTIM_ISA_v3] = name##_v3, [OPTIM_ISA_v4] = name##_v4,    \
    }
#else
#define OPTIM_DECLARE(type, name) type name##_base
#define OPTIM_EACH(name)                                                                           \
    {                                                                                              \
        [OPTIM_ISA_base] = name##_base,                                                            \
    }
#endif

/* Kernels of the optimizers; each row is in the file of its family. */
OPTIM_DECLARE(optim_step_fn, sgd_step);
OPTIM_DECLARE(optim_step_fn, momentum_step);
OPTIM_DECLARE(optim_step_fn, nesterov_step);
OPTIM_DECLARE(optim_view_fn, nesterov_lookahead);
OPTIM_DECLARE(optim_step_fn, adagrad_step);
OPTIM_DECLARE(optim_step_fn, adadelta_step);
OPTIM_DECLARE(optim_step_fn, rmsprop_step);
OPTIM_DECLARE(optim_step_fn, rmsprop_nesterov_step);
OPTIM_DECLARE(optim_step_fn, asgd_step);
OPTIM_DECLARE(optim_step_fn, rprop_step);
OPTIM_DECLARE(optim_step_fn, ftrl_step);
OPTIM_DECLARE(optim_step_fn, lion_step);
OPTIM_DECLARE(optim_step_fn, adam_step);
OPTIM_DECLARE(optim_step_fn, adabound_step);
OPTIM_DECLARE(optim_step_fn, nadam_step);
OPTIM_DECLARE(optim_step_fn, radam_step);
OPTIM_DECLARE(optim_step_fn, adamax_step);

/* Kernels of the rounds; the table is in kernels.c. */
OPTIM_DECLARE(extern const struct reduce_kernels, reduce_kernels);

#endif
