/* SPDX-License-Identifier: Apache-2.0
 *
 * Defining a job, from top to bottom: DefineJob, the pages of DefineTensors, the pages of Layout,
 * one link to each shard that owns slices, the values of rank 0. All of it is said again by itself
 * where a connection is lost in between. Only when all of that has worked is the layout published,
 * and training may begin; a failure leaves the client as it was, and define may be called again.
 */
#include <assert.h>
#include <stdlib.h>

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

static void on_layout_again(void *user)
{
    stepd_layout_deinit(user);
    stepd_layout_init(user);
}

static enum stepd_status get_layout(struct stepd_client *client, uint32_t deadline_ms,
                                    struct stepd_layout_table *table, struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_GET_LAYOUT,
        .body.get_layout = {.deadline_ms = deadline_ms},
    };
    const struct stepd_call_options options = {
        .wait_ms = (uint64_t)client->connect_timeout_ms + deadline_ms,
        .on_reply = on_layout,
        .on_again = on_layout_again,
        .user = table,
    };
    const enum stepd_status status = stepd_call_with(client, &message, &options, reterr);
    if (status != STEPD_OK)
        return status;
    return stepd_layout_seal(table, atomic_load(&client->shards), reterr);
}

static enum stepd_status open_shards(struct stepd_client *client,
                                     const struct stepd_layout_table *table,
                                     struct stepd_error *reterr)
{
    const uint64_t until_ms = stepd_clock_ms() + client->connect_timeout_ms;
    const uint32_t shards = atomic_load(&client->shards);
    uint32_t *const used = malloc((shards + (size_t)1) * sizeof *used);
    size_t count = 0;
    if (used == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %u shards", shards);
    for (uint32_t shard = 1; shard <= shards; shard++) {
        if (stepd_layout_uses(table, shard))
            used[count++] = shard;
    }
    const enum stepd_status status = stepd_open(client, used, count, until_ms, reterr);
    free(used);
    return status;
}

/* ---- Homes ----------------------------------------------------------------------------------- */

static enum stepd_status create_home(struct stepd_client *client, uint32_t deadline_ms,
                                     const struct stepd_tensor *tensors, size_t count,
                                     struct stepd_home **ret_home, struct stepd_error *reterr)
{
    struct stepd_home *const home = stepd_home_create();
    if (home == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the layout");
    enum stepd_status status = get_layout(client, deadline_ms, &home->table, reterr);
    if (status == STEPD_OK && tensors != NULL)
        status = stepd_definition_match(&home->table, tensors, count, reterr);
    if (status == STEPD_OK)
        status = stepd_home_furnish(home, &client->brain, client->push_dtype, client->pull_dtype,
                                    reterr);
    if (status == STEPD_OK)
        *ret_home = home;
    else
        (void)stepd_home_destroy(home);
    return status;
}

/* Has the loop's thread work with another home. */
struct move_letter {
    struct stepd_mail letter; /* first */
    struct stepd_client *client;
    struct stepd_home *home; /* NULL: none */
    bool back;               /* to one that does not hold any more */
    atomic_bool done;
};

static void deliver_move(struct stepd_loop *loop, struct stepd_mail *letter)
{
    struct move_letter *const move = (struct move_letter *)letter;
    struct stepd_client *const client = move->client;
    client->home = move->home;
    atomic_store(&client->rolled_back, move->back);
    stepd_brain_move(stepd_loop_brain(loop), move->home, move->back);
    stepd_mailbox_raise(stepd_loop_mailbox(loop), &move->done);
}

static void move_to(struct stepd_client *client, struct stepd_home *home, bool back)
{
    struct move_letter move = {
        .letter = {.deliver = deliver_move}, .client = client, .home = home, .back = back};
    (void)stepd_loop_ask(client->loop, &move.letter, &move.done, 0);
}

/* ---- Beginning to train ---------------------------------------------------------------------- */

/* From the layout to a client that can train; values are sent where tensors are given. */
static enum stepd_status settle_in(struct stepd_client *client, uint32_t deadline_ms,
                                   const struct stepd_tensor *tensors, size_t count,
                                   struct stepd_error *reterr)
{
    struct stepd_home *home = NULL;
    enum stepd_status status = create_home(client, deadline_ms, tensors, count, &home, reterr);
    if (status != STEPD_OK)
        return status;
    assert(home != NULL);
    struct stepd_home *const before = client->home;
    move_to(client, home, /* back= */ false);
    status = open_shards(client, &home->table, reterr);
    if (status == STEPD_OK && tensors != NULL && client->brain.self.rank == 0 &&
        !client->brain.self.observer)
        status = stepd_assign(client, &home->table, tensors, reterr);
    if (status != STEPD_OK) {
        const bool went_back = atomic_load(&client->rolled_back) && status != STEPD_ROLLED_BACK;
        move_to(client, before, /* back= */ true);
        (void)stepd_home_destroy(home);
        return went_back ? stepd_fail_in(reterr, STEPD_ROLLED_BACK, "the server went back")
                         : status;
    }
    home->older = before;
    atomic_store(&client->world, home->table.world);
    atomic_store(&client->layout, &home->table);
    return STEPD_OK;
}

static enum stepd_status refuse_second(const struct stepd_client *client,
                                       struct stepd_error *reterr)
{
    if (stepd_client_layout(client) == NULL || atomic_load(&client->rolled_back))
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
        status = stepd_definition_check(tensors, count, client->brain.self.rank == 0, reterr);
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
