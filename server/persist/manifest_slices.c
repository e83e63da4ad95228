/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of the slices. Those of a group mostly say the same, in sync mode all of them: so for
 * each group there is a line with what its first slice says, and the line of a slice has its parts,
 * and beside them only what it says otherwise.
 *
 * A table has a row for each key: when two slices say the same, what is written, what is read.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/persist/manifest_slice.h"

/* ---- Writing --------------------------------------------------------------------------------- */

static const struct slice_state *find_slice(const struct manifest_source *source, size_t index)
{
    for (size_t k = 0; k < source->shares; k++) {
        const struct slice_state *const state = &source->share[k]->slice[index];
        if (state->taken)
            return state;
    }
    return NULL;
}

static json_t *of_parts(const struct job *job, const struct slice_plan *plan)
{
    json_t *const list = json_array();
    bool added = list != NULL;
    for (size_t i = 0; i < plan->parts && added; i++) {
        const struct part *const part = &job->layout.part[plan->first_part + i];
        added = json_array_append_new(list, json_pack("[s, I, I]", job->tensor[part->tensor].name,
                                                      (json_int_t)part->offset,
                                                      (json_int_t)part->elements)) == 0;
    }
    if (added)
        return list;
    json_decref(list);
    return NULL;
}

/* Adds what a slice says other than the first of its group; like NULL: all of it. */
static bool add_keys(json_t *object, const struct manifest_slice_writing *writing,
                     const struct slice_state *like)
{
    bool added = object != NULL;
    for (size_t i = 0; i < MANIFEST_SLICE_KEYS && added; i++) {
        const struct manifest_slice_key *const key = &manifest_slice_key[i];
        if (like == NULL || !key->same(key, like, writing->state))
            added = json_object_set_new(object, key->name, key->make(key, writing)) == 0;
    }
    return added;
}

static json_t *with_keys(json_t *object, const struct manifest_slice_writing *writing,
                         const struct slice_state *like)
{
    if (add_keys(object, writing, like))
        return object;
    json_decref(object);
    return NULL;
}

/* The first slice of each group, and the slices themselves. */
struct listing {
    const struct manifest_source *source;
    const struct manifest_changed *changed;
    uint32_t shard;
    const struct slice_state **first; /* by group; NULL: it has no slice */
};

static bool is_of(const struct job *job, size_t slice, uint32_t shard)
{
    return shard == MANIFEST_ALL_SHARDS || job->layout.slice[slice].shard == shard;
}

static struct manifest_slice_writing writing_of(const struct listing *listing, uint32_t group,
                                                const struct slice_state *state)
{
    return (struct manifest_slice_writing){
        .job = listing->source->snapshot->job,
        .changed = listing->changed,
        .group = group,
        .state = state,
    };
}

static void write_groups(struct manifest_text *text, const struct listing *listing)
{
    const struct job *const job = listing->source->snapshot->job;
    manifest_text_open(text, "by_group", '[');
    for (uint32_t i = 0; i < job->groups; i++) {
        const struct manifest_slice_writing writing = writing_of(listing, i, listing->first[i]);
        json_t *const line = json_pack("{s:s}", "group", job->group[i].name);
        manifest_text_value(text, /* key= */ NULL,
                            listing->first[i] == NULL ? line : with_keys(line, &writing, NULL));
    }
    manifest_text_close(text, ']');
}

static void write_each(struct manifest_text *text, const struct listing *listing)
{
    const struct job *const job = listing->source->snapshot->job;
    manifest_text_open(text, "each", '[');
    for (size_t i = 0; i < job->layout.slices && !text->failed; i++) {
        const struct slice_plan *const plan = &job->layout.slice[i];
        if (!is_of(job, i, listing->shard))
            continue;
        const struct manifest_slice_writing writing =
            writing_of(listing, plan->group, find_slice(listing->source, i));
        manifest_text_value(text, /* key= */ NULL,
                            with_keys(json_pack("{s:o}", "parts", of_parts(job, plan)), &writing,
                                      listing->first[plan->group]));
    }
    manifest_text_close(text, ']');
}

/* False: a slice is in no share. */
static bool find_first(const struct listing *listing, size_t *ret_slice)
{
    const struct job *const job = listing->source->snapshot->job;
    const struct layout *const layout = &job->layout;
    for (size_t i = 0; i < layout->slices; i++) {
        if (!is_of(job, i, listing->shard))
            continue;
        const struct slice_state *const state = find_slice(listing->source, i);
        if (state == NULL) {
            *ret_slice = i;
            return false;
        }
        if (listing->first[layout->slice[i].group] == NULL)
            listing->first[layout->slice[i].group] = state;
    }
    return true;
}

enum stepd_status manifest_write_slices(struct manifest_text *text,
                                        const struct manifest_source *source,
                                        const struct manifest_changed *changed, uint32_t shard,
                                        struct stepd_error *reterr)
{
    const struct job *const job = source->snapshot->job;
    struct listing listing = {
        .source = source,
        .changed = changed,
        .shard = shard,
        .first = calloc(job->groups, sizeof *listing.first),
    };
    size_t missing = 0;
    enum stepd_status status = STEPD_OK;
    if (listing.first == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to write the manifest");
    if (find_first(&listing, &missing)) {
        manifest_text_open(text, "slices", '{');
        write_groups(text, &listing);
        write_each(text, &listing);
        manifest_text_close(text, '}');
    } else {
        char name[JOB_SLICE_NAME_BYTES];
        job_slice_name(job, (uint32_t)missing, name, sizeof name);
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "%s is in no share of the state of job '%s'", name, job->name);
    }
    free(listing.first);
    return status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The part that the definition makes it. */
static bool is_part(const json_t *json, const struct job *job, const struct part *part)
{
    uint64_t offset = 0;
    uint64_t elements = 0;
    const char *const name = json_string_value(json_array_get(json, 0));
    return json_array_size(json) == 3 && name != NULL &&
           strcmp(name, job->tensor[part->tensor].name) == 0 &&
           manifest_read_u64(json_array_get(json, 1), &offset) && offset == part->offset &&
           manifest_read_u64(json_array_get(json, 2), &elements) && elements == part->elements;
}

static void check_parts(struct manifest_object *object, const struct job *job,
                        const struct slice_plan *plan)
{
    const json_t *const list = manifest_take_list(object, "parts", LAYOUT_PACK_PARTS_MAX);
    if (object->status == STEPD_OK && json_array_size(list) != plan->parts)
        manifest_object_fail(object, "parts",
                             "has %zu, and the job's definition cuts the slice so that it has %u",
                             json_array_size(list), plan->parts);
    for (size_t i = 0; i < plan->parts && object->status == STEPD_OK; i++) {
        const struct part *const part = &job->layout.part[plan->first_part + i];
        if (!is_part(json_array_get(list, i), job, part))
            manifest_object_fail(object, "parts",
                                 "%zu must be [\"%s\", %llu, %u], as the job's definition cuts it",
                                 i, job->tensor[part->tensor].name,
                                 (unsigned long long)part->offset, part->elements);
    }
}

/* What slices say, and where. */
struct reading {
    struct manifest *manifest;
    const struct manifest_changed *changed;
    struct manifest_object *common; /* by group: what its slices say unless they say otherwise */
    struct stepd_error *reterr;
};

static enum stepd_status make_slice(const struct job *job, const struct slice_plan *plan,
                                    struct slice_state *state, struct stepd_error *reterr)
{
    state->elements = plan->elements;
    state->taken = true;
    state->by_rank = calloc(job->workers, sizeof *state->by_rank);
    if (state->by_rank == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read the slices");
    state->ranks = job->workers;
    for (size_t i = 0; i < state->ranks; i++)
        state->by_rank[i].backup_version = UINT64_MAX;
    return STEPD_OK;
}

/* Says where a key is wrong: in the slice's line or in that of its group. */
static enum stepd_status fail_at(const struct reading *reading, const struct manifest_object *own,
                                 const struct manifest_object *common, size_t index, size_t line)
{
    const struct job *const job = reading->manifest->snapshot.job;
    if (own->status != STEPD_OK)
        return stepd_fail_in(reading->reterr, own->status, "each[%zu]", line);
    return stepd_fail_in(reading->reterr, common->status, "by_group[%u]",
                         job->layout.slice[index].group);
}

static enum stepd_status read_slice(const json_t *json, const struct reading *reading, size_t index,
                                    size_t line)
{
    const struct job *const job = reading->manifest->snapshot.job;
    const struct slice_plan *const plan = &job->layout.slice[index];
    struct manifest_object *const common = &reading->common[plan->group];
    struct manifest_object own;
    const struct manifest_slice_reading slice = {
        .job = job,
        .plan = plan,
        .changed = reading->changed,
        .state = &reading->manifest->state->slice[index],
        .slice = &reading->manifest->slice[index],
    };
    const enum stepd_status status = make_slice(job, plan, slice.state, reading->reterr);
    if (status != STEPD_OK)
        return status;
    manifest_object_begin(&own, json, reading->reterr);
    check_parts(&own, job, plan);
    for (size_t i = 0; i < MANIFEST_SLICE_KEYS; i++) {
        const struct manifest_slice_key *const key = &manifest_slice_key[i];
        const bool otherwise = manifest_object_has(&own, key->name);
        if (own.status == STEPD_OK && common->status == STEPD_OK)
            key->take(key, otherwise ? &own : common, &slice);
    }
    if (common->status == STEPD_OK && manifest_object_end(&own) == STEPD_OK)
        return STEPD_OK;
    return fail_at(reading, &own, common, index, line);
}

/* Each line is an object that knows no other keys; what is missing is asked for by slices. */
static enum stepd_status begin_groups(const json_t *list, const struct reading *reading)
{
    const struct job *const job = reading->manifest->snapshot.job;
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < job->groups && status == STEPD_OK; i++) {
        struct manifest_object *const common = &reading->common[i];
        manifest_object_begin(common, json_array_get(list, i), reading->reterr);
        const char *const name = manifest_take_text(common, "group", STEPD_NAME_MAX_BYTES);
        if (name != NULL && strcmp(name, job->group[i].name) != 0)
            manifest_object_fail(common, "group", "must be '%s', as the job's definition has it",
                                 job->group[i].name);
        for (size_t k = 0; k < MANIFEST_SLICE_KEYS; k++)
            (void)manifest_object_has(common, manifest_slice_key[k].name);
        status = manifest_object_end(common);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reading->reterr, status, "by_group[%zu]", i);
    }
    return status;
}

static enum stepd_status read_each(const json_t *list, const struct reading *reading,
                                   uint32_t shard)
{
    const struct job *const job = reading->manifest->snapshot.job;
    enum stepd_status status = STEPD_OK;
    size_t line = 0;
    for (size_t i = 0; i < job->layout.slices && status == STEPD_OK; i++) {
        if (!is_of(job, i, shard))
            continue;
        status = read_slice(json_array_get(list, line), reading, i, line);
        line++;
    }
    return status;
}

static size_t count_slices(const struct job *job, uint32_t shard)
{
    size_t count = 0;
    for (size_t i = 0; i < job->layout.slices; i++)
        count += is_of(job, i, shard);
    return count;
}

enum stepd_status manifest_slices_check(const json_t *json, const struct job *job, uint32_t shard,
                                        struct stepd_error *reterr)
{
    const size_t slices = count_slices(job, shard);
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    const json_t *const groups = manifest_take_list(&object, "by_group", STEPD_GROUPS_MAX);
    const json_t *const each = manifest_take_list(&object, "each", LAYOUT_SLICES_MAX);
    const enum stepd_status status = manifest_object_end(&object);
    if (status != STEPD_OK)
        return status;
    if (json_array_size(groups) != job->groups)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "by_group has %zu, and the job %zu groups", json_array_size(groups),
                          job->groups);
    if (json_array_size(each) != slices)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "each has %zu, and the job's definition makes %zu slices",
                          json_array_size(each), slices);
    if (job->layout.slices > MANIFEST_RECORDS_MAX / job->workers)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "%zu slices with records of %u workers each are more than can be read",
                          job->layout.slices, job->workers);
    return STEPD_OK;
}

enum stepd_status manifest_read_slices(const json_t *json, const struct manifest_changed *changed,
                                       uint32_t shard, struct manifest *manifest,
                                       struct stepd_error *reterr)
{
    const struct job *const job = manifest->snapshot.job;
    const struct reading reading = {
        .manifest = manifest,
        .changed = changed,
        .common = calloc(job->groups, sizeof *reading.common),
        .reterr = reterr,
    };
    manifest->slice = calloc(job->layout.slices, sizeof *manifest->slice);
    if (reading.common == NULL || manifest->slice == NULL) {
        free(reading.common);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read the slices");
    }
    enum stepd_status status = begin_groups(json_object_get(json, "by_group"), &reading);
    if (status == STEPD_OK)
        status = read_each(json_object_get(json, "each"), &reading, shard);
    free(reading.common);
    return status;
}
