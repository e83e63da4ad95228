/* SPDX-License-Identifier: Apache-2.0
 *
 * What mapping arrays and allocating them share.
 */
#ifndef PERSIST_ARRAYS_INTERNAL_H
#define PERSIST_ARRAYS_INTERNAL_H

#include "server/persist/arrays.h"

/* The phase that a slice is in; NULL: its group is frozen, and it has no slots. INVALID_ARGUMENT:
 * its group has no such phase. */
enum stepd_status arrays_phase(const struct job *job, uint32_t slice,
                               const struct slice_state *state, const struct phase **ret_phase,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
