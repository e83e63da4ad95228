/* SPDX-License-Identifier: Apache-2.0
 *
 * One question for each kind of which something is taken for granted. Of a job that is not open
 * nothing is: whoever gets the order looks for the job first, and does not find it.
 */
#include "server/peer/fits.h"

#include <string.h>

#include "proto/error.h"
#include "server/model/group_fits.h"
#include "server/sync/gate.h"

static enum stepd_status check_rank(uint32_t rank, const struct job *job,
                                    struct stepd_error *reterr)
{
    const uint32_t workers = job == NULL ? STEPD_WORKERS_MAX : job->workers;
    if (rank < workers)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "rank %u, but there are %u workers", rank,
                      workers);
}

static enum stepd_status check_ranks(const uint32_t *rank, size_t ranks, const struct job *job,
                                     struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < ranks && status == STEPD_OK; i++)
        status = check_rank(rank[i], job, reterr);
    return status;
}

/* ---- Orders ---------------------------------------------------------------------------------- */

static enum stepd_status check_open(const struct order *order, struct stepd_error *reterr)
{
    if (order->job == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "no job to open");
    if (strcmp(order->job->name, order->job_name) != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the job to open is called '%s'",
                          order->job->name);
    return STEPD_OK;
}

static enum stepd_status check_session(const struct order *order, const struct job *job,
                                       struct stepd_error *reterr)
{
    if (order->worker == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a session of nobody");
    return order->observer ? STEPD_OK : check_rank(order->rank, job, reterr);
}

static enum stepd_status check_factors(const struct order *order, const struct job *job,
                                       struct stepd_error *reterr)
{
    if (job == NULL || order->factors == 0 || order->factors == job->tensors)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu factors, but there are %zu tensors",
                      order->factors, job->tensors);
}

static enum stepd_status check_groups(const struct order *order, const struct job *job,
                                      struct stepd_error *reterr)
{
    const size_t count = order->groups == NULL || job == NULL ? 0 : order->groups->count;
    for (size_t i = 0; i < count; i++) {
        const struct group_change *const change = &order->groups->change[i];
        if (change->index >= job->groups)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "group %u, but there are %zu",
                              change->index, job->groups);
        const enum stepd_status status =
            group_fits_restored(job, change->index, change->group, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

static enum stepd_status check_order(const struct order *order, const struct job *job,
                                     struct stepd_error *reterr)
{
    switch (order->kind) {
    case ORDER_JOB_OPEN: return check_open(order, reterr);
    case ORDER_SESSION: return check_session(order, job, reterr);
    case ORDER_MEMBER:
    case ORDER_GIVE_UP: return check_rank(order->rank, job, reterr);
    case ORDER_COMMIT: return check_factors(order, job, reterr);
    case ORDER_WITHOUT: return check_ranks(order->rank_list, order->ranks, job, reterr);
    case ORDER_CHANGE:
        return order->change == ORDER_CHANGE_MEMBER ? check_rank(order->rank, job, reterr)
                                                    : check_groups(order, job, reterr);
    case ORDER_JOB_CLOSE:
    case ORDER_JOB_START:
    case ORDER_SESSION_GONE:
    case ORDER_JOB_FAIL:
    case ORDER_QUERY:
    case ORDER_SNAPSHOT:
    case ORDER_SNAPSHOT_END:
    case ORDER_PROPOSE:
    case ORDER_RESET: break;
    }
    return STEPD_OK;
}

enum stepd_status peer_order_fits(const struct order *order, const struct job *job,
                                  struct stepd_error *reterr)
{
    const enum stepd_status status = check_order(order, job, reterr);
    if (status == STEPD_OK)
        return STEPD_OK;
    return stepd_fail_in(reterr, status, "an order about job '%s'", order->job_name);
}

/* ---- Notices --------------------------------------------------------------------------------- */

static enum stepd_status check_sums(const struct notice *notice, size_t sums, const struct job *job,
                                    struct stepd_error *reterr)
{
    const size_t blocks = job == NULL ? 0 : gate_blocks(job, notice->shard);
    if (job == NULL || sums == blocks)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu sums, but the shard has %zu blocks",
                      sums, blocks);
}

static enum stepd_status check_given_up(const struct notice *notice, const struct job *job,
                                        struct stepd_error *reterr)
{
    if (notice->ranks != 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu ranks, but one is given up",
                          notice->ranks);
    for (size_t i = 0; job != NULL && i < notice->later; i++) {
        if (notice->later_slice[i] >= job->layout.slices)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "slice %u, but there are %zu",
                              notice->later_slice[i], job->layout.slices);
    }
    return STEPD_OK;
}

static enum stepd_status check_heard(const struct notice *notice, struct stepd_error *reterr)
{
    if (notice->clock != NULL || notice->ranks == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "ranks without clocks");
}

static enum stepd_status check_notice(const struct notice *notice, size_t sums,
                                      const struct job *job, struct stepd_error *reterr)
{
    enum stepd_status status = check_ranks(notice->rank, notice->ranks, job, reterr);
    if (status != STEPD_OK)
        return status;
    switch (notice->kind) {
    case NOTICE_HEARD: return check_heard(notice, reterr);
    case NOTICE_READY: return check_sums(notice, sums, job, reterr);
    case NOTICE_GIVEN_UP: return check_given_up(notice, job, reterr);
    case NOTICE_JOB_OPENED:
    case NOTICE_ANSWER:
    case NOTICE_SNAPSHOT:
    case NOTICE_PROPOSED:
    case NOTICE_CHANGED:
    case NOTICE_RESET: break;
    }
    return STEPD_OK;
}

enum stepd_status peer_notice_fits(const struct notice *notice, size_t sums, const struct job *job,
                                   struct stepd_error *reterr)
{
    enum stepd_status status = check_notice(notice, sums, job, reterr);
    if (status == STEPD_OK && job != NULL && notice->shard >= job->shards)
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "shard %u, but there are %u",
                            notice->shard + 1, job->shards);
    if (status == STEPD_OK)
        return STEPD_OK;
    return stepd_fail_in(reterr, status, "a notice about job '%s'", notice->job_name);
}
