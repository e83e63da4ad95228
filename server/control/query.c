/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries. Several shards may lack the same rank, so who is waited for is kept as a set of bits.
 */
#include "server/control/query.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/orders.h"

static bool is_asked_for(const struct control_job *candidate, const struct control_job *job)
{
    return control_job_is_open(candidate) && (job == NULL || job == candidate);
}

static enum stepd_status ask(struct control *control, struct control_query *query)
{
    for (size_t i = 0; i < query->tallies; i++) {
        const enum stepd_status status =
            control_order_query(control, query->tally[i].job, query->number);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

enum stepd_status control_query_create(struct control *control, const struct control_job *job,
                                       struct control_query **ret_query, struct stepd_error *reterr)
{
    struct control_query *query = calloc(1, sizeof *query + control->jobs * sizeof query->tally[0]);
    if (query != NULL) {
        query->number = ++control->query;
        for (const struct control_job *at = control->first_job; at != NULL; at = at->next) {
            if (is_asked_for(at, job))
                query->tally[query->tallies++].job = at;
        }
        query->left = query->tallies * control->options.shards;
    }
    if (query == NULL || ask(control, query) != STEPD_OK) {
        (void)control_query_destroy(query);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to ask the shards");
    }
    *ret_query = query;
    return STEPD_OK;
}

struct control_query *control_query_destroy(struct control_query *query)
{
    free(query);
    return NULL;
}

static void add(struct control_tally *tally, const struct notice *notice)
{
    tally->parked += notice->parked;
    for (size_t i = 0; i < notice->ranks; i++) {
        const uint32_t rank = notice->rank[i];
        if (rank < STEPD_WORKERS_MAX)
            tally->waited_for[rank / 64] |= UINT64_C(1) << rank % 64;
    }
    if (notice->slices == 0)
        return;
    if (tally->slices == 0 || notice->version_min < tally->version_min)
        tally->version_min = notice->version_min;
    if (notice->version_max > tally->version_max)
        tally->version_max = notice->version_max;
    tally->slices += notice->slices;
}

void control_query_answered(struct control_query *query, const struct notice *notice)
{
    if (notice->query != query->number)
        return;
    for (size_t i = 0; i < query->tallies; i++) {
        if (strcmp(query->tally[i].job->name, notice->job_name) != 0)
            continue;
        add(&query->tally[i], notice);
        query->left--;
    }
}

const struct control_tally *control_query_tally(const struct control_query *query,
                                                const struct control_job *job)
{
    for (size_t i = 0; i < query->tallies; i++) {
        if (query->tally[i].job == job)
            return &query->tally[i];
    }
    return NULL;
}

size_t control_tally_waited_for(const struct control_tally *tally, uint32_t *ret_ranks)
{
    size_t count = 0;
    for (uint32_t rank = 0; rank < STEPD_WORKERS_MAX; rank++) {
        if ((tally->waited_for[rank / 64] >> rank % 64 & 1) != 0)
            ret_ranks[count++] = rank;
    }
    return count;
}
