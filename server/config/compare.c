/* SPDX-License-Identifier: Apache-2.0
 *
 * What differs between two configs, for a daemon that rereads its own. Values are compared as the
 * YAML that --print-config would write: it loads to the same values, so equal texts are equal
 * values, whatever their types and wherever they come from.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config/config.h"
#include "server/config/jobs.h"
#include "server/config/schema.h"

/* A key's value as YAML; CONFIG_KEYS is the jobs. NULL: no memory. The caller frees with free(). */
static char *write_value(const struct config *config, size_t key)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const stream = open_memstream(&text, &bytes);
    if (stream == NULL)
        return NULL;
    if (key == CONFIG_KEYS)
        jobs_write(config, false, stream);
    else
        schema_write(schema_row_at(key), config, stream);
    const bool failed = ferror(stream) != 0;
    if (fclose(stream) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

/* False: no memory. */
static bool compare_value(const struct config *before, const struct config *after, size_t key,
                          bool *ret_same)
{
    char *const old = write_value(before, key);
    char *const new = write_value(after, key);
    const bool written = old != NULL && new != NULL;
    if (written)
        *ret_same = strcmp(old, new) == 0;
    free(old);
    free(new);
    return written;
}

bool config_compare(const struct config *before, const struct config *after,
                    void (*differs)(void *owner, const char *key, bool reloadable), void *owner)
{
    for (size_t key = 0; key <= CONFIG_KEYS; key++) {
        const struct schema_row *const row = key < CONFIG_KEYS ? schema_row_at(key) : NULL;
        bool same = true;
        if (!compare_value(before, after, key, &same))
            return false;
        if (!same)
            differs(owner, row != NULL ? row->key : "jobs", row != NULL && row->reloadable);
    }
    return true;
}

const struct config_job *config_find_job(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->jobs; i++) {
        if (strcmp(config->job[i].name, name) == 0)
            return &config->job[i];
    }
    return NULL;
}

bool config_same_job(const struct config *a, const struct config *b, const char *name)
{
    const struct config_job *const of_a = config_find_job(a, name);
    const struct config_job *const of_b = config_find_job(b, name);
    if (of_a == NULL || of_b == NULL)
        return false;
    const struct config only_a = {.jobs = 1, .job = of_a};
    const struct config only_b = {.jobs = 1, .job = of_b};
    bool same = false;
    return compare_value(&only_a, &only_b, CONFIG_KEYS, &same) && same;
}
