/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing JSON text, value by value; commas come by themselves.
 *
 *     struct stepd_json json = {.text = NULL};
 *     stepd_json_open(&json, NULL, '{');
 *     stepd_json_integer(&json, "rank", 3);
 *     stepd_json_close(&json, '}');
 *     char *const text = stepd_json_take(&json); // NULL: there was no memory
 *
 * `key` is NULL within an array. Running out of memory is noticed once, at the end.
 */
#ifndef CLIENT_LIB_CORE_JSON_H
#define CLIENT_LIB_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stepd_json {
    char *text; /* owned */
    size_t bytes, room;
    bool follows; /* a value stands before, in the same object or array */
    bool failed;  /* there was no memory */
};

/* '{' or '[', and their ends. */
void stepd_json_open(struct stepd_json *json, const char *key, char bracket);
void stepd_json_close(struct stepd_json *json, char bracket);

/* UTF-8. */
void stepd_json_string(struct stepd_json *json, const char *key, const char *value);

/* At most INT64_MAX, which many readers take no more than: what is above becomes that. */
void stepd_json_integer(struct stepd_json *json, const char *key, uint64_t value);

/* null, where it is not finite: JSON has no NaN. */
void stepd_json_real(struct stepd_json *json, const char *key, double value);

void stepd_json_null(struct stepd_json *json, const char *key);

/* The text, NUL-terminated: caller frees with free(). NULL: there was no memory. */
char *stepd_json_take(struct stepd_json *json);

/* Frees what has been written; it may begin anew. */
void stepd_json_drop(struct stepd_json *json);

#endif
