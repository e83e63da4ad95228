/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a slice's next version goes: a buffer of each view that the step makes, or an annex where
 * readers hold all of them.
 */
#include <stdlib.h>

#include "server/model/slice.h"

/* Does the next step, which makes t + 1 updates of t, make this view? */
static bool is_due(const struct slice *slice, enum stepd_view view)
{
    const struct treatment *treatment = &slice->group->treatment;
    const uint64_t updates = slice->t + 1;
    switch (view) {
    case STEPD_EVALUATION: return true;
    case STEPD_TRAINING: return phase_looks_ahead(slice->phase);
    case STEPD_EMA: return treatment->ema_decay > 0.0;
    case STEPD_SWA:
        return treatment->swa && updates >= treatment->swa_start &&
               (updates - treatment->swa_start) % treatment->swa_every == 0;
    }
    return false;
}

/* In place where nobody else reads, but not in the spare room or an annex, which the next free
 * buffer is to relieve. */
static struct weights *free_buffer(struct published *view)
{
    struct weights *const current = view->current;
    const bool alone = current != NULL && current->refs == 1;
    for (size_t i = 0; i < SLICE_VERSIONS && alone; i++) {
        if (current == &view->buffer[i])
            return current;
    }
    for (size_t i = 0; i < SLICE_BUFFERS; i++) {
        if (view->buffer[i].refs == 0 && view->buffer[i].values != NULL)
            return &view->buffer[i];
    }
    for (struct annex *annex = view->annexes; annex != NULL && !alone; annex = annex->next) {
        if (annex->weights.refs == 0)
            return &annex->weights;
    }
    return alone ? current : NULL;
}

bool slice_find_room(struct slice *slice, struct slice_room *ret_room)
{
    struct slice_room room = {.view = {NULL}};
    for (int v = 0; v < STEPD_VIEWS; v++) {
        if (!is_due(slice, (enum stepd_view)v))
            continue;
        room.view[v] = free_buffer(&slice->view[v]);
        if (room.view[v] == NULL)
            return false;
    }
    *ret_room = room;
    return true;
}

/* ---- Annexes --------------------------------------------------------------------------------- */

bool slice_lacks_room(struct slice *slice, enum stepd_view view)
{
    return is_due(slice, view) && free_buffer(&slice->view[view]) == NULL;
}

/* Of one annex: its floats twice, since the encodings of 16 bits take as much as these. */
static size_t annex_bytes(const struct slice *slice)
{
    return sizeof(struct annex) + (size_t)job_padded(slice->plan->elements) * sizeof(float) * 2;
}

size_t slice_annex_bytes(struct slice *slice)
{
    size_t lacking = 0;
    for (int v = 0; v < STEPD_VIEWS; v++)
        lacking += slice_lacks_room(slice, (enum stepd_view)v);
    return lacking * annex_bytes(slice);
}

size_t slice_annexes_bytes(const struct slice *slice)
{
    return slice->annexes == 0 ? 0 : slice->annexes * annex_bytes(slice);
}

static void annex_destroy(struct slice *slice, struct annex **at)
{
    struct annex *const annex = *at;
    *at = annex->next;
    slice->annexes--;
    free(annex->weights.values);
    weights_deinit(&annex->weights);
    free(annex);
}

/* Not touched yet: the step writes it whole. */
static enum stepd_status annex_add(struct slice *slice, struct published *view)
{
    if (slice->annexes == SLICE_ANNEXES_MOST)
        return STEPD_RESOURCE_EXHAUSTED;
    struct annex *const annex = malloc(sizeof *annex);
    float *const values =
        aligned_alloc(JOB_LINE_BYTES, (size_t)job_padded(slice->plan->elements) * sizeof *values);
    if (annex == NULL || values == NULL) {
        free(annex);
        free(values);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    annex->next = view->annexes;
    weights_init(&annex->weights, slice, values, slice->plan->elements);
    view->annexes = annex;
    slice->annexes++;
    return STEPD_OK;
}

enum stepd_status slice_add_annexes(struct slice *slice)
{
    enum stepd_status status = STEPD_OK;
    for (int v = 0; v < STEPD_VIEWS && status == STEPD_OK; v++) {
        if (slice_lacks_room(slice, (enum stepd_view)v))
            status = annex_add(slice, &slice->view[v]);
    }
    if (status != STEPD_OK)
        (void)slice_free_annexes(slice);
    return status;
}

size_t slice_free_annexes(struct slice *slice)
{
    size_t freed = 0;
    for (int v = 0; v < STEPD_VIEWS && slice->annexes > 0; v++) {
        struct annex **at = &slice->view[v].annexes;
        while (*at != NULL) {
            if ((*at)->weights.refs > 0) {
                at = &(*at)->next;
                continue;
            }
            annex_destroy(slice, at);
            freed += annex_bytes(slice);
        }
    }
    return freed;
}

struct weights *slice_held(struct slice *slice, enum stepd_view view, size_t i)
{
    struct published *const published = &slice->view[view];
    for (size_t b = 0; b < SLICE_BUFFERS; b++) {
        if (published->buffer[b].refs > 0 && i-- == 0)
            return &published->buffer[b];
    }
    for (struct annex *annex = published->annexes; annex != NULL; annex = annex->next) {
        if (annex->weights.refs > 0 && i-- == 0)
            return &annex->weights;
    }
    return NULL;
}
