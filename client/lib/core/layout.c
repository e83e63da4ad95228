/* SPDX-License-Identifier: Apache-2.0
 *
 * Building the layout from pages. Each page appends tensors and slices; sealing then sorts the
 * parts by tensor and proves that they tile every tensor without gap or overlap. After that no
 * other code has to doubt an offset: a part lies inside its tensor, whatever the server has sent.
 */
#include "client/lib/core/layout.h"

#include <stdlib.h>
#include <string.h>

#include "client/lib/core/grow.h"
#include "proto/bytes.h"
#include "proto/error.h"

/* Slices and parts of one job: indices are 32 bits on the wire. */
#define PARTS_MAX (1u << 28)

void stepd_layout_init(struct stepd_layout_table *table)
{
    *table = (struct stepd_layout_table){0};
}

void stepd_layout_deinit(struct stepd_layout_table *table)
{
    for (size_t i = 0; i < table->tensors; i++) {
        free(table->tensor[i].name);
        free(table->tensor[i].group);
    }
    free(table->tensor);
    free(table->slice);
    free(table->part);
    free((void *)table->by_tensor);
    free((void *)table->by_name);
    stepd_layout_init(table);
}

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the layout");
}

static enum stepd_status contradiction(const char *what, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INTERNAL, "the server's layout contradicts itself: %s", what);
}

static enum stepd_status add_tensor(struct stepd_layout_table *table,
                                    const struct stepd_tensor_def *def, struct stepd_error *reterr)
{
    if (def->dims > STEPD_DIMS_MAX)
        return contradiction("a tensor has too many dimensions", reterr);
    struct stepd_tensor_place place = {.dims = def->dims, .elements = 1};
    for (size_t i = 0; i < def->dims; i++) {
        place.shape[i] = def->shape[i];
        if (!stepd_bytes_mul(place.elements, def->shape[i], &place.elements))
            return contradiction("a tensor is larger than any memory", reterr);
    }
    if (place.elements > SIZE_MAX / sizeof(float))
        return contradiction("a tensor is larger than any memory", reterr);
    place.name = strdup(def->name);
    place.group = strdup(def->group == NULL ? "" : def->group);
    if (place.name == NULL || place.group == NULL) {
        free(place.name);
        free(place.group);
        return no_memory(reterr);
    }
    table->tensor[table->tensors++] = place;
    return STEPD_OK;
}

static enum stepd_status add_tensors(struct stepd_layout_table *table,
                                     const struct stepd_layout *page, struct stepd_error *reterr)
{
    if (page->tensors > STEPD_TENSORS_MAX - table->tensors)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the job has more than %u tensors",
                          STEPD_TENSORS_MAX);
    struct stepd_tensor_place *const grown = stepd_grow(
        table->tensor, &table->tensors_room, table->tensors + page->tensors, sizeof *table->tensor);
    if (grown == NULL)
        return no_memory(reterr);
    table->tensor = grown;
    for (size_t i = 0; i < page->tensors; i++) {
        const enum stepd_status status = add_tensor(table, &page->tensor[i], reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

static enum stepd_status make_room(struct stepd_layout_table *table,
                                   const struct stepd_layout *page, struct stepd_error *reterr)
{
    if (page->slice_shards.count != page->slice_parts.count ||
        (page->slice_extras.count != 0 && page->slice_extras.count != page->slice_shards.count) ||
        page->part_tensors.count != page->part_offsets.count ||
        page->part_tensors.count != page->part_elements.count)
        return contradiction("its lists differ in length", reterr);
    if (page->part_tensors.count > PARTS_MAX - table->parts ||
        page->slice_shards.count > PARTS_MAX - table->slices)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the job has more than %u slices",
                          PARTS_MAX);
    struct stepd_slice_place *const slices =
        stepd_grow(table->slice, &table->slices_room, table->slices + page->slice_shards.count,
                   sizeof *table->slice);
    if (slices == NULL)
        return no_memory(reterr);
    table->slice = slices;
    struct stepd_part *const parts =
        stepd_grow(table->part, &table->parts_room, table->parts + page->part_tensors.count,
                   sizeof *table->part);
    if (parts == NULL)
        return no_memory(reterr);
    table->part = parts;
    return STEPD_OK;
}

/* Appends slice i of the page, whose parts begin at *at. */
static bool add_slice(struct stepd_layout_table *table, const struct stepd_layout *page, size_t i,
                      size_t *at)
{
    const uint32_t parts = page->slice_parts.at[i];
    if (parts == 0 || parts > page->part_tensors.count - *at)
        return false;
    struct stepd_slice_place *const slice = &table->slice[table->slices];
    *slice = (struct stepd_slice_place){
        .shard = page->slice_shards.at[i],
        .parts = parts,
        .first_part = table->parts,
        .extra = page->slice_extras.count == 0 ? 0 : page->slice_extras.at[i],
    };
    for (uint32_t p = 0; p < parts; p++, (*at)++) {
        table->part[table->parts++] = (struct stepd_part){
            .tensor = page->part_tensors.at[*at],
            .slice = (uint32_t)table->slices,
            .elements = page->part_elements.at[*at],
            .offset = page->part_offsets.at[*at],
        };
        slice->elements += page->part_elements.at[*at];
    }
    table->slices++;
    return true;
}

enum stepd_status stepd_layout_add(struct stepd_layout_table *table,
                                   const struct stepd_layout *page, struct stepd_error *reterr)
{
    table->incarnation = page->incarnation;
    table->mode = page->mode;
    table->world = page->world;
    enum stepd_status status = add_tensors(table, page, reterr);
    if (status == STEPD_OK)
        status = make_room(table, page, reterr);
    if (status != STEPD_OK)
        return status;
    size_t at = 0;
    for (size_t i = 0; i < page->slice_shards.count; i++) {
        if (!add_slice(table, page, i, &at))
            return contradiction("a slice has no parts, or more than there are", reterr);
    }
    if (at != page->part_tensors.count)
        return contradiction("there are parts without a slice", reterr);
    return STEPD_OK;
}

static int by_tensor_and_offset(const void *left, const void *right)
{
    const struct stepd_part *const a = *(const struct stepd_part *const *)left;
    const struct stepd_part *const b = *(const struct stepd_part *const *)right;
    if (a->tensor != b->tensor)
        return a->tensor < b->tensor ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static int by_name(const void *left, const void *right)
{
    const struct stepd_tensor_place *const a = *(const struct stepd_tensor_place *const *)left;
    const struct stepd_tensor_place *const b = *(const struct stepd_tensor_place *const *)right;
    return strcmp(a->name, b->name);
}

static bool sort_indices(struct stepd_layout_table *table)
{
    table->by_tensor = calloc(table->parts + 1, sizeof *table->by_tensor);
    table->by_name = calloc(table->tensors + 1, sizeof *table->by_name);
    if (table->by_tensor == NULL || table->by_name == NULL)
        return false;
    for (size_t i = 0; i < table->parts; i++)
        table->by_tensor[i] = &table->part[i];
    for (size_t i = 0; i < table->tensors; i++)
        table->by_name[i] = &table->tensor[i];
    qsort((void *)table->by_tensor, table->parts, sizeof *table->by_tensor, by_tensor_and_offset);
    qsort((void *)table->by_name, table->tensors, sizeof *table->by_name, by_name);
    return true;
}

/* Gives each tensor its run in by_tensor, and checks that the run covers it exactly. */
static bool tiles(struct stepd_layout_table *table)
{
    size_t at = 0;
    for (size_t t = 0; t < table->tensors; t++) {
        struct stepd_tensor_place *const tensor = &table->tensor[t];
        uint64_t covered = 0;
        tensor->first_part = at;
        for (; at < table->parts && table->by_tensor[at]->tensor == t; at++) {
            const struct stepd_part *const part = table->by_tensor[at];
            if (part->offset != covered || part->elements == 0)
                return false;
            covered += part->elements; /* at most PARTS_MAX 32-bit numbers: fits */
        }
        tensor->parts = at - tensor->first_part;
        if (covered != tensor->elements)
            return false;
    }
    return at == table->parts;
}

/* What a push carries behind a slice's gradients is read from an array of the caller's, which has
 * n x n numbers whatever the server says. */
static bool is_hessian(const struct stepd_slice_place *slice)
{
    return slice->elements <= UINT16_MAX && slice->extra == slice->elements * slice->elements;
}

enum stepd_status stepd_layout_seal(struct stepd_layout_table *table, size_t shards,
                                    struct stepd_error *reterr)
{
    for (size_t i = 0; i < table->slices; i++) {
        const struct stepd_slice_place *const slice = &table->slice[i];
        if (slice->shard == 0 || slice->shard > shards)
            return contradiction("a slice belongs to an unknown shard", reterr);
        if (slice->extra > 0 && !is_hessian(slice))
            return contradiction("a push carries more than a slice and its Hessian", reterr);
    }
    if (!sort_indices(table))
        return no_memory(reterr);
    if (!tiles(table))
        return contradiction("the slices do not cover the tensors exactly", reterr);
    return STEPD_OK;
}

const struct stepd_tensor_place *stepd_layout_find(const struct stepd_layout_table *table,
                                                   const char *name)
{
    size_t low = 0, high = table->tensors;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(table->by_name[middle]->name, name);
        if (order == 0)
            return table->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool stepd_layout_uses(const struct stepd_layout_table *table, uint32_t shard)
{
    for (size_t i = 0; i < table->slices; i++) {
        if (table->slice[i].shard == shard)
            return true;
    }
    return false;
}

static bool same_tensor(const struct stepd_tensor_place *a, const struct stepd_tensor_place *b)
{
    bool same =
        a->dims == b->dims && strcmp(a->name, b->name) == 0 && strcmp(a->group, b->group) == 0;
    for (size_t d = 0; same && d < a->dims; d++)
        same = a->shape[d] == b->shape[d];
    return same;
}

static bool same_slice(const struct stepd_slice_place *a, const struct stepd_slice_place *b)
{
    return a->shard == b->shard && a->parts == b->parts && a->elements == b->elements &&
           a->extra == b->extra;
}

static bool same_part(const struct stepd_part *a, const struct stepd_part *b)
{
    return a->tensor == b->tensor && a->elements == b->elements && a->offset == b->offset;
}

bool stepd_layout_same(const struct stepd_layout_table *a, const struct stepd_layout_table *b)
{
    bool same = a->mode == b->mode && a->tensors == b->tensors && a->slices == b->slices &&
                a->parts == b->parts;
    for (size_t i = 0; same && i < a->tensors; i++)
        same = same_tensor(&a->tensor[i], &b->tensor[i]);
    for (size_t i = 0; same && i < a->slices; i++)
        same = same_slice(&a->slice[i], &b->slice[i]);
    for (size_t i = 0; same && i < a->parts; i++)
        same = same_part(&a->part[i], &b->part[i]);
    return same;
}
