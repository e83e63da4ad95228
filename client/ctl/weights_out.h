/* SPDX-License-Identifier: Apache-2.0
 *
 * The weights of a job's state, as one safetensors file: whole and on the disk, or not there.
 */
#ifndef CLIENT_CTL_WEIGHTS_OUT_H
#define CLIENT_CTL_WEIGHTS_OUT_H

#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "server/model/job_state.h"

struct weights_out {
    const struct job_state *state; /* whole */
    uint64_t step;                 /* for the file's metadata */
    enum stepd_view view; /* which weights; one that a step has not made yet is the weights */
    enum stepd_dtype dtype;
};

/* What became of it. */
struct weights_out_result {
    uint64_t bytes;    /* of the file */
    uint64_t infinite; /* elements that are finite in the state, and beyond the dtype */
    size_t worst;      /* index of the tensor that has most of these */
    uint64_t worst_infinite;
};

/*
 * Writes the tensors in the order of their definition, beside the path, and renames when all bytes
 * are on the disk; a file that stood there is replaced. INVALID_ARGUMENT: a group keeps no such
 * view, or the path is none of a file. FAILED_PRECONDITION: a tensor has no values yet, or what
 * stands there is no file. UNAVAILABLE: the disk refuses.
 */
enum stepd_status weights_out_write(const struct weights_out *out, const char *path,
                                    struct weights_out_result *ret_result,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
