/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/blocked.h"

/* Is each version of a view held by somebody who is waited for? */
static bool waits_for_workers(const struct core *core, struct slice *slice, enum stepd_view view)
{
    const struct weights *weights = NULL;
    for (size_t i = 0; (weights = slice_held(slice, view, i)) != NULL; i++) {
        const uint32_t own = slice->view[view].current == weights;
        if (weights->refs - own == core->io.in_the_way(core->io.owner, weights))
            return false;
    }
    return true;
}

static bool is_for_nothing(const struct core *core, struct slice *slice)
{
    bool lacks = false;
    for (int v = 0; v < STEPD_VIEWS; v++) {
        if (!slice_lacks_room(slice, (enum stepd_view)v))
            continue;
        lacks = true;
        if (waits_for_workers(core, slice, (enum stepd_view)v))
            return false;
    }
    return lacks;
}

const struct core_slice *blocked_for_nothing(const struct core *core)
{
    for (const struct core_job *job = core->jobs; job != NULL; job = job->next) {
        for (size_t i = 0; job->slice != NULL && i < job->job->layout.slices; i++) {
            struct core_slice *const slice = job->slice[i];
            if (slice != NULL && slice->blocked && job->failure.code == STEPD_OK &&
                is_for_nothing(core, &slice->slice))
                return slice;
        }
    }
    return NULL;
}
