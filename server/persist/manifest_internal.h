/* SPDX-License-Identifier: Apache-2.0
 *
 * The topics of the manifest, each written and read in one file. What is written goes to the text
 * or is a line of it; what is read says in reterr which key of its own is wrong, and the caller
 * puts before it where that stands.
 */
#ifndef PERSIST_MANIFEST_INTERNAL_H
#define PERSIST_MANIFEST_INTERNAL_H

#include "proto/arena.h"
#include "server/model/definition.h"
#include "server/persist/manifest.h"
#include "server/persist/manifest_json.h"

/* ---- manifest.c ------------------------------------------------------------------------------ */

/* A version, or that slices have none in common. */
json_t *manifest_of_version(uint64_t version);
uint64_t manifest_take_version(struct manifest_object *object, const char *key);

/* ---- manifest_group.c ------------------------------------------------------------------------ */

/* The keys of a group's definition, added to an object, of which nothing else is a setting. The
 * arena is for the definition. False: no memory. */
bool manifest_add_group(json_t *object, const struct group *group,
                        struct stepd_arena *arena) STEPD_MUST_CHECK;

/* Settings beside the keys of an object. False: no memory. */
bool manifest_add_settings(json_t *object, const struct stepd_settings *settings) STEPD_MUST_CHECK;

/* Whatever has not been asked of the object, as settings in the arena; texts are borrowed from the
 * JSON. */
struct stepd_settings manifest_take_settings(struct manifest_object *object,
                                             struct stepd_arena *arena);

/* A definition likewise, which takes all that has not been asked of the object. */
struct stepd_group manifest_take_group(struct manifest_object *object, struct stepd_arena *arena);

/* ---- manifest_job.c -------------------------------------------------------------------------- */

void manifest_write_job(struct manifest_text *text, const struct job *job);

/* *ret_job: the caller gives it back with job_unref. */
enum stepd_status manifest_read_job(const json_t *json, uint64_t incarnation, struct job **ret_job,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- manifest_members.c ---------------------------------------------------------------------- */

void manifest_write_members(struct manifest_text *text, const struct job_snapshot *snapshot);
enum stepd_status manifest_read_members(const json_t *list, struct job_snapshot *snapshot,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- manifest_changed.c ---------------------------------------------------------------------- */

/* More than there are: two for each group, one for each change to come, and in jobs whose slices
 * have no version in common what slices that lag behind have. */
#define MANIFEST_CHANGED_MAX ((size_t)4 * STEPD_GROUPS_MAX * (1 + CONTROL_COMING_MAX))

/* What groups have become, each named by its index where history and slices speak of it. */
struct manifest_changed {
    size_t count;
    size_t room;

    struct {
        struct shared_group *shared; /* borrowed when written; a reference when read */
        uint32_t group;              /* of the job, that it is of */
    } * at;                          /* owned */
};

/* Gathers all that a source speaks of, in the order in which it does. RESOURCE_EXHAUSTED. The
 * caller frees with free(changed->at). */
enum stepd_status manifest_changed_gather(const struct manifest_source *source,
                                          struct manifest_changed *ret_changed) STEPD_MUST_CHECK;

/* Do they say the same? */
bool manifest_same_changed(const struct shared_group *a, const struct shared_group *b);

void manifest_write_changed(struct manifest_text *text, const struct manifest_changed *changed);

/* The index of one that was gathered; NULL: null. */
json_t *manifest_of_changed(const struct manifest_changed *changed,
                            const struct shared_group *shared);

/* Each can take the place of its group in the job. The caller ends with manifest_changed_deinit. */
enum stepd_status manifest_read_changed(const json_t *list, const struct job *job,
                                        struct manifest_changed *ret_changed,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;
void manifest_changed_deinit(struct manifest_changed *changed);

/* One of them, of this group, or NULL for null; borrowed. */
struct shared_group *manifest_take_changed(struct manifest_object *object, const char *key,
                                           const struct manifest_changed *changed, uint32_t group);

/* ---- manifest_history.c ---------------------------------------------------------------------- */

void manifest_write_history(struct manifest_text *text, const struct control_history *history,
                            const struct manifest_changed *changed);
enum stepd_status manifest_read_history(const json_t *json, const struct manifest_changed *changed,
                                        struct job_snapshot *snapshot,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- manifest_slices.c ----------------------------------------------------------------------- */

/* All slices of the layout, or those of one shard. */
#define MANIFEST_ALL_SHARDS UINT32_MAX

/* INVALID_ARGUMENT: no share has taken a slice. RESOURCE_EXHAUSTED. */
enum stepd_status manifest_write_slices(struct manifest_text *text,
                                        const struct manifest_source *source,
                                        const struct manifest_changed *changed, uint32_t shard,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Are there as many slices as the job's definition makes? It comes before what costs time for each
 * of these, which a short text can make many. */
enum stepd_status manifest_slices_check(const json_t *json, const struct job *job, uint32_t shard,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Into the manifest's state, which is empty, and its list of slices, once they are so many. */
enum stepd_status manifest_read_slices(const json_t *json, const struct manifest_changed *changed,
                                       uint32_t shard, struct manifest *manifest,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- manifest_sums.c ------------------------------------------------------------------------- */

/* A checkpoint has two beside the manifest for each daemon that has written. */
#define MANIFEST_FILES_MAX ((size_t)2 * PORTIONS_MAX)

/* Arrays in the order of their names. INVALID_ARGUMENT: a name stands twice. RESOURCE_EXHAUSTED. */
enum stepd_status manifest_write_sums(struct manifest_text *text, const struct manifest_sums *sums,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;
enum stepd_status manifest_read_sums(const json_t *files, const json_t *arrays,
                                     struct manifest_sums *sums,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;
#endif
