/* SPDX-License-Identifier: Apache-2.0
 *
 * The beginning and the end of a client: its options, its first hello, and its release.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/client.h"
#include "client/lib/core/address.h"
#include "client/lib/core/options.h"
#include "client/lib/net/chance.h"
#include "client/lib/net/clock.h"
#include "client/lib/net/tls.h"
#include "proto/dtype.h"
#include "proto/error.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a client");
}

static enum stepd_status check_options(const struct stepd_options *options,
                                       struct stepd_error *reterr)
{
    struct stepd_address address;
    if (options->address == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "options.address is NULL");
    if (!options->observer && (options->job == NULL || options->job[0] == '\0'))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "options.job is missing");
    if (options->rank < -1 || options->rank >= (int)STEPD_WORKERS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "options.rank is %d; a rank is 0 to %u, or -1 for any", options->rank,
                          STEPD_WORKERS_MAX - 1);
    if (!stepd_dtype_known((uint32_t)options->push_dtype) ||
        !stepd_dtype_known((uint32_t)options->pull_dtype))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "options: unknown dtype");
    const enum stepd_status status = stepd_address_parse(options->address, &address, reterr);
    const bool trusts = options->tls_ca != NULL || options->tls_cert != NULL ||
                        options->tls_key != NULL || options->tls_name != NULL;
    /* Behind a Unix socket there may be daemons that are dialled by TLS. */
    if (status == STEPD_OK && trusts && !address.tls && !address.local)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "options.tls_* are for TLS, and %s is dialled without: write tls:%s",
                          options->address, options->address);
    if (status != STEPD_OK || options->token == NULL || options->token[0] == '\0' ||
        options->insecure || address.tls || stepd_address_stays_here(&address))
        return status;
    return stepd_fail(
        reterr, STEPD_INVALID_ARGUMENT,
        "a token would go to %s in clear, and whoever listens on the way could use it: "
        "dial tls:%s, or set options.insecure (--insecure) if the network is trusted",
        options->address, options->address);
}

/* "host:pid". */
static char *own_name(void)
{
    char name[STEPD_NAME_MAX_BYTES + 1];
    char host[128] = "worker";
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(name, sizeof name, "%s:%ld", host, (long)getpid());
    return strdup(name);
}

static char *copy_or_empty(const char *text)
{
    return strdup(text == NULL ? "" : text);
}

static void init_brain(struct stepd_client *client, const struct stepd_options *options)
{
    client->brain.hooks = stepd_hooks_of(client);
    client->brain.self = (struct stepd_self){
        .address = client->address,
        .job = client->job,
        .worker = client->worker,
        .token = client->token,
        .observer = options->observer,
        .shares_memory = !options->sockets_only,
        .lease_ms = options->lease_ms,
        .rank = options->rank,
    };
    stepd_chance_fill(client->brain.self.id, sizeof client->brain.self.id);
}

/* Whom to trust, where the address wants TLS. */
static enum stepd_status trust(struct stepd_client *client, const struct stepd_options *options,
                               struct stepd_error *reterr)
{
    struct stepd_address address;
    enum stepd_status status = stepd_address_parse(options->address, &address, reterr);
    const bool trusts =
        options->tls_ca != NULL || options->tls_cert != NULL || options->tls_key != NULL;
    if (status != STEPD_OK || (!address.tls && !trusts))
        return status;
    const struct stepd_trust_options trusted = {
        .ca = options->tls_ca,
        .certificate = options->tls_cert,
        .key = options->tls_key,
        .name = options->tls_name,
    };
    status = stepd_trust_create(&trusted, &client->trust, reterr);
    if (status == STEPD_OK)
        stepd_loop_trust(client->loop, client->trust);
    return status;
}

static enum stepd_status create(const struct stepd_options *options,
                                struct stepd_client **ret_client, struct stepd_error *reterr)
{
    struct stepd_client *const client = calloc(1, sizeof *client);
    if (client == NULL)
        return no_memory(reterr);
    if (pthread_mutex_init(&client->ops_mutex, NULL) != 0) {
        free(client);
        return no_memory(reterr);
    }
    client->address = strdup(options->address);
    client->job = copy_or_empty(options->job);
    client->worker = options->worker == NULL ? own_name() : strdup(options->worker);
    client->token = copy_or_empty(options->token);
    client->push_dtype = options->push_dtype;
    client->pull_dtype = options->pull_dtype;
    client->connect_timeout_ms = options->connect_timeout_ms;
    client->on_event = options->on_event;
    client->event_user = options->event_user;
    client->interrupted = options->interrupted;
    init_brain(client, options);
    enum stepd_status status = STEPD_OK;
    if (client->address == NULL || client->job == NULL || client->worker == NULL ||
        client->token == NULL)
        status = no_memory(reterr);
    if (status == STEPD_OK)
        status = stepd_loop_create(&client->brain, options->reconnect_timeout_ms,
                                   options->busy_poll_us, &client->loop, reterr);
    if (status == STEPD_OK)
        status = trust(client, options, reterr);
    if (status == STEPD_OK)
        *ret_client = client;
    else
        (void)stepd_close(client);
    return status;
}

enum stepd_status stepd_connect(const struct stepd_options *options,
                                struct stepd_client **ret_client, struct stepd_error *reterr)
{
    struct stepd_options chosen = STEPD_OPTIONS_INIT;
    if (options == NULL || !stepd_options_take(&chosen, sizeof chosen, options, options->size))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "options: start from STEPD_OPTIONS_INIT");
    enum stepd_status status = check_options(&chosen, reterr);
    if (status != STEPD_OK)
        return status;
    struct stepd_client *client = NULL;
    status = create(&chosen, &client, reterr);
    if (status != STEPD_OK)
        return status;
    const uint64_t until_ms = stepd_clock_ms() + chosen.connect_timeout_ms;
    const uint32_t control = 0;
    status = stepd_open(client, &control, 1, until_ms, reterr);
    if (status == STEPD_OK)
        *ret_client = client;
    else
        (void)stepd_close(client);
    return status;
}

static void free_ops(struct stepd_client *client)
{
    struct stepd_op *next;
    for (struct stepd_op *op = client->ops; op != NULL; op = next) {
        next = op->next;
        stepd_operation_deinit(&op->operation);
        free(op);
    }
    client->ops = NULL;
}

struct stepd_client *stepd_close(struct stepd_client *client)
{
    if (client == NULL)
        return NULL;
    client->loop = stepd_loop_destroy(client->loop);
    client->trust = stepd_trust_destroy(client->trust);
    free_ops(client);
    client->home = stepd_home_destroy(client->home);
    client->rooms = stepd_rooms_destroy(client->rooms);
    stepd_brain_deinit(&client->brain);
    free(client->address);
    free(client->job);
    free(client->worker);
    free(client->token);
    (void)pthread_mutex_destroy(&client->ops_mutex);
    free(client);
    return NULL;
}

uint32_t stepd_rank(const struct stepd_client *client)
{
    return (uint32_t)client->brain.self.rank;
}

uint32_t stepd_world(const struct stepd_client *client)
{
    return atomic_load(&client->world);
}

const struct stepd_layout_table *stepd_client_layout(const struct stepd_client *client)
{
    return atomic_load(&client->layout);
}
