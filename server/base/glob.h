/* SPDX-License-Identifier: Apache-2.0
 *
 * Globs on names: `*` is any characters, also none and also dots and slashes; `?` is one character;
 * [abc], [a-z] one of those, [!abc] one that is not; \ takes the next character as it is. All else
 * stands for itself, a [ without its ] too. A character is a code point, not a byte.
 *
 * These are fnmatch(3)'s without flags in the locale C.UTF-8, less its [:classes:]. fnmatch()
 * itself judges by the process's locale, and C libraries differ in what it makes of the odd cases
 * and in how long it takes for them; which tensors a group has must be the same on every machine.
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>

/* Does the whole name match? Both are UTF-8, NUL-terminated and borrowed until return. At most
 * about strlen(glob) * strlen(name) comparisons. Pure; any thread. */
bool glob_matches(const char *glob, const char *name);

#endif
