/* SPDX-License-Identifier: Apache-2.0
 *
 * The main thread's loop carries the door, control, the signals, a tick, and the mailbox into which
 * the shards write. What happens to a connection:
 *
 *     door (first frame) --admit--> control's host        Hello.shard 0
 *                              `--> letter to a shard     Hello.shard n
 *
 * Ending. A stop closes the door, says goodbye to control's connections, and writes LETTER_DRAIN to
 * every shard; DRAIN_MS later, or on a second stop, whoever still talks is cut. When all shards
 * have ended and control's last connection is gone, signals, tick and mailbox are closed as well;
 * then nothing is left on the loop and uv_run() returns. A start that fails half way ends in the
 * same manner, so there is one way out.
 */
#include "server/net/server.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "server/net/address.h"
#include "server/net/control_host.h"
#include "server/net/door.h"
#include "server/net/limits.h"
#include "server/net/mailbox.h"
#include "server/net/port_file.h"
#include "server/net/shard.h"
#include "server/net/shared_memory.h"
#include "server/net/socket.h"

#define TICK_MS  100u
#define DRAIN_MS 3000u

enum server_state {
    SERVER_RUNNING,
    SERVER_DRAINING, /* goodbye was said */
    SERVER_CUT,      /* and time is over */
    SERVER_ENDED,    /* the loop's last handles are closing */
};

struct server {
    struct server_options options;
    struct sockaddr_storage listen;
    uv_loop_t uv;
    struct mailbox mailbox;
    uv_timer_t tick;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    uv_signal_t sighup;
    struct door *door;            /* owned */
    struct control_host *control; /* owned */
    struct shard **shard;         /* owned; options.shards of them */
    struct shared_budget shared;  /* for the workers on this host */
    uint32_t running;             /* shards whose threads were started and have not ended */
    enum server_state state;
    uint64_t drain_until_ms;
    bool broken; /* a letter was lost */
};

/* ---- Ending ---------------------------------------------------------------------------------- */

static void end_if_drained(struct server *server)
{
    if (server->state == SERVER_RUNNING || server->state == SERVER_ENDED || server->running > 0 ||
        control_host_connections(server->control) > 0)
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
    server->drain_until_ms = uv_now(&server->uv) + DRAIN_MS;
    door_close(server->door);
    control_host_drain(server->control);
    post_to_shards(server, LETTER_DRAIN);
}

static void cut(struct server *server)
{
    server->state = SERVER_CUT;
    door_close(server->door);
    control_host_cut(server->control);
    post_to_shards(server, LETTER_CUT);
}

static void stop(struct server *server, const char *reason)
{
    log_event(server->options.log, LOG_INFO, "stopping", "reason=%s", reason);
    if (server->state == SERVER_RUNNING)
        drain(server);
    else if (server->state == SERVER_DRAINING)
        cut(server);
    end_if_drained(server);
}

static void on_signal(uv_signal_t *signal, int number)
{
    stop(signal->data, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void on_hangup(uv_signal_t *signal, int number)
{
    const struct server *const server = signal->data;
    (void)number;
    if (server->options.reload != NULL)
        server->options.reload(server->options.owner);
}

/* ---- Callers --------------------------------------------------------------------------------- */

static void admit(void *owner, uint32_t shard, struct caller *caller)
{
    struct server *const server = owner;
    if (shard == 0)
        control_host_serve(server->control, caller);
    else
        shard_post(server->shard[shard - 1],
                   (struct letter){.kind = LETTER_CALLER, .caller = caller});
}

static void refuse(void *owner, struct caller *caller, const struct stepd_error *error)
{
    struct server *const server = owner;
    control_host_refuse(server->control, caller, error);
}

static void on_gone(void *owner)
{
    struct server *const server = owner;
    door_gone(server->door);
    end_if_drained(server);
}

static void bring_order(void *owner, uint32_t shard, struct order *order)
{
    struct server *const server = owner;
    assert(shard < server->options.shards);
    shard_post(server->shard[shard], (struct letter){.kind = LETTER_ORDER, .order = order});
}

/* ---- Letters and time ------------------------------------------------------------------------ */

static void on_lost(struct server *server)
{
    log_event(server->options.log, LOG_ERROR, "out_of_memory", "consequence=%s",
              "control and shards have lost a message and cannot go on");
    server->broken = true;
    stop(server, "out of memory");
}

static void on_shard_ended(struct server *server, uint32_t shard)
{
    shard_join(server->shard[shard]);
    server->running--;
    end_if_drained(server);
}

static void deliver(void *owner, const struct letter *letter)
{
    struct server *const server = owner;
    switch (letter->kind) {
    case LETTER_NOTICE:
        control_on_notice(control_host_control(server->control), letter->notice,
                          uv_now(&server->uv));
        break;
    case LETTER_GONE: on_gone(server); break;
    case LETTER_ENDED: on_shard_ended(server, letter->shard); break;
    case LETTER_DRAIN: stop(server, "server_stop"); break;
    case LETTER_LOST: on_lost(server); break;
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
    control_host_tick(server->control, now_ms);
    if (server->state == SERVER_DRAINING && now_ms >= server->drain_until_ms)
        cut(server);
}

void server_stop(struct server *server)
{
    mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_DRAIN});
}

/* ---- Creating -------------------------------------------------------------------------------- */

/* Is this an address that a daemon without TLS and login may listen on? */
static enum stepd_status check_exposure(const struct server_options *options,
                                        const struct sockaddr_storage *listen,
                                        struct stepd_error *reterr)
{
    if (options->insecure || address_is_loopback((const struct sockaddr *)listen))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "listen: %.80s can be reached from other machines, and there is neither TLS "
                      "nor login: listen on 127.0.0.1, or say --insecure if the network is trusted",
                      options->listen);
}

/* Checks what no single option can be blamed for. */
static enum stepd_status check_options(const struct server_options *options,
                                       struct sockaddr_storage *ret_listen,
                                       struct stepd_error *reterr)
{
    const size_t elements = stepd_frame_payload_max(options->frame_max_bytes) / sizeof(float);
    if (options->slice_elements > elements)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "slice_elements is %u, but a frame of frame_max_bytes = %u holds at most "
                          "%zu elements",
                          (unsigned)options->slice_elements, (unsigned)options->frame_max_bytes,
                          elements);
    struct address address;
    enum stepd_status status = address_parse(options->listen, &address, reterr);
    if (status == STEPD_OK)
        status = address_resolve(&address, ret_listen, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, STEPD_FAILED_PRECONDITION, "listen");
    status = check_exposure(options, ret_listen, reterr);
    if (status == STEPD_OK)
        status = socket_check_congestion(options->tcp_congestion, reterr);
    return status;
}

static enum stepd_status create_control(struct server *server)
{
    const struct server_options *const options = &server->options;
    const struct control_host_options host = {
        .uv = &server->uv,
        .log = options->log,
        .control =
            {
                .shards = options->shards,
                .slice_elements = options->slice_elements,
                .lease_ms = options->lease_ms,
                .wait_max_ms = options->wait_max_ms,
                .frame_max_bytes = options->frame_max_bytes,
                .jobs_max = options->jobs_max,
                .memory_max_bytes = options->memory_max_bytes,
                .server_version = options->version,
            },
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
        .owner = server,
        .order = bring_order,
        .gone = on_gone,
    };
    return control_host_create(&host, &server->control);
}

static enum stepd_status create_door(struct server *server)
{
    const struct door_options options = {
        .uv = &server->uv,
        .log = server->options.log,
        .shards = server->options.shards,
        .connections_max = server->options.connections_max,
        .hello_timeout_ms = server->options.hello_timeout_ms,
        .tcp_congestion = server->options.tcp_congestion,
        .owner = server,
        .admit = admit,
        .refuse = refuse,
    };
    server->door = door_create(&options);
    return server->door == NULL ? STEPD_RESOURCE_EXHAUSTED : STEPD_OK;
}

static enum stepd_status create_shards(struct server *server)
{
    const struct server_options *const options = &server->options;
    server->shard = calloc(options->shards, sizeof(struct shard *));
    if (server->shard == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    for (uint32_t i = 0; i < options->shards; i++) {
        const struct shard_options shard = {
            .core =
                {
                    .shard = i,
                    .isa = options->isa,
                    .wait_max_ms = options->wait_max_ms,
                    .frame_max_bytes = options->frame_max_bytes,
                },
            .write_timeout_ms = options->write_timeout_ms,
            .read_timeout_ms = options->read_timeout_ms,
            .busy_poll_us = options->busy_poll_us,
            .shared = options->unix_path[0] != '\0' ? &server->shared : NULL,
            .log = options->log,
            .main = &server->mailbox,
        };
        const enum stepd_status status = shard_create(&shard, &server->shard[i]);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

/* Makes the main thread's handles. Nothing here can fail but for want of memory. */
static enum stepd_status create_parts(struct server *server)
{
    (void)uv_timer_init(&server->uv, &server->tick);
    server->tick.data = server;
    if (uv_signal_init(&server->uv, &server->sigterm) != 0 ||
        uv_signal_init(&server->uv, &server->sigint) != 0 ||
        uv_signal_init(&server->uv, &server->sighup) != 0)
        return STEPD_RESOURCE_EXHAUSTED;
    server->sigterm.data = server;
    server->sigint.data = server;
    server->sighup.data = server;
    enum stepd_status status = create_control(server);
    if (status == STEPD_OK)
        status = create_door(server);
    if (status == STEPD_OK)
        status = create_shards(server);
    return status;
}

enum stepd_status server_create(const struct server_options *options, struct server **ret_server,
                                struct stepd_error *reterr)
{
    struct sockaddr_storage listen;
    const enum stepd_status checked = check_options(options, &listen, reterr);
    if (checked != STEPD_OK)
        return checked;
    struct server *const server = malloc(sizeof *server);
    if (server == NULL)
        goto fail;
    *server = (struct server){
        .options = *options, .listen = listen, .shared.bytes = options->shared_max_bytes};
    if (uv_loop_init(&server->uv) != 0)
        goto fail_free;
    if (mailbox_init(&server->mailbox, &server->uv, deliver, server) != STEPD_OK)
        goto fail_loop;
    if (create_parts(server) != STEPD_OK) {
        server_destroy(server);
        goto fail;
    }
    *ret_server = server;
    return STEPD_OK;
fail_loop:
    (void)uv_loop_close(&server->uv);
fail_free:
    free(server);
fail:
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory or descriptors for the server");
}

static void close_handle(uv_handle_t *handle, void *nothing)
{
    (void)nothing;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

struct server *server_destroy(struct server *server)
{
    if (server == NULL)
        return NULL;
    control_host_destroy(server->control);
    for (uint32_t i = 0; server->shard != NULL && i < server->options.shards; i++)
        shard_destroy(server->shard[i]);
    free(server->shard);
    if (server->state != SERVER_ENDED) { /* it never ran */
        mailbox_close(&server->mailbox);
        uv_walk(&server->uv, close_handle, NULL);
        (void)uv_run(&server->uv, UV_RUN_DEFAULT);
    }
    door_destroy(server->door);
    mailbox_deinit(&server->mailbox);
    const int busy = uv_loop_close(&server->uv);
    assert(busy == 0);
    (void)busy;
    free(server);
    return NULL;
}

enum stepd_status server_define(struct server *server, const char *name,
                                const struct stepd_define_job *def, struct stepd_error *reterr)
{
    return control_define(control_host_control(server->control), name, def, reterr);
}

enum stepd_status server_redefine(struct server *server, const char *name,
                                  const struct stepd_define_job *def, struct stepd_error *reterr)
{
    return control_redefine(control_host_control(server->control), name, def, reterr);
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

static void log_ready(const struct server *server)
{
    const struct server_options *const options = &server->options;
    const char *const isa = kernels_isa_name(options->isa);
    const char *const address = door_address(server->door);
    if (!address_is_loopback((const struct sockaddr *)&server->listen))
        log_event(options->log, LOG_WARN, "insecure", "listen=%s consequence=%s", address,
                  "whoever reaches this port can read and change every job: no TLS, no login");
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
    enum stepd_status status = limits_raise_descriptors(options->connections_max, options->shards,
                                                        &server->shared.descriptors, reterr);
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
    (void)uv_timer_start(&server->tick, on_tick, TICK_MS, TICK_MS);
    (void)uv_signal_start(&server->sigterm, on_signal, SIGTERM);
    (void)uv_signal_start(&server->sigint, on_signal, SIGINT);
    (void)uv_signal_start(&server->sighup, on_hangup, SIGHUP);
    enum stepd_status status = start(server, reterr);
    if (status == STEPD_OK) {
        log_ready(server);
    } else {
        cut(server);
        end_if_drained(server);
    }
    (void)uv_run(&server->uv, UV_RUN_DEFAULT);
    if (status == STEPD_OK && server->broken)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the server ran out of memory");
    log_event(server->options.log, LOG_INFO, "stopped", NULL);
    return status;
}
