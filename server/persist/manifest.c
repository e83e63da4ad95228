/* SPDX-License-Identifier: Apache-2.0
 *
 * The manifest as a whole. Its last line has a checksum of all bytes before the digits, and what
 * stands behind them is always the same: so every byte is one that is checked, or one of those, and
 * nothing is read of a text before it is known to be as it was written.
 */
#include "server/persist/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/persist/manifest_internal.h"

#define DIGITS (CHECKSUM_TEXT_BYTES - 1)

/* Files beside the manifest that one daemon writes. */
#define FILES_OF_ONE 2u

static const char before_digits[] = ",\n  \"checksum\": \"";
static const char after_digits[] = "\"\n}\n";

static const char as_it_stands[] = "as it stands";

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the manifest");
}

/* ---- Checksum -------------------------------------------------------------------------------- */

static enum stepd_status sum(const char *text, size_t length, char ret_digits[CHECKSUM_TEXT_BYTES],
                             struct stepd_error *reterr)
{
    struct checksum *checksum = checksum_create();
    if (checksum == NULL)
        return no_memory(reterr);
    checksum_add(checksum, text, length);
    checksum_text(checksum, ret_digits);
    (void)checksum_destroy(checksum);
    return STEPD_OK;
}

/* The end of a text whose last bracket is still open. */
static enum stepd_status seal(struct manifest_text *text, struct stepd_error *reterr)
{
    char digits[CHECKSUM_TEXT_BYTES];
    manifest_text_put(text, before_digits, sizeof before_digits - 1);
    if (text->failed)
        return STEPD_OK;
    const enum stepd_status status = sum(text->at, text->length, digits, reterr);
    if (status != STEPD_OK)
        return status;
    manifest_text_put(text, digits, DIGITS);
    manifest_text_put(text, after_digits, sizeof after_digits - 1);
    return STEPD_OK;
}

static enum stepd_status check_seal(const char *text, size_t length, struct stepd_error *reterr)
{
    const size_t tail = DIGITS + sizeof after_digits - 1;
    const size_t before = sizeof before_digits - 1;
    char digits[CHECKSUM_TEXT_BYTES];
    if (length < before + tail ||
        memcmp(text + length - tail - before, before_digits, before) != 0 ||
        memcmp(text + length - tail + DIGITS, after_digits, sizeof after_digits - 1) != 0)
        return stepd_fail(reterr, STEPD_DATA_LOSS,
                          "the manifest does not end with its checksum: it was cut or changed, or "
                          "it is none");
    const enum stepd_status status = sum(text, length - tail, digits, reterr);
    if (status != STEPD_OK)
        return status;
    if (memcmp(text + length - tail, digits, DIGITS) == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_DATA_LOSS,
                      "the manifest is not as it was written: the checksum of its text is %s, and "
                      "it says another",
                      digits);
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* A shard that has halted has halted the job. */
static const struct stepd_error *halted(const struct manifest_source *source)
{
    const struct stepd_error *error = &source->share[0]->halted;
    for (size_t i = 1; i < source->shares; i++) {
        if (source->share[i]->halted.code != STEPD_OK)
            error = &source->share[i]->halted;
    }
    return error;
}

/* What an older stepd cannot read it is not to try. */
static uint32_t version_of(const struct manifest_sums *sums)
{
    return sums->files > FILES_OF_ONE ? MANIFEST_PORTIONS : MANIFEST_VERSION;
}

json_t *manifest_of_version(uint64_t version)
{
    return version == JOB_STATE_AS_IT_STANDS ? json_string(as_it_stands) : manifest_of_u64(version);
}

static json_t *of_snapshot(const struct manifest_source *source)
{
    const struct job_snapshot *const snapshot = source->snapshot;
    return json_pack("{s:o, s:o, s:b, s:o, s:o}", "version", manifest_of_version(snapshot->version),
                     "incarnation", manifest_of_u64(snapshot->incarnation), "started",
                     (int)snapshot->started, "halted", manifest_of_error(halted(source)),
                     "taken_ms", manifest_of_u64(snapshot->taken_ms));
}

static enum stepd_status write_all(struct manifest_text *text, const struct manifest_source *source,
                                   const struct manifest_changed *changed,
                                   struct stepd_error *reterr)
{
    const struct job_snapshot *const snapshot = source->snapshot;
    manifest_text_open(text, /* key= */ NULL, '{');
    manifest_text_value(text, "format", json_string(MANIFEST_FORMAT));
    manifest_text_value(text, "version", json_integer(version_of(source->sums)));
    manifest_text_value(text, "stepd", json_string(source->stepd));
    manifest_text_value(text, "snapshot", of_snapshot(source));
    manifest_write_job(text, snapshot->job);
    manifest_write_members(text, snapshot);
    manifest_write_changed(text, changed);
    manifest_write_history(text, &snapshot->history, changed);
    enum stepd_status status =
        manifest_write_slices(text, source, changed, MANIFEST_ALL_SHARDS, reterr);
    if (status == STEPD_OK)
        status = manifest_write_sums(text, source->sums, reterr);
    return status == STEPD_OK ? seal(text, reterr) : status;
}

enum stepd_status manifest_encode(const struct manifest_source *source, char **ret_text,
                                  size_t *ret_length, struct stepd_error *reterr)
{
    struct manifest_changed changed = {.count = 0};
    struct manifest_text text = {.at = NULL};
    enum stepd_status status = manifest_changed_gather(source, &changed);
    if (status != STEPD_OK)
        return no_memory(reterr);
    status = write_all(&text, source, &changed, reterr);
    free(changed.at);
    if (status == STEPD_OK && text.full)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                            "the manifest of job '%s' is longer than %zu MiB, which nobody reads; "
                            "cut it into larger slices (slice_elements)",
                            source->snapshot->job->name, MANIFEST_MAX_BYTES >> 20);
    else if (status == STEPD_OK && text.failed)
        status = no_memory(reterr);
    if (status != STEPD_OK) {
        free(text.at);
        return status;
    }
    *ret_text = text.at;
    *ret_length = text.length;
    return STEPD_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* What stands under the keys of the whole. */
struct parts {
    uint64_t version;
    const json_t *snapshot;
    const json_t *job;
    const json_t *members;
    const json_t *changed;
    const json_t *history;
    const json_t *slices;
    const json_t *files;
    const json_t *arrays;
};

/* Another version has other keys, so this comes before all of them. */
static enum stepd_status check_format(struct manifest_object *object, uint64_t *ret_version)
{
    static const char *const format = MANIFEST_FORMAT;
    (void)manifest_take_word(object, "format", &format, 1);
    const uint64_t version = manifest_take_u64(object, "version");
    if (object->status == STEPD_OK && version > MANIFEST_PORTIONS)
        object->status = stepd_fail(object->reterr, STEPD_UNIMPLEMENTED,
                                    "the checkpoint is of version %llu of its format, and this "
                                    "stepd reads version %u; take a newer stepd",
                                    (unsigned long long)version, MANIFEST_PORTIONS);
    if (object->status == STEPD_OK && version < MANIFEST_VERSION)
        manifest_object_fail(object, "version", "must be %u or %u", MANIFEST_VERSION,
                             MANIFEST_PORTIONS);
    *ret_version = version;
    return object->status;
}

static enum stepd_status read_whole(const json_t *json, struct manifest *manifest,
                                    struct parts *ret_parts, struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    const enum stepd_status status = check_format(&object, &ret_parts->version);
    if (status != STEPD_OK)
        return status;
    const char *const stepd = manifest_take_name(&object, "stepd", STEPD_NAME_MAX_BYTES);
    *ret_parts = (struct parts){
        .version = ret_parts->version,
        .snapshot = manifest_take(&object, "snapshot"),
        .job = manifest_take(&object, "job"),
        .members = manifest_take_list(&object, "members", STEPD_WORKERS_MAX),
        .changed = manifest_take_list(&object, "groups_changed", MANIFEST_CHANGED_MAX),
        .history = manifest_take(&object, "history"),
        .slices = manifest_take(&object, "slices"),
        .files = manifest_take_list(&object, "files", MANIFEST_FILES_MAX),
        .arrays = manifest_take(&object, "arrays"),
    };
    (void)manifest_take(&object, "checksum");
    manifest->stepd = object.status == STEPD_OK ? strdup(stepd) : NULL;
    if (manifest->stepd == NULL)
        manifest_object_no_memory(&object);
    return manifest_object_end(&object);
}

uint64_t manifest_take_version(struct manifest_object *object, const char *key)
{
    const json_t *const version = manifest_take(object, key);
    if (json_is_string(version) && strcmp(json_string_value(version), as_it_stands) == 0)
        return JOB_STATE_AS_IT_STANDS;
    return manifest_take_between(object, key, 0, INT64_MAX);
}

static enum stepd_status read_snapshot(const json_t *json, struct job_snapshot *snapshot,
                                       struct stepd_error *ret_halted, struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    snapshot->version = manifest_take_version(&object, "version");
    snapshot->incarnation = manifest_take_between(&object, "incarnation", 0, JOB_INCARNATION_MAX);
    snapshot->started = manifest_take_bool(&object, "started");
    manifest_take_error(&object, "halted", ret_halted);
    snapshot->taken_ms = manifest_take_u64(&object, "taken_ms");
    return manifest_object_end(&object);
}

static enum stepd_status make_state(struct manifest *manifest, const struct stepd_error *halted,
                                    struct stepd_error *reterr)
{
    struct job_snapshot *const snapshot = &manifest->snapshot;
    if (job_state_create(snapshot->job, snapshot->version, &manifest->state) != STEPD_OK)
        return no_memory(reterr);
    manifest->state->halted = *halted;
    return STEPD_OK;
}

/* The sentence says where it is. */
static enum stepd_status in(const char *key, enum stepd_status status, struct stepd_error *reterr)
{
    return status == STEPD_OK ? STEPD_OK : stepd_fail_in(reterr, status, "%s", key);
}

/* In this order, because each is held to what was read before it. */
static enum stepd_status read_parts(const struct parts *parts, struct manifest *manifest,
                                    struct stepd_error *reterr)
{
    struct job_snapshot *const snapshot = &manifest->snapshot;
    struct manifest_changed changed = {.count = 0};
    struct stepd_error stopped;
    enum stepd_status status =
        in("snapshot", read_snapshot(parts->snapshot, snapshot, &stopped, reterr), reterr);
    if (status == STEPD_OK)
        status =
            in("job", manifest_read_job(parts->job, snapshot->incarnation, &snapshot->job, reterr),
               reterr);
    if (status == STEPD_OK)
        status = make_state(manifest, &stopped, reterr);
    if (status == STEPD_OK)
        status = manifest_read_members(parts->members, snapshot, reterr);
    if (status == STEPD_OK)
        status =
            in("slices",
               manifest_slices_check(parts->slices, snapshot->job, MANIFEST_ALL_SHARDS, reterr),
               reterr);
    if (status == STEPD_OK)
        status = manifest_read_changed(parts->changed, snapshot->job, &changed, reterr);
    if (status == STEPD_OK)
        status = in("history", manifest_read_history(parts->history, &changed, snapshot, reterr),
                    reterr);
    if (status == STEPD_OK)
        status =
            in("slices",
               manifest_read_slices(parts->slices, &changed, MANIFEST_ALL_SHARDS, manifest, reterr),
               reterr);
    if (status == STEPD_OK)
        status = job_snapshot_check(snapshot, manifest->state, reterr);
    if (status == STEPD_OK)
        status = manifest_read_sums(parts->files, parts->arrays, &manifest->sums, reterr);
    if (status == STEPD_OK && parts->version != version_of(&manifest->sums))
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "version must be %u where there are %zu files",
                            version_of(&manifest->sums), manifest->sums.files);
    manifest_changed_deinit(&changed);
    return status;
}

static enum stepd_status load(const char *text, size_t length, json_t **ret_json,
                              struct stepd_error *reterr)
{
    json_error_t error;
    json_t *const json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL)
        return manifest_fail_json(&error, reterr);
    *ret_json = json;
    return STEPD_OK;
}

enum stepd_status manifest_parse(const char *text, size_t length, struct manifest *ret_manifest,
                                 struct stepd_error *reterr)
{
    struct manifest manifest = {.stepd = NULL};
    struct parts parts = {.job = NULL};
    json_t *json = NULL;
    if (length > MANIFEST_MAX_BYTES)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "the manifest is longer than %zu MiB, which none is",
                          MANIFEST_MAX_BYTES >> 20);
    enum stepd_status status = check_seal(text, length, reterr);
    if (status == STEPD_OK)
        status = load(text, length, &json, reterr);
    if (status == STEPD_OK)
        status = read_whole(json, &manifest, &parts, reterr);
    if (status == STEPD_OK)
        status = read_parts(&parts, &manifest, reterr);
    json_decref(json);
    if (status == STEPD_OK) {
        *ret_manifest = manifest;
        return STEPD_OK;
    }
    manifest_deinit(&manifest);
    return stepd_fail_in(reterr, status, "%s", MANIFEST_FILE);
}

void manifest_deinit(struct manifest *manifest)
{
    free(manifest->stepd);
    free(manifest->slice);
    manifest_sums_deinit(&manifest->sums);
    manifest->state = job_state_unref(manifest->state);
    job_snapshot_deinit(&manifest->snapshot);
    *manifest = (struct manifest){.stepd = NULL};
}
