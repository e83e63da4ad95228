/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of a slice's line, as a table: manifest_slices.c decides which of them a line has,
 * manifest_slice.c what stands there.
 */
#ifndef PERSIST_MANIFEST_SLICE_H
#define PERSIST_MANIFEST_SLICE_H

#include "server/persist/manifest_internal.h"

/* A slice that is written. */
struct manifest_slice_writing {
    const struct job *job;
    const struct manifest_changed *changed;
    uint32_t group;
    const struct slice_state *state;
};

/* A slice that is read: what is taken goes into state and slice. */
struct manifest_slice_reading {
    const struct job *job;
    const struct slice_plan *plan;
    const struct manifest_changed *changed;
    struct slice_state *state; /* with places for its ranks */
    struct manifest_slice *slice;
};

struct manifest_slice_key {
    const char *name;
    size_t offset; /* of a uint64_t in struct slice_state, where it is no more than that */
    /* Do two slices of one group say the same? */
    bool (*same)(const struct manifest_slice_key *key, const struct slice_state *a,
                 const struct slice_state *b);
    /* NULL: no memory. */
    json_t *(*make)(const struct manifest_slice_key *key,
                    const struct manifest_slice_writing *writing);
    /* After the rows before it. */
    void (*take)(const struct manifest_slice_key *key, struct manifest_object *from,
                 const struct manifest_slice_reading *reading);
};

#define MANIFEST_SLICE_KEYS 14u

extern const struct manifest_slice_key manifest_slice_key[MANIFEST_SLICE_KEYS];

#endif
