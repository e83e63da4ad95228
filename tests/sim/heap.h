/* SPDX-License-Identifier: Apache-2.0
 *
 * How much of what the simulated daemon and its workers have allocated is still there. The linker
 * sends their calls of malloc and its like through heap.c (-Wl,--wrap).
 */
#ifndef TESTS_SIM_HEAP_H
#define TESTS_SIM_HEAP_H

#include <stdint.h>

/* Allocations that have not been freed. */
int64_t heap_living(void);

#endif
