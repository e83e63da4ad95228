/* SPDX-License-Identifier: Apache-2.0
 *
 * What groups have become while the job ran. Each stands once, in a list, and history and slices
 * speak of it by its index there, as they share it in memory.
 */
#include "server/persist/manifest_internal.h"

#include <stdlib.h>

#include "proto/error.h"
#include "server/model/group_fits.h"

/* ---- Gathering ------------------------------------------------------------------------------- */

static size_t find(const struct manifest_changed *changed, const struct shared_group *shared)
{
    size_t i = changed->count; /* the newest is the likeliest */
    while (i > 0 && changed->at[i - 1].shared != shared)
        i--;
    return i == 0 ? changed->count : i - 1;
}

bool manifest_same_changed(const struct shared_group *a, const struct shared_group *b)
{
    struct stepd_error error;
    return a == b ||
           (a != NULL && b != NULL && group_same(&a->group, &b->group, &error) == STEPD_OK);
}

/* What has come from another process is no other thing for being another copy of it. */
static size_t find_same(const struct manifest_changed *changed, const struct shared_group *shared)
{
    size_t i = find(changed, shared);
    if (i < changed->count)
        return i;
    for (i = 0; i < changed->count && !manifest_same_changed(changed->at[i].shared, shared); i++)
        ;
    return i;
}

static enum stepd_status add(struct manifest_changed *changed, struct shared_group *shared,
                             uint32_t group)
{
    if (shared == NULL || find(changed, shared) < changed->count)
        return STEPD_OK;
    if (changed->count == changed->room) {
        const size_t room = changed->room == 0 ? 16 : 2 * changed->room;
        void *const at = realloc(changed->at, room * sizeof changed->at[0]);
        if (at == NULL)
            return STEPD_RESOURCE_EXHAUSTED;
        changed->at = at;
        changed->room = room;
    }
    changed->at[changed->count].shared = shared;
    changed->at[changed->count++].group = group;
    return STEPD_OK;
}

static enum stepd_status add_history(struct manifest_changed *changed,
                                     const struct control_history *history)
{
    enum stepd_status status = STEPD_OK;
    for (uint32_t i = 0; i < history->groups && status == STEPD_OK; i++) {
        status = add(changed, history->group[i].past, i);
        if (status == STEPD_OK)
            status = add(changed, history->group[i].now, i);
    }
    for (const struct group_changes *at = history->coming; at != NULL; at = at->next) {
        for (size_t i = 0; i < at->count && status == STEPD_OK; i++)
            status = add(changed, at->change[i].group, at->change[i].index);
    }
    return status;
}

enum stepd_status manifest_changed_gather(const struct manifest_source *source,
                                          struct manifest_changed *ret_changed)
{
    const struct layout *const layout = &source->snapshot->job->layout;
    struct manifest_changed changed = {.count = 0};
    enum stepd_status status = add_history(&changed, &source->snapshot->history);
    for (size_t i = 0; i < layout->slices && status == STEPD_OK; i++) {
        for (size_t k = 0; k < source->shares && status == STEPD_OK; k++) {
            struct shared_group *const shared = source->share[k]->slice[i].changed;
            if (shared != NULL && find_same(&changed, shared) == changed.count)
                status = add(&changed, shared, layout->slice[i].group);
        }
    }
    if (status == STEPD_OK)
        *ret_changed = changed;
    else
        free(changed.at);
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *of_group(const struct shared_group *shared, uint32_t group)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, SIZE_MAX);
    json_t *made = json_pack("{s:I, s:o}", "group", (json_int_t)group, "from",
                             manifest_of_u64(shared->group.phase[0].from));
    if (!manifest_add_group(made, &shared->group, &arena)) {
        json_decref(made);
        made = NULL;
    }
    stepd_arena_deinit(&arena);
    return made;
}

void manifest_write_changed(struct manifest_text *text, const struct manifest_changed *changed)
{
    manifest_text_open(text, "groups_changed", '[');
    for (size_t i = 0; i < changed->count; i++)
        manifest_text_value(text, /* key= */ NULL,
                            of_group(changed->at[i].shared, changed->at[i].group));
    manifest_text_close(text, ']');
}

json_t *manifest_of_changed(const struct manifest_changed *changed,
                            const struct shared_group *shared)
{
    return shared == NULL ? json_null() : json_integer((json_int_t)find_same(changed, shared));
}

/* ---- Reading --------------------------------------------------------------------------------- */

static enum stepd_status make_shared(const struct stepd_group *def, uint64_t from,
                                     struct shared_group **ret_shared, struct stepd_error *reterr)
{
    struct shared_group *const shared = calloc(1, sizeof *shared);
    if (shared == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read a changed group");
    const enum stepd_status status = group_init_changed(def, from, &shared->group, reterr);
    if (status != STEPD_OK) {
        free(shared);
        return status;
    }
    shared->refs = 1;
    *ret_shared = shared;
    return STEPD_OK;
}

static enum stepd_status read_group(const json_t *json, const struct job *job,
                                    struct manifest_changed *changed, struct stepd_error *reterr)
{
    struct stepd_arena arena;
    struct manifest_object object;
    struct shared_group *shared = NULL;
    stepd_arena_init(&arena, SIZE_MAX);
    manifest_object_begin(&object, json, reterr);
    const uint32_t group = (uint32_t)manifest_take_between(&object, "group", 0, job->groups - 1);
    const uint64_t from = manifest_take_u64(&object, "from");
    const struct stepd_group def = manifest_take_group(&object, &arena);
    enum stepd_status status = manifest_object_end(&object);
    if (status == STEPD_OK)
        status = make_shared(&def, from, &shared, reterr);
    if (status == STEPD_OK)
        status = group_fits_restored(job, group, shared, reterr); /* or slots have no size */
    if (status == STEPD_OK)
        status = add(changed, shared, group);
    if (status != STEPD_OK)
        (void)shared_group_unref(shared);
    stepd_arena_deinit(&arena);
    return status;
}

enum stepd_status manifest_read_changed(const json_t *list, const struct job *job,
                                        struct manifest_changed *ret_changed,
                                        struct stepd_error *reterr)
{
    const size_t count = json_array_size(list);
    struct manifest_changed changed = {.count = 0};
    for (size_t i = 0; i < count; i++) {
        const enum stepd_status status = read_group(json_array_get(list, i), job, &changed, reterr);
        if (status != STEPD_OK) {
            manifest_changed_deinit(&changed);
            return stepd_fail_in(reterr, status, "groups_changed[%zu]", i);
        }
    }
    *ret_changed = changed;
    return STEPD_OK;
}

void manifest_changed_deinit(struct manifest_changed *changed)
{
    for (size_t i = 0; i < changed->count; i++)
        (void)shared_group_unref(changed->at[i].shared);
    free(changed->at);
    *changed = (struct manifest_changed){.count = 0};
}

struct shared_group *manifest_take_changed(struct manifest_object *object, const char *key,
                                           const struct manifest_changed *changed, uint32_t group)
{
    const uint64_t index = manifest_take_u64_or_none(object, key);
    if (object->status != STEPD_OK || index == UINT64_MAX)
        return NULL;
    if (index >= changed->count)
        manifest_object_fail(object, key,
                             "must be null, or the index of one of the %zu in "
                             "groups_changed",
                             changed->count);
    else if (changed->at[index].group != group)
        manifest_object_fail(object, key, "is of group %u, and must be of group %u",
                             changed->at[index].group, group);
    return object->status == STEPD_OK ? changed->at[index].shared : NULL;
}
