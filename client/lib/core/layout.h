/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's copy of the layout: which tensors there are, of which parts each slice consists,
 * and which shard owns it. It is built from the pages of a Layout reply, checked once as a whole,
 * and never changes afterwards, so that any thread may read it.
 *
 * A part is a range of one tensor inside one slice. A slice of a large tensor has one part; a slice
 * that packs small tensors has one part for each. The parts of a slice stand side by side.
 */
#ifndef CLIENT_LIB_CORE_LAYOUT_H
#define CLIENT_LIB_CORE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "proto/message.h"

struct stepd_part {
    uint32_t tensor;
    uint32_t slice;
    uint32_t elements;
    uint64_t offset; /* first element, in the tensor's row-major order */
};

struct stepd_slice_place {
    uint32_t shard;    /* Hello.shard of the owner, from 1 */
    uint32_t parts;    /* at least one */
    size_t first_part; /* index into the table's parts */
    uint64_t elements; /* of all its parts */
    uint32_t extra;    /* elements that a push carries behind those: a Hessian's, or none */
};

struct stepd_tensor_place {
    char *name;  /* owned */
    char *group; /* owned */
    uint64_t shape[STEPD_DIMS_MAX];
    size_t dims;
    uint64_t elements;
    size_t first_part; /* index into the table's by_tensor */
    size_t parts;
};

struct stepd_layout_table {
    uint64_t incarnation;
    enum stepd_mode mode;
    uint32_t world;
    struct stepd_tensor_place *tensor; /* owned */
    size_t tensors;
    struct stepd_slice_place *slice; /* owned */
    size_t slices;
    struct stepd_part *part; /* owned; in the order of slices */
    size_t parts;
    const struct stepd_part **by_tensor;       /* owned; the parts ordered by tensor, then offset */
    const struct stepd_tensor_place **by_name; /* owned; ordered by name */
    size_t tensors_room, slices_room, parts_room;
};

/* An empty table. */
void stepd_layout_init(struct stepd_layout_table *table);

/* Releases what the table owns. Fine for a table that was filled half. */
void stepd_layout_deinit(struct stepd_layout_table *table);

/*
 * Appends a page (borrowed until return). INTERNAL: the page contradicts itself; the server is
 * to blame. RESOURCE_EXHAUSTED: no memory, or more tensors than a job may have.
 */
enum stepd_status stepd_layout_add(struct stepd_layout_table *table,
                                   const struct stepd_layout *page,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Checks the whole: every element of every tensor is in exactly one slice, every owner is one of
 * the shards 1..shards, and every extra is 0 or the square of the slice's elements. INTERNAL: it is
 * not so. RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status stepd_layout_seal(struct stepd_layout_table *table, size_t shards,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The tensor of this name in a sealed table, or NULL. */
const struct stepd_tensor_place *stepd_layout_find(const struct stepd_layout_table *table,
                                                   const char *name);

/* Are the tensors, the slices and their owners of two sealed tables the same? The incarnation may
 * differ. */
bool stepd_layout_same(const struct stepd_layout_table *a, const struct stepd_layout_table *b);

/* Does this shard own slices? */
bool stepd_layout_uses(const struct stepd_layout_table *table, uint32_t shard);

#endif
