/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/naming.h"

#include <stdio.h>
#include <string.h>

#include "server/base/glob.h"

static bool matches_any(const struct naming_globs *globs, const char *name, uint64_t *steps)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (glob_matches(globs->at[i], name, steps))
            return true;
    }
    return false;
}

bool naming_takes(const struct naming *naming, const char *name, uint64_t *steps)
{
    return (naming->match.count == 0 || matches_any(&naming->match, name, steps)) &&
           !matches_any(&naming->except, name, steps);
}

bool naming_there(const struct naming *naming, const char *name, char *ret_there, size_t size)
{
    const size_t added = strlen(naming->add_prefix);
    if (strncmp(name, naming->add_prefix, added) != 0)
        return false;
    const int length = snprintf(ret_there, size, "%s%s", naming->remove_prefix, name + added);
    return length >= 0 && (size_t)length < size;
}
