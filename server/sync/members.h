/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is a member of a job, for which versions: members are intervals. A rank that joined and has
 * not left is a member for [from, UINT64_MAX). Only control changes this, by order.
 */
#ifndef SYNC_MEMBERS_H
#define SYNC_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

struct member {
    uint64_t from;
    uint64_t until; /* first version it is no member for; from == until: never a member */
    bool gone;      /* it has left, and nothing more can come from it: nobody waits for it */
};

struct members {
    size_t ranks;          /* one more than the highest rank known */
    struct member *member; /* owned; by rank */
    bool started;          /* the least number of workers has joined: rounds may close */
};

/* A zeroed struct is an empty set of members. */
void members_deinit(struct members *members);

/* The rank is not gone then. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status members_set(struct members *members, uint32_t rank, uint64_t from,
                              uint64_t until) STEPD_MUST_CHECK;

/* A rank that has left has closed its connection: rounds wait for it no more, also for those of
 * its last versions that it never sent. A rank that has not left is left as it is. */
void members_gone(struct members *members, uint32_t rank);

/* Is a rank a member for a version? */
bool members_include(const struct members *members, uint32_t rank, uint64_t version);

/* Is a rank a member that has not left? */
bool members_present(const struct members *members, uint32_t rank);

/* Was a rank ever a member? */
bool members_know(const struct members *members, uint32_t rank);

#endif
