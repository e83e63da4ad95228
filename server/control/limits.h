/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of the whole daemon (server/base/limit.h) as status shows them: what control holds to
 * itself it looks up, the rest others have counted.
 */
#ifndef CONTROL_LIMITS_H
#define CONTROL_LIMITS_H

#include "server/control/brain.h"

/* Writes all limits, LIMITS of them fit, and returns how many there are: 0 where nobody counts. The
 * names are static. */
size_t control_limits(const struct control *control, struct stepd_limit_status *ret_limit);

#endif
