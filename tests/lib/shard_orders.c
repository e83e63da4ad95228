/* SPDX-License-Identifier: Apache-2.0
 *
 * The fixture's jobs, and control's part: the orders that a shard gets.
 */
#include "tests/lib/shard_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct order *make_order(const struct shard *shard, enum order_kind kind)
{
    struct order *order = order_create(kind, shard->job->name);
    assert_non_null(order);
    return order;
}

static void make_job(struct shard *shard, const struct shard_job *job, uint64_t incarnation)
{
    const struct stepd_setting setting = {.name = "lr", .values = 1, .value = &job->lr};
    const struct stepd_group group = {
        .name = "all",
        .match = "*",
        .optimizer = job->optimizer == NULL ? "sgd" : job->optimizer,
        .settings = {.count = 1, .at = &setting},
        .schedule = "",
    };
    const struct stepd_define_job def = {
        .mode = job->mode,
        .settings = job->settings,
        .workers = job->workers,
        .groups = job->groups == 0 ? 1 : job->groups,
        .group = job->groups == 0 ? &group : job->group,
        .slice_elements = job->slice_elements,
    };
    const struct stepd_define_tensors page = {
        .tensors = job->tensors, .tensor = job->tensor, .last = true};
    struct stepd_error error = {.code = STEPD_OK};
    struct job_draft *draft = NULL;
    const uint32_t shards = job->shards == 0 ? 1 : job->shards;
    enum stepd_status status = job_draft_create("j", &def, 1024, &draft, &error);
    if (status == STEPD_OK)
        status = job_draft_add(draft, &page, &error);
    if (status == STEPD_OK)
        status = job_draft_seal(draft, incarnation, shards, &shard->job, &error);
    if (status != STEPD_OK)
        fail_msg("%s", error.text);
    (void)job_draft_destroy(draft);
}

void shard_try_open(struct shard *shard, const struct shard_job *job, struct job_state *state)
{
    *shard = (struct shard){.now_ms = 1000,
                            .index = job->shard,
                            .shares = job->shares,
                            .lacks_memory = job->lacks_memory};
    make_job(shard, job, state == NULL ? 1 : state->job->incarnation + 1);
    const struct core_options options = {
        .shard = job->shard,
        .isa = kernels_choose(),
        .wait_max_ms = 10000,
        .frame_max_bytes = STEPD_FRAME_MAX_BYTES,
        .limits = job->limits,
    };
    const struct core_io io = shard_io(shard);
    assert_int_equal(core_create(&options, &io, &shard->core), STEPD_OK);
    struct order *order = make_order(shard, ORDER_JOB_OPEN);
    order->job = job_ref(shard->job);
    order->state = state == NULL ? NULL : job_state_ref(state);
    order->first = job->first == NULL ? NULL : first_weights_ref(job->first);
    core_on_order(shard->core, order, shard->now_ms);
}

void shard_open_job(struct shard *shard, const struct shard_job *job)
{
    shard_try_open(shard, job, NULL);
    assert_int_equal(shard->opened.code, STEPD_OK);
}

void shard_session(struct shard *shard, uint32_t rank, uint64_t epoch, bool observer)
{
    struct order *order = make_order(shard, ORDER_SESSION);
    order->session[0] = (uint8_t)(rank + 1);
    order->epoch = epoch;
    order->rank = rank;
    order->observer = observer;
    order->worker = strdup("tester");
    core_on_order(shard->core, order, shard->now_ms);
}

void shard_member(struct shard *shard, uint32_t rank, uint64_t from, uint64_t last_clock)
{
    struct order *order = make_order(shard, ORDER_MEMBER);
    order->rank = rank;
    order->from = from;
    order->last_clock = last_clock;
    core_on_order(shard->core, order, shard->now_ms);
    shard_settle(shard);
}

void shard_member_from(struct shard *shard, uint32_t rank, uint64_t from)
{
    struct order *order = make_order(shard, ORDER_MEMBER);
    order->rank = rank;
    order->from = from;
    order->clock = from;
    order->last_clock = UINT64_MAX;
    core_on_order(shard->core, order, shard->now_ms);
    shard_settle(shard);
}

void shard_session_gone(struct shard *shard, uint32_t rank)
{
    struct order *order = make_order(shard, ORDER_SESSION_GONE);
    order->session[0] = (uint8_t)(rank + 1);
    core_on_order(shard->core, order, shard->now_ms);
}

void shard_give(struct shard *shard, const struct order *like)
{
    struct order *order = order_copy(like);
    assert_non_null(order);
    core_on_order(shard->core, order, shard->now_ms);
    shard_settle(shard);
}

void shard_order(struct shard *shard, enum order_kind kind)
{
    core_on_order(shard->core, make_order(shard, kind), shard->now_ms);
    shard_settle(shard);
}

void shard_start(struct shard *shard)
{
    shard_order(shard, ORDER_JOB_START);
}

void shard_query(struct shard *shard)
{
    shard_order(shard, ORDER_QUERY);
}

static void enroll(struct shard *shard, const struct shard_job *job)
{
    for (uint32_t rank = 0; rank < job->workers; rank++) {
        shard_session(shard, rank, 1, false);
        shard_member(shard, rank, 0, UINT64_MAX);
    }
    shard_start(shard);
}

void shard_setup(struct shard *shard, const struct shard_job *job)
{
    shard_open_job(shard, job);
    enroll(shard, job);
}

void shard_restore(struct shard *shard, const struct shard_job *job, struct job_state *state)
{
    shard_try_open(shard, job, state);
    if (shard->opened.code != STEPD_OK)
        fail_msg("%s", shard->opened.text);
    enroll(shard, job);
}

static void order_snapshot(struct shard *shard, uint64_t version, bool last)
{
    const struct order like = {.kind = ORDER_SNAPSHOT,
                               .job_name = shard->job->name,
                               .query = 7,
                               .version = version,
                               .last = last};
    shard_give(shard, &like);
}

void shard_snapshot_order(struct shard *shard, uint64_t version)
{
    order_snapshot(shard, version, /* last= */ false);
}

void shard_snapshot_last(struct shard *shard, uint64_t version)
{
    order_snapshot(shard, version, /* last= */ true);
    shard_spare(shard);
}

void shard_spare(const struct shard *shard)
{
    while (core_on_idle(shard->core))
        continue;
}

void shard_snapshot(struct shard *shard, uint64_t version)
{
    shard_snapshot_order(shard, version);
    shard_spare(shard);
}

static void snapshot_end(struct shard *shard, bool durable, bool last)
{
    const struct order like = {.kind = ORDER_SNAPSHOT_END,
                               .job_name = shard->job->name,
                               .query = 7,
                               .durable = durable,
                               .last = last};
    shard_give(shard, &like);
}

void shard_snapshot_last_written(struct shard *shard)
{
    snapshot_end(shard, /* durable= */ true, /* last= */ true);
}

void shard_snapshot_end(struct shard *shard)
{
    snapshot_end(shard, /* durable= */ false, /* last= */ false);
}

void shard_snapshot_written(struct shard *shard)
{
    snapshot_end(shard, /* durable= */ true, /* last= */ false);
}

struct job_state *shard_state(const struct shard *shard)
{
    shard_spare(shard);
    assert_non_null(shard->snapshot);
    if (shard->snapshot->error.code != STEPD_OK)
        fail_msg("%s", shard->snapshot->error.text);
    struct stepd_error error = {.code = STEPD_OK};
    struct job_state *state = NULL;
    if (job_state_gather(&shard->snapshot->state, 1, &state, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return state;
}

void shard_teardown(struct shard *shard)
{
    (void)notice_destroy(shard->ready);
    (void)notice_destroy(shard->snapshot);
    for (size_t i = 0; i < SHARD_PEERS; i++) {
        shard_close(shard, i);
        for (size_t r = 0; r < shard->peer[i].replies; r++)
            free(shard->peer[i].reply[r].value);
    }
    shard_release(shard);
    (void)core_destroy(shard->core);
    (void)job_unref(shard->job);
}
