/* SPDX-License-Identifier: Apache-2.0
 *
 * One table of names.
 */
#include "proto/mode.h"

#include <assert.h>
#include <string.h>

static const char *const names[] = {
    [STEPD_SYNC] = "sync",
    [STEPD_ASYNC] = "async",
    [STEPD_BOUNDED] = "bounded",
};

static_assert(sizeof names / sizeof names[0] == STEPD_MODES, "a mode has no name");

const char *stepd_mode_name(enum stepd_mode mode)
{
    return names[mode];
}

bool stepd_mode_find(const char *name, enum stepd_mode *ret_mode)
{
    for (unsigned i = 0; i < STEPD_MODES; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret_mode = (enum stepd_mode)i;
            return true;
        }
    }
    return false;
}
