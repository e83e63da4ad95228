/* SPDX-License-Identifier: Apache-2.0
 *
 * The main thread's loop carries the door, control, the signals, a tick, and the mailbox into which
 * the shards write. What happens to a connection:
 *
 *     door (first frame) --admit--> control's host        Hello.shard 0
 *                              `--> letter to a shard     Hello.shard n
 *
 * Ending. Where checkpoints are kept, the first stop asks for one of each job, and goes on when
 * they are done; a second one, REPEAT_MS later, does not wait for them. A stop closes the door,
 * says goodbye to control's connections, and writes LETTER_DRAIN to every shard; DRAIN_MS later, or
 * on a second stop, whoever still talks is cut. When all shards have ended and control's last
 * connection is gone, signals, tick and mailbox are closed as well; then nothing is left on the
 * loop and uv_run() returns. A start that fails half way ends in the same manner, so there is one
 * way out.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/net/address.h"
#include "server/net/conn.h"
#include "server/net/limits.h"
#include "server/net/port_file.h"
#include "server/net/server_internal.h"

#define DRAIN_MS  3000u
#define REPEAT_MS 500u /* a signal that comes again so soon is the same one */

/* ---- Ending ---------------------------------------------------------------------------------- */

static void end_if_drained(struct server *server)
{
    if (server->state < SERVER_DRAINING || server->state == SERVER_ENDED || server->running > 0 ||
        control_host_connections(server->control) > 0 || server_peers_connections(server) > 0)
        return;
    server->state = SERVER_ENDED;
    uv_close((uv_handle_t *)&server->tick, NULL);
    uv_close((uv_handle_t *)&server->sigterm, NULL);
    uv_close((uv_handle_t *)&server->sigint, NULL);
    uv_close((uv_handle_t *)&server->sighup, NULL);
    mailbox_close(&server->mailbox);
}

static void post_to_shards(struct server *server, enum letter_kind kind)
{
    for (uint32_t i = 0; i < server->options.shards; i++)
        shard_post(server->shard[i], (struct letter){.kind = kind});
}

static void drain(struct server *server)
{
    server->state = SERVER_DRAINING;
    atomic_store(&server->ending, true);
    server->drain_until_ms = uv_now(&server->uv) + DRAIN_MS;
    door_close(server->door);
    server_peers_cut(server);
    control_host_drain(server->control);
    post_to_shards(server, LETTER_DRAIN);
}

static void cut(struct server *server)
{
    server->state = SERVER_CUT;
    atomic_store(&server->ending, true);
    door_close(server->door);
    server_peers_cut(server);
    control_host_cut(server->control);
    post_to_shards(server, LETTER_CUT);
}

static void drain_if_kept(struct server *server)
{
    const size_t left = control_checkpoints_left(control_host_control(server->control));
    if (server->state == SERVER_KEEPING && (left == 0 || server->reign.ending) &&
        server_peers_may_leave(server))
        drain(server);
    end_if_drained(server);
}

/* A service manager that cannot be told may take the daemon for dead. */
static void note_told(const struct server *server, bool told)
{
    if (!told)
        log_event(server->options.log, LOG_WARN, "supervisor_not_told", "reason=%s",
                  strerror(errno));
}

/* Nobody is to lose a checkpoint by a tool that signals a process and then its group, as timeout
 * of coreutils does. */
static bool is_repeated(const struct server *server)
{
    return server->state == SERVER_KEEPING && uv_now(&server->uv) - server->stopped_ms < REPEAT_MS;
}

static void note_given_up(const struct server *server)
{
    const size_t left = control_checkpoints_left(control_host_control(server->control));
    if (left > 0)
        log_event(server->options.log, LOG_WARN, "last_checkpoints_given_up", "jobs=%zu", left);
}

static void stop(struct server *server, const char *reason)
{
    if (is_repeated(server))
        return;
    log_event(server->options.log, LOG_INFO, "stopping", "reason=%s", reason);
    if (server->state == SERVER_RUNNING) {
        server->stopped_ms = uv_now(&server->uv);
        note_told(server, supervisor_tell(&server->supervisor, "STOPPING=1\nSTATUS=ends"));
        server->state = SERVER_KEEPING;
        control_checkpoint_all(control_host_control(server->control), uv_now(&server->uv));
        server_peers_leave(server);
    } else if (server->state == SERVER_KEEPING) {
        note_given_up(server);
        drain(server);
    } else if (server->state == SERVER_DRAINING) {
        cut(server);
    }
    drain_if_kept(server);
}

/* What the daemon does, as who asks its supervisor is to read it. */
static void write_status(const struct server *server, char status[SERVER_STATUS_BYTES])
{
    const uint32_t shards = server->options.shards;
    char waits[SERVER_STATUS_BYTES];
    if (server_peers_wait(server, waits, sizeof waits))
        (void)stepd_format(status, SERVER_STATUS_BYTES, "listens at %s and %s",
                           door_address(server->door), waits);
    else
        (void)stepd_format(status, SERVER_STATUS_BYTES, "serves at %s with %u shard%s",
                           door_address(server->door), (unsigned)shards, shards == 1 ? "" : "s");
}

static void tell_ready(struct server *server)
{
    write_status(server, server->status);
    note_told(server, supervisor_tell_ready(&server->supervisor, server->status));
}

/* Who waits says so, and for whom. */
static void tell_status(struct server *server)
{
    char status[SERVER_STATUS_BYTES];
    char line[SERVER_STATUS_BYTES + sizeof "STATUS="];
    write_status(server, status);
    if (server->state != SERVER_RUNNING || strcmp(status, server->status) == 0)
        return;
    memcpy(server->status, status, sizeof status);
    (void)stepd_format(line, sizeof line, "STATUS=%s", status);
    note_told(server, supervisor_tell(&server->supervisor, line));
}

static void on_signal(uv_signal_t *signal, int number)
{
    stop(signal->data, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void on_hangup(uv_signal_t *signal, int number)
{
    struct server *const server = signal->data;
    (void)number;
    if (server->state == SERVER_RUNNING)
        note_told(server, supervisor_tell_reloading(&server->supervisor));
    if (server->options.reload != NULL)
        server->options.reload(server->options.owner);
    if (server->state == SERVER_RUNNING)
        tell_ready(server);
}

/* ---- Callers --------------------------------------------------------------------------------- */

void server_admit(void *owner, uint32_t shard, struct caller *caller)
{
    struct server *const server = owner;
    const uint32_t first = server->reign.first;
    if (shard == 0 && server->deputy != NULL)
        server_stand_aside(server);
    if (shard == 0)
        control_host_serve(server->control, caller);
    else
        shard_post(server->shard[shard - 1 - first],
                   (struct letter){.kind = LETTER_CALLER, .caller = caller});
}

/* Another daemon. */
void server_join(void *owner, struct caller *caller)
{
    const struct server *const server = owner;
    daemons_serve(server->daemons, caller);
}

void server_refuse(void *owner, struct caller *caller, const struct stepd_error *error)
{
    struct server *const server = owner;
    control_host_refuse(server->control, caller, error);
}

/* One fewer that this daemon has dialled. */
void server_peer_gone(void *owner, bool known)
{
    (void)known;
    end_if_drained(owner);
}

void server_known(void *owner)
{
    const struct server *const server = owner;
    door_known(server->door);
}

void server_gone(void *owner, bool known)
{
    struct server *const server = owner;
    door_gone(server->door, known);
    end_if_drained(server);
}

bool server_make_room(void *owner)
{
    const struct server *const server = owner;
    return control_host_drop_stranger(server->control);
}

void server_bring_order(void *owner, uint32_t shard, struct order *order)
{
    struct server *const server = owner;
    if (shard < server->options.shards)
        shard_post(server->shard[shard], (struct letter){.kind = LETTER_ORDER, .order = order});
    else
        daemons_order(server->daemons, shard, order);
}

/* ---- Letters and time ------------------------------------------------------------------------ */

static void on_lost(struct server *server)
{
    log_event(server->options.log, LOG_ERROR, "out_of_memory", "consequence=%s",
              "control and shards have lost a message and cannot go on");
    server->broken = true;
    stop(server, "out of memory");
}

void server_fail(struct server *server, const struct stepd_error *why)
{
    server->reign.failed = *why;
    stop(server, "no reign can begin");
}

static void on_written(struct server *server, struct server_written *written)
{
    server->reign.writes--;
    control_checkpoint_written(control_host_control(server->control), written->snapshot,
                               &written->written, uv_now(&server->uv));
    free(written);
    server_peers_settle(server);
    drain_if_kept(server);
}

static void on_shard_ended(struct server *server, uint32_t shard)
{
    shard_join(server->shard[shard]);
    server->running--;
    end_if_drained(server);
}

void server_deliver(void *owner, const struct letter *letter)
{
    struct server *const server = owner;
    switch (letter->kind) {
    case LETTER_NOTICE: server_peers_notice(server, letter->from, letter->notice); break;
    case LETTER_KNOWN: server_known(server); break;
    case LETTER_GONE: server_gone(server, letter->known); break;
    case LETTER_ENDED: on_shard_ended(server, letter->shard); break;
    case LETTER_DRAIN: stop(server, "server_stop"); break;
    case LETTER_LOST: on_lost(server); break;
    case LETTER_BEAT: note_told(server, supervisor_answered(&server->supervisor)); break;
    case LETTER_WRITTEN: on_written(server, letter->written); break;
    case LETTER_TOLD: letter->told.take(letter->told.owner, letter->told.what); break;
    case LETTER_ORDER:
    case LETTER_CALLER:
    case LETTER_CUT: assert(false && "this letter is for a shard"); break;
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct server *const server = timer->data;
    const uint64_t now_ms = uv_now(&server->uv);
    door_tick(server->door, now_ms);
    control_host_tick(server->control, now_ms, server->reign.ending);
    server_peers_tick(server, now_ms);
    tls_expiry_look(&server->expiry, server->tls, server->options.log, now_ms);
    limit_set(&server->limits, LIMIT_SHARED, atomic_load(&server->shared.bytes_used));
    tell_status(server);
    drain_if_kept(server);
    if (server->state < SERVER_DRAINING &&
        supervisor_beat(&server->supervisor, server->options.shards, now_ms))
        post_to_shards(server, LETTER_BEAT);
    if (server->state == SERVER_DRAINING && now_ms >= server->drain_until_ms)
        cut(server);
}

void server_checkpoint(void *owner, const struct job_snapshot *snapshot, uint64_t step)
{
    struct server *const server = owner;
    struct server_written *const written = calloc(1, sizeof *written);
    if (written == NULL) { /* nobody could tell control that the snapshot is free */
        mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_LOST});
        return;
    }
    written->snapshot = snapshot;
    server->reign.writes++;
    server->options.checkpoint(server->options.owner, written, step);
}

void server_note_written(struct server *server, struct server_written *written)
{
    mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_WRITTEN, .written = written});
}

void server_post(struct server *server, void (*take)(void *owner, void *what),
                 void (*drop)(void *what), void *owner, void *what)
{
    const struct told told = {.take = take, .drop = drop, .owner = owner, .what = what};
    mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_TOLD, .told = told});
}

void server_stop(struct server *server)
{
    mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_DRAIN});
}

/* ---- Running --------------------------------------------------------------------------------- */

static void ignore_sigpipe(void)
{
    /* libuv writes with writev(), which raises it when the peer has gone; EPIPE says the same. */
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

static enum stepd_status start_shards(struct server *server, struct stepd_error *reterr)
{
    for (uint32_t i = 0; i < server->options.shards; i++) {
        if (shard_start(server->shard[i]) != STEPD_OK)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "cannot start a thread for shard %u", (unsigned)i + 1);
        server->running++;
    }
    return STEPD_OK;
}

/* Whoever has said --insecure is told once more what that means. */
static void warn_of_exposure(const struct server *server, const char *address)
{
    const struct server_options *const options = &server->options;
    const bool tls = server->tls != NULL;
    const bool login = options->login || options->tls_client_ca[0] != '\0';
    if (address_is_loopback((const struct sockaddr *)&server->listen) || (tls && login))
        return;
    log_event(options->log, LOG_WARN, "insecure", "listen=%s consequence=%s", address,
              tls ? "whoever reaches this port can read and change every job: no login"
              : login
                  ? "whoever sees the network sees tokens, gradients and weights: no TLS"
                  : "whoever reaches this port can read and change every job: no TLS, no login");
}

static void log_ready(const struct server *server)
{
    const struct server_options *const options = &server->options;
    const char *const isa = kernels_isa_name(options->isa);
    const char *const address = door_address(server->door);
    warn_of_exposure(server, address);
    if (options->unix_path[0] != '\0')
        log_event(options->log, LOG_INFO, "ready", "listen=%s unix=%s shards=%u isa=%s", address,
                  options->unix_path, (unsigned)options->shards, isa);
    else
        log_event(options->log, LOG_INFO, "ready", "listen=%s shards=%u isa=%s", address,
                  (unsigned)options->shards, isa);
}

/* Opens everything, in the order in which it can fail. */
static enum stepd_status start(struct server *server, struct stepd_error *reterr)
{
    const struct server_options *const options = &server->options;
    enum stepd_status status = supervisor_open(options->environment, &server->supervisor, reterr);
    if (status == STEPD_OK)
        status = limits_raise_descriptors(options->connections_max + (uint32_t)options->peers,
                                          options->shards, &server->shared.descriptors, reterr);
    if (status == STEPD_OK)
        status = door_listen(server->door, (const struct sockaddr *)&server->listen,
                             options->unix_path, reterr);
    if (status == STEPD_OK)
        status = start_shards(server, reterr);
    if (status == STEPD_OK && options->port_file[0] != '\0')
        status = port_file_write(options->port_file, door_port(server->door), reterr);
    return status;
}

enum stepd_status server_run(struct server *server, struct stepd_error *reterr)
{
    ignore_sigpipe();
    (void)uv_timer_start(&server->tick, on_tick, CONN_TICK_MS, CONN_TICK_MS);
    (void)uv_signal_start(&server->sigterm, on_signal, SIGTERM);
    (void)uv_signal_start(&server->sigint, on_signal, SIGINT);
    (void)uv_signal_start(&server->sighup, on_hangup, SIGHUP);
    enum stepd_status status = start(server, reterr);
    if (status == STEPD_OK) {
        log_ready(server);
        tell_ready(server);
    } else {
        cut(server);
        end_if_drained(server);
    }
    (void)uv_run(&server->uv, UV_RUN_DEFAULT);
    if (status == STEPD_OK && server->broken)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the server ran out of memory");
    else if (status == STEPD_OK && server->reign.failed.code != STEPD_OK)
        status = stepd_fail(reterr, server->reign.failed.code, "%s", server->reign.failed.text);
    supervisor_close(&server->supervisor);
    log_event(server->options.log, LOG_INFO, "stopped", NULL);
    return status;
}
