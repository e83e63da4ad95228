/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks are small and dense, so the set is an array.
 */
#include "server/sync/members.h"

#include <stdlib.h>

void members_deinit(struct members *members)
{
    free(members->member);
    *members = (struct members){.ranks = 0};
}

enum stepd_status members_reserve(struct members *members, size_t ranks)
{
    if (ranks <= members->ranks)
        return STEPD_OK;
    struct member *more = realloc(members->member, ranks * sizeof *more);
    if (more == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    members->member = more;
    while (members->ranks < ranks)
        members->member[members->ranks++] = (struct member){.joined = false};
    return STEPD_OK;
}

enum stepd_status members_set(struct members *members, uint32_t rank, uint64_t from,
                              uint64_t last_clock)
{
    const enum stepd_status status = members_reserve(members, (size_t)rank + 1);
    if (status != STEPD_OK)
        return status;
    members->member[rank] = (struct member){.joined = true, .from = from, .last_clock = last_clock};
    return STEPD_OK;
}

static bool is_member(const struct members *members, uint32_t rank, uint64_t version)
{
    return rank < members->ranks && members->member[rank].joined &&
           members->member[rank].from <= version;
}

void members_gone(struct members *members, uint32_t rank)
{
    if (rank < members->ranks && members->member[rank].last_clock != UINT64_MAX)
        members->member[rank].gone = true;
}

bool members_admit(const struct members *members, uint32_t rank, uint64_t version, uint64_t clock)
{
    return is_member(members, rank, version) && clock <= members->member[rank].last_clock;
}

bool members_owe(const struct members *members, uint32_t rank, uint64_t version, uint64_t clock)
{
    return is_member(members, rank, version) && !members->member[rank].gone &&
           clock < members->member[rank].last_clock;
}

bool members_know(const struct members *members, uint32_t rank)
{
    return rank < members->ranks && members->member[rank].joined &&
           members->member[rank].last_clock > 0;
}
