/* SPDX-License-Identifier: Apache-2.0
 *
 * The arrays of a checkpoint: their names, which of its two files has them, and where in a job's
 * state their floats lie. One map serves both ways: of the shares of a snapshot, to write them; and
 * of a state whose arrays have just been allocated, to read them.
 *
 *     file                    array                  what                                shape
 *     model.safetensors       <tensor>               the weights                         its own
 *     optimizer.safetensors   <tensor>/<slot>        a slot with a float an element      its own
 *                                                    another one (row_var)               flat
 *                             <tensor>/training      a view, where it has been made      its own
 *                             <tensor>/ema  /swa
 *                             <tensor>/backup.<rank> the weights that this rank pulled   its own
 *                                                    last, with delay_compensation
 *                             <tensor>/<any>@<from>  a stretch of it: see below          flat
 *
 * No slot has a '/' or an '@' in its name, so that whatever tensors are called, no two arrays meet.
 * A slot that a whole group has, and not each of its elements (lbfgs: old_dirs), is under the
 * group's first tensor. A slot of the same name in two optimizers is the same array.
 *
 * Where slices are stepped one by one, some of a tensor's may have what others have not: another
 * phase's slots, an average that has begun. What then is on a stretch of the tensor only is an
 * array of its own, with the first element of the stretch behind an '@'; of weights that have come
 * in part only, <tensor>/evaluation@<from>. Nothing of these is filled up. Each slice's state in
 * the manifest says what the slice has, which makes the same map again.
 *
 * Where several daemons hold a job, each of them has two files of its own (portion.h), with what
 * its slices have. What is then of a tensor on one daemon only in part is a stretch likewise; that
 * of weights is in the model's file, as <tensor>@<from>, and so that no name is of two things, a
 * tensor that is called so itself is <tensor>@0 there, flat.
 *
 *     model-00001-of-00002.safetensors      <tensor>              weights, all of them      its own
 *                                           <tensor>@<from>       from this element on      flat
 *     optimizer-00001-of-00002.safetensors  <tensor>/<any>        as above                  as
 * above <tensor>/<any>@<from> likewise                  flat
 *
 * All elements are F32. A slice without values has no arrays: its slots are still zeros, its tensor
 * is not in the files. Nor has a backup that was never pulled.
 *
 * A map of another layout of the same tensors, with other slices, has the same arrays where all
 * slices of a tensor are at one point. Where they are not, the stretches are others, and
 * arrays_match says so.
 */
#ifndef PERSIST_ARRAYS_H
#define PERSIST_ARRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "server/model/job_state.h"
#include "server/persist/safetensors.h"

enum arrays_file { ARRAYS_MODEL, ARRAYS_OPTIMIZER };

#define ARRAYS_FILES 2u

/* Floats of an array that lie together. */
struct array_piece {
    uint64_t first; /* index in the array */
    uint64_t floats;
    const float *from;
    float *into; /* the same place; NULL: a shard's share, which nobody may write */
};

struct array {
    char *name; /* owned */
    size_t dims;
    uint64_t shape[STEPD_DIMS_MAX];
    uint64_t floats;         /* at least 1 */
    uint64_t begin;          /* its first byte in the file, behind the head */
    bool weights;            /* it is of the tensor's weights themselves */
    size_t base_bytes;       /* of its name: the tensor's of weights, else all but the mark */
    uint64_t from;           /* its first element */
    const struct tensor *of; /* borrowed from the job: it has a float of each element of it, or of
                              * a stretch; NULL: it is flat */
    size_t pieces;
    struct array_piece *piece; /* borrowed from the list; in the order of elements */
};

struct arrays_list {
    size_t count;
    struct array *array;       /* owned; by rising begin */
    struct array_piece *piece; /* owned; of all of them */
    uint64_t bytes;            /* of all of them: from the head's end to the file's */
};

struct arrays {
    struct arrays_list file[ARRAYS_FILES];
};

/*
 * Maps the arrays of a job whose slices are in these shares: those of all shards, or one whole
 * state. They must outlive the map, and stay as they are but for the floats.
 * INVALID_ARGUMENT: no share has one of the slices, or it is in a phase that its group has not.
 * RESOURCE_EXHAUSTED: no memory.
 * *ret_arrays: caller frees with arrays_destroy. Any thread, while nobody writes the shares.
 */
enum stepd_status arrays_create(const struct job_state *const *share, size_t shares,
                                struct arrays **ret_arrays,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same of the slices that are in the shares, for the files of one of several daemons. */
enum stepd_status arrays_create_portion(const struct job_state *const *share, size_t shares,
                                        struct arrays **ret_arrays,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct arrays *arrays_destroy(struct arrays *arrays);

/* The head of one of the files, with texts, as safetensors_encode has them. Errors as there.
 * *ret_head: caller frees with free().
 */
enum stepd_status arrays_head(const struct arrays *arrays, enum arrays_file file,
                              const struct safetensors_text *text, uint8_t **ret_head,
                              size_t *ret_head_bytes, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Floats [first, first + n) of an array as they stand in its file, 4 * n bytes at `bytes`. */
void array_encode(const struct array *array, uint64_t first, uint64_t n, uint8_t *bytes);

/* ---- Reading --------------------------------------------------------------------------------- */

/*
 * Allocates what the slices of a whole state have, with zeros in it, so that arrays_create can map
 * it. Of each slice these must be there: taken, elements, valued, changed, phase, ranks and
 * by_rank; it gets slots, views and backups, and scalars stay as they are. view_made has
 * STEPD_VIEWS entries for each slice: has a step made the view? That of EVALUATION is not looked
 * at. asked says for each slice whether it gets any, NULL: all; bytes_max bounds what is allocated.
 * INVALID_ARGUMENT: a slice has another size than in the layout, a phase that its group has not,
 * or a view that its group does not keep. RESOURCE_EXHAUSTED: more than bytes_max (the text says
 * the sum), or no memory. What has been allocated is freed with the state.
 */
enum stepd_status arrays_allocate(struct job_state *state, const bool (*view_made)[STEPD_VIEWS],
                                  const bool *asked, uint64_t bytes_max,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Compares a map with the head of a file that is to be read into it, and takes over where in the
 * file each array begins; the list is sorted by that. INVALID_ARGUMENT: an array is missing, or is
 * no F32 or of another shape, or the file has one that the map has not; the text names it.
 */
enum stepd_status arrays_match(struct arrays *arrays, enum arrays_file file,
                               const struct safetensors *head,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Reads floats [first, first + n) of an array, as array_encode has written them. For a map of a
 * whole state. */
void array_decode(const struct array *array, uint64_t first, uint64_t n, const uint8_t *bytes);

#endif
