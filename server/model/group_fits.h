/* SPDX-License-Identifier: Apache-2.0
 *
 * Can the slices of a job, as they are laid out and have their memory, go on with another group?
 */
#ifndef MODEL_GROUP_FITS_H
#define MODEL_GROUP_FITS_H

#include "server/model/group_change.h"

struct group_fit {
    const struct job *job;
    uint32_t index;            /* of the group */
    const struct group *now;   /* as it runs */
    const struct group *later; /* as it would */
    size_t current;            /* the phase of later that the next step is in */
    bool fresh;                /* which begins with no state; else its index is the same in now */
};

/* INVALID_ARGUMENT: they cannot; the text says what is missing and what to do about it. */
enum stepd_status group_fits(const struct group_fit *fit,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Can a job be restored with what one of its groups had become, in whichever of its phases? NULL,
 * as it was defined, always. INVALID_ARGUMENT: it cannot; the text names job and group. */
enum stepd_status group_fits_restored(const struct job *job, uint32_t index,
                                      const struct shared_group *changed,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
