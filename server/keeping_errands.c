/* SPDX-License-Identifier: Apache-2.0
 *
 * All of this but the making and the sending runs on the writer's thread, which has the store.
 */
#include "server/keeping_errands.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/disk/resume.h"
#include "server/disk/save.h"

static enum stepd_status cancelled(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_CANCELLED, "the checkpoint was given up before it was written");
}

/* ---- Control's daemon ------------------------------------------------------------------------ */

static enum stepd_status begin(struct keeping_note *note)
{
    const struct keeping *const keeping = note->keeping;
    struct shelf shelf;
    enum stepd_status status =
        writer_open_shelf(keeping->store, note->snapshot, keeping->log, &shelf, &note->error);
    if (status != STEPD_OK)
        return status;
    status = save_begin(&shelf, note->request.step, &note->request.place, &note->error);
    shelf_close(&shelf);
    return status;
}

static enum stepd_status write_own(struct keeping_note *note, const struct store *store)
{
    const struct save_portion portion = {
        .store = store,
        .request = &note->request,
        .share = note->share,
        .shares = note->shares,
        .stop = &note->errand.stop,
    };
    return save_portion(&portion, &note->sums, &note->error);
}

/* The sums of all; those of the others have come as text. The caller frees with free_sums. */
static enum stepd_status unpack_sums(const struct keeping_note *note, struct manifest_sums *sums,
                                     struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (uint32_t i = 1; i < note->request.portions && status == STEPD_OK; i++) {
        const struct portion_answer *const answer = &note->answer[i];
        status = portion_unpack_sums(answer->sums, answer->sums_bytes, i, note->request.portions,
                                     &sums[i], reterr);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reterr, status, "what daemon %u has written", i);
    }
    return status;
}

static enum stepd_status commit_to(struct keeping_note *note, const struct shelf *shelf)
{
    const struct keeping *const keeping = note->keeping;
    struct manifest_sums *const sums = calloc(note->request.portions, sizeof *sums);
    if (sums == NULL)
        return stepd_fail(&note->error, STEPD_RESOURCE_EXHAUSTED,
                          "no memory to write a checkpoint");
    const struct save save = {
        .shelf = shelf,
        .snapshot = note->snapshot,
        .step = note->request.step,
        .stepd = STEPD_VERSION,
        .stop = &note->errand.stop,
    };
    enum stepd_status status = unpack_sums(note, sums, &note->error);
    sums[0] = note->sums;
    if (status == STEPD_OK)
        status = save_commit(&save, &note->request.place, sums, note->request.portions,
                             &note->written.bytes, &note->error);
    for (uint32_t i = 1; i < note->request.portions; i++)
        manifest_sums_deinit(&sums[i]);
    free(sums);
    if (status == STEPD_OK)
        writer_retire(shelf, keeping->config->checkpoint_keep, note->request.step, keeping->log);
    return status;
}

static enum stepd_status open_shelf(const struct keeping_note *note, struct shelf *ret_shelf,
                                    struct stepd_error *reterr)
{
    const struct store_shelf_name name = store_shelf_name(note->snapshot->job->name);
    return shelf_open(note->keeping->store, &name, ret_shelf, reterr);
}

static enum stepd_status commit(struct keeping_note *note)
{
    struct shelf shelf;
    note->written = writer_begun(note->request.step);
    if (atomic_load(&note->errand.stop))
        return cancelled(&note->error);
    enum stepd_status status = open_shelf(note, &shelf, &note->error);
    if (status != STEPD_OK)
        return status;
    status = commit_to(note, &shelf);
    shelf_close(&shelf);
    return status;
}

/* What cannot be removed now is when the shelf is next opened to write. */
static enum stepd_status give_up(const struct keeping_note *note)
{
    struct shelf shelf;
    struct stepd_error error;
    if (open_shelf(note, &shelf, &error) != STEPD_OK)
        return STEPD_OK;
    save_give_up(&shelf, &note->request.place);
    shelf_close(&shelf);
    return STEPD_OK;
}

/* ---- Going on -------------------------------------------------------------------------------- */

/* Jobs are restored on the server's thread, which raises the incarnation as it is raised here. */
static enum stepd_status hold(void *owner, struct job_snapshot *snapshot, struct job_state *state,
                              struct stepd_error *reterr)
{
    struct keeping_note *const note = owner;
    struct brought *const brought = calloc(1, sizeof *brought);
    if (brought == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to bring job '%s' back",
                          snapshot->job->name);
    brought->snapshot = *snapshot;
    brought->state = job_state_ref(state);
    *snapshot = (struct job_snapshot){.incarnation = brought->snapshot.incarnation + 1};
    *note->last = brought;
    note->last = &brought->next;
    return STEPD_OK;
}

static enum stepd_status read_jobs(struct keeping_note *note)
{
    struct keeping *const keeping = note->keeping;
    const struct resume resume = {
        .store = keeping->store,
        .bytes_max = note->bytes_max,
        .log = keeping->log,
        .cut = {.slice_elements = keeping_slice_elements, .owner = keeping, .log = keeping->log},
        .wanted = &note->wanted,
        .restore = hold,
        .owner = note,
    };
    const struct resume_tried tried = {
        .job = note->job_name, .name = note->checkpoint, .cause = note->error};
    const enum stepd_status status =
        note->job_name != NULL ? resume_older(&resume, &tried, &note->error)
        : note->anew           ? resume_none(keeping->store, keeping->log, &note->error)
                               : resume_jobs(&resume, &note->error);
    return status == STEPD_OK ? STEPD_OK
                              : stepd_fail_in(&note->error, status, "checkpoint folder %s",
                                              keeping->config->checkpoint_dir);
}

/* ---- A member daemon ------------------------------------------------------------------------- */

/* The folder is opened for each errand: another one may have been put in its place, and nothing of
 * it is this daemon's. */
static enum stepd_status open_store(const struct keeping_note *note, struct store **ret_store,
                                    struct stepd_error *reterr)
{
    struct stepd_error error;
    const enum stepd_status status =
        store_open_to_read(note->keeping->config->checkpoint_dir, ret_store, &error);
    if (status == STEPD_OK)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_UNAVAILABLE,
                      "the folder of checkpoints cannot be opened any more: %s",
                      stepd_status_text(status));
}

static enum stepd_status write_portion(struct keeping_note *note)
{
    struct store *store = NULL;
    enum stepd_status status = open_store(note, &store, &note->error);
    if (status != STEPD_OK)
        return status;
    status = write_own(note, store);
    (void)store_close(store);
    if (status == STEPD_OK)
        status = portion_pack_sums(&note->sums, &note->packed, &note->packed_bytes, &note->error);
    return status;
}

static uint32_t elements_of_job(void *owner, const char *job)
{
    const struct keeping_note *const note = owner;
    (void)job;
    return note->job->slice_elements;
}

static enum stepd_status load_from(struct keeping_note *note, const struct shelf *shelf)
{
    const struct load_cut cut = {
        .slice_elements = elements_of_job, .owner = note, .log = note->keeping->log};
    struct shelf_checkpoint checkpoint;
    struct manifest manifest;
    if (!shelf_checkpoint_parse(note->checkpoint, &checkpoint))
        return stepd_fail(&note->error, STEPD_INVALID_ARGUMENT,
                          "what control names is no checkpoint");
    const int folder = shelf_open_checkpoint(shelf, checkpoint.name, &note->error);
    if (folder < 0)
        return note->error.code;
    const enum stepd_status status =
        load_checkpoint_of(folder, note->bytes_max, &cut, &note->wanted, &manifest, &note->error);
    file_close(folder);
    if (status != STEPD_OK)
        return stepd_fail_in(&note->error, status, "%s", checkpoint.name);
    note->state = job_state_ref(manifest.state);
    manifest_deinit(&manifest);
    return STEPD_OK;
}

static enum stepd_status load(struct keeping_note *note)
{
    const struct store_shelf_name name = store_shelf_name(note->job->name);
    struct store *store = NULL;
    struct shelf shelf;
    enum stepd_status status = open_store(note, &store, &note->error);
    if (status != STEPD_OK)
        return status;
    status = shelf_open(store, &name, &shelf, &note->error);
    if (status == STEPD_OK) {
        status = load_from(note, &shelf);
        shelf_close(&shelf);
    }
    (void)store_close(store);
    return status;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static enum stepd_status act(struct keeping_note *note)
{
    switch (note->kind) {
    case ERRAND_BEGIN: return begin(note);
    case ERRAND_WRITE: return write_own(note, note->keeping->store);
    case ERRAND_COMMIT: return commit(note);
    case ERRAND_GIVE_UP: return give_up(note);
    case ERRAND_RESUME: return read_jobs(note);
    case ERRAND_PORTION: return write_portion(note);
    case ERRAND_LOAD: return load(note);
    }
    return STEPD_INTERNAL;
}

static void run(struct errand *errand)
{
    struct keeping_note *const note = (struct keeping_note *)errand;
    if (act(note) == STEPD_OK)
        note->error = (struct stepd_error){.code = STEPD_OK};
}

static void end(struct errand *errand)
{
    struct keeping_note *const note = (struct keeping_note *)errand;
    const struct keeping_io *const io = &note->keeping->io;
    io->post(io->owner, note);
}

struct keeping_note *keeping_errand_create(struct keeping *keeping, enum errand_kind kind)
{
    struct keeping_note *const note = calloc(1, sizeof *note);
    if (note == NULL)
        return NULL;
    note->errand.run = run;
    note->errand.end = end;
    note->kind = kind;
    note->keeping = keeping;
    note->last = &note->first;
    return note;
}

bool keeping_errand_lend(struct keeping_note *note, const struct job_state *const *share,
                         size_t shares)
{
    note->share = calloc(shares, sizeof *note->share);
    if (note->share == NULL)
        return false;
    for (size_t i = 0; i < shares; i++)
        note->share[i] = share[i];
    note->shares = shares;
    return true;
}

void keeping_errand_send(struct keeping_note *note)
{
    writer_send(note->keeping->writer, &note->errand);
}

void keeping_note_destroy(struct keeping_note *note)
{
    if (note == NULL)
        return;
    while (note->first != NULL) {
        struct brought *const next = note->first->next;
        job_snapshot_deinit(&note->first->snapshot);
        (void)job_state_unref(note->first->state);
        free(note->first);
        note->first = next;
    }
    for (uint32_t i = 0; note->answer != NULL && i < note->request.portions; i++)
        portion_answer_deinit(&note->answer[i]);
    manifest_sums_deinit(&note->sums);
    (void)job_state_unref(note->state);
    (void)job_unref(note->job);
    free((void *)note->share);
    free(note->job_name);
    free(note->answer);
    free(note->packed);
    free(note);
}
