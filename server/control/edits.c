/* SPDX-License-Identifier: Apache-2.0
 *
 * A request is kept as the bytes that it would travel as: one block that can be taken apart again
 * whenever it is needed, however many texts and lists are in it.
 */
#include "server/control/edits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "server/base/nearest.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the change");
}

/* ---- Birth and death ------------------------------------------------------------------------- */

static struct control_edit *create(const char *by)
{
    struct control_edit *edit = calloc(1, sizeof *edit);
    char *name = strdup(by);
    if (edit == NULL || name == NULL) {
        free(edit);
        free(name);
        return NULL;
    }
    edit->by = name;
    return edit;
}

enum stepd_status control_edit_of_request(const struct stepd_change_job *request, const char *by,
                                          struct control_edit **ret_edit,
                                          struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .request_id = 1, .kind = STEPD_MESSAGE_CHANGE_JOB, .body.change_job = *request};
    struct stepd_arena arena;
    struct control_edit *edit = create(by);
    if (edit == NULL)
        return no_memory(reterr);
    edit->at = request->at;
    edit->dry_run = request->dry_run;
    edit->drops = request->drop_phases;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    const enum stepd_status status =
        stepd_message_encode(&message, 0, &arena, &edit->head, &edit->head_bytes, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        *ret_edit = edit;
    else
        (void)control_edit_destroy(edit);
    return status;
}

static enum stepd_status take_targets(const struct stepd_define_job *def, struct control_edit *edit,
                                      struct stepd_error *reterr)
{
    edit->target = calloc(def->groups, sizeof *edit->target);
    if (edit->target == NULL)
        return no_memory(reterr);
    for (; edit->targets < def->groups; edit->targets++) {
        const enum stepd_status status = group_init(&def->defaults, &def->group[edit->targets],
                                                    &edit->target[edit->targets], reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

enum stepd_status control_edit_of_file(const struct control_job *job,
                                       const struct stepd_define_job *def,
                                       struct control_edit **ret_edit, struct stepd_error *reterr)
{
    struct control_edit *edit = create("config file");
    if (edit == NULL)
        return no_memory(reterr);
    enum stepd_status status = job_draft_same_but_groups(job->draft, def, reterr);
    if (status == STEPD_OK)
        status = take_targets(def, edit, reterr);
    if (status == STEPD_OK)
        *ret_edit = edit;
    else
        (void)control_edit_destroy(edit);
    return status;
}

struct control_edit *control_edit_destroy(struct control_edit *edit)
{
    if (edit == NULL)
        return NULL;
    for (size_t i = 0; i < edit->targets; i++)
        group_deinit(&edit->target[i]);
    free(edit->target);
    free(edit->head);
    free(edit->by);
    free(edit);
    return NULL;
}

/* ---- Working out ----------------------------------------------------------------------------- */

const struct group *control_group_now(const struct control_job *job, uint32_t index)
{
    const struct control_history *history = &job->history;
    const bool changed = index < history->groups && history->group[index].now != NULL;
    return changed ? &history->group[index].now->group : &job->job->group[index];
}

/* An edit that is being worked out. */
struct work {
    const struct control_job *job;
    const struct control_edit *edit;
    struct change_point point;
    struct group_changes *changes; /* with room for all groups; count: those that are there */
    struct control_trail *records;
};

/* As it is when the edit is to begin. */
static const struct group *group_then(const struct work *work, uint32_t index)
{
    const struct shared_group *changed =
        control_history_at(&work->job->history, index, work->point.from);
    return changed != NULL ? &changed->group : &work->job->job->group[index];
}

static const struct group_changes *next_later(const struct work *work, uint32_t index,
                                              const struct group_changes *from)
{
    return control_history_later(from, index, work->point.from);
}

/* What is to come of a group was worked out from what it is now, and would undo what begins before
 * it. */
static enum stepd_status check_last(const struct work *work, uint32_t index,
                                    struct stepd_error *reterr)
{
    const struct group_changes *later = next_later(work, index, work->job->history.coming);
    if (later == NULL || work->edit->drops)
        return STEPD_OK;
    return stepd_fail(
        reterr, STEPD_FAILED_PRECONDITION,
        "group '%s' changes at version %" PRIu64 " already (change %" PRIu64
        "), and what would change before that would be lost there; change it at "
        "%" PRIu64 " or later, or with drop_phases (stepctl change --no-phases), which "
        "calls it off",
        work->job->job->group[index].name, later->version, later->number, later->version);
}

/* Adds what is called off to the differences of a group; returns how many there are then. */
static size_t list_called_off(const struct work *work, uint32_t index,
                              struct difference difference[DIFFERENCES_MAX], size_t count)
{
    const struct group_changes *later = next_later(work, index, work->job->history.coming);
    for (; later != NULL && count < DIFFERENCES_MAX; later = next_later(work, index, later->next)) {
        struct difference *called_off = &difference[count++];
        (void)stepd_format(called_off->name, sizeof called_off->name, "change %" PRIu64,
                           later->number);
        (void)stepd_format(called_off->from, sizeof called_off->from, "at version %" PRIu64,
                           later->version);
        (void)stepd_format(called_off->to, sizeof called_off->to, "-");
    }
    return count;
}

/* A record of what is other about a group; NULL where nothing is. */
static enum stepd_status make_record(const struct work *work, const struct group_change *change,
                                     struct control_record **ret_record, struct stepd_error *reterr)
{
    struct difference difference[DIFFERENCES_MAX];
    size_t differences = group_differences(group_then(work, change->index), &change->group->group,
                                           work->point.clock, change->fresh, difference);
    if (differences > 0) {
        const enum stepd_status status = check_last(work, change->index, reterr);
        if (status != STEPD_OK)
            return status;
    }
    if (differences > 0 || work->edit->drops)
        differences = list_called_off(work, change->index, difference, differences);
    *ret_record = NULL;
    if (differences == 0)
        return STEPD_OK;
    *ret_record = control_record_create(change->index, work->edit->by, difference, differences);
    return *ret_record == NULL ? no_memory(reterr) : STEPD_OK;
}

/* Keeps a change of a group, unless it changes nothing. Takes the reference. */
static enum stepd_status keep(struct work *work, struct group_change *change,
                              struct stepd_error *reterr)
{
    struct control_record *record = NULL;
    const enum stepd_status status = make_record(work, change, &record, reterr);
    if (record == NULL) {
        (void)shared_group_unref(change->group);
        return status;
    }
    record->number = work->edit->number;
    control_trail_add(work->records, record);
    work->changes->change[work->changes->count++] = *change;
    return STEPD_OK;
}

/* Are there tensors in it? A group without any has nothing to change. */
static bool has_tensors(const struct job *job, uint32_t index)
{
    return job->group_tensors[index] > 0;
}

static enum stepd_status fail_unknown(const struct job *job, const char *name,
                                      struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < job->groups; i++)
        nearest_offer(&nearest, job->group[i].name);
    return stepd_fail(reterr, STEPD_NOT_FOUND, "job '%s' has no group '%s': %s", job->name, name,
                      nearest_hint(&nearest));
}

/* All groups of one name, or all that can be changed. */
static enum stepd_status work_out_request(struct work *work, const struct stepd_change_job *request,
                                          struct stepd_error *reterr)
{
    const struct job *job = work->job->job;
    const struct group_edit edit = {.said = &request->group, .drop_phases = request->drop_phases};
    const char *const name = request->group.name;
    bool found = false;
    for (uint32_t i = 0; i < job->groups; i++) {
        const struct group *now = group_then(work, i);
        const bool meant =
            name[0] == '\0' ? !now->frozen && has_tensors(job, i) : strcmp(name, now->name) == 0;
        if (!meant)
            continue;
        found = true;
        struct group_change change;
        const struct change_site site = {job, i, now, work->point};
        enum stepd_status status = group_change_edit(&site, &edit, &change, reterr);
        if (status == STEPD_OK)
            status = keep(work, &change, reterr);
        if (status != STEPD_OK)
            return status;
    }
    if (found)
        return STEPD_OK;
    return name[0] != '\0' ? fail_unknown(job, name, reterr)
                           : stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                                        "job '%s' has no group that is trained", job->name);
}

static enum stepd_status work_out_head(struct work *work, struct stepd_error *reterr)
{
    const struct control_edit *edit = work->edit;
    struct stepd_arena arena;
    struct stepd_frame_head frame;
    struct stepd_message message;
    if (stepd_frame_parse(edit->head, edit->head_bytes, STEPD_FRAME_MAX_BYTES, &frame, reterr) !=
        STEPD_FRAME_HEAD)
        return stepd_fail(reterr, STEPD_INTERNAL, "a change was kept that cannot be read");
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    enum stepd_status status = stepd_message_decode(edit->head + frame.header_at,
                                                    frame.header_bytes, &arena, &message, reterr);
    if (status == STEPD_OK)
        status = work_out_request(work, &message.body.change_job, reterr);
    stepd_arena_deinit(&arena);
    return status;
}

static enum stepd_status work_out_targets(struct work *work, struct stepd_error *reterr)
{
    const struct job *job = work->job->job;
    enum stepd_status status = STEPD_OK;
    for (uint32_t i = 0; i < job->groups && status == STEPD_OK; i++) {
        const struct group *now = group_then(work, i);
        struct group_change change;
        if (now->frozen || !has_tensors(job, i))
            continue;
        const struct change_site site = {job, i, now, work->point};
        status = group_change_to(&site, &work->edit->target[i], &change, reterr);
        if (status == STEPD_OK)
            status = keep(work, &change, reterr);
    }
    return status;
}

enum stepd_status control_edit_work_out(const struct control_job *job,
                                        const struct control_edit *edit, struct change_point point,
                                        struct group_changes **ret_changes,
                                        struct control_trail *ret_records,
                                        struct stepd_error *reterr)
{
    struct work work = {.job = job, .edit = edit, .point = point, .records = ret_records};
    work.changes = group_changes_create(job->job->groups);
    if (work.changes == NULL)
        return no_memory(reterr);
    work.changes->count = 0;
    work.changes->number = edit->number;
    work.changes->version = point.from;
    const enum stepd_status status =
        edit->head != NULL ? work_out_head(&work, reterr) : work_out_targets(&work, reterr);
    if (status == STEPD_OK)
        *ret_changes = work.changes;
    else
        (void)group_changes_destroy(work.changes);
    return status;
}
