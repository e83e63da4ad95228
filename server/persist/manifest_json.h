/* SPDX-License-Identifier: Apache-2.0
 *
 * What every topic of the manifest needs: values to JSON and back, to the bit, and the text around
 * them.
 *
 *     whole numbers   JSON's, and as a text where they are above 2^63 - 1, which jansson has not
 *     2^64 - 1        null, where it stands for none
 *     doubles         JSON's, with 17 digits; "inf", "-inf", and "nan:<its bits>" for a NaN
 *     bytes           hexadecimal digits
 *
 * Writing: functions manifest_of_* make a value, or NULL where there is no memory, which whoever
 * takes it notices (json_pack, json_array_append_new, manifest_text_value).
 *
 * Reading: an object is asked for its keys one by one. The first that is missing or wrong is
 * remembered and said at the end, as is a key that nobody has asked for; what is taken of an object
 * that has failed is 0 or NULL.
 */
#ifndef PERSIST_MANIFEST_JSON_H
#define PERSIST_MANIFEST_JSON_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

/* ---- Writing values -------------------------------------------------------------------------- */

json_t *manifest_of_u64(uint64_t number);
/* UINT64_MAX: null. */
json_t *manifest_of_u64_or_none(uint64_t number);
json_t *manifest_of_double(double number);
json_t *manifest_of_bytes(const uint8_t *bytes, size_t n);
/* OK: null. */
json_t *manifest_of_error(const struct stepd_error *error);

/* Of the same bits. */
bool manifest_same_double(double a, double b);

/* ---- Writing text ---------------------------------------------------------------------------- */

/* Lines that grow. A zeroed one is empty. */
struct manifest_text {
    char *at; /* owned; NUL-terminated */
    size_t length;
    size_t room;
    unsigned depth; /* of the lists and objects that are open */
    bool inside;    /* something stands in the innermost one */
    bool full;      /* above MANIFEST_MAX_BYTES */
    bool failed;    /* that, or no memory: what stands here is of no use */
};

/* Begins a list or an object ('[' or '{') on a line of its own, each of whose values will have one
 * too; ends the innermost. key NULL: in a list. */
void manifest_text_open(struct manifest_text *text, const char *key, char bracket);
void manifest_text_close(struct manifest_text *text, char bracket);

/* A value on a line. Takes ownership of the value; NULL: no memory. */
void manifest_text_value(struct manifest_text *text, const char *key, json_t *value);

/* Each pair of an object as above. Takes ownership of it. */
void manifest_text_pairs(struct manifest_text *text, json_t *object);

/* Bytes as they are. */
void manifest_text_put(struct manifest_text *text, const char *bytes, size_t n);

/* ---- Reading --------------------------------------------------------------------------------- */

/* More than any object has. */
#define MANIFEST_KEYS_MAX 32u

struct manifest_object {
    const json_t *json; /* borrowed */
    const char *asked[MANIFEST_KEYS_MAX];
    size_t count;
    void *at;                 /* where manifest_take_rest is */
    bool whole;               /* it has come to the end */
    enum stepd_status status; /* of what has failed first; OK: nothing has */
    struct stepd_error *reterr;
};

/* Begins to read; what is no object has failed. */
void manifest_object_begin(struct manifest_object *object, const json_t *json,
                           struct stepd_error *reterr);

/* Status; INVALID_ARGUMENT too where a key has not been asked for. */
enum stepd_status manifest_object_end(struct manifest_object *object) STEPD_MUST_CHECK;

/* Is the key there? It counts as asked for. */
bool manifest_object_has(struct manifest_object *object, const char *key);

/* Whatever stands there. */
const json_t *manifest_take(struct manifest_object *object, const char *key);

/* The next key that has not been asked for, which is a name of at most so many bytes; NULL: there
 * is no other. Borrowed from the JSON. */
const char *manifest_take_rest(struct manifest_object *object, size_t most,
                               const json_t **ret_value);

uint64_t manifest_take_u64(struct manifest_object *object, const char *key);
/* null: UINT64_MAX. */
uint64_t manifest_take_u64_or_none(struct manifest_object *object, const char *key);
/* In [least, most]. */
uint64_t manifest_take_between(struct manifest_object *object, const char *key, uint64_t least,
                               uint64_t most);
double manifest_take_double(struct manifest_object *object, const char *key);
bool manifest_take_bool(struct manifest_object *object, const char *key);
void manifest_take_bytes(struct manifest_object *object, const char *key, uint8_t *ret_bytes,
                         size_t n);
void manifest_take_error(struct manifest_object *object, const char *key,
                         struct stepd_error *ret_error);

/* A text of at most so many bytes, and not "" or with what cannot be printed where it is a name.
 * Borrowed from the JSON. */
const char *manifest_take_text(struct manifest_object *object, const char *key, size_t most);
const char *manifest_take_name(struct manifest_object *object, const char *key, size_t most);

/* One of the words; its index. */
size_t manifest_take_word(struct manifest_object *object, const char *key, const char *const *word,
                          size_t words);

/* A list of at most so many. Borrowed from the JSON. */
const json_t *manifest_take_list(struct manifest_object *object, const char *key, size_t most);

/* Values that stand in no object; what is wrong with them stands in reterr without a name. False,
 * and the number is 0: it is none. */
bool manifest_read_u64(const json_t *json, uint64_t *ret_number);
bool manifest_read_double(const json_t *json, double *ret_number);
/* A text that can be printed, and is not empty. */
bool manifest_is_name(const json_t *json, size_t most);

/* What jansson says of a text that is no JSON, or has no memory for it. */
enum stepd_status manifest_fail_json(const json_error_t *error, struct stepd_error *reterr);

/* The object has failed: STEPD_INVALID_ARGUMENT, unless something has before; the text goes on
 * from the key. */
void manifest_object_fail(struct manifest_object *object, const char *key, const char *fmt, ...)
    STEPD_PRINTF(3, 4);
void manifest_object_no_memory(struct manifest_object *object);

#endif
