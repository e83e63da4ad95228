/* SPDX-License-Identifier: Apache-2.0
 *
 * The layout: which elements each slice holds, and which shard holds the slice.
 *
 * The cut into slices depends on the tensors, their groups and the largest slice only; never on
 * the number of shards, so that a checkpoint of two shards loads into five and no sum changes. A
 * large tensor is cut into slices of equal size; small tensors of one group are packed whole into
 * a common slice, in the order of their definition. A tensor that its optimizer wants whole is
 * never cut, and a group that its optimizer steps as one is one slice, in the order of definition.
 * Each slice goes to the shard that has the fewest elements so far.
 */
#ifndef MODEL_LAYOUT_H
#define MODEL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/optim/optimizer.h"

#define LAYOUT_SLICE_ELEMENTS_DEFAULT 262144u
#define LAYOUT_SLICE_ELEMENTS_LEAST   256u
#define LAYOUT_SLICE_ELEMENTS_MOST    (8u << 20)
#define LAYOUT_SLICES_MAX             (1u << 20)

/* Whole tensors that are packed in one slice at most: its description must fit one frame's header
 * many times over, and whoever computes them would wait for the last of them. */
#define LAYOUT_PACK_PARTS_MAX 1024u

/* A tensor with at most 1/64 of the largest slice's elements is packed with others. */
#define LAYOUT_PACK_DIVISOR 64u

/* A range of one tensor. */
struct part {
    uint64_t offset; /* first element, row-major */
    uint32_t tensor; /* index in the job's list */
    uint32_t elements;
};

/* The elements of a slice are those of its parts, in order. */
struct slice_plan {
    uint32_t shard; /* 0 first */
    uint32_t group;
    uint32_t first_part; /* index into layout.part */
    uint32_t parts;
    uint32_t elements;
    uint32_t extra; /* elements that a push carries behind the gradient's (a Hessian) */
};

struct layout {
    size_t slices;
    struct slice_plan *slice; /* owned */
    size_t parts;
    struct part *part; /* owned */
};

/* What the layout must know of a tensor. */
struct layout_tensor {
    uint64_t elements; /* at least 1 */
    uint32_t group;
    bool assigned; /* a worker sends its first values: never packed with tensors that differ */
    enum optim_scope scope; /* of the tensor's group: TENSOR is never cut, GROUP is one slice */
};

/*
 * Tensors of TENSOR scope, and groups of GROUP scope, must fit one slice: at most
 * LAYOUT_SLICE_ELEMENTS_MOST elements, LAYOUT_PACK_PARTS_MAX tensors, all of them assigned or none.
 * What is behind the gradients (slice_plan.extra) is 0 and left to the caller.
 * RESOURCE_EXHAUSTED: more than LAYOUT_SLICES_MAX slices, or no memory.
 * *ret_layout: caller frees with layout_deinit. Pure.
 */
enum stepd_status layout_init(const struct layout_tensor *tensor, size_t tensors,
                              uint32_t slice_elements, uint32_t shards, struct layout *ret_layout,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

void layout_deinit(struct layout *layout);

#endif
