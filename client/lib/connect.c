/* SPDX-License-Identifier: Apache-2.0
 *
 * The beginning and the end of a client: its options, its first hello, and its release.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/call.h"
#include "client/lib/client.h"
#include "client/lib/core/address.h"
#include "client/lib/core/options.h"
#include "client/lib/net/clock.h"
#include "proto/dtype.h"
#include "proto/error.h"

/* A worker says that it lives three times in each lease. */
#define BEATS_PER_LEASE 3u

/* Caps what a server can make us remember. */
#define SHARDS_MAX 4096u

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
    return stepd_address_parse(options->address, &address, reterr);
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
    client->observer = options->observer;
    client->push_dtype = options->push_dtype;
    client->pull_dtype = options->pull_dtype;
    client->lease_ms = options->lease_ms;
    client->connect_timeout_ms = options->connect_timeout_ms;
    client->rank = options->rank;
    enum stepd_status status = STEPD_OK;
    if (client->address == NULL || client->job == NULL || client->worker == NULL ||
        client->token == NULL)
        status = no_memory(reterr);
    if (status == STEPD_OK)
        status = stepd_loop_create(&client->loop, reterr);
    if (status == STEPD_OK)
        *ret_client = client;
    else
        (void)stepd_close(client);
    return status;
}

static enum stepd_status keep_addresses(struct stepd_client *client,
                                        const struct stepd_welcome *welcome,
                                        struct stepd_error *reterr)
{
    if (welcome->shards > SHARDS_MAX)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server names %zu shards; at most %u can be",
                          welcome->shards, SHARDS_MAX);
    client->shard_address = calloc(welcome->shards + 1, sizeof *client->shard_address);
    if (client->shard_address == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < welcome->shards; i++) {
        client->shard_address[i] = strdup(welcome->shard_address[i]);
        if (client->shard_address[i] == NULL)
            return no_memory(reterr);
        client->shards++;
    }
    return STEPD_OK;
}

/* In the loop's thread, while stepd_connect waits. */
static enum stepd_status on_welcome(void *user, const struct stepd_message *reply,
                                    struct stepd_error *reterr)
{
    struct stepd_client *const client = user;
    const struct stepd_welcome *const welcome = &reply->body.welcome;
    if (welcome->session.count != STEPD_SESSION_BYTES)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server's welcome names no session");
    memcpy(client->session, welcome->session.at, STEPD_SESSION_BYTES);
    client->rank = (int32_t)welcome->rank;
    client->clock = welcome->clock;
    client->frame_max_bytes =
        welcome->max_frame_bytes == 0 ? STEPD_FRAME_MAX_BYTES : welcome->max_frame_bytes;
    atomic_store(&client->world, welcome->world);
    if (welcome->lease_ms >= BEATS_PER_LEASE)
        stepd_loop_beat_every(client->loop, welcome->lease_ms / BEATS_PER_LEASE);
    return keep_addresses(client, welcome, reterr);
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
    status = stepd_hello(client, 0, until_ms, on_welcome, client, reterr);
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
    free_ops(client);
    if (stepd_client_layout(client) != NULL)
        stepd_exchange_deinit(&client->exchange);
    stepd_layout_deinit(&client->table);
    for (size_t i = 0; i < client->shards; i++)
        free(client->shard_address[i]);
    free(client->shard_address);
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
    return (uint32_t)client->rank;
}

uint32_t stepd_world(const struct stepd_client *client)
{
    return atomic_load(&client->world);
}

const struct stepd_layout_table *stepd_client_layout(const struct stepd_client *client)
{
    return atomic_load(&client->layout);
}
