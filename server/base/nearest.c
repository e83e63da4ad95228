/* SPDX-License-Identifier: Apache-2.0
 *
 * Optimal string alignment: the Levenshtein distance with a swap of two neighbours counted as one
 * edit, because that is the commonest slip ("sdg"). Three rows of the usual table, on the stack.
 *
 * A name is near when at most every third letter, and one more, is wrong; a suggestion that shares
 * nothing with what was written is worse than the list of what there is.
 */
#include "server/base/nearest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The edits from a to b, both at most NEAREST_NAME_MAX_BYTES long. */
static size_t edits(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t rows[3][NEAREST_NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= b_bytes; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *const row = rows[i % 3];
        const size_t *const above = rows[(i + 2) % 3];
        const size_t *const above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            row[j] = least(above[j - 1] + !same, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

/* Adds ", known" to the list, or at last ", ..."; the end always has room for that. */
static void list(struct nearest *nearest, const char *known)
{
    static const char more[] = ", ...";
    char *const end = nearest->hint + nearest->hint_bytes;
    const size_t room = sizeof nearest->hint - nearest->hint_bytes;
    if (room < sizeof more)
        return; /* "..." stands there already */
    const char *const comma = nearest->offered == 0 ? "" : ", ";
    const size_t needed = strlen(comma) + strlen(known);
    if (needed + sizeof more > room) {
        (void)snprintf(end, room, "%s", more);
        nearest->hint_bytes = sizeof nearest->hint;
        return;
    }
    (void)snprintf(end, room, "%s%s", comma, known);
    nearest->hint_bytes += needed;
}

void nearest_init(struct nearest *nearest, const char *wanted)
{
    static const char intro[] = "known are ";
    *nearest = (struct nearest){.wanted = wanted, .hint_bytes = sizeof intro - 1};
    memcpy(nearest->hint, intro, sizeof intro);
}

void nearest_offer(struct nearest *nearest, const char *known)
{
    list(nearest, known);
    nearest->offered++;
    const size_t wanted_bytes = strlen(nearest->wanted);
    const size_t known_bytes = strlen(known);
    if (wanted_bytes > NEAREST_NAME_MAX_BYTES || known_bytes > NEAREST_NAME_MAX_BYTES)
        return;
    const size_t most = 1 + wanted_bytes / 3;
    if (wanted_bytes + most < known_bytes || known_bytes + most < wanted_bytes)
        return; /* by their lengths alone: a file has thousands of names to compare */
    const size_t distance = edits(nearest->wanted, wanted_bytes, known, known_bytes);
    const bool near = distance <= most && distance < known_bytes;
    if (!near || (nearest->name != NULL && distance >= nearest->distance))
        return;
    nearest->name = known;
    nearest->distance = distance;
}

const char *nearest_hint(struct nearest *nearest)
{
    if (nearest->name != NULL)
        (void)snprintf(nearest->hint, sizeof nearest->hint, "did you mean '%s'?", nearest->name);
    return nearest->hint;
}

const char *nearest_name(const char *wanted, const char *(*at)(size_t index), size_t count)
{
    struct nearest nearest;
    nearest_init(&nearest, wanted);
    for (size_t i = 0; i < count; i++)
        nearest_offer(&nearest, at(i));
    return nearest.name;
}
