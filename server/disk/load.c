/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/disk/load_internal.h"
#include "server/persist/arrays.h"
#include "server/persist/portion.h"

/* ---- The manifest ---------------------------------------------------------------------------- */

enum stepd_status load_manifest_text(int folder, char **ret_text, size_t *ret_length,
                                     struct stepd_error *reterr)
{
    uint64_t bytes = 0;
    const int file = file_open(folder, MANIFEST_FILE, &bytes);
    if (file < 0)
        return load_refuse(MANIFEST_FILE, "open", reterr);
    char *const text = bytes > MANIFEST_MAX_BYTES ? NULL : malloc((size_t)bytes + 1);
    enum stepd_status status = STEPD_OK;
    if (text == NULL)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                            "%s has %" PRIu64 " bytes, at most %zu are read, and there must be "
                            "memory for them",
                            MANIFEST_FILE, bytes, MANIFEST_MAX_BYTES);
    else if (!file_read(file, text, (size_t)bytes, 0))
        status = load_refuse(MANIFEST_FILE, "read", reterr);
    file_close(file);
    if (status != STEPD_OK) {
        free(text);
        return status;
    }
    *ret_text = text;
    *ret_length = (size_t)bytes;
    return STEPD_OK;
}

enum stepd_status load_manifest(int folder, struct manifest *ret_manifest,
                                struct stepd_error *reterr)
{
    char *text = NULL;
    size_t length = 0;
    enum stepd_status status = load_manifest_text(folder, &text, &length, reterr);
    if (status == STEPD_OK)
        status = manifest_parse(text, length, ret_manifest, reterr);
    free(text);
    return status;
}

/* ---- The arrays ------------------------------------------------------------------------------ */

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read a checkpoint");
}

static enum stepd_status allocate(struct manifest *manifest, const bool *asked, uint64_t bytes_max,
                                  struct stepd_error *reterr)
{
    const size_t slices = manifest->state->job->layout.slices;
    bool(*const view_made)[STEPD_VIEWS] = calloc(slices, sizeof *view_made);
    if (view_made == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < slices; i++)
        memcpy(view_made[i], manifest->slice[i].view, sizeof view_made[i]);
    const enum stepd_status status = arrays_allocate(
        manifest->state, (const bool(*)[STEPD_VIEWS])view_made, asked, bytes_max, reterr);
    free(view_made);
    return status;
}

static enum stepd_status read_arrays(int folder, struct manifest *manifest, const bool *asked,
                                     uint64_t bytes_max, struct stepd_error *reterr)
{
    struct arrays *arrays = NULL;
    const struct job_state *const share = manifest->state;
    enum stepd_status status = allocate(manifest, asked, bytes_max, reterr);
    if (status == STEPD_OK)
        status = arrays_create(&share, 1, &arrays, reterr);
    if (status == STEPD_OK)
        status = load_arrays(folder, &manifest->sums, arrays, /* all= */ asked == NULL, reterr);
    (void)arrays_destroy(arrays);
    return status;
}

/* ---- Which slices ---------------------------------------------------------------------------- */

/* The job as it will be laid out. */
static enum stepd_status lay_out(const struct job *job, uint32_t shards, struct job **ret_job,
                                 struct stepd_error *reterr)
{
    struct job_draft *draft = NULL;
    enum stepd_status status = job_draft_of(job, job->slice_elements, &draft, reterr);
    if (status == STEPD_OK) {
        job_draft_set_spare(draft, job->spare);
        status = job_draft_seal(draft, job->incarnation, shards, ret_job, reterr);
    }
    (void)job_draft_destroy(draft);
    return status;
}

static enum stepd_status choose(const struct job *job, const struct job *laid,
                                const struct load_wanted *wanted, bool *asked,
                                struct stepd_error *reterr)
{
    const struct layout *const layout = &laid->layout;
    bool same = layout->slices == job->layout.slices;
    for (size_t i = 0; same && i < layout->slices; i++) {
        same = layout->slice[i].elements == job->layout.slice[i].elements;
        asked[i] = layout->slice[i].shard >= wanted->first &&
                   layout->slice[i].shard - wanted->first < wanted->count;
    }
    if (same)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "job '%s' has other slices than its checkpoint", job->name);
}

static enum stepd_status find_asked(const struct job *job, const struct load_wanted *wanted,
                                    bool **ret_asked, struct stepd_error *reterr)
{
    struct job *laid = NULL;
    bool *const asked = calloc(job->layout.slices, sizeof *asked);
    enum stepd_status status = asked == NULL ? no_memory(reterr) : STEPD_OK;
    if (status == STEPD_OK && wanted->job == NULL)
        status = lay_out(job, wanted->shards, &laid, reterr);
    if (status == STEPD_OK)
        status = choose(job, wanted->job == NULL ? laid : wanted->job, wanted, asked, reterr);
    (void)job_unref(laid);
    if (status == STEPD_OK)
        *ret_asked = asked;
    else
        free(asked);
    return status;
}

static void drop_others(struct job_state *state, const bool *asked)
{
    for (size_t i = 0; i < state->job->layout.slices; i++) {
        if (!asked[i])
            slice_state_deinit(&state->slice[i]);
    }
}

static enum stepd_status read_wanted(int folder, uint64_t bytes_max,
                                     const struct load_wanted *wanted, struct manifest *manifest,
                                     struct stepd_error *reterr)
{
    bool *asked = NULL;
    enum stepd_status status = STEPD_OK;
    if (wanted != NULL)
        status = find_asked(manifest->state->job, wanted, &asked, reterr);
    if (status == STEPD_OK)
        status = read_arrays(folder, manifest, asked, bytes_max, reterr);
    if (status == STEPD_OK && wanted != NULL && wanted->alone)
        drop_others(manifest->state, asked);
    free(asked);
    return status;
}

/* ---- All of it ------------------------------------------------------------------------------- */

/* Where another cut cannot be made, the job goes on with the one that it has. */
static void recut(struct manifest *manifest, const struct load_cut *cut)
{
    const struct job *const job = manifest->state->job;
    const uint32_t from = job->slice_elements;
    const uint32_t to =
        cut->slice_elements == NULL ? 0 : cut->slice_elements(cut->owner, job->name);
    struct stepd_error error = {.code = STEPD_OK};
    if (to == 0 || to == from)
        return;
    if (manifest_recut(manifest, to, &error) == STEPD_OK)
        log_event(cut->log, LOG_INFO, "slices_recut", "job=%s slice_elements=%u from=%u",
                  manifest->state->job->name, to, from);
    else
        log_event(cut->log, LOG_WARN, "slices_not_recut",
                  "job=%s slice_elements=%u stays=%u cause=%s", job->name, to, from, error.text);
}

enum stepd_status load_checkpoint_of(int folder, uint64_t bytes_max, const struct load_cut *cut,
                                     const struct load_wanted *wanted,
                                     struct manifest *ret_manifest, struct stepd_error *reterr)
{
    enum stepd_status status = load_manifest(folder, ret_manifest, reterr);
    if (status != STEPD_OK)
        return status;
    if (cut != NULL)
        recut(ret_manifest, cut);
    status = read_wanted(folder, bytes_max, wanted, ret_manifest, reterr);
    if (status != STEPD_OK)
        manifest_deinit(ret_manifest);
    return status;
}

enum stepd_status load_checkpoint_cut(int folder, uint64_t bytes_max, const struct load_cut *cut,
                                      struct manifest *ret_manifest, struct stepd_error *reterr)
{
    return load_checkpoint_of(folder, bytes_max, cut, /* wanted= */ NULL, ret_manifest, reterr);
}

enum stepd_status load_checkpoint(int folder, uint64_t bytes_max, struct manifest *ret_manifest,
                                  struct stepd_error *reterr)
{
    return load_checkpoint_cut(folder, bytes_max, /* cut= */ NULL, ret_manifest, reterr);
}

enum stepd_status load_check_files(int folder, const struct manifest *manifest,
                                   struct stepd_error *reterr)
{
    uint32_t portions = 0;
    enum stepd_status status = portion_count(&manifest->sums, &portions, reterr);
    for (size_t i = 0; i < manifest->sums.files && status == STEPD_OK; i++) {
        const struct manifest_file *const expected = &manifest->sums.file[i];
        uint64_t bytes = 0;
        const int file = file_open(folder, expected->name, &bytes);
        if (file < 0)
            return load_refuse(expected->name, "open", reterr);
        file_close(file);
        status = load_check_length(expected, bytes, reterr);
    }
    return status;
}

struct load_extent load_extent_of(int folder, const struct manifest *manifest)
{
    struct load_extent extent = {.bytes = 0};
    struct stat stat;
    const time_t now = time(NULL);
    for (size_t i = 0; i < manifest->sums.files; i++)
        extent.bytes += manifest->sums.file[i].bytes;
    if (fstatat(folder, MANIFEST_FILE, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return extent;
    extent.bytes += (uint64_t)stat.st_size;
    extent.age_ms = now > stat.st_mtime ? (uint64_t)(now - stat.st_mtime) * 1000 : 0;
    return extent;
}
