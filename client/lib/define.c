/* SPDX-License-Identifier: Apache-2.0
 *
 * Defining a job, from top to bottom: DefineJob, the pages of DefineTensors, the pages of Layout,
 * one link to each shard that owns slices, the values of rank 0. Only when all of that has worked
 * is the layout published, and training may begin; a failure leaves the client as it was, and
 * define may be called again.
 */
#include "client/lib/assign.h"
#include "client/lib/call.h"
#include "client/lib/client.h"
#include "client/lib/core/definition.h"
#include "client/lib/core/options.h"
#include "client/lib/net/clock.h"
#include "proto/error.h"

/* The shards make the first weights before the last page of tensors is answered: at the least so
 * many elements in a millisecond. */
#define ELEMENTS_PER_MS 16384u

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the layout");
}

/* ---- Job and tensors ------------------------------------------------------------------------- */

static enum stepd_status on_job_defined(void *user, const struct stepd_message *reply,
                                        struct stepd_error *reterr)
{
    struct stepd_client *const client = user;
    (void)reterr;
    atomic_store(&client->world, reply->body.job_defined.world);
    return STEPD_OK;
}

static enum stepd_status define_job(struct stepd_client *client,
                                    const struct stepd_job_options *job, struct stepd_arena *arena,
                                    struct stepd_error *reterr)
{
    struct stepd_job_options chosen = STEPD_JOB_OPTIONS_INIT;
    if (!stepd_options_take(&chosen, sizeof chosen, job, job->size))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "job options: start from STEPD_JOB_OPTIONS_INIT");
    if (job->size < sizeof chosen && chosen.groups_count > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "this program was built with an older <stepd/client.h>, whose groups are "
                          "shorter: compile it again");
    struct stepd_message message = {.kind = STEPD_MESSAGE_DEFINE_JOB};
    const enum stepd_status status =
        stepd_definition_of_job(&chosen, arena, &message.body.define_job, reterr);
    if (status != STEPD_OK)
        return status;
    return stepd_call_within(client, &message, client->connect_timeout_ms, on_job_defined, client,
                             reterr);
}

/* A product that wraps does no harm: the server refuses such a shape at once. */
static uint64_t opening_ms(const struct stepd_tensor *tensors, size_t count)
{
    uint64_t ms = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t elements = 1;
        for (size_t d = 0; d < tensors[i].dims; d++)
            elements *= tensors[i].shape[d];
        ms += elements / ELEMENTS_PER_MS;
    }
    return ms;
}

static enum stepd_status define_tensors(struct stepd_client *client,
                                        const struct stepd_tensor *tensors, size_t count,
                                        struct stepd_arena *arena, struct stepd_error *reterr)
{
    const uint64_t wait_ms = client->connect_timeout_ms + opening_ms(tensors, count);
    enum stepd_status status = STEPD_OK;
    for (size_t first = 0; first < count && status == STEPD_OK;) {
        struct stepd_message message = {.kind = STEPD_MESSAGE_DEFINE_TENSORS};
        stepd_arena_reset(arena);
        status = stepd_definition_page(tensors, count, first, arena, &message.body.define_tensors,
                                       reterr);
        if (status == STEPD_OK)
            status = stepd_call_within(client, &message, wait_ms, NULL, NULL, reterr);
        first += message.body.define_tensors.tensors;
    }
    return status;
}

/* ---- Layout and links ------------------------------------------------------------------------ */

static enum stepd_status on_layout(void *user, const struct stepd_message *reply,
                                   struct stepd_error *reterr)
{
    return stepd_layout_add(user, &reply->body.layout, reterr);
}

static enum stepd_status get_layout(struct stepd_client *client, uint32_t deadline_ms,
                                    struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_GET_LAYOUT,
        .body.get_layout = {.deadline_ms = deadline_ms},
    };
    const uint64_t wait_ms = (uint64_t)client->connect_timeout_ms + deadline_ms;
    const enum stepd_status status =
        stepd_call_within(client, &message, wait_ms, on_layout, &client->table, reterr);
    if (status != STEPD_OK)
        return status;
    return stepd_layout_seal(&client->table, client->shards, reterr);
}

/* What a shard's Welcome is for. */
struct greeted {
    struct stepd_client *client;
    uint32_t shard;
};

/*
 * A rank that was here before goes on from what this shard itself has counted of it. Control's
 * clock is no substitute: it is told later, and one that is too high would leave a gap, which the
 * shard refuses, where one that is too low only repeats what it answers with DUPLICATE.
 */
static enum stepd_status on_welcome(void *user, const struct stepd_message *reply,
                                    struct stepd_error *reterr)
{
    const struct greeted *const greeted = user;
    struct stepd_client *const client = greeted->client;
    const struct stepd_welcome *const welcome = &reply->body.welcome;
    const size_t frame_max =
        welcome->max_frame_bytes == 0 ? STEPD_FRAME_MAX_BYTES : welcome->max_frame_bytes;
    (void)reterr;
    stepd_exchange_resume(&client->exchange, greeted->shard, welcome->clock);
    if (frame_max < client->exchange.frame_max_bytes)
        client->exchange.frame_max_bytes = frame_max;
    return STEPD_OK;
}

static enum stepd_status open_shards(struct stepd_client *client, struct stepd_error *reterr)
{
    const uint64_t until_ms = stepd_clock_ms() + client->connect_timeout_ms;
    enum stepd_status status = STEPD_OK;
    for (uint32_t shard = 1; shard <= client->shards && status == STEPD_OK; shard++) {
        struct greeted greeted = {.client = client, .shard = shard};
        if (stepd_layout_uses(&client->table, shard))
            status = stepd_hello(client, shard, until_ms, on_welcome, &greeted, reterr);
    }
    return status;
}

/* ---- Beginning to train ---------------------------------------------------------------------- */

/* Gives the exchange to the loop's thread. */
struct adopt_letter {
    struct stepd_letter letter; /* first */
    struct stepd_client *client;
    atomic_bool done;
};

static void deliver_adopt(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct adopt_letter *const adopt = (struct adopt_letter *)letter;
    stepd_loop_use_exchange(loop, &adopt->client->exchange);
    stepd_mailbox_raise(stepd_loop_mailbox(loop), &adopt->done);
}

static void publish(struct stepd_client *client)
{
    struct adopt_letter adopt = {.letter = {.deliver = deliver_adopt}, .client = client};
    stepd_loop_post(client->loop, &adopt.letter);
    (void)stepd_mailbox_await(stepd_loop_mailbox(client->loop), &adopt.done, 0);
    atomic_store(&client->world, client->table.world);
    atomic_store(&client->layout, &client->table);
}

static enum stepd_status init_exchange(struct stepd_client *client, struct stepd_error *reterr)
{
    struct stepd_exchange *const exchange = &client->exchange;
    if (stepd_exchange_init(exchange, &client->table, client->shards,
                            stepd_loop_pending(client->loop)) != STEPD_OK)
        return no_memory(reterr);
    exchange->push_dtype = client->push_dtype;
    exchange->pull_dtype = client->pull_dtype;
    exchange->frame_max_bytes = client->frame_max_bytes;
    exchange->clock = client->clock; /* a Leave must not fall behind what control knows */
    return STEPD_OK;
}

/* From the layout to a client that can train; values are sent where tensors are given. */
static enum stepd_status settle_in(struct stepd_client *client, uint32_t deadline_ms,
                                   const struct stepd_tensor *tensors, size_t count,
                                   struct stepd_error *reterr)
{
    stepd_layout_init(&client->table);
    enum stepd_status status = get_layout(client, deadline_ms, reterr);
    if (status == STEPD_OK && tensors != NULL)
        status = stepd_definition_match(&client->table, tensors, count, reterr);
    if (status == STEPD_OK)
        status = init_exchange(client, reterr);
    if (status == STEPD_OK)
        status = open_shards(client, reterr);
    if (status == STEPD_OK && tensors != NULL && client->rank == 0 && !client->observer)
        status = stepd_assign(client, &client->table, tensors, reterr);
    if (status == STEPD_OK) {
        publish(client);
        return STEPD_OK;
    }
    stepd_exchange_deinit(&client->exchange);
    stepd_layout_deinit(&client->table);
    return status;
}

static enum stepd_status refuse_second(const struct stepd_client *client,
                                       struct stepd_error *reterr)
{
    if (stepd_client_layout(client) == NULL)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "this client has its job's tensors already");
}

enum stepd_status stepd_define(struct stepd_client *client, const struct stepd_job_options *job,
                               const struct stepd_tensor *tensors, size_t count,
                               struct stepd_error *reterr)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_DEFINITION_MAX_BYTES);
    enum stepd_status status = refuse_second(client, reterr);
    if (status == STEPD_OK)
        status = stepd_definition_check(tensors, count, client->rank == 0, reterr);
    if (status == STEPD_OK && job != NULL)
        status = define_job(client, job, &arena, reterr);
    if (status == STEPD_OK)
        status = define_tensors(client, tensors, count, &arena, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        status = settle_in(client, /* deadline_ms= */ 0, tensors, count, reterr);
    return status;
}

enum stepd_status stepd_attach(struct stepd_client *client, uint32_t timeout_ms,
                               struct stepd_error *reterr)
{
    const enum stepd_status status = refuse_second(client, reterr);
    if (status != STEPD_OK)
        return status;
    /* On the wire 0 means as long as the server likes. */
    return settle_in(client, timeout_ms == 0 ? 1 : timeout_ms, NULL, 0, reterr);
}
