/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a safetensors file: eight bytes with its length, little-endian, and that many bytes
 * of JSON, which say of each tensor its name, dtype, shape and place in the bytes that follow.
 *
 *     u64 n | {"__metadata__":{...},"fc1.weight":{"dtype":"F32","shape":[..],"data_offsets":[..]}}
 *           | the tensors' bytes, one tensor behind the other, without a hole
 *
 * Writing: safetensors_encode makes the whole head, padded with spaces to a multiple of 8.
 * Reading: the first eight bytes go to safetensors_json_bytes, and that many bytes behind them to
 * safetensors_decode. Whoever reads a file has it from somebody else, so nothing in it is believed:
 * every offset is held to every other, to the shape and to the length of the file, so that what has
 * been decoded can be read without another check. What the format does not know is refused.
 *
 * A model's head takes some five times its size in memory while it is decoded, and one that is made
 * to take much some 16 times (safetensors_decode.c).
 */
#ifndef PERSIST_SAFETENSORS_H
#define PERSIST_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define SAFETENSORS_LENGTH_BYTES   8u
#define SAFETENSORS_JSON_MAX_BYTES 100000000u /* that of the reference implementation */
#define SAFETENSORS_NAME_MAX_BYTES 1024u
#define SAFETENSORS_DIMS_MAX       16u

/* X(name, bits of an element) */
#define SAFETENSORS_DTYPE_MAP(X)                                                                   \
    X(F32, 32)                                                                                     \
    X(F16, 16)                                                                                     \
    X(BF16, 16)                                                                                    \
    X(F64, 64)                                                                                     \
    X(BOOL, 8)                                                                                     \
    X(U8, 8)                                                                                       \
    X(I8, 8)                                                                                       \
    X(U16, 16)                                                                                     \
    X(I16, 16)                                                                                     \
    X(U32, 32)                                                                                     \
    X(I32, 32)                                                                                     \
    X(U64, 64)                                                                                     \
    X(I64, 64)                                                                                     \
    X(C64, 64)                                                                                     \
    X(F8_E5M2, 8)                                                                                  \
    X(F8_E4M3, 8)                                                                                  \
    X(F8_E8M0, 8)                                                                                  \
    X(F8_E5M2FNUZ, 8)                                                                              \
    X(F8_E4M3FNUZ, 8)                                                                              \
    X(F6_E2M3, 6)                                                                                  \
    X(F6_E3M2, 6)                                                                                  \
    X(F4, 4)

#define X(name, bits) SAFETENSORS_##name,

enum safetensors_dtype { SAFETENSORS_DTYPE_MAP(X) SAFETENSORS_DTYPES };

#undef X

/* "F32". Static. */
const char *safetensors_dtype_name(enum safetensors_dtype dtype);

struct json_t; /* jansson's */

struct safetensors_tensor {
    const char *name; /* valid UTF-8 without NUL; of any characters beside: quote it for people */
    enum safetensors_dtype dtype;
    size_t dims;
    uint64_t shape[SAFETENSORS_DIMS_MAX];
    uint64_t
        begin; /* first byte, and the one behind the last; 0 is the first one behind the head */
    uint64_t end;
};

/* An entry of __metadata__. A list of them ends at a NULL key. */
struct safetensors_text {
    const char *key;
    const char *value;
};

/* ---- Writing --------------------------------------------------------------------------------- */

/*
 * Makes the head, length and all, of a file with these tensors, in any order, and texts (NULL: it
 * has none). They are borrowed until return; names and keys must not repeat. The same lists make
 * the same bytes.
 * INVALID_ARGUMENT: a name or a text is no UTF-8 that can be printed, a name is too long or
 * __metadata__; or the tensors do not fill the bytes without hole or overlap, or not as their
 * shapes want it. RESOURCE_EXHAUSTED: a head above SAFETENSORS_JSON_MAX_BYTES, or no memory.
 * *ret_head: caller frees with free().
 */
enum stepd_status safetensors_encode(const struct safetensors_tensor *tensor, size_t tensors,
                                     const struct safetensors_text *text, uint8_t **ret_head,
                                     size_t *ret_head_bytes,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- Reading --------------------------------------------------------------------------------- */

struct safetensors {
    size_t tensors;
    struct safetensors_tensor *tensor; /* owned; by rising begin, names borrowed from json */
    size_t texts;
    struct safetensors_text *text; /* owned, and a list too; NULL: the file has no __metadata__ */
    uint64_t begins_at;            /* where in the file byte 0 of the tensors is */

    const struct safetensors_tensor **by_name; /* owned */
    struct json_t *json;                       /* owned */
};

/* The length of the JSON, from the first bytes of a file of file_bytes; `first` has eight or,
 * where the file is shorter, all of them. INVALID_ARGUMENT: the file cannot be one of safetensors.
 */
enum stepd_status safetensors_json_bytes(const uint8_t *first, uint64_t file_bytes,
                                         size_t *ret_json_bytes,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Reads the JSON, as long as safetensors_json_bytes has said, of a file of file_bytes; borrowed
 * until return. INVALID_ARGUMENT: the head breaks a rule; the text names the tensor and the rule.
 * RESOURCE_EXHAUSTED: no memory, as far as jansson tells it from a text that is none. *ret_file:
 * caller frees with safetensors_deinit.
 */
enum stepd_status safetensors_decode(const uint8_t *json, size_t json_bytes, uint64_t file_bytes,
                                     struct safetensors *ret_file,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed one is fine. */
void safetensors_deinit(struct safetensors *file);

/* NULL: the file has no tensor of this name. Borrowed as long as the file is. */
const struct safetensors_tensor *safetensors_find(const struct safetensors *file, const char *name);

/* The product of the shape: never more than the file has bits. */
uint64_t safetensors_elements(const struct safetensors_tensor *tensor);

/* Can safetensors_widen make floats of it: F32, F16, BF16 or F64? */
bool safetensors_is_real(enum safetensors_dtype dtype);

/* One element of SAFETENSORS_F64, in the byte order of the file. Pure. */
double safetensors_double(const uint8_t *bytes);

/* Makes floats of n elements of such a dtype, little-endian as they stand in the file. F64 is
 * rounded to the nearest. Both are borrowed until return and do not overlap. */
void safetensors_widen(enum safetensors_dtype dtype, size_t n, const uint8_t *elements,
                       float *ret_floats);

#endif
