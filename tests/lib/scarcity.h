/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that runs out when a test says so. The linker puts these functions in the place of malloc,
 * calloc, realloc, aligned_alloc and strdup in every program that is linked with test_scarcity, so
 * what they know is global. What shared libraries allocate, such as libuv, which aborts rather than
 * return, is not touched.
 */
#ifndef TESTS_LIB_SCARCITY_H
#define TESTS_LIB_SCARCITY_H

#include <stddef.h>
#include <stdint.h>

#define SCARCITY_NEVER SIZE_MAX

/* So many allocations succeed, and the next one fails. Those after it succeed: a failure must not
 * be overlooked because another one follows. SCARCITY_NEVER: none fails. */
void scarcity_after(size_t allocations);

/* So many succeed, and every later one fails, until either is said again. */
void scarcity_from(size_t allocations);

/* How many may still succeed: what to say again behind a piece of a test that has all it wants. */
size_t scarcity_left(void);

/* Bytes that were had of aligned_alloc so far; and of it and malloc. */
uint64_t scarcity_had_aligned(void);
uint64_t scarcity_had_in_all(void);

#endif
