/* SPDX-License-Identifier: Apache-2.0
 *
 * "did you mean": the known name that is nearest to one that is not known, so that a misspelt key
 * costs its author one reading of the error and not a search through the manual.
 *
 *     struct nearest nearest;
 *     nearest_init(&nearest, name);
 *     for each known name: nearest_offer(&nearest, known);
 *     return stepd_fail(reterr, STEPD_NOT_FOUND, "unknown key '%s': %s", name,
 *                       nearest_hint(&nearest));
 *
 * Nearness is the number of letters inserted, dropped, changed or swapped with their neighbour,
 * upper and lower case being the same letter. Names longer than NEAREST_NAME_MAX_BYTES are near to
 * nothing: the work is bounded whatever a peer sends.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

#define NEAREST_NAME_MAX_BYTES 64u
#define NEAREST_HINT_BYTES     160u

struct nearest {
    const char *wanted; /* borrowed as long as this struct is used */
    const char *name;   /* the nearest name offered so far (borrowed), or NULL: none is near */
    size_t distance;    /* of name */
    size_t offered;     /* names so far */
    char hint[NEAREST_HINT_BYTES]; /* "known are a, b, c" until the search ends */
    size_t hint_bytes;             /* its length; the size of hint once "..." ends it */
};

/* Begins a search for wanted (borrowed as long as the search is used). */
void nearest_init(struct nearest *nearest, const char *wanted);

/* Looks at one known name (borrowed as long as the search is used). The first of equals wins. */
void nearest_offer(struct nearest *nearest, const char *known);

/*
 * Ends the search: "did you mean 'adamw'?", or, where nothing is near, "known are sgd, adam" with
 * "..." for what did not fit. The text lies in *nearest and lives as long as that.
 */
const char *nearest_hint(struct nearest *nearest);

/* The name among at(0) .. at(count - 1) that is nearest to wanted, or NULL. Any thread. */
const char *nearest_name(const char *wanted, const char *(*at)(size_t index), size_t count);

#endif
