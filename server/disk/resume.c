/* SPDX-License-Identifier: Apache-2.0
 *
 * A job's incarnation rises with each restore, and it is on the disk before anybody can be told of
 * it: one that is used twice would be a way back that nobody notices.
 */
#include "server/disk/resume.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/disk/load.h"
#include "server/disk/place.h"
#include "server/disk/retire.h"
#include "server/disk/shelf.h"

/* Of the cause in a text that has a remedy behind it. */
#define CAUSE_MAX 240

/* What is gone on from, and how. */
struct looking {
    const struct resume *resume;
    const struct shelf *shelf;
    const char *tried; /* the checkpoint behind which to begin; NULL: with the newest */
};

struct candidate {
    struct shelf_checkpoint checkpoint;
    uint64_t incarnation;
};

/* What there is of a job. */
struct found {
    struct candidate *list; /* owned; those whose manifests are good, the newest first */
    size_t count;
    uint64_t highest;         /* incarnation that the job has been at */
    struct stepd_error cause; /* code OK, or why the newest that is no good is not */
};

static int newest_first(const void *a, const void *b)
{
    const struct candidate *const one = a, *const other = b;
    if (one->incarnation != other->incarnation)
        return one->incarnation < other->incarnation ? 1 : -1;
    return (one->checkpoint.step < other->checkpoint.step) -
           (one->checkpoint.step > other->checkpoint.step);
}

static void note_origin(const struct shelf_checkpoint *checkpoint, int folder,
                        struct manifest *manifest)
{
    const struct load_extent extent = load_extent_of(folder, manifest);
    struct checkpoint_origin *const origin = &manifest->snapshot.origin;
    memcpy(origin->name, checkpoint->name, sizeof origin->name);
    origin->step = checkpoint->step;
    origin->bytes = extent.bytes;
    origin->age_ms = extent.age_ms;
}

/* Opens a checkpoint and reads it, whole or its manifest alone. */
static enum stepd_status read_one(const struct resume *resume, const struct shelf *shelf,
                                  const struct shelf_checkpoint *checkpoint, bool whole,
                                  struct manifest *ret_manifest, struct stepd_error *reterr)
{
    const int folder = shelf_open_checkpoint(shelf, checkpoint->name, reterr);
    if (folder < 0)
        return reterr->code == STEPD_OK ? STEPD_UNAVAILABLE : reterr->code;
    enum stepd_status status = whole ? load_checkpoint_of(folder, resume->bytes_max, &resume->cut,
                                                          resume->wanted, ret_manifest, reterr)
                                     : load_manifest(folder, ret_manifest, reterr);
    if (status == STEPD_OK)
        note_origin(checkpoint, folder, ret_manifest);
    file_close(folder);
    if (status != STEPD_OK)
        return status;
    const struct store_shelf_name own = store_shelf_name(ret_manifest->snapshot.job->name);
    if (strcmp(own.text, shelf->name.text) == 0)
        return STEPD_OK;
    status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                        "it is of job '%s', whose folder must be called %s",
                        ret_manifest->snapshot.job->name, own.text);
    manifest_deinit(ret_manifest);
    return status;
}

static void note_skipped(const struct looking *looking, const char *name,
                         const struct stepd_error *cause, struct found *found)
{
    log_event(looking->resume->log, LOG_WARN, "checkpoint_skipped", "job=%s name=%s cause=%s",
              looking->shelf->name.text, name, cause->text);
    if (found->cause.code == STEPD_OK)
        found->cause = *cause;
}

/* Who looks once more has said what is wrong with manifests. */
static enum stepd_status find_candidates(const struct looking *looking, struct found *found,
                                         struct stepd_error *reterr)
{
    struct shelf_checkpoint *all = NULL;
    size_t count = 0;
    const enum stepd_status status = shelf_list(looking->shelf, &all, &count, reterr);
    if (status != STEPD_OK)
        return status;
    found->list = calloc(count + 1, sizeof *found->list);
    for (size_t i = 0; i < count && found->list != NULL; i++) {
        struct manifest manifest;
        struct stepd_error cause;
        if (read_one(looking->resume, looking->shelf, &all[i], false, &manifest, &cause) !=
            STEPD_OK) {
            if (looking->tried == NULL)
                note_skipped(looking, all[i].name, &cause, found);
            continue;
        }
        const uint64_t incarnation = manifest.snapshot.incarnation;
        found->list[found->count++] =
            (struct candidate){.checkpoint = all[i], .incarnation = incarnation};
        found->highest = incarnation > found->highest ? incarnation : found->highest;
        manifest_deinit(&manifest);
    }
    free(all);
    if (found->list == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a list of checkpoints");
    qsort(found->list, found->count, sizeof *found->list, newest_first);
    return STEPD_OK;
}

/* The index of the first that is older than the one that was tried. */
static size_t first_older(const struct found *found, const char *tried)
{
    for (size_t i = 0; tried != NULL && i < found->count; i++) {
        if (strcmp(found->list[i].checkpoint.name, tried) == 0)
            return i + 1;
    }
    return 0;
}

static enum stepd_status restore(const struct resume *resume, const struct shelf *shelf,
                                 const struct candidate *candidate, struct manifest *manifest,
                                 uint64_t highest, struct stepd_error *reterr)
{
    struct job_snapshot *const snapshot = &manifest->snapshot;
    if (snapshot->incarnation < highest)
        snapshot->incarnation = highest;
    enum stepd_status status = resume->restore(resume->owner, snapshot, manifest->state, reterr);
    if (status == STEPD_OK)
        status = shelf_write_incarnation(shelf, snapshot->incarnation, reterr);
    if (status == STEPD_OK)
        log_event(resume->log, LOG_INFO, "resumed", "job=%s checkpoint=%s incarnation=%" PRIu64,
                  shelf->name.text, candidate->checkpoint.name, snapshot->incarnation);
    return status;
}

static enum stepd_status try_candidates(const struct looking *looking, struct found *found,
                                        struct stepd_error *reterr)
{
    const struct resume *const resume = looking->resume;
    const struct shelf *const shelf = looking->shelf;
    for (size_t i = first_older(found, looking->tried); i < found->count; i++) {
        const struct candidate *const candidate = &found->list[i];
        struct manifest manifest;
        struct stepd_error cause;
        if (read_one(resume, shelf, &candidate->checkpoint, true, &manifest, &cause) != STEPD_OK) {
            note_skipped(looking, candidate->checkpoint.name, &cause, found);
            continue;
        }
        const enum stepd_status status =
            restore(resume, shelf, candidate, &manifest, found->highest, reterr);
        manifest_deinit(&manifest);
        return status;
    }
    if (found->cause.code == STEPD_OK) /* there is none at all */
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_DATA_LOSS,
                      "no checkpoint of job '%s' is good (%.*s); bring one back from elsewhere, or "
                      "begin this job anew: move the folder %s out of the checkpoint folder "
                      "(--resume never sets those of ALL jobs aside)",
                      shelf->name.text, CAUSE_MAX, found->cause.text, shelf->name.text);
}

static enum stepd_status resume_shelf(const struct looking *looking, struct found *found,
                                      struct stepd_error *reterr)
{
    enum stepd_status status = shelf_clear(looking->shelf, reterr);
    if (status == STEPD_OK)
        status = shelf_read_incarnation(looking->shelf, &found->highest, reterr);
    if (status == STEPD_OK)
        status = find_candidates(looking, found, reterr);
    if (status == STEPD_OK)
        status = try_candidates(looking, found, reterr);
    free(found->list);
    return status;
}

/* A folder that holds no checkpoint may be somebody else's: it is looked at, and let alone. */
static enum stepd_status resume_job(const struct resume *resume,
                                    const struct store_shelf_name *name, struct stepd_error *reterr)
{
    struct shelf shelf;
    bool holds = false;
    enum stepd_status status = shelf_open(resume->store, name, &shelf, reterr);
    if (status != STEPD_OK)
        return status;
    status = shelf_holds_any(&shelf, &holds, reterr);
    if (status == STEPD_OK && holds)
        status = resume_shelf(&(struct looking){.resume = resume, .shelf = &shelf},
                              &(struct found){.list = NULL}, reterr);
    shelf_close(&shelf);
    return status;
}

enum stepd_status resume_older(const struct resume *resume, const struct resume_tried *tried,
                               struct stepd_error *reterr)
{
    const struct store_shelf_name name = store_shelf_name(tried->job);
    struct found found = {.cause = tried->cause};
    struct shelf shelf;
    enum stepd_status status = shelf_open(resume->store, &name, &shelf, reterr);
    if (status != STEPD_OK)
        return status;
    status = resume_shelf(
        &(struct looking){.resume = resume, .shelf = &shelf, .tried = tried->name}, &found, reterr);
    shelf_close(&shelf);
    return status;
}

static enum stepd_status for_each(const struct store *store, const struct log *log,
                                  enum stepd_status (*visit)(const void *owner,
                                                             const struct store_shelf_name *name,
                                                             struct stepd_error *reterr),
                                  const void *owner, struct stepd_error *reterr)
{
    struct store_shelf_name *shelf = NULL;
    size_t shelves = 0;
    enum stepd_status status = place_check_links(store, log, reterr);
    if (status == STEPD_OK)
        status = store_shelves(store, &shelf, &shelves, reterr);
    for (size_t i = 0; i < shelves && status == STEPD_OK; i++) {
        if (!retire_is_aside(&shelf[i]))
            status = visit(owner, &shelf[i], reterr);
    }
    if (shelves > 0)
        free(shelf);
    return status;
}

static enum stepd_status visit_resume(const void *owner, const struct store_shelf_name *name,
                                      struct stepd_error *reterr)
{
    return resume_job(owner, name, reterr);
}

struct setting_aside {
    const struct store *store;
    const struct log *log;
};

/* A folder without a checkpoint is not ours, or has nothing to lose. */
static enum stepd_status visit_set_aside(const void *owner, const struct store_shelf_name *name,
                                         struct stepd_error *reterr)
{
    const struct setting_aside *const setting = owner;
    struct shelf shelf;
    bool holds = false;
    enum stepd_status status = shelf_open(setting->store, name, &shelf, reterr);
    if (status != STEPD_OK)
        return status;
    status = shelf_holds_any(&shelf, &holds, reterr);
    shelf_close(&shelf);
    return holds ? retire_set_aside(setting->store, name, setting->log, reterr) : status;
}

enum stepd_status resume_jobs(const struct resume *resume, struct stepd_error *reterr)
{
    return for_each(resume->store, resume->log, visit_resume, resume, reterr);
}

enum stepd_status resume_none(const struct store *store, const struct log *log,
                              struct stepd_error *reterr)
{
    const struct setting_aside setting = {.store = store, .log = log};
    return for_each(store, log, visit_set_aside, &setting, reterr);
}
