/* SPDX-License-Identifier: Apache-2.0
 *
 * A query: how far the slices of some open jobs are, asked of all shards, and what they have
 * answered so far. Open jobs are never forgotten, so a query may point to their records.
 */
#ifndef CONTROL_QUERY_H
#define CONTROL_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/jobs.h"

/* The answers about one job, summed over the shards. */
struct control_tally {
    const struct control_job *job;
    uint64_t slices;
    uint64_t version_min; /* 0 as long as there are no slices */
    uint64_t version_max;
    uint64_t parked;
    uint64_t waited_for[STEPD_WORKERS_MAX / 64]; /* one bit for each rank */
};

struct control_query {
    uint64_t number;
    size_t left; /* answers that are missing */
    size_t tallies;
    struct control_tally tally[];
};

/*
 * Asks the shards about an open job, or about all (NULL). *ret_query: caller frees with
 * control_query_destroy; left is 0 if there was nothing to ask. RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status control_query_create(struct control *control, const struct control_job *job,
                                       struct control_query **ret_query,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct control_query *control_query_destroy(struct control_query *query);

/* Adds a shard's answer; one to another query changes nothing. notice is borrowed until return. */
void control_query_answered(struct control_query *query, const struct notice *notice);

/* NULL: the job was not open when the query was made. */
const struct control_tally *control_query_tally(const struct control_query *query,
                                                const struct control_job *job);

/* Writes the ranks that are waited for, in order, to ranks (STEPD_WORKERS_MAX of them fit). Returns
 * their number. */
size_t control_tally_waited_for(const struct control_tally *tally, uint32_t *ret_ranks);

#endif
