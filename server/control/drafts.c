/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions under a common bound. Before anything is taken, room is reserved for it; a job that
 * is abandoned or has finished gives way. A list that was forgotten counts on with the most that it
 * has taken, because its array stays for the next one.
 */
#include "server/control/drafts.h"

#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/limit.h"
#include "server/control/finished.h"

/* Of a tensor or a group, beside its struct and its texts: the node that finds it by name, and what
 * the allocator adds to each of them. */
#define ENTRY_BYTES UINT64_C(96)

/* A schedule with the parameters of all kinds, and its lists: the group's, or one of its parts. */
static uint64_t schedule_bytes(const struct stepd_settings *settings)
{
    uint64_t bytes = sizeof(struct schedule) + SCHEDULE_PARAMS_BYTES + ENTRY_BYTES;
    for (size_t i = 0; i < settings->count; i++)
        bytes += settings->at[i].values * sizeof(double) + ENTRY_BYTES;
    return bytes;
}

/* Its own, or where it names none that of the defaults, with its settings over theirs. */
static uint64_t schedules_bytes(const struct stepd_group *defaults, const struct stepd_group *group)
{
    const bool own = group->schedule != NULL && group->schedule[0] != '\0';
    const struct stepd_group *const from = own ? group : defaults;
    uint64_t bytes = schedule_bytes(&group->schedule_settings);
    if (from != group)
        bytes += schedule_bytes(&from->schedule_settings);
    for (size_t i = 0; i < from->schedule_parts; i++)
        bytes += schedule_bytes(&from->schedule_part[i].settings);
    return bytes;
}

static uint64_t groups_bytes(const struct stepd_define_job *def)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < def->groups; i++) {
        const struct stepd_group *const group = &def->group[i];
        bytes += sizeof(struct group) + strlen(group->name) + strlen(group->match) + ENTRY_BYTES +
                 (1 + group->phases) * sizeof(struct phase) +
                 schedules_bytes(&def->defaults, group);
    }
    return bytes;
}

/* Those tensors of a page that the draft does not have yet. */
static uint64_t page_bytes(const struct job_draft *draft, const struct stepd_define_tensors *page)
{
    const size_t held = job_draft_tensors(draft);
    uint64_t bytes = 0;
    for (size_t i = held > page->first ? held - page->first : 0; i < page->tensors; i++)
        bytes += sizeof(struct tensor) + strlen(page->tensor[i].name) + ENTRY_BYTES;
    return bytes;
}

uint64_t control_drafts_bytes(const struct control *control)
{
    uint64_t sum = 0;
    for (const struct control_job *job = control->first_job; job != NULL; job = job->next) {
        if (job->draft != NULL)
            sum += job->drafted.groups + job->drafted.tensors_most;
    }
    return sum;
}

static enum stepd_status make_room(struct control *control, const struct control_job *job,
                                   uint64_t bytes, struct stepd_error *reterr)
{
    const uint64_t most = control->options.drafts_max_bytes;
    while (control_drafts_bytes(control) + bytes > most) {
        bool dropped = false;
        const enum stepd_status status =
            control_finished_drop_one(control, /* keep= */ job, &dropped, reterr);
        if (status != STEPD_OK)
            return status;
        if (!dropped) {
            limit_refused(control->options.limits, LIMIT_DEFINITIONS);
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "no room for the definition of job '%s': the definitions of all jobs "
                              "take %" PRIu64 " of at most %" PRIu64
                              " KiB; try again when another job has finished, use another "
                              "server, or raise its definitions_max_bytes",
                              job->name, control_drafts_bytes(control) / 1024, most / 1024);
        }
    }
    return STEPD_OK;
}

enum stepd_status control_draft_create(struct control *control, struct control_job *job,
                                       const struct stepd_define_job *def,
                                       struct stepd_error *reterr)
{
    const uint64_t bytes = groups_bytes(def);
    enum stepd_status status = make_room(control, job, bytes, reterr);
    if (status == STEPD_OK)
        status =
            job_draft_create(job->name, def, control->options.slice_elements, &job->draft, reterr);
    if (status == STEPD_OK)
        job->drafted = (struct control_drafted){.groups = bytes};
    return status;
}

enum stepd_status control_draft_replace(struct control *control, struct control_job *job,
                                        const struct stepd_define_job *def,
                                        struct stepd_error *reterr)
{
    struct job_draft *const before = job->draft;
    const enum stepd_status status = control_draft_create(control, job, def, reterr);
    if (status == STEPD_OK)
        (void)job_draft_destroy(before);
    return status;
}

/* The page's numbers are a client's: their sum may not be taken. */
static enum stepd_status check_tensors(struct control *control, const struct control_job *job,
                                       const struct stepd_define_tensors *page,
                                       struct stepd_error *reterr)
{
    const uint32_t most = control->options.tensors_max;
    if (page->tensors <= most && page->first <= most - page->tensors)
        return STEPD_OK;
    limit_refused(control->options.limits, LIMIT_TENSORS);
    return stepd_fail(
        reterr, STEPD_RESOURCE_EXHAUSTED,
        "job '%s' has more than %u tensors, the most that this server takes of a job; "
        "join small ones, or raise its tensors_max",
        job->name, (unsigned)most);
}

enum stepd_status control_draft_add(struct control *control, struct control_job *job,
                                    const struct stepd_define_tensors *page,
                                    struct stepd_error *reterr)
{
    struct control_drafted *drafted = &job->drafted;
    const enum stepd_status checked = check_tensors(control, job, page, reterr);
    if (checked != STEPD_OK)
        return checked;
    const uint64_t tensors = drafted->tensors + page_bytes(job->draft, page);
    if (tensors > drafted->tensors_most) {
        const enum stepd_status status =
            make_room(control, job, tensors - drafted->tensors_most, reterr);
        if (status != STEPD_OK)
            return status;
        drafted->tensors_most = tensors;
    }
    const enum stepd_status status = job_draft_add(job->draft, page, reterr);
    if (status == STEPD_OK)
        drafted->tensors = tensors;
    return status;
}

enum stepd_status control_draft_restore(struct control *control, struct control_job *job,
                                        const struct job *definition, struct stepd_error *reterr)
{
    struct control_drafted drafted = {.groups = 0};
    for (size_t i = 0; i < definition->groups; i++)
        drafted.groups += sizeof(struct group) + strlen(definition->group[i].name) +
                          strlen(definition->group[i].match) + ENTRY_BYTES;
    for (size_t i = 0; i < definition->tensors; i++)
        drafted.tensors += sizeof(struct tensor) + strlen(definition->tensor[i].name) + ENTRY_BYTES;
    drafted.tensors_most = drafted.tensors;
    enum stepd_status status = make_room(control, job, drafted.groups + drafted.tensors, reterr);
    if (status == STEPD_OK)
        status = job_draft_of(definition, definition->slice_elements, &job->draft, reterr);
    if (status == STEPD_OK)
        job->drafted = drafted;
    return status;
}

void control_draft_reset(struct control_job *job)
{
    job_draft_reset(job->draft);
    job->drafted.tensors = 0;
}
