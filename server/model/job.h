/* SPDX-License-Identifier: Apache-2.0
 *
 * A job as it is defined: mode, groups, tensors, layout. Control collects a definition in a
 * draft; sealing the draft makes a struct job, which never changes again and is shared by
 * control and all shards by reference count. What does change (members, versions, weights) lives
 * in control and in the shards.
 */
#ifndef MODEL_JOB_H
#define MODEL_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/types.h>

#include "server/model/consistency.h"
#include "server/model/group.h"
#include "server/model/layout.h"

struct tensor {
    char *name; /* owned */
    size_t dims;
    uint64_t shape[STEPD_DIMS_MAX];
    uint64_t elements;
    uint32_t group; /* index; set when sealed */
    struct stepd_init init;
};

struct job {
    char *name; /* owned */
    uint64_t incarnation;
    struct consistency consistency;
    uint32_t workers; /* ranks are 0 to workers - 1 */
    bool strict;
    uint32_t slice_elements;
    uint32_t shards;
    bool spare; /* there is room for a snapshot of it from the start (job_state.h) */
    size_t groups;
    struct group *group;   /* owned */
    size_t *group_tensors; /* owned; how many tensors each group has taken */
    size_t tensors;
    struct tensor *tensor; /* owned */
    uint64_t elements;     /* of all tensors */
    struct layout layout;
    unsigned refs; /* atomic */
};

/* ---- Drafts: a definition that is being collected; control's alone --------------------------- */

struct job_draft;

/*
 * Starts a definition. slice_elements_default stands in for a definition that leaves it open.
 * INVALID_ARGUMENT, NOT_FOUND: as group_init, or workers or slice_elements out of range, or no
 * groups. *ret_draft: caller frees with job_draft_destroy.
 */
enum stepd_status job_draft_create(const char *name, const struct stepd_define_job *def,
                                   uint32_t slice_elements_default, struct job_draft **ret_draft,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The draft that a job was sealed from, or one as good, to seal it anew with slices of this size at
 * most; but for that it holds all tensors and is not sealed. A definition that is compared with it
 * may say another size: the job is cut already. RESOURCE_EXHAUSTED: no memory. *ret_draft: caller
 * frees with job_draft_destroy. */
enum stepd_status job_draft_of(const struct job *job, uint32_t slice_elements,
                               struct job_draft **ret_draft,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

struct job_draft *job_draft_destroy(struct job_draft *draft);

/* Forgets the tensors, also of a sealed draft, so that another list can be defined; the definition
 * of the job stays. */
void job_draft_reset(struct job_draft *draft);

/* OK: def says the same as the draft. INVALID_ARGUMENT: the text names the first difference. */
enum stepd_status job_draft_same(const struct job_draft *draft, const struct stepd_define_job *def,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same, but for what its groups do: each must have the name, match, ndim and frozen that it
 * has. */
enum stepd_status job_draft_same_but_groups(const struct job_draft *draft,
                                            const struct stepd_define_job *def,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The job was brought back with all of its weights, or (valued false) begins anew without. With
 * them, tensors that rank 0 was to assign may be listed with any initializer: it makes nothing. */
void job_draft_set_valued(struct job_draft *draft, bool valued);

uint32_t job_draft_workers(const struct job_draft *draft);
enum stepd_mode job_draft_mode(const struct job_draft *draft);
/* Borrowed as long as the draft lives. */
const struct consistency *job_draft_consistency(const struct job_draft *draft);

/* Whether jobs that are sealed from now on have room for a snapshot; at first they have none. */
void job_draft_set_spare(struct job_draft *draft, bool spare);

/* How many tensors the draft holds. */
size_t job_draft_tensors(const struct job_draft *draft);

/*
 * Takes a page of tensors. Tensors that the draft has already must be the same; the rest must go
 * on where the draft ends. On failure nothing of the page is taken.
 * INVALID_ARGUMENT: a shape that overflows or has a 0, a name that is taken, a different
 * definition, a gap between pages: the text names the tensor and both shapes.
 * FAILED_PRECONDITION: the page goes on after the list was sealed. RESOURCE_EXHAUSTED: too many.
 */
enum stepd_status job_draft_add(struct job_draft *draft, const struct stepd_define_tensors *page,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Matches tensors to groups, lays them out over the shards, and makes the job. The draft stays,
 * for later comparisons.
 * INVALID_ARGUMENT: a tensor that no group matches, no tensors, (strict) a group that matches
 * none, or tensors of another shape or size than their optimizer can step: the text names tensor
 * and group. *ret_job has one reference; the caller gives it back with job_unref.
 */
enum stepd_status job_draft_seal(struct job_draft *draft, uint64_t incarnation, uint32_t shards,
                                 struct job **ret_job, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- Jobs: immutable; any thread ------------------------------------------------------------- */

struct job *job_ref(struct job *job);
/* NULL is fine. Returns NULL. */
struct job *job_unref(struct job *job);

/* A tensor as optimizers see it; borrows the tensor's shape. */
struct optim_shape job_tensor_shape(const struct tensor *tensor);

/* The shapes of a slice's tensors, of which there are as many as parts where they are whole in it.
 */
void job_slice_shapes(const struct job *job, const struct slice_plan *slice,
                      struct optim_shape shape[LAYOUT_PACK_PARTS_MAX]);

/* Floats of one slot of a slice while its group is in this phase. */
uint64_t job_slot_floats(const struct job *job, const struct slice_plan *slice,
                         const struct phase *phase, size_t slot);

/* Is a gradient clipped by a norm, of a tensor or of all? */
bool job_clips_by_norm(const struct job *job);

/* Do all slices of a version close together, through a gate (sync/gate.h)? */
bool job_is_gated(const struct job *job);

/* Where gradients are added up as they arrive: how many slices of a job a shard receives at once,
 * and one more. So few stay in cache; what comes meanwhile from workers whose turn it is not waits
 * in their sockets. */
#define JOB_LANDINGS 3u

/* Floats of each of these: what a gradient of any slice of the shard takes, padded. 0: gradients
 * are kept until a round closes. */
uint64_t job_landing_floats(const struct job *job, uint32_t shard);

/* What an array of n floats takes: whole cache lines, and behind a large one so many that the next
 * array begins elsewhere in its page. */
#define JOB_LINE_BYTES 64u
uint64_t job_padded(uint64_t n);

/* What a slice takes; in floats, each array padded, unless it says otherwise. 0: there is none. */
struct slice_size {
    uint64_t buffer;             /* one version of a view */
    size_t buffers[STEPD_VIEWS]; /* versions of each view */
    uint64_t slots;              /* of the phase that has most, each slot padded */
    uint64_t scalars;            /* doubles; of the phase that has most */
    uint64_t sum;                /* of gradients, or a mean that waits */
    uint64_t staging;            /* of one worker */
    uint64_t gathered;           /* of one worker: its pushes of a step so far, added up */
    uint64_t backup;             /* of one worker: weights that it pulled */
};

struct slice_size job_slice_size(const struct job *job, const struct slice_plan *slice);

/* Floats of the arrays that a slice has in its job's block: all versions of its views, unless they
 * are placed elsewhere, and slots. */
uint64_t job_block_floats(const struct slice_size *size, bool placed);

/* The same if its group were this one. */
struct slice_size job_slice_size_of(const struct job *job, const struct slice_plan *slice,
                                    const struct group *group);

/* Floats of scratch that a step of the slice needs in whichever of the group's phases needs the
 * most; beside job_memory_bytes. */
uint64_t job_scratch_floats(const struct job *job, const struct slice_plan *slice,
                            const struct group *group);

/* The bytes that the arrays of the job's slices will take over all shards, for all its workers, and
 * what its gradients land in: the parts of job_memory_bytes. A part that is not a number is
 * UINT64_MAX. */
struct job_memory {
    uint64_t weights;        /* one version of those that are evaluated */
    uint64_t second_version; /* of them */
    uint64_t views;          /* all versions of the others */
    uint64_t slots;          /* and the optimizer's scalars */
    uint64_t sums;           /* of gradients */
    uint64_t staging;
    uint64_t backups;
    uint64_t spare; /* for a snapshot */
};

struct job_memory job_memory_plan(const struct job *job);

/* Their sum; UINT64_MAX if that is not a number. Records (about 200 bytes for each
 * slice and worker), encodings of 16-bit pulls, and the room of each shard for one step (a sum of
 * gradients, and scratch for optimizers that see whole tensors) come on top. */
uint64_t job_memory_bytes(const struct job *job);

/* Writes "fc1.weight[512:1024]" or "fc1.bias and 3 more" for error texts: what a slice holds. */
#define JOB_SLICE_NAME_BYTES 96u
void job_slice_name(const struct job *job, uint32_t slice, char *text, size_t size);

/* The tensor that element `index` of a slice belongs to, and its index there. */
const struct tensor *job_slice_element(const struct job *job, uint32_t slice, uint32_t index,
                                       uint64_t *ret_tensor_index);

#endif
