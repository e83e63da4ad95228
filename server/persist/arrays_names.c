/* SPDX-License-Identifier: Apache-2.0
 *
 * What arrays are called, and back. A name is read from its end: what is behind the last '@' is
 * digits only where it is a stretch, since no slot has a '/' or an '@' in its name; and where a
 * tensor itself is called so, and the file would have its name alone, it is named as a stretch too.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/persist/arrays_internal.h"

/* "/backup.4095@" and 20 digits fit well: no slot's name is longer. */
#define SUFFIX_BYTES 64u

static const char *const view_words[STEPD_VIEWS] = {
    [STEPD_TRAINING] = "training",
    [STEPD_EVALUATION] = "evaluation",
    [STEPD_EMA] = "ema",
    [STEPD_SWA] = "swa",
};

/* ---- Making ---------------------------------------------------------------------------------- */

static void write_suffix(const struct array_key *key, char suffix[SUFFIX_BYTES])
{
    switch (key->kind) {
    case KEY_VIEW: (void)snprintf(suffix, SUFFIX_BYTES, "/%s", view_words[key->view]); break;
    case KEY_SLOT: (void)snprintf(suffix, SUFFIX_BYTES, "/%s", key->slot); break;
    case KEY_BACKUP: (void)snprintf(suffix, SUFFIX_BYTES, "/backup.%zu", key->rank); break;
    }
}

char *arrays_name_make(const char *tensor, const struct array_key *key, enum arrays_file file,
                       bool marked, uint64_t from)
{
    const size_t size = strlen(tensor) + SUFFIX_BYTES + 24;
    char suffix[SUFFIX_BYTES] = "";
    char *const name = malloc(size);
    if (name == NULL)
        return NULL;
    if (file == ARRAYS_OPTIMIZER)
        write_suffix(key, suffix);
    if (marked)
        (void)snprintf(name, size, "%s%s@%" PRIu64, tensor, suffix, from);
    else
        (void)snprintf(name, size, "%s%s", tensor, suffix);
    return name;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The digits behind the last '@', as they are written. False: it is no mark. */
static bool find_mark(const char *name, size_t *ret_at, uint64_t *ret_from)
{
    const char *const at = strrchr(name, '@');
    if (at == NULL || at == name || !isdigit((unsigned char)at[1]) || (at[1] == '0' && at[2] != 0))
        return false;
    char *end = NULL;
    errno = 0;
    const unsigned long long from = strtoull(at + 1, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret_at = (size_t)(at - name);
    *ret_from = from;
    return true;
}

bool arrays_name_is_marked(const char *name)
{
    size_t at = 0;
    uint64_t from = 0;
    return find_mark(name, &at, &from);
}

struct array_name arrays_name_parse(const char *name, enum arrays_file file, bool portion)
{
    static const char weights[] = "/evaluation";
    const size_t tail = sizeof weights - 1;
    struct array_name parsed = {.weights = file == ARRAYS_MODEL, .base_bytes = strlen(name)};
    if (file == ARRAYS_MODEL && !portion)
        return parsed;
    parsed.marked = find_mark(name, &parsed.base_bytes, &parsed.from);
    if (file == ARRAYS_OPTIMIZER && !portion && parsed.marked && parsed.base_bytes > tail &&
        memcmp(name + parsed.base_bytes - tail, weights, tail) == 0) {
        parsed.weights = true;
        parsed.base_bytes -= tail;
    }
    return parsed;
}
