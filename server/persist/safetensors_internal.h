/* SPDX-License-Identifier: Apache-2.0
 *
 * What writing and reading a head share: the keys, and the rule of where tensors lie.
 */
#ifndef PERSIST_SAFETENSORS_INTERNAL_H
#define PERSIST_SAFETENSORS_INTERNAL_H

#include "server/persist/safetensors.h"

#define SAFETENSORS_METADATA "__metadata__"
#define SAFETENSORS_DTYPE    "dtype"
#define SAFETENSORS_SHAPE    "shape"
#define SAFETENSORS_OFFSETS  "data_offsets"

/* A name or text in quotes, cut where it is too long for a sentence. */
struct safetensors_quoted {
    char text[128];
};

struct safetensors_quoted safetensors_quote(const char *text, size_t n);

/* What qsort wants, of two tensors: by rising begin, then end. */
int safetensors_compare_places(const struct safetensors_tensor *a,
                               const struct safetensors_tensor *b);

/* Holds one tensor to its shape and to the one before it, which ends at *at; *at is then the end of
 * this one. INVALID_ARGUMENT: the text names the tensor. */
enum stepd_status safetensors_check_place(const struct safetensors_tensor *tensor, uint64_t *at,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
