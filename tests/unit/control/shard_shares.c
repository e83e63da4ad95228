/* SPDX-License-Identifier: Apache-2.0
 *
 * A share is that of slices which nobody has stepped, but for their numbers.
 */
#include "shard_shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/model/block.h"
#include "tests/lib/settings.h"

void shares_define(struct peer *peer, enum stepd_mode mode, uint32_t workers)
{
    shares_define_with(peer, mode, workers, "");
}

void shares_define_with(struct peer *peer, enum stepd_mode mode, uint32_t workers,
                        const char *settings)
{
    struct stepd_message definition = define_job(mode, workers);
    definition.body.define_job.settings = settings_of(settings);
    peer_request(peer, definition);
    (void)peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED);
    peer_request(peer, define_tensor(SHARES_ELEMENTS));
    brain_opened_all(peer->brain, "j");
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
}

static void ask_change(struct peer *peer, const char *settings, uint64_t at, bool drops)
{
    struct stepd_group group = settings_group("", settings);
    group.name = "";
    group.match = "";
    const struct stepd_change_job change = {
        .job = "j", .group = group, .at = at, .drop_phases = drops};
    peer_request(
        peer, (struct stepd_message){.kind = STEPD_MESSAGE_CHANGE_JOB, .body.change_job = change});
}

void shares_ask_change(struct peer *peer, const char *settings, uint64_t at)
{
    ask_change(peer, settings, at, /* drops= */ false);
}

void shares_ask_change_and_drop(struct peer *peer, const char *settings)
{
    ask_change(peer, settings, /* at= */ 0, /* drops= */ true);
}

void shares_change(struct peer *peer, const char *settings, uint64_t at)
{
    shares_ask_change(peer, settings, at);
    brain_proposed_all(peer->brain, 1);
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_CHANGES)->body.changes.records, 1);
}

static void make_slice(struct job *job, uint32_t index, uint64_t version, const uint64_t clock[2],
                       struct slice_state *ret_state)
{
    struct slice slice;
    struct slice_state taken;
    const struct slice_size size = job_slice_size(job, &job->layout.slice[index]);
    struct block block;
    assert_int_equal(block_init(&block, job_block_floats(&size, /* placed= */ false)), STEPD_OK);
    assert_int_equal(slice_init(&slice, job, index, block.floats), STEPD_OK);
    slice.version = version == JOB_STATE_AS_IT_STANDS ? 0 : version;
    for (size_t rank = 0; rank < slice.ranks && rank < 2; rank++)
        slice.by_rank[rank].record.clock = clock[rank];
    assert_int_equal(slice_state_init(&taken, &slice, NULL), STEPD_OK);
    slice_state_take(&taken);
    slice_state_keep(&taken);
    assert_int_equal(slice_state_copy(&taken, ret_state), STEPD_OK);
    slice_state_deinit(&taken);
    slice_deinit(&slice);
    block_deinit(&block);
}

struct job_state *shares_make(const struct brain *brain, uint32_t shard, uint64_t version,
                              const uint64_t clock[2])
{
    struct job *job = brain_newest(brain, shard, ORDER_JOB_OPEN)->job;
    struct job_state *share = NULL;
    assert_int_equal(job_state_create(job, version, &share), STEPD_OK);
    for (uint32_t i = 0; i < job->layout.slices; i++) {
        if (job->layout.slice[i].shard == shard)
            make_slice(job, i, version, clock, &share->slice[i]);
    }
    return share;
}

static struct notice *answer_to(const struct brain *brain, uint32_t shard)
{
    const struct order *order = brain_newest(brain, shard, ORDER_SNAPSHOT);
    struct notice *notice = notice_create(NOTICE_SNAPSHOT, order->job_name);
    assert_non_null(notice);
    notice->shard = shard;
    notice->query = order->query;
    return notice;
}

void shares_give(struct brain *brain, uint32_t shard, const struct job_state *share)
{
    struct notice *notice = answer_to(brain, shard);
    notice->state = share;
    control_on_notice(brain->control, notice, brain->now_ms);
}

void shares_refuse(struct brain *brain, uint32_t shard, enum stepd_status code, uint64_t newest)
{
    struct notice *notice = answer_to(brain, shard);
    (void)stepd_fail(&notice->error, code, "shard %u cannot", shard);
    notice->version_max = newest;
    control_on_notice(brain->control, notice, brain->now_ms);
}

struct shares_taken shares_take(struct brain *brain, uint64_t version, const uint64_t clock[2])
{
    struct stepd_error error = {.text = ""};
    if (control_snapshot(brain->control, "j", brain->now_ms, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return shares_finish(brain, version, clock);
}

struct shares_taken shares_finish(struct brain *brain, uint64_t version, const uint64_t clock[2])
{
    struct shares_taken taken = {.state = NULL};
    struct job_state *share[BRAIN_SHARDS];
    struct stepd_error error = {.text = ""};
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        share[shard] = shares_make(brain, shard, version, clock);
        shares_give(brain, shard, share[shard]);
    }
    if (brain->snapshot == NULL)
        fail_msg("no snapshot: %s", brain->snapshot_error.text);
    assert_int_equal(job_snapshot_copy(brain->snapshot, &taken.snapshot), STEPD_OK);
    if (job_state_gather(brain->snapshot->share, brain->snapshot->shares, &taken.state, &error) !=
        STEPD_OK)
        fail_msg("%s", error.text);
    control_snapshot_end(brain->control, brain->snapshot, brain->now_ms);
    brain->snapshot = NULL;
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        (void)job_state_unref(share[shard]);
    return taken;
}

void shares_taken_deinit(struct shares_taken *taken)
{
    job_snapshot_deinit(&taken->snapshot);
    taken->state = job_state_unref(taken->state);
}
