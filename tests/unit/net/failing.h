/* SPDX-License-Identifier: Apache-2.0
 *
 * Allocations that fail when a test says so. The program is linked with --wrap for malloc, calloc
 * and realloc; libuv's own allocations, after which it aborts rather than return, are not touched.
 */
#ifndef TESTS_UNIT_NET_FAILING_H
#define TESTS_UNIT_NET_FAILING_H

#include <stddef.h>
#include <stdint.h>

#define FAILING_NEVER SIZE_MAX

/* So many allocations succeed, and every later one fails, until this is called again. */
void failing_after(size_t allocations);

#endif
