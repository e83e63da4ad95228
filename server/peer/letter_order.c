/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders: every field of any, whatever its kind, so that none is forgotten where a kind begins to
 * use it.
 */
#include <string.h>

#include "proto/error.h"
#include "server/peer/letter_internal.h"

/* "job/step-00001200" */
#define CHECKPOINT_MAX_BYTES (STEPD_NAME_MAX_BYTES + 1u + STEPD_CHECKPOINT_NAME_BYTES)

/* ---- Writing --------------------------------------------------------------------------------- */

/* What cannot travel must be named, or the shard would begin with something else. */
static enum stepd_status check(const struct order *order, struct stepd_error *reterr)
{
    if (order->state != NULL && order->checkpoint == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' goes on from a state that is in no checkpoint, which shards of "
                          "other daemons cannot read",
                          order->job_name);
    if (order->first != NULL && !order->first_elsewhere)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' begins with weights that shards of other daemons cannot read",
                          order->job_name);
    return STEPD_OK;
}

static void put_order(struct peer_writer *writer, const struct order *order)
{
    peer_put_number(writer, order->kind);
    peer_put_text(writer, order->job_name);
    peer_put_job(writer, order->job);
    peer_put_text(writer, order->checkpoint);
    peer_put_number(writer, order->first_elsewhere);
    peer_put(writer, order->first_sum, sizeof order->first_sum);
    peer_put(writer, order->session, sizeof order->session);
    peer_put_number(writer, order->epoch);
    peer_put_text(writer, order->worker);
    peer_put_number(writer, order->observer);
    peer_put_number(writer, order->rank);
    peer_put_number(writer, order->from);
    peer_put_number(writer, order->clock);
    peer_put_number(writer, order->last_clock);
    peer_put_number(writer, order->query);
    peer_put_number(writer, order->durable);
    peer_put_number(writer, order->last);
    peer_put_number(writer, order->change);
    peer_put_number(writer, order->version);
    peer_put_number(writer, order->verdict);
    peer_put_error(writer, &order->error);
    peer_put_number(writer, order->factors);
    for (size_t i = 0; i < order->factors; i++)
        peer_put_float(writer, order->factor[i]);
    peer_put_u32s(writer, order->rank_list, order->ranks);
    peer_put_changes(writer, order->groups);
}

enum stepd_status peer_order_pack(const struct order *order, uint32_t shard, uint32_t shards,
                                  struct peer_bytes **ret_bytes, struct stepd_error *reterr)
{
    char what[STEPD_NAME_MAX_BYTES + 40];
    struct peer_writer writer = {.n = 0};
    const enum stepd_status status = check(order, reterr);
    if (status != STEPD_OK)
        return status;
    peer_put_number(&writer, PEER_ORDER);
    peer_put_number(&writer, shard);
    peer_put_number(&writer, shards);
    put_order(&writer, order);
    (void)stepd_format(what, sizeof what, "an order about job '%s'", order->job_name);
    return peer_writer_end(&writer, what, ret_bytes, reterr);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static float *take_factors(struct peer_reader *reader, size_t *ret_count)
{
    const size_t count = peer_take_count(reader, "factors", STEPD_TENSORS_MAX, sizeof(float));
    float *const factor = peer_reader_own_array(reader, count, sizeof *factor);
    for (size_t i = 0; factor != NULL && i < count; i++)
        factor[i] = peer_take_float(reader, "factors");
    *ret_count = factor == NULL ? 0 : count;
    return factor;
}

static void take_session(struct peer_reader *reader, struct order *order)
{
    const uint8_t *const session = peer_take(reader, "session", sizeof order->session);
    if (session != NULL)
        memcpy(order->session, session, sizeof order->session);
    order->epoch = peer_take_number(reader, "epoch", UINT64_MAX);
    order->worker = peer_take_own_text(reader, "worker", STEPD_NAME_MAX_BYTES);
    order->observer = peer_take_bool(reader, "observer");
}

static void take_sum(struct peer_reader *reader, struct order *order)
{
    const uint8_t *const sum = peer_take(reader, "first_sum", sizeof order->first_sum);
    if (sum == NULL)
        return;
    memcpy(order->first_sum, sum, sizeof order->first_sum);
    order->first_sum[sizeof order->first_sum - 1] = '\0';
}

static void take_rest(struct peer_reader *reader, struct order *order)
{
    order->job = peer_take_job(reader);
    order->checkpoint = peer_take_own_text(reader, "checkpoint", CHECKPOINT_MAX_BYTES);
    order->first_elsewhere = peer_take_bool(reader, "first_elsewhere");
    take_sum(reader, order);
    take_session(reader, order);
    order->rank = peer_take_u32(reader, "rank", UINT32_MAX);
    order->from = peer_take_number(reader, "from", UINT64_MAX);
    order->clock = peer_take_number(reader, "clock", UINT64_MAX);
    order->last_clock = peer_take_number(reader, "last_clock", UINT64_MAX);
    order->query = peer_take_number(reader, "query", UINT64_MAX);
    order->durable = peer_take_bool(reader, "durable");
    order->last = peer_take_bool(reader, "last");
    order->change = (enum order_change)peer_take_number(reader, "change", ORDER_CHANGE_GROUPS);
    order->version = peer_take_number(reader, "version", UINT64_MAX);
    order->verdict = (enum order_verdict)peer_take_number(reader, "verdict", ORDER_HALT);
    peer_take_error(reader, "error", &order->error);
    order->factor = take_factors(reader, &order->factors);
    order->rank_list = peer_take_own_u32s(reader, "ranks", STEPD_WORKERS_MAX, &order->ranks);
    order->groups = peer_take_changes(reader);
}

struct order *peer_take_order(struct peer_reader *reader)
{
    const enum order_kind kind =
        (enum order_kind)peer_take_number(reader, "kind of order", ORDER_RESET);
    const char *const job_name = peer_take_job_name(reader);
    if (reader->status != STEPD_OK)
        return NULL;
    struct order *const order = order_create(kind, job_name);
    if (order == NULL) {
        peer_reader_no_memory(reader);
        return NULL;
    }
    take_rest(reader, order);
    return reader->status == STEPD_OK ? order : order_destroy(order);
}
