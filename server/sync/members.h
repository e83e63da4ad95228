/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is a member of a job, and for what: a rank that joined owes every round from its first
 * version on a contribution, and a rank that leaves owes none after its last clock. One that was
 * given up owes nothing more, and nothing more of it counts. Only control changes this, by order.
 *
 * The end is a clock and not a version, because only the worker's own count of its pushes is known
 * to it for sure: where a round may close without a member, its clock falls behind the version.
 */
#ifndef SYNC_MEMBERS_H
#define SYNC_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

/* What a rank is a member for. */
struct interval {
    uint64_t from;       /* first version; in sync mode */
    uint64_t clock;      /* that it goes on from: it has nothing to do with the ones up to it */
    uint64_t last_clock; /* of its last push; UINT64_MAX: it has not left */
};

struct member {
    bool joined;
    struct interval interval;
    bool gone;     /* it has left, and nothing more can come from it: nobody waits for it */
    bool given_up; /* nobody waits for it, and what still comes from it does not count */
};

struct members {
    size_t ranks;          /* one more than the highest rank known */
    struct member *member; /* owned; by rank */
    bool started;          /* the least number of workers has joined: rounds may close */
};

/* A zeroed struct is an empty set of members. */
void members_deinit(struct members *members);

/* Makes room for so many ranks, of which nobody has joined. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status members_reserve(struct members *members, size_t ranks) STEPD_MUST_CHECK;

/* The rank is neither gone nor given up then. RESOURCE_EXHAUSTED: no memory, which cannot be with a
 * rank that there is room for. */
enum stepd_status members_set(struct members *members, uint32_t rank,
                              const struct interval *interval) STEPD_MUST_CHECK;

/* The rank is waited for no more, until it is set again. */
void members_give_up(struct members *members, uint32_t rank);

/* A rank that has left has closed its connection: rounds wait for it no more, also for those of
 * its last clocks that it never sent. A rank that has not left is left as it is. */
void members_gone(struct members *members, uint32_t rank);

/* May a push of this clock count for this version? */
bool members_admit(const struct members *members, uint32_t rank, uint64_t version, uint64_t clock);

/* Does a rank whose newest counted clock is this owe version + 1 another push? */
bool members_owe(const struct members *members, uint32_t rank, uint64_t version, uint64_t clock);

/* The newest clock of a rank of which this one is the newest that has counted. */
uint64_t members_clock(const struct members *members, uint32_t rank, uint64_t counted);

/* Is a rank to be a member, but not for this version yet? */
bool members_await(const struct members *members, uint32_t rank, uint64_t version);

/* Is any? */
bool members_await_any(const struct members *members, uint64_t version);

/* Has a rank joined and not left without a push, or been given up? */
bool members_know(const struct members *members, uint32_t rank);

#endif
