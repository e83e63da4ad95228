/* SPDX-License-Identifier: Apache-2.0
 *
 * What mapping arrays, naming, allocating and reading them share.
 */
#ifndef PERSIST_ARRAYS_INTERNAL_H
#define PERSIST_ARRAYS_INTERNAL_H

#include "server/persist/arrays.h"

/* The phase that a slice is in; NULL: its group is frozen, and it has no slots. INVALID_ARGUMENT:
 * its group has no such phase. */
enum stepd_status arrays_phase(const struct job *job, uint32_t slice,
                               const struct slice_state *state, const struct phase **ret_phase,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* An array of a file has another shape than in the job. */
enum stepd_status arrays_fail_shape(const char *name, const struct safetensors_tensor *tensor,
                                    size_t dims, const uint64_t *shape, struct stepd_error *reterr);

/* ---- arrays_names.c -------------------------------------------------------------------------- */

/* What an array can be of. */
struct array_key {
    enum { KEY_VIEW, KEY_SLOT, KEY_BACKUP } kind;
    enum stepd_view view;
    const char *slot;
    size_t rank;
};

/* "fc1.weight/exp_avg@4096", or without the mark, or of the model's file without what it is of.
 * NULL: no memory. The caller frees with free(). */
char *arrays_name_make(const char *tensor, const struct array_key *key, enum arrays_file file,
                       bool marked, uint64_t from);

/* Would a tensor of this name be taken for a stretch of another one? */
bool arrays_name_is_marked(const char *name);

struct array_name {
    bool weights;      /* of the tensor that is named by the base; else the base says of what */
    bool marked;       /* it is a stretch */
    size_t base_bytes; /* that the name begins with: "fc1.weight/exp_avg" */
    uint64_t from;     /* first element */
};

/* What a name says in one of the files; portion: of several daemons. */
struct array_name arrays_name_parse(const char *name, enum arrays_file file, bool portion);

#endif
