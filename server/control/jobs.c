/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of jobs: found by name, kept in the order of their names (which is the order in which
 * status lists them), and moved from state to state. The entries are few, so that they are searched
 * one after the other.
 */
#include "server/control/jobs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/control/changes.h"
#include "server/control/drafts.h"
#include "server/control/finished.h"
#include "server/control/gates.h"
#include "server/control/members.h"
#include "server/control/orders.h"
#include "server/control/query.h"
#include "server/control/sessions.h"
#include "server/control/snapshot.h"
#include "server/control/waits.h"

struct state_row {
    const char *name;
    enum stepd_job_state seen;
    unsigned successors;
};

static const struct state_row states[] = {
#define X(STATE, state_name, state_seen, state_successors)                                         \
    [CONTROL_JOB_##                                                                                \
        STATE] = {.name = #state_name, .seen = (state_seen), .successors = (state_successors)},
    CONTROL_JOB_STATE_MAP(X)
#undef X
};

struct control_job *control_job_find(const struct control *control, const char *name)
{
    struct control_job *job = control->first_job;
    while (job != NULL && strcmp(job->name, name) != 0)
        job = job->next;
    return job;
}

static enum stepd_status check_name(const char *name, struct stepd_error *reterr)
{
    const size_t bytes = strlen(name);
    if (bytes == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the job has no name; give it one");
    if (bytes > STEPD_NAME_MAX_BYTES || !stepd_utf8_printable((const uint8_t *)name, bytes))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a job's name must be at most %u bytes of UTF-8 without control "
                          "characters",
                          STEPD_NAME_MAX_BYTES);
    return STEPD_OK;
}

static void insert(struct control *control, struct control_job *job)
{
    struct control_job **at = &control->first_job;
    while (*at != NULL && strcmp((*at)->name, job->name) < 0)
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    control->jobs++;
}

/* A job of this name may have been here before this control was, or before another job needed its
 * place, and nobody remembers its incarnation but who looked at it. It must not come again, or they
 * would take older weights for newer ones. */
static uint64_t first_incarnation(const struct control *control)
{
    uint8_t bytes[CONTROL_INCARNATION_BYTES];
    uint64_t number = 0;
    control->io.random(control->io.owner, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        number = number << 8 | bytes[i];
    return 1 + number;
}

enum stepd_status control_job_create(struct control *control, const char *name,
                                     struct control_job **ret_job, struct stepd_error *reterr)
{
    enum stepd_status status = check_name(name, reterr);
    if (status == STEPD_OK)
        status = control_finished_make_room(control, name, reterr);
    if (status != STEPD_OK)
        return status;
    struct control_job *job = calloc(1, sizeof *job);
    char *copy = strdup(name);
    if (job == NULL || copy == NULL) {
        free(job);
        free(copy);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for job '%s'", name);
    }
    *job = (struct control_job){
        .name = copy,
        .state = CONTROL_JOB_CREATED,
        .incarnation = first_incarnation(control),
    };
    insert(control, job);
    control_log(control, "job_created", "job=%s", control_quote(name).text);
    *ret_job = job;
    return STEPD_OK;
}

static void forget_members(struct control_job *job)
{
    for (size_t rank = 0; rank < job->ranks; rank++)
        free(job->member[rank]);
    free(job->member);
    job->member = NULL;
    job->ranks = 0;
}

struct control_job *control_job_destroy(struct control_job *job)
{
    if (job == NULL)
        return NULL;
    forget_members(job);
    (void)job_draft_destroy(job->draft);
    control_changes_drop(job);
    control_gate_close(job);
    (void)job_state_unref(job->restored);
    (void)job_unref(job->job);
    free(job->answered);
    free(job->name);
    free(job);
    return NULL;
}

static bool is_connected(const struct control_job *job)
{
    if (job->observers > 0)
        return true;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member != NULL && member->session->conn != NULL)
            return true;
    }
    return false;
}

/* Whether a member may still resume its session, with its lease not run out. */
static bool may_come_back(const struct control *control, const struct control_job *job)
{
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member != NULL && control_member_stays(member) &&
            !control_session_is_over(member->session, control->now_ms))
            return true;
    }
    return false;
}

bool control_job_is_abandoned(const struct control_job *job)
{
    const bool in_use = control_job_is_open(job) || job->state == CONTROL_JOB_OPENING ||
                        job->close_untold || job->unrestored;
    return !in_use && !is_connected(job);
}

static void drop_sessions(struct control *control, const struct control_job *job)
{
    struct control_session *next = NULL;
    for (struct control_session *session = control->first_session; session != NULL;
         session = next) {
        next = session->next;
        if (session->job == job)
            control_session_drop(control, session);
    }
}

void control_job_reset_tensors(struct control_job *job)
{
    control_gate_close(job);
    job->job = job_unref(job->job);
    control_draft_reset(job);
}

void control_job_empty(struct control *control, struct control_job *job)
{
    drop_sessions(control, job);
    control_waits_drop_job(control, job);
    control_query_forget_job(control, job);
    control_snapshot_forget_job(control, job);
    job->checkpoints = (struct control_checkpoints){.state = CHECKPOINT_RESTING};
    forget_members(job);
    job->observers = 0;
    control_changes_drop(job);
    control_gate_close(job);
    job->job = job_unref(job->job);
    job->open_error = (struct stepd_error){.code = STEPD_OK};
    job->restored = job_state_unref(job->restored);
    job->file_says = NULL;
    job->started = false;
    job->failure = (struct stepd_error){.code = STEPD_OK};
    job->failure_untold = false;
    if (job->from_config)
        control_draft_reset(job);
    else
        job->draft = job_draft_destroy(job->draft);
}

void control_job_forget(struct control *control, struct control_job *job)
{
    control_job_empty(control, job);
    struct control_job **at = &control->first_job;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    control->jobs--;
    (void)control_job_destroy(job);
}

void control_job_forget_if_idle(struct control *control, struct control_job *job)
{
    const bool empty_already =
        job->from_config && job->ranks == 0 && job_draft_tensors(job->draft) == 0;
    if (empty_already || !control_job_is_abandoned(job) || may_come_back(control, job))
        return;
    control_log(control, "job_forgotten", "job=%s", control_quote(job->name).text);
    if (job->from_config)
        control_job_empty(control, job);
    else
        control_job_forget(control, job);
}

void control_job_move(struct control *control, struct control_job *job,
                      enum control_job_state state)
{
    assert((states[job->state].successors & 1u << state) != 0);
    control_log(control, "job_state", "job=%s from=%s to=%s", control_quote(job->name).text,
                states[job->state].name, states[state].name);
    job->state = state;
    if (control_job_is_over(job))
        job->finished_as = ++control->finished;
}

bool control_job_is_open(const struct control_job *job)
{
    return job->state >= CONTROL_JOB_READY;
}

bool control_job_is_over(const struct control_job *job)
{
    return job->state >= CONTROL_JOB_FINISHED;
}

static void tell_failure(struct control *control, struct control_job *job)
{
    if (job->failure_untold)
        job->failure_untold = control_order_failure(control, job) != STEPD_OK;
}

void control_job_fail(struct control *control, struct control_job *job,
                      const struct stepd_error *why, bool shards_know)
{
    if (job->state != CONTROL_JOB_RUNNING)
        return;
    job->failure = *why;
    job->failure_untold = !shards_know;
    control_changes_refuse(control, job, why);
    control_job_move(control, job, CONTROL_JOB_FAILED);
    control_warn(control, "job_failed", "job=%s cause=%s", control_quote(job->name).text,
                 control_quote(why->text).text);
    tell_failure(control, job);
    control_waits_release(control);
}

bool control_job_joins_at_version(const struct control_job *job)
{
    return job->state == CONTROL_JOB_RUNNING && job_draft_mode(job->draft) == STEPD_SYNC;
}

enum stepd_job_state control_job_state_seen(const struct control_job *job)
{
    return states[job->state].seen;
}

uint32_t control_job_ranks(const struct control_job *job)
{
    return job->draft == NULL ? STEPD_WORKERS_MAX : job_draft_workers(job->draft);
}

bool control_job_takes_ranks_back(const struct control_job *job)
{
    return !control_job_joins_at_version(job) ||
           job_draft_consistency(job->draft)->workers_min != CONSISTENCY_NONE;
}

static enum stepd_status tell_member(struct control *control, struct control_job *job,
                                     const struct control_member *member)
{
    switch (member->state) {
    case STEPD_MEMBER_JOINING: return control_member_propose(control, job, member);
    case STEPD_MEMBER_GIVEN_UP:
        return control_order_give_up(control, job, member->rank, &member->given_up);
    case STEPD_MEMBER_PRESENT:
    case STEPD_MEMBER_LOST:
    case STEPD_MEMBER_LEFT: break;
    }
    return control_order_member(control, job, member);
}

/* Whether the shards have heard of every member. */
static bool tell_members(struct control *control, struct control_job *job)
{
    for (size_t rank = 0; rank < job->ranks; rank++) {
        struct control_member *member = job->member[rank];
        if (member == NULL || !member->untold)
            continue;
        if (tell_member(control, job, member) != STEPD_OK)
            return false;
        member->untold = false;
    }
    return true;
}

void control_job_tell_shards(struct control *control, struct control_job *job)
{
    if (job->close_untold)
        job->close_untold = control_order_job(control, job, ORDER_JOB_CLOSE) != STEPD_OK;
    tell_failure(control, job);
    if (!control_job_is_open(job) || !control_changes_tell(control, job) ||
        !tell_members(control, job))
        return;
    const size_t joined = control_members_staying(job);
    const struct consistency *consistency = job_draft_consistency(job->draft);
    const bool enough =
        job->started || joined >= consistency_start(consistency, job_draft_workers(job->draft));
    if (job->state == CONTROL_JOB_READY && enough &&
        control_order_job(control, job, ORDER_JOB_START) == STEPD_OK)
        control_job_move(control, job, CONTROL_JOB_RUNNING);
    if (job->state == CONTROL_JOB_RUNNING && joined == 0)
        control_job_move(control, job, CONTROL_JOB_FINISHED);
}
