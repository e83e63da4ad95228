/* SPDX-License-Identifier: Apache-2.0
 *
 * One walk over the name. When something does not match, the last star takes one character more and
 * what follows it is tried anew; no earlier star need ever be asked, because wherever what stands
 * between two stars matches first leaves most of the name to what comes after it.
 *
 * A set is read anew each time that it is asked, which costs its length. Only the search for a ]
 * that is not there could cost more, so its result is kept: a [ behind one without its ] has none
 * either.
 *
 * Bytes that are no UTF-8 are characters of their own, above all that there are.
 */
#include "server/base/glob.h"

#include <stddef.h>
#include <stdint.h>

#define NO_CHARACTER 0x110000u /* and the byte: what stands for one that is no UTF-8 */

/* The character at *at, which moves behind it; 0 at the end, where it stays. */
static uint32_t take(const char **at)
{
    const unsigned char *const byte = (const unsigned char *)*at;
    const uint32_t lead = byte[0];
    size_t more = 0;
    if (lead >= 0xC2 && lead <= 0xF4)
        more = 1u + (lead >= 0xE0) + (lead >= 0xF0);
    uint32_t value = more == 0 ? lead : lead & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((byte[i] & 0xC0u) != 0x80u) { /* also at the end: nothing behind it is read */
            more = 0;
            break;
        }
        value = value << 6 | (byte[i] & 0x3Fu);
    }
    *at += lead == 0 ? 0 : 1 + more;
    return more == 0 && lead >= 0x80 ? NO_CHARACTER + lead : value;
}

/* The first member of the set that opens here. */
static const char *set_begin(const char *open)
{
    return open[1] == '!' || open[1] == '^' ? open + 2 : open + 1;
}

/* The ] of the set that opens here; NULL: there is none. As the first member it is no end. */
static const char *set_end(const char *open)
{
    const char *at = set_begin(open);
    at += *at == ']' ? 1 : 0;
    for (; *at != '\0' && *at != ']'; at++)
        at += at[0] == '\\' && at[1] != '\0' ? 1 : 0;
    return *at == ']' ? at : NULL;
}

static uint32_t take_member(const char **at)
{
    *at += **at == '\\' ? 1 : 0;
    return take(at);
}

static bool set_holds(const char *open, const char *end, uint32_t character)
{
    const char *at = set_begin(open);
    const bool inverted = at > open + 1;
    bool found = false;
    while (at < end) {
        const uint32_t from = take_member(&at);
        uint32_t to = from;
        if (at[0] == '-' && at + 1 < end) {
            at++;
            to = take_member(&at);
        }
        found = found || (character >= from && character <= to);
    }
    return found != inverted;
}

/* Matches a character (not 0) with what stands in the glob for one. Returns what follows there, or
 * NULL. *open: the first [ that is known to have no ], or NULL. */
static const char *match_one(const char *glob, uint32_t character, const char **open)
{
    if (*glob == '?')
        return glob + 1;
    if (*glob == '[' && (*open == NULL || glob < *open)) {
        const char *const end = set_end(glob);
        if (end != NULL)
            return set_holds(glob, end, character) ? end + 1 : NULL;
        *open = glob;
    }
    glob += *glob == '\\' ? 1 : 0;
    return take(&glob) == character ? glob : NULL;
}

bool glob_matches(const char *glob, const char *name)
{
    const char *open = NULL;
    const char *behind_star = NULL; /* the last one that was passed */
    const char *tried = name;       /* where in the name what is behind it was tried last */
    while (*name != '\0') {
        if (*glob == '*') {
            behind_star = ++glob;
            tried = name;
            continue;
        }
        const uint32_t character = take(&name);
        glob = match_one(glob, character, &open);
        if (glob != NULL)
            continue;
        if (behind_star == NULL)
            return false;
        (void)take(&tried);
        name = tried;
        glob = behind_star;
    }
    while (*glob == '*')
        glob++;
    return *glob == '\0';
}
