/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the next version of a slice goes, whoever reads the last ones:
 *
 *     a buffer that nobody reads  ->  one that only workers on this host read where it lies
 *         ->  an annex, as long as there is memory for old versions
 *         ->  the buffer that only those read who give way: their connections are cut
 *
 * So a round waits for those workers alone that hold all there is, and does not wait for observers,
 * or for who has left, whatever they read. The version that is taken away is the oldest: who reads
 * that has been slowest.
 */
#include "server/base/limit.h"
#include "server/core/core_internal.h"

/* Does nobody but the slice and those who give way hold these weights? */
static bool gives_way(const struct core *core, struct slice *slice, enum stepd_view view,
                      const struct weights *weights)
{
    const uint32_t own = slice->view[view].current == weights;
    const size_t in_the_way = core->io.in_the_way(core->io.owner, weights);
    return in_the_way > 0 && in_the_way == weights->refs - own;
}

/* Takes a view's oldest version away from those who give way, where nobody else holds it. */
static void cut_readers(const struct core *core, struct slice *slice, enum stepd_view view)
{
    const struct weights *oldest = NULL;
    const struct weights *weights = NULL;
    for (size_t i = 0; (weights = slice_held(slice, view, i)) != NULL; i++) {
        const bool older = oldest == NULL || weights->version < oldest->version;
        if (older && gives_way(core, slice, view, weights))
            oldest = weights;
    }
    size_t cut = oldest == NULL ? 0 : core->io.cut(core->io.owner, oldest);
    for (; cut > 0; cut--)
        limit_refused(core->options.limits, LIMIT_OLD_VERSIONS);
}

/* Gives the slice annexes, if there is memory for them. */
static bool add_annexes(const struct core *core, struct slice *slice)
{
    struct limits *const limits = core->options.limits;
    const size_t before = slice_annexes_bytes(slice);
    const size_t bytes = slice_annex_bytes(slice);
    if (!limit_take(limits, LIMIT_OLD_VERSIONS, bytes))
        return false;
    if (slice_add_annexes(slice) == STEPD_OK)
        return true;
    /* It may have freed others, too. */
    limit_give(limits, LIMIT_OLD_VERSIONS, before + bytes - slice_annexes_bytes(slice));
    return false;
}

bool room_find(struct core *core, struct core_slice *slice, struct slice_room *ret_room)
{
    if (slice_find_room(&slice->slice, ret_room))
        return true;
    shared_let_all_go(slice);
    if (slice_find_room(&slice->slice, ret_room))
        return true;
    if (add_annexes(core, &slice->slice))
        return slice_find_room(&slice->slice, ret_room);
    for (int v = 0; v < STEPD_VIEWS && core->io.cut != NULL; v++) {
        if (slice_lacks_room(&slice->slice, (enum stepd_view)v))
            cut_readers(core, &slice->slice, (enum stepd_view)v);
    }
    return false;
}

void room_trim(struct core *core, struct core_slice *slice)
{
    if (slice->slice.annexes > 0)
        limit_give(core->options.limits, LIMIT_OLD_VERSIONS, slice_free_annexes(&slice->slice));
}

void room_trim_all(struct core *core, const struct core_job *job)
{
    for (size_t i = 0; job->slice != NULL && i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL)
            room_trim(core, job->slice[i]);
    }
}
