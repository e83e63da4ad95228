/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups that have changed are shared by reference count, with the shards and with copies.
 */
#include "server/control/history.h"

#include <stdlib.h>

#include "proto/error.h"
#include "server/model/group_fits.h"

enum stepd_status control_history_begin(struct control_history *history, size_t groups)
{
    if (history->group != NULL)
        return STEPD_OK;
    history->group = calloc(groups, sizeof *history->group);
    if (history->group == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    history->groups = groups;
    return STEPD_OK;
}

/* The end of the list of what is to come. */
static struct group_changes **end_of(struct control_history *history)
{
    struct group_changes **at = &history->coming;
    while (*at != NULL)
        at = &(*at)->next;
    return at;
}

void control_history_add(struct control_history *history, struct group_changes *changes,
                         struct control_trail *records)
{
    for (size_t i = 0; i < changes->count; i++) {
        struct control_group *group = &history->group[changes->change[i].index];
        (void)shared_group_unref(group->now);
        *group = (struct control_group){
            .now = shared_group_ref(changes->change[i].group),
            .number = changes->number,
            .version = changes->version,
        };
    }
    *end_of(history) = changes;
    history->made++;
    control_trail_move(&history->trail, records);
}

void control_history_reached(struct control_history *history, uint64_t version)
{
    struct group_changes **at = &history->coming;
    while (*at != NULL) {
        struct group_changes *changes = *at;
        if (changes->version >= version) {
            at = &changes->next;
            continue;
        }
        *at = changes->next;
        (void)group_changes_destroy(changes);
    }
}

size_t control_history_coming(const struct control_history *history)
{
    size_t count = 0;
    for (const struct group_changes *at = history->coming; at != NULL; at = at->next)
        count++;
    return count;
}

const struct group_changes *control_history_later(const struct control_history *history,
                                                  uint32_t group, uint64_t version)
{
    const struct group_changes *later = NULL;
    for (const struct group_changes *at = history->coming; at != NULL; at = at->next) {
        for (size_t i = 0; i < at->count && at->version > version; i++)
            later = at->change[i].index == group ? at : later;
    }
    return later;
}

/* ---- Copies ---------------------------------------------------------------------------------- */

static enum stepd_status copy_groups(const struct control_history *history,
                                     struct control_history *copy)
{
    if (history->groups == 0)
        return STEPD_OK;
    const enum stepd_status status = control_history_begin(copy, history->groups);
    for (size_t i = 0; i < history->groups && status == STEPD_OK; i++) {
        copy->group[i] = history->group[i];
        if (copy->group[i].now != NULL)
            (void)shared_group_ref(copy->group[i].now);
    }
    return status;
}

static enum stepd_status copy_coming(const struct control_history *history,
                                     struct control_history *copy)
{
    for (const struct group_changes *at = history->coming; at != NULL; at = at->next) {
        struct group_changes *changes = group_changes_copy(at);
        if (changes == NULL)
            return STEPD_RESOURCE_EXHAUSTED;
        *end_of(copy) = changes;
    }
    return STEPD_OK;
}

enum stepd_status control_history_copy(const struct control_history *history,
                                       struct control_history *ret_copy)
{
    struct control_history copy = {.numbered = history->numbered, .made = history->made};
    enum stepd_status status = copy_groups(history, &copy);
    if (status == STEPD_OK)
        status = copy_coming(history, &copy);
    if (status == STEPD_OK)
        status = control_trail_copy(&history->trail, &copy.trail);
    if (status == STEPD_OK)
        *ret_copy = copy;
    else
        control_history_clear(&copy);
    return status;
}

void control_history_clear(struct control_history *history)
{
    for (size_t i = 0; i < history->groups; i++)
        (void)shared_group_unref(history->group[i].now);
    free(history->group);
    control_history_reached(history, UINT64_MAX);
    control_trail_clear(&history->trail);
    *history = (struct control_history){.groups = 0};
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static enum stepd_status fail_group(const struct job *job, uint32_t index,
                                    struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the snapshot of job '%s' has a change of group %u, and the job has %zu "
                      "groups; it is of another definition of it",
                      job->name, index + 1, job->groups);
}

enum stepd_status control_history_check(const struct control_history *history,
                                        const struct job *job, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    if (history->groups != 0 && history->groups != job->groups)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the snapshot of job '%s' has %zu groups, and the job %zu; it is of "
                          "another definition of it",
                          job->name, history->groups, job->groups);
    for (uint32_t i = 0; i < history->groups && status == STEPD_OK; i++)
        status = group_fits_restored(job, i, history->group[i].now, reterr);
    for (const struct group_changes *at = history->coming; at != NULL; at = at->next) {
        for (size_t i = 0; i < at->count && status == STEPD_OK; i++) {
            const struct group_change *change = &at->change[i];
            status = change->index < history->groups
                         ? group_fits_restored(job, change->index, change->group, reterr)
                         : fail_group(job, change->index, reterr);
        }
    }
    for (const struct control_record *record = history->trail.first; record != NULL;
         record = record->next) {
        if (status == STEPD_OK && record->group >= job->groups)
            status = fail_group(job, record->group, reterr);
    }
    return status;
}
