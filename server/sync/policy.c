/* SPDX-License-Identifier: Apache-2.0
 *
 * sync:  the round for version v+1 takes gradients computed at v, and closes when every member
 *        for v has contributed. Bulk synchronous parallel.
 * async: a push is a round of its own, whatever version it was computed at, and waits for nobody.
 */
#include "server/sync/policy.h"

#include <assert.h>
#include <stddef.h>

static enum verdict judge_sync(const struct members *members, const struct claim *claim)
{
    if (claim->base_version > claim->version)
        return VERDICT_IMPOSSIBLE;
    if (claim->base_version < claim->version)
        return VERDICT_LATE;
    return members_include(members, claim->rank, claim->version) ? VERDICT_COUNT : VERDICT_FENCED;
}

bool sync_lacks(const struct members *members, const struct round *round, uint64_t version,
                uint32_t rank)
{
    return members_include(members, rank, version) && !members->member[rank].gone &&
           round_of(round, rank).state != CONTRIBUTION_COUNTED;
}

static bool closes_sync(const struct members *members, const struct round *round, uint64_t version)
{
    if (!members->started || round->counted == 0)
        return false;
    for (uint32_t rank = 0; rank < members->ranks; rank++) {
        if (sync_lacks(members, round, version, rank))
            return false;
    }
    return true;
}

static enum verdict judge_async(const struct members *members, const struct claim *claim)
{
    if (claim->base_version > claim->version)
        return VERDICT_IMPOSSIBLE;
    return members_present(members, claim->rank) ? VERDICT_COUNT : VERDICT_FENCED;
}

static bool closes_async(const struct members *members, const struct round *round, uint64_t version)
{
    (void)members;
    (void)version;
    return round->counted > 0;
}

static const struct sync_policy policies[] = {
    [STEPD_SYNC] =
        {
            .name = "sync",
            .judge = judge_sync,
            .closes = closes_sync,
            .together = true,
            .schedule_by_version = true,
        },
    [STEPD_ASYNC] =
        {
            .name = "async",
            .judge = judge_async,
            .closes = closes_async,
            .together = false,
            .schedule_by_version = false,
        },
};

const struct sync_policy *sync_policy_of(enum stepd_mode mode)
{
    assert((size_t)mode < sizeof policies / sizeof policies[0]);
    return &policies[mode];
}
