/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold of slices whose next step has no room: they wait for workers, and never for those
 * alone who give way.
 */
#ifndef TESTS_LIB_BLOCKED_H
#define TESTS_LIB_BLOCKED_H

#include "server/core/core_internal.h"

/* A slice that is blocked, and waits for nobody but those who give way; NULL: there is none. A
 * slice for which there is room by now is none: it will be found. Borrowed from the core. */
const struct core_slice *blocked_for_nothing(const struct core *core);

#endif
