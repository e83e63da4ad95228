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

enum stepd_status members_set(struct members *members, uint32_t rank,
                              const struct interval *interval)
{
    const enum stepd_status status = members_reserve(members, (size_t)rank + 1);
    if (status != STEPD_OK)
        return status;
    members->member[rank] = (struct member){.joined = true, .interval = *interval};
    return STEPD_OK;
}

static const struct member *find(const struct members *members, uint32_t rank)
{
    const bool is_there = rank < members->ranks && members->member[rank].joined;
    return is_there ? &members->member[rank] : NULL;
}

static bool is_member(const struct member *member, uint64_t version)
{
    return member != NULL && !member->given_up && member->interval.from <= version;
}

void members_gone(struct members *members, uint32_t rank)
{
    const struct member *member = find(members, rank);
    if (member != NULL && member->interval.last_clock != UINT64_MAX)
        members->member[rank].gone = true;
}

void members_give_up(struct members *members, uint32_t rank)
{
    if (rank < members->ranks)
        members->member[rank].given_up = true;
}

uint64_t members_clock(const struct members *members, uint32_t rank, uint64_t counted)
{
    const struct member *member = find(members, rank);
    return member != NULL && member->interval.clock > counted ? member->interval.clock : counted;
}

bool members_admit(const struct members *members, uint32_t rank, uint64_t version, uint64_t clock)
{
    const struct member *member = find(members, rank);
    return is_member(member, version) && clock <= member->interval.last_clock;
}

bool members_owe(const struct members *members, uint32_t rank, uint64_t version, uint64_t clock)
{
    const struct member *member = find(members, rank);
    return is_member(member, version) && !member->gone &&
           members_clock(members, rank, clock) < member->interval.last_clock;
}

bool members_await(const struct members *members, uint32_t rank, uint64_t version)
{
    const struct member *member = find(members, rank);
    return member != NULL && !member->given_up && !member->gone &&
           member->interval.from > version && member->interval.clock < member->interval.last_clock;
}

bool members_await_any(const struct members *members, uint64_t version)
{
    for (uint32_t rank = 0; rank < members->ranks; rank++) {
        if (members_await(members, rank, version))
            return true;
    }
    return false;
}

bool members_know(const struct members *members, uint32_t rank)
{
    const struct member *member = find(members, rank);
    return member != NULL && !member->given_up && member->interval.last_clock > 0;
}
