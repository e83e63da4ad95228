/* SPDX-License-Identifier: Apache-2.0
 *
 * The types of values that rows of the schema have: how each is read from a text and written as
 * YAML; and the plain readers beneath them, for values that stand in no row.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "server/config/schema.h"

#define VALUE_PATH_MAX_BYTES 4095u /* PATH_MAX of Linux without its NUL */

extern const struct schema_type value_address; /* const char *: host:port, [v6]:port */
extern const struct schema_type value_path;    /* const char *: "" is none */
extern const struct schema_type value_choice;  /* const char *: one of row->choice, static */
extern const struct schema_type value_word;    /* const char *: a name that the system knows */
extern const struct schema_type value_level;   /* enum log_level; row->choice lists their names */
extern const struct schema_type value_switch;  /* bool */
extern const struct schema_type value_whole;   /* uint32_t */
extern const struct schema_type value_bytes;   /* uint64_t: bytes, or 1KiB, 64 MiB, 2GiB */
extern const struct schema_type value_list;  /* const char *: addresses of hosts, commas between */
extern const struct schema_type value_place; /* uint32_t: a place in such a list, or auto */
extern const struct schema_type value_advertise; /* const char *: host:port, host or "" */

/* Keeps a text in the arena. RESOURCE_EXHAUSTED. */
enum stepd_status value_keep_text(const char *text, struct stepd_arena *arena, void *ret_field,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: text is not what is expected. */
enum stepd_status value_refuse(const char *text, const char *expected, struct stepd_error *reterr);

/* "true" and "false" into *ret_value; false where text is neither. */
bool value_read_switch(const char *text, bool *ret_value);

/* A whole number in digits into *ret_value; false where text is none or above 2^64 - 1. */
bool value_read_whole(const char *text, uint64_t *ret_value);

/* A finite decimal number into *ret_value; false where text is none. */
bool value_read_number(const char *text, double *ret_value);

/* Writes a number with as many digits as reading the same bits again takes. */
void value_write_number(double value, FILE *stream);

/* Writes a clean text of at most VALUE_PATH_MAX_BYTES as a YAML scalar in double quotes, all of
 * which stands in one line. */
void value_write_text(const char *text, FILE *stream);

#endif
