/* SPDX-License-Identifier: Apache-2.0
 *
 * Two passes: cut (tensors to slices and parts), then assign (slices to shards). Packing keeps one
 * open slice per kind of tensor; a small tensor that does not fit closes it and opens the next.
 * Because packs fill up in parallel, the parts of a pack are not neighbours while they are
 * collected: each part is noted with its slice first, and a stable counting sort puts them in
 * place.
 */
#include "server/model/layout.h"

#include <stdlib.h>

#include "proto/error.h"
#include "server/optim/norms.h"

/* A slice that small tensors of one kind are being packed into. */
struct pack {
    uint32_t slice;
    uint32_t parts; /* 0: no slice has been opened yet */
    uint64_t elements;
};

/* Parts as they are found, each with the slice it belongs to. */
struct cut {
    struct layout layout;
    size_t slices_room;
    size_t parts_room;
    uint32_t *part_slice; /* owned; one for each part */
    struct pack *pack;    /* owned; by pack_of */
    size_t packs;
    uint32_t slice_elements;
};

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the layout");
}

/* Room for one more of an array that doubles. */
static bool grow(void **array, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return true;
    const size_t more = *room == 0 ? 64 : *room * 2;
    void *larger = realloc(*array, more * size);
    if (larger == NULL)
        return false;
    *array = larger;
    *room = more;
    return true;
}

static enum stepd_status add_slice(struct cut *cut, uint32_t group, uint32_t *ret_slice,
                                   struct stepd_error *reterr)
{
    struct layout *layout = &cut->layout;
    if (layout->slices == LAYOUT_SLICES_MAX)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "the job would have more than %u slices; raise slice_elements (now %u)",
                          LAYOUT_SLICES_MAX, cut->slice_elements);
    void *array = layout->slice;
    if (!grow(&array, &cut->slices_room, layout->slices, sizeof *layout->slice))
        return no_memory(reterr);
    layout->slice = array;
    *ret_slice = (uint32_t)layout->slices;
    layout->slice[layout->slices++] = (struct slice_plan){.group = group};
    return STEPD_OK;
}

static enum stepd_status add_part(struct cut *cut, uint32_t slice, struct part part,
                                  struct stepd_error *reterr)
{
    struct layout *layout = &cut->layout;
    size_t room = cut->parts_room;
    void *array = layout->part;
    if (!grow(&array, &room, layout->parts, sizeof *layout->part))
        return no_memory(reterr);
    layout->part = array;
    array = cut->part_slice;
    if (!grow(&array, &cut->parts_room, layout->parts, sizeof *cut->part_slice))
        return no_memory(reterr);
    cut->part_slice = array;
    layout->part[layout->parts] = part;
    cut->part_slice[layout->parts++] = slice;
    layout->slice[slice].parts++;
    layout->slice[slice].elements += part.elements;
    return STEPD_OK;
}

/* Tensors of one group whose first values come from the same side share a pack. */
static size_t pack_of(const struct layout_tensor *tensor)
{
    return (size_t)tensor->group * 2 + tensor->assigned;
}

/* A group that is stepped as one goes on with the slice that it has begun, however large. */
static bool has_room(const struct cut *cut, const struct pack *pack,
                     const struct layout_tensor *small)
{
    const uint32_t most =
        small->scope == OPTIM_SCOPE_GROUP ? LAYOUT_SLICE_ELEMENTS_MOST : cut->slice_elements;
    return pack->parts > 0 && pack->parts < LAYOUT_PACK_PARTS_MAX &&
           pack->elements + small->elements <= most;
}

/* Puts a small tensor whole into the slice that is open for its kind, or into a new one. */
static enum stepd_status pack_tensor(struct cut *cut, uint32_t tensor,
                                     const struct layout_tensor *small, struct stepd_error *reterr)
{
    struct pack *pack = &cut->pack[pack_of(small)];
    if (!has_room(cut, pack, small)) {
        *pack = (struct pack){.parts = 0};
        const enum stepd_status status = add_slice(cut, small->group, &pack->slice, reterr);
        if (status != STEPD_OK)
            return status;
    }
    pack->parts++;
    pack->elements += small->elements;
    const struct part part = {.tensor = tensor, .elements = (uint32_t)small->elements};
    return add_part(cut, pack->slice, part, reterr);
}

/* Elements of each piece but the last: a multiple of NORMS_BLOCK where that is possible, so that a
 * sum over blocks of the tensor can be made of sums over its slices. */
static uint64_t piece_elements(uint64_t elements, uint64_t most)
{
    const uint64_t pieces = elements / most + (elements % most != 0);
    const uint64_t equal = elements / pieces + (elements % pieces != 0);
    const uint64_t blocks = equal / NORMS_BLOCK + (equal % NORMS_BLOCK != 0);
    return blocks * NORMS_BLOCK <= most ? blocks * NORMS_BLOCK : equal;
}

/* Cuts a large tensor into as few slices as the limit allows, about equal; one that is never cut is
 * a slice. */
static enum stepd_status split(struct cut *cut, uint32_t tensor, const struct layout_tensor *large,
                               struct stepd_error *reterr)
{
    const uint64_t most =
        large->scope == OPTIM_SCOPE_ELEMENT ? cut->slice_elements : LAYOUT_SLICE_ELEMENTS_MOST;
    const uint64_t piece = piece_elements(large->elements, most);
    uint64_t offset = 0;
    while (offset < large->elements) {
        const uint64_t left = large->elements - offset;
        uint32_t slice = 0;
        enum stepd_status status = add_slice(cut, large->group, &slice, reterr);
        if (status != STEPD_OK)
            return status;
        const struct part part = {.tensor = tensor,
                                  .offset = offset,
                                  .elements = (uint32_t)(left < piece ? left : piece)};
        status = add_part(cut, slice, part, reterr);
        if (status != STEPD_OK)
            return status;
        offset += part.elements;
    }
    return STEPD_OK;
}

/* Sorts the parts by slice, keeping the order of definition within each. */
static enum stepd_status gather_parts(struct cut *cut, struct stepd_error *reterr)
{
    struct layout *layout = &cut->layout;
    struct part *sorted = calloc(layout->parts, sizeof *sorted);
    if (sorted == NULL)
        return no_memory(reterr);
    uint32_t next = 0;
    for (size_t s = 0; s < layout->slices; s++) {
        layout->slice[s].first_part = next;
        next += layout->slice[s].parts;
        layout->slice[s].parts = 0;
    }
    for (size_t p = 0; p < layout->parts; p++) {
        struct slice_plan *slice = &layout->slice[cut->part_slice[p]];
        sorted[slice->first_part + slice->parts++] = layout->part[p];
    }
    free(layout->part);
    layout->part = sorted;
    return STEPD_OK;
}

/* Each slice to the shard with the fewest elements; the lowest of several. */
static enum stepd_status assign_shards(struct layout *layout, uint32_t shards,
                                       struct stepd_error *reterr)
{
    uint64_t *load = calloc(shards, sizeof *load);
    if (load == NULL)
        return no_memory(reterr);
    for (size_t s = 0; s < layout->slices; s++) {
        uint32_t lightest = 0;
        for (uint32_t i = 1; i < shards; i++) {
            if (load[i] < load[lightest])
                lightest = i;
        }
        layout->slice[s].shard = lightest;
        load[lightest] += layout->slice[s].elements;
    }
    free(load);
    return STEPD_OK;
}

static enum stepd_status cut_tensors(struct cut *cut, const struct layout_tensor *tensor,
                                     size_t tensors, struct stepd_error *reterr)
{
    for (size_t i = 0; i < tensors; i++) {
        const bool packed = tensor[i].scope == OPTIM_SCOPE_GROUP ||
                            tensor[i].elements <= cut->slice_elements / LAYOUT_PACK_DIVISOR;
        const enum stepd_status status = packed ? pack_tensor(cut, (uint32_t)i, &tensor[i], reterr)
                                                : split(cut, (uint32_t)i, &tensor[i], reterr);
        if (status != STEPD_OK)
            return status;
    }
    return gather_parts(cut, reterr);
}

static enum stepd_status make_packs(struct cut *cut, const struct layout_tensor *tensor,
                                    size_t tensors, struct stepd_error *reterr)
{
    for (size_t i = 0; i < tensors; i++) {
        if (pack_of(&tensor[i]) >= cut->packs)
            cut->packs = pack_of(&tensor[i]) + 1;
    }
    cut->pack = calloc(cut->packs, sizeof *cut->pack);
    return cut->pack == NULL ? no_memory(reterr) : STEPD_OK;
}

enum stepd_status layout_init(const struct layout_tensor *tensor, size_t tensors,
                              uint32_t slice_elements, uint32_t shards, struct layout *ret_layout,
                              struct stepd_error *reterr)
{
    struct cut cut = {.slice_elements = slice_elements};
    enum stepd_status status = make_packs(&cut, tensor, tensors, reterr);
    if (status == STEPD_OK)
        status = cut_tensors(&cut, tensor, tensors, reterr);
    if (status == STEPD_OK)
        status = assign_shards(&cut.layout, shards, reterr);
    free(cut.part_slice);
    free(cut.pack);
    if (status != STEPD_OK) {
        layout_deinit(&cut.layout);
        return status;
    }
    *ret_layout = cut.layout;
    return STEPD_OK;
}

void layout_deinit(struct layout *layout)
{
    free(layout->slice);
    free(layout->part);
    *layout = (struct layout){.slices = 0};
}
