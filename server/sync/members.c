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

enum stepd_status members_set(struct members *members, uint32_t rank, uint64_t from, uint64_t until)
{
    if (rank >= members->ranks) {
        struct member *more = realloc(members->member, ((size_t)rank + 1) * sizeof *more);
        if (more == NULL)
            return STEPD_RESOURCE_EXHAUSTED;
        members->member = more;
        while (members->ranks <= rank)
            members->member[members->ranks++] = (struct member){.from = 0, .until = 0};
    }
    members->member[rank] = (struct member){.from = from, .until = until};
    return STEPD_OK;
}

bool members_include(const struct members *members, uint32_t rank, uint64_t version)
{
    return rank < members->ranks && members->member[rank].from <= version &&
           version < members->member[rank].until;
}

static bool has_left(const struct member *member)
{
    return member->until != UINT64_MAX;
}

void members_gone(struct members *members, uint32_t rank)
{
    if (rank < members->ranks && has_left(&members->member[rank]))
        members->member[rank].gone = true;
}

bool members_present(const struct members *members, uint32_t rank)
{
    return rank < members->ranks && !has_left(&members->member[rank]);
}

bool members_know(const struct members *members, uint32_t rank)
{
    return rank < members->ranks && members->member[rank].from < members->member[rank].until;
}
