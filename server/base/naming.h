/* SPDX-License-Identifier: Apache-2.0
 *
 * How names of one list are found in another: which of them are looked for at all, by globs, and
 * what they are called there. A model that was saved inside a wrapper has `model.fc1.weight` where
 * we have `fc1.weight`; and of a new classifier there is nothing to be found.
 */
#ifndef BASE_NAMING_H
#define BASE_NAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Globs (glob.h) that a name may match. */
struct naming_globs {
    size_t count;
    const char *const *at;
};

/* Borrows all of its texts. */
struct naming {
    struct naming_globs match;  /* ours that are looked for; none: all are */
    struct naming_globs except; /* and of these, ours that are not */
    const char *remove_prefix;  /* what theirs have in front that ours have not, or "" */
    const char *add_prefix;     /* what ours have in front, behind that, that theirs have not */
};

/* Is one of ours looked for? Adds to *steps what it took (glob.h). Pure; any thread. */
bool naming_takes(const struct naming *naming, const char *name, uint64_t *steps);

/* What one of ours is called there. False: nothing that is there could be ours of this name, or
 * size is too small. Pure; any thread. */
bool naming_there(const struct naming *naming, const char *name, char *ret_there, size_t size);

#endif
