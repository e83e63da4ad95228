/* SPDX-License-Identifier: Apache-2.0
 *
 * The server of a member daemon: control is elsewhere, and the deputy (deputy.h) stands for it. Its
 * orders go to all shards here, whose notices go to it. The definitions of the jobs that are open
 * are kept, since what travels is held against them.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/model/job.h"
#include "server/net/server_internal.h"
#include "server/peer/roster.h"
#include "server/sync/gate.h"

/* How long a member daemon that is told to end waits for control, which has checkpoints written. */
#define LEAVE_MS 120000u

/* ---- Notices --------------------------------------------------------------------------------- */

void server_forget_jobs(struct server *server)
{
    while (server->reign.job != NULL) {
        struct deputy_job *const job = server->reign.job;
        server->reign.job = job->next;
        (void)job_unref(job->job);
        free(job);
    }
}

static const struct job *find_open(void *owner, const char *name)
{
    const struct server *const server = owner;
    const struct deputy_job *job = server->reign.job;
    while (job != NULL && strcmp(job->job->name, name) != 0)
        job = job->next;
    return job == NULL ? NULL : job->job;
}

/* Brings a notice to control, which is elsewhere. */
void server_send_notice(struct server *server, struct notice *notice)
{
    const struct job *const job = find_open(server, notice->job_name);
    const size_t sums = notice->sum == NULL || job == NULL ? 0 : gate_blocks(job, notice->shard);
    if (job == NULL)
        (void)notice_destroy(notice); /* it was closed: nobody wants to know */
    else if (notice->kind == NOTICE_SNAPSHOT)
        server_send_share(server, notice);
    else
        deputy_notice(server->deputy, notice, sums, NULL);
}

/* ---- Orders and notes ------------------------------------------------------------------------ */

static void on_reset(void *owner, const struct deputy_reign *reign, const struct stepd_error *why)
{
    struct server *const server = owner;
    const struct door_shards none = {.first = 0};
    const struct door_shards ours = {
        .first = reign == NULL ? 0 : reign->first + 1,
        .count = server->options.shards,
    };
    server_forget_jobs(server);
    server_drop_openings(server, NULL);
    server_portions_forget(server);
    server_reset_shards(server, reign == NULL ? 0 : reign->first, why);
    door_serve(server->door, reign == NULL ? &none : &ours);
}

static void close_job(struct server *server, const char *name)
{
    struct deputy_job **at = &server->reign.job;
    while (*at != NULL && strcmp((*at)->job->name, name) != 0)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    struct deputy_job *const job = *at;
    *at = job->next;
    (void)job_unref(job->job);
    free(job);
}

/* False: no memory. */
static bool open_job(struct server *server, struct job *job)
{
    struct deputy_job *const opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return false;
    close_job(server, job->name);
    *opened = (struct deputy_job){.next = server->reign.job, .job = job_ref(job)};
    server->reign.job = opened;
    return true;
}

void server_order_shards(struct server *server, struct order *order)
{
    bool kept = true;
    lent_note_order(&server->reign.lent, order);
    for (uint32_t i = 0; i < server->options.shards && kept; i++) {
        struct order *const copy = order_copy(order);
        kept = copy != NULL;
        if (kept)
            shard_post(server->shard[i], (struct letter){.kind = LETTER_ORDER, .order = copy});
    }
    if (!kept)
        mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_LOST});
    (void)order_destroy(order);
}

void server_obey(struct server *server, struct order *order)
{
    const bool opens = order->kind == ORDER_JOB_OPEN;
    const bool reads = opens && (order->checkpoint != NULL || order->first_elsewhere);
    if (order->kind == ORDER_JOB_CLOSE) {
        close_job(server, order->job_name);
        server_drop_openings(server, order->job_name);
    }
    if ((!opens || open_job(server, order->job)) && !reads) {
        server_order_shards(server, order);
        return;
    }
    if (reads && server_open_job(server, order))
        return;
    (void)order_destroy(order);
    mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_LOST});
}

static void on_order(void *owner, struct order *order)
{
    struct server *const server = owner;
    if (!server_must_hold(server, order)) {
        server_obey(server, order);
    } else if (!server_hold(server, order)) {
        (void)order_destroy(order);
        mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_LOST});
    }
}

static void on_note(void *owner, const struct peer_note *note)
{
    struct server *const server = owner;
    if (note->kind == PEER_NOTE_RELEASED)
        server->reign.leave_until_ms = 0;
    else if (note->kind == PEER_NOTE_WRITE)
        server_take_request(server, note);
}

static bool on_ready(void *owner)
{
    return server_portions_ready(owner);
}

static enum stepd_status on_sees(void *owner, const char *probe, struct stepd_error *reterr)
{
    const struct server *const server = owner;
    return server->options.sees == NULL
               ? STEPD_OK
               : server->options.sees(server->options.peers_owner, probe, reterr);
}

bool server_peers_leave(struct server *server)
{
    const struct peer_note note = {.kind = PEER_NOTE_LEAVING, .text = ""};
    if (server->deputy == NULL || !deputy_has_joined(server->deputy) ||
        !deputy_tell(server->deputy, &note))
        return false;
    server->reign.leave_until_ms = uv_now(&server->uv) + LEAVE_MS;
    return true;
}

bool server_peers_may_leave(const struct server *server)
{
    return server->deputy == NULL || !deputy_has_joined(server->deputy) ||
           uv_now(&server->uv) >= server->reign.leave_until_ms;
}

void server_stand_aside(struct server *server)
{
    const struct server_options *const options = &server->options;
    char *const text = server->reign.missing;
    const size_t size = sizeof server->reign.missing;
    char waits[STEPD_ERROR_TEXT_BYTES / 2];
    const bool joined = !deputy_waits(server->deputy, waits, sizeof waits);
    const size_t at =
        stepd_format(text, size, "this is daemon %u of %zu, which %s; ", (unsigned)options->place,
                     options->peers, joined ? "has joined" : waits);
    (void)stepd_format(text + at, size - at,
                       "control runs in the first daemon of peers, %s: ask "
                       "there about jobs",
                       options->peer[0]);
    control_stand_aside(control_host_control(server->control), options->place, text);
}

void server_show_token(struct server *server)
{
    if (server->deputy != NULL)
        deputy_show(server->deputy);
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum stepd_status server_create_deputy(struct server *server)
{
    const struct server_options *const options = &server->options;
    struct deputy_options deputy = {
        .uv = &server->uv,
        .log = options->log,
        .version = options->version,
        .control = options->peer[0],
        .address = options->advertise,
        .token = options->peer_token == NULL ? "" : options->peer_token,
        .place = options->place,
        .daemons = (uint32_t)options->peers,
        .others = roster_sum(options->peers, options->peer),
        .shards = options->shards,
        .tls = server->tls_peer,
        .tcp_congestion = options->tcp_congestion,
        .lease_ms = options->peer_lease_ms,
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
        .frame_max_bytes = options->frame_max_bytes,
        .io =
            {
                .owner = server,
                .reset = on_reset,
                .order = on_order,
                .note = on_note,
                .sees = on_sees,
                .ready = on_ready,
                .job = find_open,
                .gone = server_peer_gone,
            },
    };
    control_host_random(deputy.instance, sizeof deputy.instance);
    server->deputy = deputy_create(&deputy);
    if (server->deputy == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    server_stand_aside(server);
    return STEPD_OK;
}
