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
        group->now = shared_group_ref(changes->change[i].group);
        group->number = changes->number;
        group->version = changes->version;
    }
    group_changes_call_off(&history->coming, changes);
    *end_of(history) = changes;
    history->made++;
    control_trail_move(&history->trail, records);
}

/* What was to come of groups has come. */
static void pass(struct control_history *history, const struct group_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        struct control_group *group = &history->group[changes->change[i].index];
        (void)shared_group_unref(group->past);
        group->past = shared_group_ref(changes->change[i].group);
    }
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
        pass(history, changes);
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

const struct group_changes *control_history_later(const struct group_changes *coming,
                                                  uint32_t group, uint64_t version)
{
    while (coming != NULL &&
           (coming->version <= version || group_changes_find(coming, group) == NULL))
        coming = coming->next;
    return coming;
}

const struct shared_group *control_history_at(const struct control_history *history, uint32_t group,
                                              uint64_t version)
{
    const struct shared_group *found = group < history->groups ? history->group[group].past : NULL;
    for (const struct group_changes *at = history->coming; at != NULL; at = at->next) {
        const struct group_change *change = group_changes_find(at, group);
        if (change != NULL && at->version <= version)
            found = change->group;
    }
    return found;
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
        if (copy->group[i].past != NULL)
            (void)shared_group_ref(copy->group[i].past);
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
    control_history_reached(history, UINT64_MAX);
    for (size_t i = 0; i < history->groups; i++) {
        (void)shared_group_unref(history->group[i].now);
        (void)shared_group_unref(history->group[i].past);
    }
    free(history->group);
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

static enum stepd_status check_group(const struct job *job, uint32_t index,
                                     const struct control_group *group, struct stepd_error *reterr)
{
    const enum stepd_status status = group_fits_restored(job, index, group->past, reterr);
    return status == STEPD_OK ? group_fits_restored(job, index, group->now, reterr) : status;
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
        status = check_group(job, i, &history->group[i], reterr);
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
