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

/*
 * Writes the tensors in the order of their definition, beside the path, and renames when all bytes
 * are on the disk; what stood there is replaced. INVALID_ARGUMENT: a group keeps no such view, or
 * the path is none of a file. FAILED_PRECONDITION: a tensor has no values yet. UNAVAILABLE: the
 * disk refuses. *ret_bytes: of the file.
 */
enum stepd_status weights_out_write(const struct weights_out *out, const char *path,
                                    uint64_t *ret_bytes,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
