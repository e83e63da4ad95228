/* SPDX-License-Identifier: Apache-2.0
 *
 * Two tables: the handler that a connection calls, which passes on to control, and the io that
 * control calls, which passes on to connections and to the owner. Control takes no payloads, so a
 * frame that has one is refused here, before any of it is read.
 */
#include "server/net/control_host.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "proto/error.h"
#include "server/net/conn.h"

struct control_host {
    struct control_host_options options;
    struct control *control; /* owned */
    struct conn_loop loop;
    struct log_limit login_refused; /* what strangers can make control log */
};

/* ---- What a connection says ------------------------------------------------------------------ */

static void *on_opened(void *owner, struct conn *conn, uint64_t now_ms)
{
    const struct control_host *const host = owner;
    return control_open(host->control, conn, now_ms);
}

static enum stepd_status on_message(void *user, const struct stepd_message *message,
                                    uint64_t payload_bytes, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    if (payload_bytes > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s with a payload: control takes none, weights go to the shards",
                          stepd_message_name(message->kind));
    return control_on_message(user, message, now_ms, reterr);
}

static uint8_t *no_window(void *user, size_t *ret_room)
{
    (void)user;
    (void)ret_room;
    assert(false && "control takes no payloads");
    return NULL;
}

static void not_filled(void *user, size_t n, uint64_t now_ms)
{
    (void)user;
    (void)n;
    (void)now_ms;
}

static void on_closed(void *user, uint64_t now_ms)
{
    control_close(user, now_ms);
}

static void nothing_to_release(void *owner, struct weights *weights, uint64_t now_ms)
{
    (void)owner;
    (void)weights;
    (void)now_ms;
}

static void on_known(void *owner)
{
    const struct control_host *const host = owner;
    if (host->options.known != NULL)
        host->options.known(host->options.owner);
}

static void on_gone(void *owner, bool known)
{
    const struct control_host *const host = owner;
    host->options.gone(host->options.owner, known);
}

static const struct conn_handler handler = {
    .opened = on_opened,
    .message = on_message,
    .window = no_window,
    .filled = not_filled,
    .closed = on_closed,
    .release = nothing_to_release,
    .known = on_known,
    .gone = on_gone,
};

/* ---- What control does ----------------------------------------------------------------------- */

static void io_reply(void *owner, void *peer, const struct stepd_message *message)
{
    (void)owner;
    conn_reply(peer, message, NULL, 0);
}

static void io_hang_up(void *owner, void *peer)
{
    (void)owner;
    conn_finish(peer);
}

static void io_order(void *owner, uint32_t shard, struct order *order)
{
    const struct control_host *const host = owner;
    host->options.order(host->options.owner, shard, order);
}

static void io_checkpoint(void *owner, const struct job_snapshot *snapshot, uint64_t step)
{
    const struct control_host *const host = owner;
    host->options.checkpoint(host->options.owner, snapshot, step);
}

static enum stepd_status io_fetch(void *owner, struct job *job, uint64_t attempt,
                                  bool *ret_fetching)
{
    const struct control_host *const host = owner;
    return host->options.fetch(host->options.owner, job, attempt, ret_fetching);
}

static uint64_t io_ordered(void *owner)
{
    const struct control_host *const host = owner;
    return host->options.ordered(host->options.owner);
}

static uint64_t io_arrived(void *owner)
{
    const struct control_host *const host = owner;
    return host->options.arrived(host->options.owner);
}

static size_t io_daemons(void *owner, struct stepd_daemon_status *daemon, size_t room)
{
    const struct control_host *const host = owner;
    return host->options.daemons(host->options.owner, daemon, room);
}

static struct control_caller io_caller(void *owner, void *peer)
{
    (void)owner;
    return (struct control_caller){.address = conn_peer(peer),
                                   .certificate = conn_certificate(peer)};
}

static int64_t io_unix_s(void *owner)
{
    (void)owner;
    return time(NULL);
}

/* getrandom() fails only when a signal interrupts it before the system has any randomness. */
void control_host_random(uint8_t *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t got = getrandom(bytes, n, 0);
        assert(got >= 0 || errno == EINTR);
        if (got <= 0)
            continue;
        bytes += got;
        n -= (size_t)got;
    }
}

static void io_random(void *owner, uint8_t *bytes, size_t n)
{
    (void)owner;
    control_host_random(bytes, n);
}

static void io_log(void *owner, enum log_level level, const char *event, const char *facts)
{
    struct control_host *const host = owner;
    if (strcmp(event, host->login_refused.event) == 0 &&
        !log_limit_allows(&host->login_refused, uv_now(host->options.uv)))
        return;
    log_facts(host->options.log, level, event, facts);
}

/* ---- The host -------------------------------------------------------------------------------- */

enum stepd_status control_host_create(const struct control_host_options *options,
                                      struct control_host **ret_host)
{
    struct control_host *const host = malloc(sizeof *host);
    if (host == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    *host = (struct control_host){
        .options = *options,
        .login_refused = {.event = "login_refused"},
    };
    const struct conn_loop_options loop = {
        .uv = options->uv,
        .log = options->log,
        .handler = &handler,
        .owner = host,
        .frame_max_bytes = options->control.frame_max_bytes,
        .queue_high_bytes = options->unsent_max_bytes / CONN_QUEUE_HIGH_CONTROL_SHARE,
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
        .idle_timeout_ms = options->idle_timeout_ms,
        .refusals_max_per_s = options->refusals_max_per_s,
        .limits = options->control.limits,
    };
    const struct control_io io = {
        .owner = host,
        .reply = io_reply,
        .hang_up = io_hang_up,
        .order = io_order,
        .checkpoint = options->checkpoint == NULL ? NULL : io_checkpoint,
        .fetch = options->fetch == NULL ? NULL : io_fetch,
        .ordered = options->ordered == NULL ? NULL : io_ordered,
        .arrived = options->arrived == NULL ? NULL : io_arrived,
        .daemons = options->daemons == NULL ? NULL : io_daemons,
        .caller = io_caller,
        .unix_s = io_unix_s,
        .random = io_random,
        .log = io_log,
    };
    enum stepd_status status = conn_loop_init(&host->loop, &loop);
    if (status == STEPD_OK)
        status = control_create(&options->control, &io, &host->control);
    if (status != STEPD_OK) {
        control_host_destroy(host);
        return status;
    }
    *ret_host = host;
    return STEPD_OK;
}

struct control_host *control_host_destroy(struct control_host *host)
{
    if (host == NULL)
        return NULL;
    control_destroy(host->control);
    conn_loop_deinit(&host->loop);
    free(host);
    return NULL;
}

struct control *control_host_control(struct control_host *host)
{
    return host->control;
}

void control_host_serve(struct control_host *host, struct caller *caller)
{
    conn_open(&host->loop, caller);
}

void control_host_refuse(struct control_host *host, struct caller *caller,
                         const struct stepd_error *error)
{
    conn_refuse(&host->loop, caller, error);
}

bool control_host_drop_stranger(struct control_host *host)
{
    return conn_loop_drop_stranger(&host->loop);
}

void control_host_end(struct control_host *host, const struct stepd_error *why)
{
    conn_loop_end(&host->loop, why);
}

void control_host_tick(struct control_host *host, uint64_t now_ms, bool frozen)
{
    conn_loop_tick(&host->loop, now_ms);
    log_limit_tick(&host->login_refused, host->options.log, now_ms);
    if (!frozen)
        control_on_tick(host->control, now_ms);
}

void control_host_drain(struct control_host *host)
{
    conn_loop_drain(&host->loop);
}

void control_host_cut(struct control_host *host)
{
    conn_loop_cut(&host->loop);
}

size_t control_host_connections(const struct control_host *host)
{
    return host->loop.count;
}
