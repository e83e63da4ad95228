/* SPDX-License-Identifier: Apache-2.0
 *
 * A share is packed as a manifest of the slices of one shard: {"version", "halted",
 * "groups_changed", "slices"}, each of which is written and read by the code of the manifest.
 */
#include "server/persist/share.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/persist/manifest_internal.h"

/* Where a view that was made leads: somewhere, and there is nothing to be read. */
static const float nothing;

static enum stepd_status no_memory(const struct job *job, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "no memory for a share of the state of job '%s'", job->name);
}

/* ---- Packing --------------------------------------------------------------------------------- */

/* Whose slices they are. */
static uint32_t shard_of(const struct job_state *share)
{
    for (size_t i = 0; i < share->job->layout.slices; i++) {
        if (share->slice[i].taken)
            return share->job->layout.slice[i].shard;
    }
    return MANIFEST_ALL_SHARDS - 1; /* it has none */
}

static enum stepd_status write_all(struct manifest_text *text, const struct manifest_source *source,
                                   const struct manifest_changed *changed,
                                   struct stepd_error *reterr)
{
    const struct job_state *const share = source->share[0];
    manifest_text_open(text, /* key= */ NULL, '{');
    manifest_text_value(text, "version", manifest_of_version(share->version));
    manifest_text_value(text, "halted", manifest_of_error(&share->halted));
    manifest_write_changed(text, changed);
    const enum stepd_status status =
        manifest_write_slices(text, source, changed, shard_of(share), reterr);
    manifest_text_close(text, '}');
    return status;
}

enum stepd_status share_pack(const struct job_state *share, char **ret_text, size_t *ret_bytes,
                             struct stepd_error *reterr)
{
    const struct job_snapshot snapshot = {.job = share->job};
    const struct manifest_source source = {.snapshot = &snapshot, .share = &share, .shares = 1};
    struct manifest_changed changed = {.count = 0};
    struct manifest_text text = {.at = NULL};
    if (manifest_changed_gather(&source, &changed) != STEPD_OK)
        return no_memory(share->job, reterr);
    enum stepd_status status = write_all(&text, &source, &changed, reterr);
    free(changed.at);
    if (status == STEPD_OK && (text.full || text.length > SHARE_MAX_BYTES))
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                            "what a shard has to say of its slices of job '%s' takes more than "
                            "%zu MiB; cut it into larger slices (slice_elements)",
                            share->job->name, SHARE_MAX_BYTES >> 20);
    else if (status == STEPD_OK && text.failed)
        status = no_memory(share->job, reterr);
    if (status != STEPD_OK) {
        free(text.at);
        return status;
    }
    *ret_text = text.at;
    *ret_bytes = text.length;
    return STEPD_OK;
}

/* ---- Unpacking ------------------------------------------------------------------------------- */

struct sections {
    uint64_t version;
    struct stepd_error halted;
    const json_t *changed;
    const json_t *slices;
};

static enum stepd_status read_sections(const json_t *json, struct sections *ret_sections,
                                       struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    ret_sections->version = manifest_take_version(&object, "version");
    manifest_take_error(&object, "halted", &ret_sections->halted);
    ret_sections->changed = manifest_take_list(&object, "groups_changed", MANIFEST_CHANGED_MAX);
    ret_sections->slices = manifest_take(&object, "slices");
    return manifest_object_end(&object);
}

/* What a manifest says there is beside the slices' states is told from their pointers. */
static bool mark_arrays(struct slice_state *slice, const struct manifest_slice *said)
{
    for (int v = 0; v < STEPD_VIEWS; v++)
        slice->view[v] = said->view[v] ? &nothing : NULL;
    if (!said->backups)
        return true;
    slice->by_rank[0].backup = calloc(1, sizeof(float)); /* the state's to free */
    return slice->by_rank[0].backup != NULL;
}

static enum stepd_status read_slices(const struct sections *sections, uint32_t shard,
                                     struct manifest *manifest, struct stepd_error *reterr)
{
    struct job *const job = manifest->snapshot.job;
    struct manifest_changed changed = {.count = 0};
    enum stepd_status status = manifest_slices_check(sections->slices, job, shard, reterr);
    if (status == STEPD_OK)
        status = manifest_read_changed(sections->changed, job, &changed, reterr);
    if (status == STEPD_OK)
        status = manifest_read_slices(sections->slices, &changed, shard, manifest, reterr);
    manifest_changed_deinit(&changed);
    for (size_t i = 0; i < job->layout.slices && status == STEPD_OK; i++) {
        struct slice_state *const slice = &manifest->state->slice[i];
        if (slice->taken && !mark_arrays(slice, &manifest->slice[i]))
            status = no_memory(job, reterr);
    }
    return status;
}

static enum stepd_status read_share(const json_t *json, struct job *job, uint32_t shard,
                                    struct job_state **ret_share, struct stepd_error *reterr)
{
    struct sections sections = {.slices = NULL};
    struct manifest manifest = {.snapshot = {.job = job}};
    enum stepd_status status = read_sections(json, &sections, reterr);
    if (status != STEPD_OK)
        return status;
    if (job_state_create(job, sections.version, &manifest.state) != STEPD_OK)
        return no_memory(job, reterr);
    manifest.state->halted = sections.halted;
    status = read_slices(&sections, shard, &manifest, reterr);
    free(manifest.slice);
    if (status == STEPD_OK)
        *ret_share = manifest.state;
    else
        (void)job_state_unref(manifest.state);
    return status;
}

enum stepd_status share_unpack(const char *text, size_t bytes, struct job *job, uint32_t shard,
                               struct job_state **ret_share, struct stepd_error *reterr)
{
    json_error_t error;
    if (bytes > SHARE_MAX_BYTES)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "a share of the state of job '%s' takes more than %zu MiB", job->name,
                          SHARE_MAX_BYTES >> 20);
    json_t *const json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    enum stepd_status status = json == NULL ? manifest_fail_json(&error, reterr)
                                            : read_share(json, job, shard, ret_share, reterr);
    json_decref(json);
    return status == STEPD_OK
               ? STEPD_OK
               : stepd_fail_in(reterr, status, "shard %u's share of job '%s'", shard, job->name);
}
