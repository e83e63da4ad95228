/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries. Several shards may lack the same rank, so who is waited for is kept as a set of bits.
 */
#include "server/control/query.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/orders.h"

static bool is_asked_for(const struct control_job *candidate, const struct control_job *job)
{
    return control_job_is_open(candidate) && (job == NULL || job == candidate);
}

static enum stepd_status ask(struct control *control, const struct control_query *query)
{
    for (size_t i = 0; i < query->tallies; i++) {
        const enum stepd_status status =
            control_order_query(control, query->tally[i].job, query->number);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

/* NULL: no memory. */
static struct control_query *create(struct control *control, const struct control_job *job)
{
    const uint32_t shards = control->options.shards;
    struct control_query *query = calloc(1, sizeof *query + control->jobs * sizeof query->tally[0]);
    if (query == NULL)
        return NULL;
    query->job = job;
    query->number = ++control->query;
    query->until_ms = control->now_ms + CONTROL_QUERY_MS;
    for (const struct control_job *at = control->first_job; at != NULL; at = at->next) {
        if (is_asked_for(at, job))
            query->tally[query->tallies++] = (struct control_tally){.job = at, .left = shards};
    }
    query->left = query->tallies * shards;
    if (ask(control, query) != STEPD_OK) {
        free(query);
        return NULL;
    }
    query->next = control->first_query;
    control->first_query = query;
    return query;
}

static bool is_under_way(const struct control_query *query, uint64_t now_ms)
{
    return query->left > 0 && now_ms < query->until_ms;
}

enum stepd_status control_query_get(struct control *control, const struct control_job *job,
                                    struct control_query **ret_query, struct stepd_error *reterr)
{
    struct control_query *query = control->first_query;
    while (query != NULL && (query->job != job || !is_under_way(query, control->now_ms)))
        query = query->next;
    if (query == NULL)
        query = create(control, job);
    if (query == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to ask the shards");
    query->refs++;
    *ret_query = query;
    return STEPD_OK;
}

/* Frees all queries that are over and that nobody waits for. */
static void sweep(struct control *control)
{
    struct control_query **at = &control->first_query;
    while (*at != NULL) {
        struct control_query *query = *at;
        if (query->refs > 0 || is_under_way(query, control->now_ms)) {
            at = &query->next;
            continue;
        }
        *at = query->next;
        free(query);
    }
}

struct control_query *control_query_put(struct control *control, struct control_query *query)
{
    if (query == NULL)
        return NULL;
    query->refs--;
    sweep(control);
    return NULL;
}

void control_query_destroy_all(struct control *control)
{
    while (control->first_query != NULL) {
        struct control_query *query = control->first_query;
        control->first_query = query->next;
        assert(query->refs == 0);
        free(query);
    }
}

uint32_t control_query_left_ms(const struct control_query *query, uint64_t now_ms)
{
    return now_ms < query->until_ms ? (uint32_t)(query->until_ms - now_ms) : 1;
}

void control_query_forget_job(struct control *control, const struct control_job *job)
{
    for (struct control_query *query = control->first_query; query != NULL; query = query->next) {
        assert(query->job != job || query->refs == 0);
        for (size_t i = 0; i < query->tallies; i++) {
            struct control_tally *tally = &query->tally[i];
            if (tally->job != job)
                continue;
            query->left -= tally->left;
            tally->left = 0;
            tally->job = NULL;
        }
    }
    sweep(control);
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

void control_query_answered(struct control *control, const struct notice *notice)
{
    struct control_query *query = control->first_query;
    while (query != NULL && query->number != notice->query)
        query = query->next;
    for (size_t i = 0; query != NULL && i < query->tallies; i++) {
        struct control_tally *tally = &query->tally[i];
        if (tally->job == NULL || strcmp(tally->job->name, notice->job_name) != 0)
            continue;
        add(tally, notice);
        tally->left--;
        query->left--;
    }
    sweep(control);
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
