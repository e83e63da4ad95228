/* SPDX-License-Identifier: Apache-2.0
 *
 * The public functions of control: they note the time and pass the call on to the file that knows.
 * This is the whole life of a brain:
 *
 *     control_create, control_restore for each job that is brought back,
 *     control_define for each job of the config file
 *     control_open, control_on_message ..., control_close    for each connection
 *     control_on_notice, control_on_tick                     in between
 *     control_destroy
 */
#include "server/control/control.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/log.h"
#include "server/control/brain.h"
#include "server/control/changes.h"
#include "server/control/dispatch.h"
#include "server/control/drafts.h"
#include "server/control/gates.h"
#include "server/control/handle_change.h"
#include "server/control/handle_define.h"
#include "server/control/jobs.h"
#include "server/control/login.h"
#include "server/control/loss.h"
#include "server/control/members.h"
#include "server/control/notices.h"
#include "server/control/observers.h"
#include "server/control/opening.h"
#include "server/control/query.h"
#include "server/control/restore.h"
#include "server/control/sessions.h"
#include "server/control/snapshot.h"
#include "server/control/waits.h"

/* ---- Creating -------------------------------------------------------------------------------- */

enum stepd_status control_create(const struct control_options *options, const struct control_io *io,
                                 struct control **ret_control)
{
    struct control *control = malloc(sizeof *control);
    if (control == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    *control = (struct control){
        .options = *options,
        .io = *io,
        .begin_ms = UINT64_MAX,
        .missing = "",
        .memory_each = options->memory_max_bytes / options->shards,
        .order = calloc(options->shards, sizeof(struct order *)),
        .shard_address = calloc(options->shards, sizeof(const char *)),
    };
    if (options->drafts_max_bytes == 0)
        control->options.drafts_max_bytes = CONTROL_DRAFTS_MAX_BYTES;
    if (options->tensors_max == 0)
        control->options.tensors_max = STEPD_TENSORS_MAX;
    if (options->observers_max == 0)
        control->options.observers_max = CONTROL_OBSERVERS_MAX;
    if (control->order == NULL || control->shard_address == NULL) {
        (void)control_destroy(control);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    for (uint32_t shard = 0; shard < options->shards; shard++)
        control->shard_address[shard] = ""; /* where this connection was dialled */
    *ret_control = control;
    return STEPD_OK;
}

struct control *control_destroy(struct control *control)
{
    if (control == NULL)
        return NULL;
    control_forget_all(control);
    (void)access_list_destroy(control->access);
    free(control->order);
    free(control->shard_address);
    free(control);
    return NULL;
}

void control_admit(struct control *control, struct access_list *list)
{
    control_login_take_list(control, list);
}

enum stepd_status control_define(struct control *control, const char *name,
                                 const struct stepd_define_job *def, struct stepd_error *reterr)
{
    struct control_job *job = control_job_find(control, name);
    if (job == NULL) {
        const enum stepd_status status = control_job_create(control, name, &job, reterr);
        if (status != STEPD_OK)
            return status;
    } else if (job->restored != NULL) {
        return control_job_adopt(job, def, reterr);
    }
    enum stepd_status status = control_job_check_restored(job, reterr);
    if (status == STEPD_OK)
        status = control_define_entry(control, job, def, reterr);
    if (status == STEPD_OK)
        job->from_config = true;
    else
        control_job_forget_if_idle(control, job);
    return status;
}

enum stepd_status control_redefine(struct control *control, const char *name,
                                   const struct stepd_define_job *def, struct stepd_error *reterr)
{
    struct control_job *job = control_job_find(control, name);
    if (job == NULL || !job->from_config)
        return stepd_fail(reterr, STEPD_NOT_FOUND,
                          "the daemon did not define job '%s' when it started; start it again",
                          name);
    const enum stepd_status status = control_job_check_restored(job, reterr);
    if (status != STEPD_OK)
        return status;
    if (job->state == CONTROL_JOB_DEFINED && job->ranks == 0 && job_draft_tensors(job->draft) == 0)
        return control_draft_replace(control, job, def, reterr);
    return control_change_from_file(control, job, def, reterr);
}

/* ---- The log --------------------------------------------------------------------------------- */

struct control_quoted control_quote(const char *name)
{
    struct control_quoted quoted;
    (void)text_quote(name, strlen(name), quoted.text, sizeof quoted.text);
    return quoted;
}

static void say(const struct control *control, enum log_level level, const char *event,
                const char *fmt, va_list args) STEPD_PRINTF(4, 0);

static void say(const struct control *control, enum log_level level, const char *event,
                const char *fmt, va_list args)
{
    if (control->begin_ms == UINT64_MAX) /* the config file's jobs; its writer knows them */
        return;
    char facts[LOG_LINE_MAX_BYTES];
    (void)vsnprintf(facts, sizeof facts, fmt, args);
    control->io.log(control->io.owner, level, event, facts);
}

void control_log(const struct control *control, const char *event, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(control, LOG_INFO, event, fmt, args);
    va_end(args);
}

void control_warn(const struct control *control, const char *event, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(control, LOG_WARN, event, fmt, args);
    va_end(args);
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void note_time(struct control *control, uint64_t now_ms)
{
    control->now_ms = now_ms;
    if (control->begin_ms == UINT64_MAX)
        control->begin_ms = now_ms;
}

struct control_conn *control_open(struct control *control, void *peer, uint64_t now_ms)
{
    note_time(control, now_ms);
    struct control_conn *conn = malloc(sizeof *conn);
    if (conn == NULL)
        return NULL;
    *conn = (struct control_conn){.control = control, .peer = peer};
    control->conns++;
    return conn;
}

/* Frees a connection and what was parked for it; its session knows no connection then. */
static void forget(struct control_conn *conn)
{
    control_waits_drop(conn);
    if (conn->session != NULL)
        conn->session->conn = NULL;
    conn->control->conns--;
    free(conn);
}

void control_hang_up(struct control_conn *conn)
{
    conn->control->io.hang_up(conn->control->io.owner, conn->peer);
    forget(conn);
}

void control_close(struct control_conn *conn, uint64_t now_ms)
{
    struct control *const control = conn->control;
    struct control_session *const session = conn->session;
    note_time(control, now_ms);
    forget(conn);
    if (session == NULL)
        return;
    struct control_job *const job = session->job;
    if (session->role == STEPD_OBSERVER)
        control_observer_drop(control, session);
    if (job != NULL)
        control_job_forget_if_idle(control, job);
}

/* ---- Events ---------------------------------------------------------------------------------- */

enum stepd_status control_on_message(struct control_conn *conn, const struct stepd_message *message,
                                     uint64_t now_ms, struct stepd_error *reterr)
{
    note_time(conn->control, now_ms);
    return control_dispatch(conn, message, reterr);
}

void control_on_notice(struct control *control, struct notice *notice, uint64_t now_ms)
{
    note_time(control, now_ms);
    control_notice(control, notice);
    (void)notice_destroy(notice);
}

enum stepd_status control_snapshot(struct control *control, const char *job_name, uint64_t now_ms,
                                   struct stepd_error *reterr)
{
    note_time(control, now_ms);
    return control_snapshot_begin(control, job_name, &(struct snapshot_wish){.every = 0}, reterr);
}

void control_snapshot_end(struct control *control, const struct job_snapshot *snapshot,
                          uint64_t now_ms)
{
    note_time(control, now_ms);
    control_snapshot_close(control, snapshot, /* durable= */ false);
}

void control_checkpoint_written(struct control *control, const struct job_snapshot *snapshot,
                                const struct control_written *written, uint64_t now_ms)
{
    note_time(control, now_ms);
    struct control_job *job = control_snapshot_job(control, snapshot);
    control_snapshot_close(control, snapshot, written->error.code == STEPD_OK);
    if (job != NULL)
        control_checkpoint_ended(control, job, written);
}

void control_fetched(struct control *control, const struct control_fetched *got, uint64_t now_ms)
{
    note_time(control, now_ms);
    struct control_job *job = control_job_find(control, got->job_name);
    if (job == NULL)
        return;
    control_opening_fetched(control, job, got);
    control_waits_release(control);
}

void control_checkpoint_all(struct control *control, uint64_t now_ms)
{
    note_time(control, now_ms);
    struct control_job *job = control->options.checkpoint_on_exit ? control->first_job : NULL;
    if (job == NULL && control_checkpoints_left(control) == 0)
        return;
    control_snapshots_hurry(control);
    for (; job != NULL; job = job->next)
        control_checkpoint_last(control, job);
}

size_t control_checkpoints_left(const struct control *control)
{
    size_t left = 0;
    for (const struct control_job *job = control->first_job; job != NULL; job = job->next)
        left += job->checkpoints.asked > job->checkpoints.answered;
    return left;
}

enum stepd_status control_restore(struct control *control, struct job_snapshot *snapshot,
                                  struct job_state *state, uint64_t now_ms,
                                  struct stepd_error *reterr)
{
    note_time(control, now_ms);
    return control_job_restore(control, snapshot, state, reterr);
}

void control_on_tick(struct control *control, uint64_t now_ms)
{
    note_time(control, now_ms);
    control_login_on_tick(control);
    if (control->missing[0] != '\0' && control->place == 0)
        control_sessions_hold(control);
    for (struct control_job *job = control->first_job; job != NULL; job = job->next)
        control_opening_on_tick(control, job);
    control_waits_release(control);
    control_snapshots_on_tick(control);
    control_observers_on_tick(control);
    struct control_job *next = NULL;
    for (struct control_job *job = control->first_job; job != NULL; job = next) {
        next = job->next;
        if (!job->unrestored) {
            control_members_on_tick(control, job);
            control_loss_on_tick(control, job);
        }
        control_gate_on_tick(control, job);
        control_changes_on_tick(control, job);
        control_checkpoints_on_tick(control, job);
        control_job_tell_shards(control, job);
        control_job_forget_if_idle(control, job);
    }
}
