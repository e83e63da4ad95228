/* SPDX-License-Identifier: Apache-2.0
 *
 * Making a server of its options, what it is told before it runs, and the way back.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "server/net/address.h"
#include "server/net/server_internal.h"
#include "server/net/socket.h"

/* Is this an address that a daemon without TLS may listen on? A token that goes over a network in
 * clear is soon somebody else's. */
static enum stepd_status check_exposure(const struct server_options *options,
                                        const struct sockaddr_storage *listen,
                                        struct stepd_error *reterr)
{
    const bool tls = options->tls_cert[0] != '\0';
    const bool login = options->login || options->tls_client_ca[0] != '\0';
    if (options->insecure || address_is_loopback((const struct sockaddr *)listen) || (tls && login))
        return STEPD_OK;
    if (tls)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "listen: %.80s can be reached from other machines, and TLS alone keeps "
                          "nobody out: name an access_file or a tls_client_ca, or say --insecure "
                          "if the network is trusted",
                          options->listen);
    return stepd_fail(
        reterr, STEPD_FAILED_PRECONDITION,
        "listen: %.80s can be reached from other machines, and there is %s: listen on "
        "127.0.0.1, or say --insecure if the network is trusted",
        options->listen,
        options->login ? "no TLS, so that tokens would go over the network in clear"
                       : "neither TLS nor login");
}

/* Does what is sent to this host stay on this machine? The resolver is not asked: it may not know
 * the host yet. */
static bool stays_here(const char *host)
{
    const bool is_number = strspn(host, "0123456789.") == strlen(host);
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (is_number && strncmp(host, "127.", 4) == 0);
}

/* May a member show its token to the first of peers? */
static enum stepd_status check_peer_token(const struct server_options *options,
                                          struct stepd_error *reterr)
{
    struct address first;
    if (options->peers < 2 || options->place == 0 || options->peer_token == NULL ||
        options->peer_token[0] == '\0' || options->tls_cert[0] != '\0' || options->insecure)
        return STEPD_OK;
    const enum stepd_status status = address_parse(options->peer[0], &first, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, STEPD_FAILED_PRECONDITION, "peers");
    if (stays_here(first.host))
        return STEPD_OK;
    return stepd_fail(
        reterr, STEPD_FAILED_PRECONDITION,
        "peer_token_file: a token would go to %.100s in clear, and whoever listens on "
        "the way could use it: name tls_cert and tls_key, or say --insecure if the "
        "network is trusted",
        options->peer[0]);
}

static enum stepd_status check_tls(const struct server_options *options, struct stepd_error *reterr)
{
    const bool certificate = options->tls_cert[0] != '\0';
    if (certificate != (options->tls_key[0] != '\0'))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "tls_cert and tls_key belong together: name both or neither");
    if (!certificate && options->tls_client_ca[0] != '\0')
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "tls_client_ca needs tls_cert and tls_key as well");
    return STEPD_OK;
}

static struct tls_files files_of(const struct server_options *options)
{
    return (struct tls_files){
        .certificate = options->tls_cert,
        .key = options->tls_key,
        .client_ca = options->tls_client_ca,
        .client_must = !options->login, /* otherwise a token may do */
    };
}

enum stepd_status server_reload_tls(struct server *server, struct stepd_error *reterr)
{
    const struct tls_files files = files_of(&server->options);
    const enum stepd_status status =
        server->tls == NULL ? STEPD_OK : tls_server_reload(server->tls, &files, reterr);
    server->expiry.next_ms = 0;
    return status == STEPD_OK ? server_peers_read_tls(server, reterr) : status;
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
    status = check_tls(options, reterr);
    if (status == STEPD_OK)
        status = check_exposure(options, ret_listen, reterr);
    if (status == STEPD_OK)
        status = check_peer_token(options, reterr);
    if (status == STEPD_OK)
        status = socket_check_congestion(options->tcp_congestion, reterr);
    return status;
}

/* A quarter of the connections, where nobody says otherwise, and never more than there are. */
static uint32_t unauthenticated_max(const struct server_options *options)
{
    const uint32_t quarter = (options->connections_max + 3) / 4;
    const uint32_t most = options->unauthenticated_max;
    if (most == 0)
        return quarter;
    return most < options->connections_max ? most : options->connections_max;
}

/* Whoever waits for an answer is not idle. */
static uint32_t idle_timeout_ms(const struct server_options *options)
{
    const uint32_t idle_ms = options->idle_timeout_ms;
    return idle_ms == 0 || idle_ms >= options->wait_max_ms ? idle_ms : options->wait_max_ms;
}

/* What status shows as the most of each. */
static void fill_limits(struct server *server)
{
    const struct server_options *const options = &server->options;
    const uint64_t job = options->job_memory_max_bytes;
    const uint64_t max[LIMITS] = {
        [LIMIT_CONNECTIONS] = options->connections_max,
        [LIMIT_UNAUTHENTICATED] = unauthenticated_max(options),
        [LIMIT_HELLO_TIME] = options->hello_timeout_ms,
        [LIMIT_HELLO_BYTES] = options->hello_max_bytes,
        [LIMIT_HANDSHAKE_BYTES] = options->handshake_max_bytes,
        [LIMIT_FRAME_BYTES] = options->frame_max_bytes,
        [LIMIT_READ_TIME] = options->read_timeout_ms,
        [LIMIT_WRITE_TIME] = options->write_timeout_ms,
        [LIMIT_IDLE_TIME] = idle_timeout_ms(options),
        [LIMIT_UNSENT_BYTES] = options->unsent_max_bytes,
        [LIMIT_REFUSALS] = options->refusals_max_per_s,
        [LIMIT_REQUESTS] = options->requests_max,
        [LIMIT_OBSERVERS] = options->observers_max,
        [LIMIT_JOBS] = options->jobs_max,
        [LIMIT_TENSORS] = options->tensors_max,
        [LIMIT_DEFINITIONS] = options->definitions_max_bytes,
        [LIMIT_JOB_MEMORY] = job > 0 ? job : options->memory_max_bytes,
        [LIMIT_MEMORY] = options->memory_max_bytes,
        [LIMIT_OLD_VERSIONS] = options->old_versions_max_bytes,
        [LIMIT_SHARED] = options->shared_max_bytes,
    };
    for (size_t i = 0; i < LIMITS; i++)
        server->limits.max[i] = max[i];
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
                .job_memory_max_bytes = options->job_memory_max_bytes,
                .drafts_max_bytes = options->definitions_max_bytes,
                .tensors_max = options->tensors_max,
                .observers_max = options->observers_max,
                .limits = &server->limits,
                .server_version = options->version,
                .checkpoint_every_steps = options->checkpoint_every_steps,
                .checkpoint_every_ms = options->checkpoint_every_ms,
                .checkpoint_on_exit = options->checkpoint_on_exit,
            },
        .unsent_max_bytes = options->unsent_max_bytes,
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
        .idle_timeout_ms = idle_timeout_ms(options),
        .refusals_max_per_s = options->refusals_max_per_s,
        .owner = server,
        .ordered = server_is_first(server) ? server_ordered : NULL,
        .arrived = server_is_first(server) ? server_arrived : NULL,
        .daemons = options->peers > 1 ? server_daemons : NULL,
        .order = server_bring_order,
        .known = server_known,
        .gone = server_gone,
        .checkpoint = options->checkpoint == NULL ? NULL : server_checkpoint,
        .fetch = options->fetch == NULL ? NULL : server_fetch,
    };
    return control_host_create(&host, &server->control);
}

static enum stepd_status create_door(struct server *server)
{
    const struct server_options *const options = &server->options;
    const struct door_options door = {
        .uv = &server->uv,
        .log = options->log,
        .shards = options->peers > 1 && options->place > 0
                      ? (struct door_shards){.first = 0}
                      : (struct door_shards){.first = 1, .count = options->shards},
        .connections_max = options->connections_max,
        .reserved = server_is_first(server) ? (uint32_t)options->peers - 1 : 0,
        .unauthenticated_max = unauthenticated_max(options),
        .hello_timeout_ms = options->hello_timeout_ms,
        .hello_max_bytes = options->hello_max_bytes,
        .handshake_max_bytes = options->handshake_max_bytes,
        .limits = &server->limits,
        .tls = server->tls,
        .tcp_congestion = options->tcp_congestion,
        .owner = server,
        .admit = server_admit,
        .join = server_is_first(server) ? server_join : NULL,
        .refuse = server_refuse,
        .make_room = server_make_room,
    };
    server->door = door_create(&door);
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
                    .requests_max = options->requests_max,
                    .limits = &server->limits,
                },
            .unsent_max_bytes = options->unsent_max_bytes,
            .write_timeout_ms = options->write_timeout_ms,
            .read_timeout_ms = options->read_timeout_ms,
            .idle_timeout_ms = idle_timeout_ms(options),
            .refusals_max_per_s = options->refusals_max_per_s,
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
    if (status == STEPD_OK)
        status = server_peers_create(server);
    return status;
}

enum stepd_status server_create(const struct server_options *options, struct server **ret_server,
                                struct stepd_error *reterr)
{
    struct sockaddr_storage listen;
    const enum stepd_status checked = check_options(options, &listen, reterr);
    if (checked != STEPD_OK)
        return checked;
    struct tls_server *tls = NULL;
    const struct tls_files files = files_of(options);
    const enum stepd_status read =
        options->tls_cert[0] == '\0' ? STEPD_OK : tls_server_create(&files, &tls, reterr);
    if (read != STEPD_OK)
        return read;
    struct server *const server = malloc(sizeof *server);
    if (server == NULL)
        goto fail;
    *server = (struct server){.options = *options,
                              .listen = listen,
                              .tls = tls,
                              .supervisor.fd = -1,
                              .shared.bytes = options->shared_max_bytes};
    fill_limits(server);
    if (uv_loop_init(&server->uv) != 0)
        goto fail_free;
    if (mailbox_init(&server->mailbox, &server->uv, server_deliver, server) != STEPD_OK)
        goto fail_loop;
    if (server_peers_read_tls(server, reterr) != STEPD_OK) {
        server_destroy(server);
        return reterr->code;
    }
    if (create_parts(server) != STEPD_OK) {
        server_destroy(server);
        tls = NULL;
        goto fail;
    }
    *ret_server = server;
    return STEPD_OK;
fail_loop:
    (void)uv_loop_close(&server->uv);
fail_free:
    free(server);
fail:
    (void)tls_server_destroy(tls);
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
    server_peers_destroy(server);
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
    (void)tls_server_destroy(server->tls);
    (void)tls_client_destroy(server->tls_peer);
    free(server->reign.resets);
    free(server);
    return NULL;
}

void server_admit_by(struct server *server, struct access_list *list)
{
    control_admit(control_host_control(server->control), list);
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

enum stepd_status server_restore(struct server *server, struct job_snapshot *snapshot,
                                 struct job_state *state, struct stepd_error *reterr)
{
    return control_restore(control_host_control(server->control), snapshot, state,
                           uv_now(&server->uv), reterr);
}
