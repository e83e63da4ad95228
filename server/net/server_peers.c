/* SPDX-License-Identifier: Apache-2.0
 *
 * A server that is not alone. Where control is here, the daemons that have joined (daemons.h) make
 * a reign, in which control orders their shards as it does those of this daemon; where it is
 * elsewhere, the deputy (deputy.h) stands for it.
 *
 * When a reign ends, everybody who speaks to control is hung up on, and nothing is done any more.
 * When no checkpoint is being written either, which reads what shards have lent, control forgets
 * all, and so do the shards; a shard that has obeyed says so, and what it has said before is thrown
 * away.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/net/server_internal.h"

static struct control *control_of(const struct server *server)
{
    return control_host_control(server->control);
}

bool server_is_first(const struct server *server)
{
    return server->options.peers > 1 && server->options.place == 0;
}

uint64_t server_ordered(void *owner)
{
    const struct server *const server = owner;
    return daemons_ordered(server->daemons);
}

uint64_t server_arrived(void *owner)
{
    const struct server *const server = owner;
    return daemons_arrived(server->daemons);
}

size_t server_daemons(void *owner, struct stepd_daemon_status *daemon, size_t room)
{
    const struct server *const server = owner;
    return server->deputy != NULL ? deputy_list(server->deputy, daemon, room)
                                  : daemons_list(server->daemons, daemon, room);
}

static struct job *find_sealed(void *owner, const char *name)
{
    const struct server *const server = owner;
    return control_sealed_job(control_of(server), name);
}

/* ---- Shards ---------------------------------------------------------------------------------- */

void server_reset_shards(struct server *server, uint32_t first, const struct stepd_error *why)
{
    server->reign.first = first;
    for (uint32_t i = 0; i < server->options.shards; i++) {
        struct order *const order = order_create(ORDER_RESET, "");
        if (order == NULL) {
            mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_LOST});
            return;
        }
        order->becomes = first + i;
        order->error = *why;
        server->reign.resets[i]++;
        shard_post(server->shard[i], (struct letter){.kind = LETTER_ORDER, .order = order});
    }
}

void server_peers_notice(struct server *server, uint32_t from, struct notice *notice)
{
    uint32_t *const resets = &server->reign.resets[from];
    if (notice->kind == NOTICE_RESET)
        (*resets)--;
    if (notice->kind == NOTICE_RESET || *resets > 0 || server->reign.ending)
        (void)notice_destroy(notice);
    else if (server->deputy != NULL)
        server_send_notice(server, notice);
    else
        control_on_notice(control_of(server), notice, uv_now(&server->uv));
}

/* ---- Reigns ---------------------------------------------------------------------------------- */

static void gather(struct server *server, const char *missing)
{
    (void)stepd_format(server->reign.missing, sizeof server->reign.missing, "%s", missing);
    control_gather(control_of(server), server->reign.missing);
}

static const char brings_back[] =
    "the server brings its jobs back from their checkpoints; try again";

static void on_begun(void *owner, uint32_t shards, const char *const *address)
{
    struct server *const server = owner;
    if (control_take_shards(control_of(server), shards, address) != STEPD_OK) {
        mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_LOST});
        return;
    }
    gather(server, brings_back);
    server->reign.begins = true;
    server->options.begin(server->options.peers_owner, shards);
}

/* Lets workers in when all that has come back is open; goes further back with what cannot be. */
static void look_at_returning(struct server *server)
{
    struct control_returning job;
    char text[STEPD_ERROR_TEXT_BYTES];
    if (!server->reign.opens || server->state != SERVER_RUNNING)
        return;
    if (!control_returning(control_of(server), &job)) {
        server->reign.opens = false;
        gather(server, "");
    } else if (job.failed) {
        server->reign.opens = false;
        server->reign.begins = true;
        server->options.older(server->options.peers_owner, &job);
    } else if (job.waited_ms > 0) {
        (void)stepd_format(text, sizeof text,
                           "the server brings its jobs back from their checkpoints, and has waited "
                           "for daemon %u for %u s; try again",
                           (unsigned)job.place, (unsigned)(job.waited_ms / 1000));
        gather(server, text);
    } else {
        gather(server, brings_back);
    }
}

void server_reign(struct server *server, const struct stepd_error *error)
{
    server->reign.begins = false;
    if (server->reign.ending) {
        server_peers_settle(server);
        return;
    }
    if (error->code != STEPD_OK) {
        server_fail(server, error);
        return;
    }
    server->reign.opens = true;
    look_at_returning(server);
}

static void on_ended(void *owner, const struct stepd_error *why)
{
    struct server *const server = owner;
    server->reign.over = *why;
    server->reign.ending = true;
    server->reign.opens = false;
    server->reign.leaves = false;
    gather(server, why->text);
    control_host_end(server->control, why);
    server->options.end(server->options.peers_owner);
    server_peers_settle(server);
}

void server_peers_settle(struct server *server)
{
    if (!server->reign.ending || server->reign.writes > 0 || server->reign.begins ||
        server->state != SERVER_RUNNING)
        return;
    static const char *const here = "";
    control_forget_all(control_of(server));
    if (control_take_shards(control_of(server), 1, &here) != STEPD_OK) {
        mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_LOST});
        return;
    }
    server_reset_shards(server, 0, &server->reign.over);
    server->reign.ending = false;
    gather(server, daemons_missing(server->daemons));
    daemons_gather(server->daemons);
}

static enum stepd_status on_admits(void *owner, const struct control_caller *caller,
                                   const struct stepd_join *join,
                                   const struct access_grant **ret_grant,
                                   struct stepd_error *reterr)
{
    const struct server *const server = owner;
    return control_admits_daemon(control_of(server), caller, join, ret_grant, reterr);
}

static void on_came(void *owner, size_t place, const struct access_grant *grant)
{
    const struct server *const server = owner;
    control_daemon_came(control_of(server), place, grant);
}

static enum stepd_status on_keeps(void *owner, size_t place, struct stepd_error *reterr)
{
    const struct server *const server = owner;
    return control_keeps_daemon(control_of(server), place, reterr);
}

static void on_notice(void *owner, struct notice *notice)
{
    const struct server *const server = owner;
    control_on_notice(control_of(server), notice, uv_now(&server->uv));
}

static void on_settled(void *owner)
{
    const struct server *const server = owner;
    control_settled(control_of(server), uv_now(&server->uv));
}

static void on_member_note(void *owner, size_t place, const struct peer_note *note)
{
    struct server *const server = owner;
    const struct log *const log = server->options.log;
    switch (note->kind) {
    case PEER_NOTE_PROBED:
        if (note->error.code != STEPD_OK)
            daemons_reject(server->daemons, place, &note->error);
        break;
    case PEER_NOTE_WRITTEN: server_take_written(server, place, note); break;
    case PEER_NOTE_LEAVING:
        log_event(log, LOG_INFO, "daemon_leaving", "place=%zu", place);
        server->reign.leaves = true;
        if (server->state == SERVER_RUNNING) /* else they are being taken */
            control_checkpoint_all(control_of(server), uv_now(&server->uv));
        break;
    default: break;
    }
}

static void release_leaving(struct server *server)
{
    const struct peer_note note = {.kind = PEER_NOTE_RELEASED, .text = ""};
    if (!server->reign.leaves || control_checkpoints_left(control_of(server)) > 0)
        return;
    server->reign.leaves = false;
    for (size_t i = 1; i < server->options.peers; i++) {
        if (daemons_leaves(server->daemons, i))
            (void)daemons_tell(server->daemons, i, &note);
    }
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum stepd_status server_peers_read_tls(struct server *server, struct stepd_error *reterr)
{
    const struct server_options *const options = &server->options;
    const char *const ca = options->peer_ca != NULL && options->peer_ca[0] != '\0'
                               ? options->peer_ca
                               : options->tls_client_ca;
    const struct tls_client_files files = {
        .certificate = options->tls_cert, .key = options->tls_key, .ca = ca};
    if (options->peers < 2 || options->place == 0 || options->tls_cert[0] == '\0')
        return STEPD_OK;
    if (ca[0] == '\0')
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "peer_ca: name the CA that has signed the certificate of the first of "
                          "peers, since this daemon speaks TLS");
    return server->tls_peer == NULL ? tls_client_create(&files, &server->tls_peer, reterr)
                                    : tls_client_reload(server->tls_peer, &files, reterr);
}

static uint64_t random_number(void)
{
    uint64_t number = 0;
    control_host_random((uint8_t *)&number, 6);
    return number;
}

static enum stepd_status create_daemons(struct server *server)
{
    const struct server_options *const options = &server->options;
    const struct daemons_options daemons = {
        .uv = &server->uv,
        .log = options->log,
        .version = options->version,
        .shards = options->shards,
        .count = options->peers,
        .address = options->peer,
        .tls = server->tls != NULL,
        .by_host = options->tls_client_ca[0] != '\0' && !options->login,
        .lease_ms = options->peer_lease_ms,
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
        .frame_max_bytes = options->frame_max_bytes,
        .probe = options->probe == NULL ? "" : options->probe,
        .seed = random_number(),
        .io =
            {
                .owner = server,
                .admits = on_admits,
                .came = on_came,
                .keeps = on_keeps,
                .begun = on_begun,
                .ended = on_ended,
                .notice = on_notice,
                .note = on_member_note,
                .settled = on_settled,
                .job = find_sealed,
                .known = server_known,
                .gone = server_gone,
            },
    };
    server->daemons = daemons_create(&daemons);
    if (server->daemons == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    gather(server, daemons_missing(server->daemons));
    return STEPD_OK;
}

enum stepd_status server_peers_create(struct server *server)
{
    server->reign.resets = calloc(server->options.shards, sizeof *server->reign.resets);
    if (server->reign.resets == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    if (server->options.peers < 2)
        return STEPD_OK;
    return server->options.place == 0 ? create_daemons(server) : server_create_deputy(server);
}

void server_peers_destroy(struct server *server)
{
    server_peers_cut(server);
    if (server->state != SERVER_ENDED)
        (void)uv_run(&server->uv, UV_RUN_NOWAIT);
    server->daemons = daemons_destroy(server->daemons);
    server->deputy = deputy_destroy(server->deputy);
    server_forget_jobs(server);
    server_destroy_openings(server);
    server_portions_forget(server);
}

void server_peers_tick(struct server *server, uint64_t now_ms)
{
    if (server->daemons != NULL) {
        daemons_tick(server->daemons, now_ms);
        look_at_returning(server);
        if (!server->reign.ending && !server->reign.begins && !daemons_reigns(server->daemons))
            gather(server, daemons_missing(server->daemons));
        release_leaving(server);
    }
    if (server->deputy != NULL) {
        deputy_tick(server->deputy, now_ms);
        server_stand_aside(server);
    }
}

bool server_peers_wait(const struct server *server, char *text, size_t size)
{
    char missing[64];
    if (server->deputy != NULL)
        return deputy_waits(server->deputy, text, size);
    if (server->daemons == NULL || !daemons_waits(server->daemons, missing, sizeof missing))
        return false;
    (void)stepd_format(text, size, "waits for daemon %s of %zu (0 is the first)", missing,
                       server->options.peers);
    return true;
}

void server_peers_cut(struct server *server)
{
    if (server->daemons != NULL)
        daemons_cut(server->daemons);
    if (server->deputy != NULL)
        deputy_cut(server->deputy);
}

size_t server_peers_connections(const struct server *server)
{
    size_t count = 0;
    if (server->daemons != NULL)
        count += daemons_connections(server->daemons);
    if (server->deputy != NULL)
        count += deputy_connections(server->deputy);
    return count;
}
