/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of keys: one row says everything about one value that can be configured. To add a key:
 * a field in struct config, a row here, CONFIG_KEYS, and its lines in deploy/stepd.yaml (a test
 * compares).
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>

#include "proto/arena.h"
#include "server/config/config.h"

#define SCHEMA_ENVIRONMENT_PREFIX    "STEPD_"
#define SCHEMA_ENVIRONMENT_MAX_BYTES 64u

struct schema_row;

/* A kind of value: how it is read from a text, and how it is written as YAML. */
struct schema_type {
    const char *placeholder; /* of the value in --help; NULL: a switch, which takes none */
    /*
     * Reads text (borrowed until return; what is kept of it goes into the arena) into the field.
     * INVALID_ARGUMENT: the text of *reterr says what it is not. RESOURCE_EXHAUSTED: no memory.
     */
    enum stepd_status (*read)(const struct schema_row *row, const char *text,
                              struct stepd_arena *arena, void *ret_field,
                              struct stepd_error *reterr);
    void (*write)(const struct schema_row *row, const void *field, FILE *stream);
    bool is_list; /* may be a list in the file, which is read as its entries with commas between */
};

struct schema_row {
    const char *key;  /* in the file; STEPD_ and the key in capitals in the environment */
    const char *flag; /* on the command line, behind -- */
    const struct schema_type *type;
    const char *fallback;      /* the default, as the file would say it */
    uint64_t least;            /* numbers */
    uint64_t most;             /* numbers; texts: bytes */
    const char *const *choice; /* choices: NULL-terminated */
    const char *doc;           /* one line, with the unit */
    bool reloadable;           /* may change while the daemon runs */
    size_t offset;             /* of the field in struct config */
};

/* The rows, in the order of --help. index < CONFIG_KEYS. Static; any thread. */
const struct schema_row *schema_row_at(size_t index);

/* The index of a row by its key; CONFIG_KEYS: there is none. */
size_t schema_find_key(const char *key);

/* "STEPD_UNIX_PATH" for "unix_path", NUL-terminated. */
void schema_environment_name(const char *key, char ret_name[SCHEMA_ENVIRONMENT_MAX_BYTES]);

/* Reads a value into its field of *config. Errors: as schema_type.read. */
enum stepd_status schema_set(const struct schema_row *row, const char *text, struct config *config,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes a field of *config as YAML in one line. */
void schema_write(const struct schema_row *row, const struct config *config, FILE *stream);

#endif
