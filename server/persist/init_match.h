/* SPDX-License-Identifier: Apache-2.0
 *
 * What of a safetensors file a job begins with: which of its tensors, and from where in the file.
 * Whether that is what was meant is asked strictly, since a tensor that is not found is otherwise
 * trained from noise, and nobody notices: every tensor that is to be taken must be there, in its
 * own shape, and where nothing says which are taken, all of the file must be used.
 */
#ifndef PERSIST_INIT_MATCH_H
#define PERSIST_INIT_MATCH_H

#include <stddef.h>

#include <stepd/status.h>

#include "server/base/naming.h"
#include "server/model/job.h"
#include "server/persist/safetensors.h"

/* Names for people: how many there are, and the first few, quoted; "" where there are none. */
#define INIT_NAMES_TEXT_BYTES 144u

struct init_names {
    size_t count;
    char text[INIT_NAMES_TEXT_BYTES];
};

struct init_match {
    const struct safetensors_tensor *
        *from;                   /* owned; by tensor of the job; NULL: as it is defined */
    size_t taken;                /* tensors that there is one for */
    struct init_names kept;      /* tensors of the job that there is none for */
    struct init_names left_over; /* tensors of the file that none is made of */
};

/*
 * Finds the job's tensors in the file; all are borrowed until return, the tensors of the file as
 * long as the match is used. INVALID_ARGUMENT: the file is not what the naming says; the text says
 * how many tensors are missing, of another shape, no numbers or left over, the first few of each,
 * and what to do, and does not name the file; or a glob matches no tensor of the job.
 * RESOURCE_EXHAUSTED: no memory, or the globs take too long. *ret_match: the caller frees with
 * init_match_deinit.
 */
enum stepd_status init_match_create(const struct job *job, const struct naming *naming,
                                    const struct safetensors *file, struct init_match *ret_match,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed one is fine. */
void init_match_deinit(struct init_match *match);

#endif
