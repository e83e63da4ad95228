/* SPDX-License-Identifier: Apache-2.0
 *
 * A job and the state of its slices, made of two safetensors files that somebody else has written:
 * weights under the tensors' own names, and slots as <tensor>/<slot>, as persist/arrays.h has them.
 *
 *     import_job     a definition, and the tensors of the first file: the job that a daemon makes
 *                    when a worker defines them
 *     import_state   all slices at one step, with the floats of both files
 *
 * Nobody has pushed yet: there are no records, and no members.
 */
#ifndef CLIENT_CTL_IMPORT_STATE_H
#define CLIENT_CTL_IMPORT_STATE_H

#include <stdint.h>

#include <stepd/status.h>

#include "server/disk/tensors.h"
#include "server/model/job_state.h"
#include "server/persist/arrays.h"

/* One of the files. */
struct import_file {
    const char *path;
    struct tensors tensors;
};

/*
 * Seals a draft that has no tensors yet with those of the file, in the order in which they lie in
 * it; their first values are brought by rank 0 (STEPD_TENSOR_VALUES). INVALID_ARGUMENT: they do not
 * fit the draft; the text names the tensor. RESOURCE_EXHAUSTED: no memory. All is borrowed until
 * return. *ret_job: the caller gives it back with job_unref.
 */
enum stepd_status import_job(struct job_draft *draft, uint64_t incarnation,
                             const struct import_file *weights, struct job **ret_job,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Every slice is at version `step`, after as many updates. INVALID_ARGUMENT: an array is missing or
 * too many, has another shape or dtype, or a number that is not finite; or an optimizer keeps what
 * no file has. UNAVAILABLE: a file cannot be read. RESOURCE_EXHAUSTED: no memory. The text names
 * the file and the array. *ret_state: the caller gives it back with job_state_unref.
 */
enum stepd_status import_state(struct job *job, uint64_t step,
                               const struct import_file file[ARRAYS_FILES],
                               struct job_state **ret_state,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
