/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries: how far the slices of some open jobs are, asked of all shards, and what they have
 * answered so far. Anybody may ask, as often as they like; so a query is shared by all who ask the
 * same while it is under way, and there is at most one under way about each job and one about all.
 * It lives until its answers are in or its time is up, also when nobody waits for it any more,
 * because the shards have the orders in their queues all the same. One that is over is freed when
 * anything next happens to any query.
 */
#ifndef CONTROL_QUERY_H
#define CONTROL_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/jobs.h"

/* A shard answers between two slices; one that has not by then is stuck. */
#define CONTROL_QUERY_MS UINT32_C(5000)

/* The answers about one job, summed over the shards. */
struct control_tally {
    const struct control_job *job; /* NULL: dropped meanwhile */
    uint32_t left;                 /* shards that have not answered */
    uint64_t slices;
    uint64_t version_min; /* 0 as long as there are no slices */
    uint64_t version_max;
    uint64_t parked;
    uint64_t waited_for[STEPD_WORKERS_MAX / 64]; /* one bit for each rank */
};

struct control_query {
    struct control_query *next;
    const struct control_job *job; /* NULL: it is about all */
    uint64_t number;
    uint64_t until_ms; /* when its time is up */
    size_t refs;       /* who waits for it */
    size_t left;       /* answers that are missing */
    size_t tallies;
    struct control_tally tally[];
};

/*
 * Asks the shards about an open job, or about all (NULL), or joins a query that is under way.
 * *ret_query: control owns it; caller gives it back with control_query_put. left is 0 if there was
 * nothing to ask. RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status control_query_get(struct control *control, const struct control_job *job,
                                    struct control_query **ret_query,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct control_query *control_query_put(struct control *control, struct control_query *query);

/* Until its time is up; at least 1. */
uint32_t control_query_left_ms(const struct control_query *query, uint64_t now_ms);

/* Adds a shard's answer; one to no query changes nothing. notice is borrowed until return. */
void control_query_answered(struct control *control, const struct notice *notice);

/* The job is dropped: nothing is missing of it any more. Nobody may wait for a query about it
 * alone. */
void control_query_forget_job(struct control *control, const struct control_job *job);

/* Frees all; nobody may wait for one. */
void control_query_destroy_all(struct control *control);

/* NULL: the job was not open when the query was made. */
const struct control_tally *control_query_tally(const struct control_query *query,
                                                const struct control_job *job);

/* Writes the ranks that are waited for, in order, to ranks (STEPD_WORKERS_MAX of them fit). Returns
 * their number. */
size_t control_tally_waited_for(const struct control_tally *tally, uint32_t *ret_ranks);

#endif
