/* SPDX-License-Identifier: Apache-2.0
 *
 * One change of a job at a time is proposed; the next one follows when it is made, without waiting
 * for its version. What control knows of the shards' versions is old, so the first proposal may
 * well name a version that is over; the answers say how far the shards are. A job that takes steps
 * faster than orders travel would outrun every proposal, so those that follow leave it more and
 * more room.
 *
 * A shard without memory does not answer, and a proposal or a decision that there is no memory for
 * is not sent: the tick does both again.
 */
#include "server/control/changes.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/error.h"
#include "server/control/handle_change.h"
#include "server/control/members.h"
#include "server/control/orders.h"
#include "server/control/snapshot.h"

/* Shards answer as soon as they read their orders. */
#define ANSWER_MS 1000u

/* Versions between the highest known one and the one that is proposed: 2, and after the second
 * refusal twice as many each time. */
#define MARGIN              2u
#define MARGIN_DOUBLED_MOST 20u

struct control_change {
    struct control_change *next;
    struct order *order;       /* owned */
    struct control_edit *edit; /* owned; of groups */
};

static const char *name_of(enum order_change change)
{
    switch (change) {
    case ORDER_CHANGE_MEMBER: return "member";
    case ORDER_CHANGE_GROUPS: return "groups";
    }
    return "";
}

static bool has_versions(const struct control_job *job)
{
    return job->job->consistency.mode == STEPD_SYNC;
}

/* ---- Proposing ------------------------------------------------------------------------------- */

static uint64_t margin(const struct control_changes *changes)
{
    const uint32_t doubled = changes->refusals > 1 ? changes->refusals - 1 : 0;
    return (uint64_t)MARGIN << (doubled < MARGIN_DOUBLED_MOST ? doubled : MARGIN_DOUBLED_MOST);
}

static uint64_t proposed_version(const struct control_job *job)
{
    const struct control_changes *changes = &job->changes;
    const struct control_edit *edit = changes->first->edit;
    if (edit != NULL && !has_versions(job))
        return UINT64_MAX;
    if (edit != NULL && edit->at > 0)
        return edit->at;
    return changes->highest + margin(changes);
}

static void propose(struct control *control, struct control_job *job)
{
    struct control_changes *changes = &job->changes;
    changes->ask_again_ms = control->now_ms + ANSWER_MS;
    changes->left = control->options.shards;
    changes->refused = false;
    changes->oldest = UINT64_MAX;
    changes->number = ++control->query;
    changes->version = proposed_version(job);
    if (control_order_proposal(control, job) != STEPD_OK)
        changes->ask_again_ms = control->now_ms; /* the next tick */
}

static enum stepd_status add(struct control *control, struct control_job *job,
                             const struct order *like, struct control_edit *edit,
                             struct stepd_error *reterr)
{
    struct control_change *change = malloc(sizeof *change);
    struct order *order = order_copy(like);
    if (change == NULL || order == NULL) {
        free(change);
        (void)order_destroy(order);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to change job '%s'",
                          job->name);
    }
    *change = (struct control_change){.order = order, .edit = edit};
    struct control_change **at = &job->changes.first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = change;
    if (job->changes.first == change)
        propose(control, job);
    return STEPD_OK;
}

enum stepd_status control_change_add(struct control *control, struct control_job *job,
                                     const struct order *like, struct stepd_error *reterr)
{
    return add(control, job, like, /* edit= */ NULL, reterr);
}

enum stepd_status control_change_groups(struct control *control, struct control_job *job,
                                        struct control_edit *edit, struct stepd_error *reterr)
{
    const struct order like = {
        .kind = ORDER_CHANGE, .job_name = job->name, .change = ORDER_CHANGE_GROUPS};
    enum stepd_status status = control_history_begin(&job->history, job->job->groups);
    edit->number = ++job->history.numbered;
    if (status != STEPD_OK)
        (void)stepd_fail(reterr, status, "no memory to change job '%s'", job->name);
    else
        status = add(control, job, &like, edit, reterr);
    if (status != STEPD_OK)
        (void)control_edit_destroy(edit);
    return status;
}

/* ---- Deciding -------------------------------------------------------------------------------- */

/* The shards know of it: so does control now. */
static void made(struct control *control, struct control_job *job, const struct order *order)
{
    control_log(control, "job_changed", "job=%s change=%s version=%" PRIu64,
                control_quote(job->name).text, name_of(order->change), order->version);
    switch (order->change) {
    case ORDER_CHANGE_MEMBER:
        control_member_admitted(control, job, order->rank, order->version);
        break;
    case ORDER_CHANGE_GROUPS: break;
    }
}

static void free_first(struct control_changes *changes)
{
    struct control_change *change = changes->first;
    changes->first = change->next;
    (void)order_destroy(change->order);
    (void)control_edit_destroy(change->edit);
    free(change);
}

/* Dates the records of an edit. Slices without a common version say later which theirs was. */
static void date(const struct control *control, const struct control_job *job,
                 struct control_trail *records)
{
    for (struct control_record *record = records->first; record != NULL; record = record->next) {
        record->at_ms = control->now_ms;
        record->version = has_versions(job) ? job->changes.version : UINT64_MAX;
        record->version_last = record->version;
    }
}

/* Whatever was to come that all slices have got to by now is no more; but a snapshot that is being
 * taken may have slices from before. */
static void forget_reached(const struct control *control, struct control_job *job)
{
    if (!control_snapshot_is_taken(control, job))
        control_history_reached(&job->history,
                                has_versions(job) ? job->changes.oldest : UINT64_MAX);
}

static enum stepd_status check_coming(const struct control_job *job, struct stepd_error *reterr)
{
    if (control_history_coming(&job->history) < CONTROL_COMING_MAX)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "%u changes of job '%s' are still to come; try again when one has, or say a "
                      "schedule or phases instead of many changes",
                      CONTROL_COMING_MAX, job->name);
}

/* What the edit comes to goes into the order; into the records, what is to be said of it. */
static enum stepd_status work_out(const struct control_job *job, struct control_change *change,
                                  struct control_trail *records, struct stepd_error *reterr)
{
    const struct control_changes *changes = &job->changes;
    const struct change_point point = {
        .clock = has_versions(job) ? changes->version : changes->highest,
        .from = has_versions(job) ? changes->version : 0,
    };
    struct order *order = change->order;
    order->groups = group_changes_destroy(order->groups);
    const enum stepd_status status = check_coming(job, reterr);
    return status != STEPD_OK
               ? status
               : control_edit_work_out(job, change->edit, point, &order->groups, records, reterr);
}

bool control_changes_tell(struct control *control, struct control_job *job)
{
    for (struct group_changes *at = job->history.coming; at != NULL; at = at->next) {
        if (at->number <= job->changes.told)
            continue;
        const struct order like = {.kind = ORDER_CHANGE,
                                   .job_name = job->name,
                                   .change = ORDER_CHANGE_GROUPS,
                                   .version = at->version,
                                   .groups = at};
        if (control_order_like(control, &like) != STEPD_OK)
            return false;
        job->changes.told = at->number;
    }
    return true;
}

/* False: the shards could not be told. */
static bool decide_edit(struct control *control, struct control_job *job,
                        struct control_change *change)
{
    struct order *order = change->order;
    struct stepd_error error = {.code = STEPD_OK};
    struct control_trail records = {.first = NULL};
    if (!control_changes_tell(control, job))
        return false;
    forget_reached(control, job);
    const enum stepd_status status = work_out(job, change, &records, &error);
    const bool makes = status == STEPD_OK && !change->edit->dry_run && order->groups->count > 0;
    if (!makes)
        order->groups = group_changes_destroy(order->groups);
    order->version = has_versions(job) ? job->changes.version : 0;
    if (control_order_like(control, order) != STEPD_OK) {
        control_trail_clear(&records);
        return false;
    }
    date(control, job, &records);
    control_change_decided(control, job, change->edit, makes ? NULL : &records, &error);
    if (makes) {
        made(control, job, order);
        job->changes.told = change->edit->number;
        control_history_add(&job->history, order->groups, &records);
        order->groups = NULL;
    }
    control_trail_clear(&records);
    return true;
}

static bool decide_other(struct control *control, struct control_job *job, struct order *order)
{
    if (control_order_like(control, order) != STEPD_OK)
        return false;
    made(control, job, order);
    return true;
}

/* All shards have agreed to the version. Without memory the tick proposes it once more. */
static void decide(struct control *control, struct control_job *job)
{
    struct control_changes *changes = &job->changes;
    struct control_change *change = changes->first;
    change->order->version = changes->version;
    change->order->from = changes->version;
    change->order->clock = changes->version * (uint64_t)job->job->consistency.accumulate;
    changes->number = 0;
    if (!(change->edit != NULL ? decide_edit(control, job, change)
                               : decide_other(control, job, change->order)))
        return;
    free_first(changes);
    changes->refusals = 0;
    if (changes->first != NULL)
        propose(control, job);
}

/* The version that somebody wanted is over. */
static void call_off(struct control *control, struct control_job *job)
{
    struct control_changes *changes = &job->changes;
    struct control_change *change = changes->first;
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_FAILED_PRECONDITION,
                     "version %" PRIu64 " is over: job '%s' is at %" PRIu64
                     "; the earliest that can be had is about %" PRIu64,
                     change->edit->at, job->name, changes->highest, changes->highest + MARGIN);
    if (control_order_like(control, change->order) != STEPD_OK)
        return; /* the tick proposes it once more */
    control_change_decided(control, job, change->edit, NULL, &error);
    free_first(changes);
    changes->refusals = 0;
    changes->number = 0;
    if (changes->first != NULL)
        propose(control, job);
}

void control_change_answered(struct control *control, struct control_job *job,
                             const struct notice *notice)
{
    struct control_changes *changes = &job->changes;
    if (notice->version_max > changes->highest)
        changes->highest = notice->version_max;
    if (changes->first == NULL || notice->query != changes->number || changes->left == 0)
        return;
    if (notice->version_min < changes->oldest)
        changes->oldest = notice->version_min;
    changes->refused = changes->refused || !notice->agreed;
    if (--changes->left > 0)
        return;
    if (!changes->refused) {
        decide(control, job);
        return;
    }
    changes->refusals++;
    if (changes->first->edit != NULL && changes->first->edit->at > 0)
        call_off(control, job);
    else
        propose(control, job);
}

size_t control_changes_pending(const struct control_job *job)
{
    size_t count = 0;
    for (const struct control_change *at = job->changes.first; at != NULL; at = at->next)
        count++;
    return count;
}

void control_changes_on_tick(struct control *control, struct control_job *job)
{
    const struct control_changes *changes = &job->changes;
    if (changes->first != NULL && control->now_ms >= changes->ask_again_ms)
        propose(control, job);
}

void control_changes_refuse(struct control *control, struct control_job *job,
                            const struct stepd_error *why)
{
    struct control_changes *changes = &job->changes;
    while (changes->first != NULL) {
        const struct control_edit *edit = changes->first->edit;
        if (edit != NULL)
            control_change_decided(control, job, edit, /* records= */ NULL, why);
        free_first(changes);
    }
    changes->number = 0;
}

void control_changes_drop(struct control_job *job)
{
    while (job->changes.first != NULL)
        free_first(&job->changes);
    job->changes = (struct control_changes){.first = NULL};
    control_history_clear(&job->history);
}
