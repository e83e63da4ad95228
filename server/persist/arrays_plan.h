/* SPDX-License-Identifier: Apache-2.0
 *
 * How the files of a checkpoint are read into a state, whoever has written them: what of each of
 * their arrays goes where. In the files a tensor may lie whole, in the state in part, or the other
 * way round, since each daemon has written what its slices have and each reads what its own need.
 *
 *     arrays_plan_create   of a map of the state (arrays_create)
 *     arrays_plan_add      the head of each file, in any order
 *     arrays_plan_check    is all of the state in the files, and once?
 *     arrays_plan_put      the floats, as they are read
 */
#ifndef PERSIST_ARRAYS_PLAN_H
#define PERSIST_ARRAYS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/persist/arrays.h"
#include "server/persist/manifest.h"
#include "server/persist/safetensors.h"

struct arrays_target;

/* An array of a file that has floats for the state. */
struct arrays_found {
    char *name; /* owned; as in its file */
    size_t base_bytes;
    bool weights;
    uint64_t from; /* its first element */
    uint64_t floats;
    uint64_t begin; /* its first byte, behind the head */
    size_t first;   /* of its targets in the plan, and how many there are */
    size_t targets;
};

/* What of a file is read. */
struct arrays_file_plan {
    uint64_t begins_at; /* the bytes of its head */
    size_t count;
    struct arrays_found *found; /* owned; by rising begin */
    bool whole;                 /* that is all that is in it */
};

struct arrays_plan {
    bool portion; /* the files are those of several daemons */
    bool all;     /* nothing else may be in them */
    size_t targets;
    struct arrays_target *target; /* owned; by name and first element */
    size_t files;
    struct arrays_file_plan file[(size_t)ARRAYS_FILES * PORTIONS_MAX]; /* in the order of adding */
};

/*
 * arrays is borrowed as long as the plan lives. portions: of the checkpoint. all: the state is to
 * have all that is in the files. RESOURCE_EXHAUSTED: no memory. *ret_plan: caller frees with
 * arrays_plan_destroy. Pure, as all here.
 */
enum stepd_status arrays_plan_create(const struct arrays *arrays, uint32_t portions, bool all,
                                     struct arrays_plan **ret_plan,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Adds a file; head is borrowed until return. INVALID_ARGUMENT: an array is no F32, or of another
 * shape, or (all) the state has no place for it; the text names it. RESOURCE_EXHAUSTED.
 */
enum stepd_status arrays_plan_add(struct arrays_plan *plan, enum arrays_file file,
                                  const struct safetensors *head,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: an array of the state is not in the files, or two have the same of it; the text
 * names it. */
enum stepd_status arrays_plan_check(const struct arrays_plan *plan,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Takes floats [first, first + n) of an array of a file, 4 * n bytes. */
void arrays_plan_put(const struct arrays_plan *plan, const struct arrays_found *found,
                     uint64_t first, uint64_t n, const uint8_t *bytes);

/* NULL is fine. Returns NULL. */
struct arrays_plan *arrays_plan_destroy(struct arrays_plan *plan);

#endif
