/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done with the rows of schema.c.
 */
#include <ctype.h>
#include <string.h>

#include "server/config/schema.h"

size_t schema_find_key(const char *key)
{
    size_t index = 0;
    while (index < CONFIG_KEYS && strcmp(schema_row_at(index)->key, key) != 0)
        index++;
    return index;
}

void schema_environment_name(const char *key, char ret_name[SCHEMA_ENVIRONMENT_MAX_BYTES])
{
    const size_t prefix = sizeof SCHEMA_ENVIRONMENT_PREFIX - 1;
    (void)snprintf(ret_name, SCHEMA_ENVIRONMENT_MAX_BYTES, SCHEMA_ENVIRONMENT_PREFIX "%s", key);
    for (char *at = ret_name + prefix; *at != '\0'; at++)
        *at = (char)toupper((unsigned char)*at);
}

enum stepd_status schema_set(const struct schema_row *row, const char *text, struct config *config,
                             struct stepd_error *reterr)
{
    return row->type->read(row, text, &config->arena, (char *)config + row->offset, reterr);
}

void schema_write(const struct schema_row *row, const struct config *config, FILE *stream)
{
    row->type->write(row, (const char *)config + row->offset, stream);
}
