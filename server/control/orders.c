/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders are made for all shards before the first one is sent, because a session that only some
 * shards know, or a member that only some wait for, is a state that nothing could repair.
 */
#include "server/control/orders.h"

#include <string.h>

static enum stepd_status send_all(struct control *control, const struct order *like)
{
    const uint32_t shards = control->options.shards;
    for (uint32_t made = 0; made < shards; made++) {
        control->order[made] = order_copy(like);
        if (control->order[made] != NULL)
            continue;
        while (made > 0)
            (void)order_destroy(control->order[--made]);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    for (uint32_t shard = 0; shard < shards; shard++)
        control->io.order(control->io.owner, shard, control->order[shard]);
    return STEPD_OK;
}

enum stepd_status control_order_open(struct control *control, const struct control_job *job,
                                     struct first_weights *first, uint64_t attempt)
{
    const char *const checkpoint = job->checkpoints.newest.name;
    const bool is_kept = job->restored != NULL && checkpoint[0] != '\0';
    struct order like = {
        .kind = ORDER_JOB_OPEN,
        .job_name = job->name,
        .job = job->job,
        .state = job->restored,
        .checkpoint = is_kept ? (char *)(uintptr_t)checkpoint : NULL,
        .first = first,
        .first_elsewhere = first != NULL,
        .query = attempt,
    };
    if (first != NULL)
        memcpy(like.first_sum, first->sum, sizeof like.first_sum);
    return send_all(control, &like);
}

enum stepd_status control_order_job(struct control *control, const struct control_job *job,
                                    enum order_kind kind)
{
    return send_all(control, &(struct order){
                                 .kind = kind,
                                 .job_name = job->name,
                             });
}

static enum stepd_status send_session(struct control *control,
                                      const struct control_session *session, enum order_kind kind,
                                      uint64_t epoch, const struct stepd_error *why)
{
    if (session->job == NULL)
        return STEPD_OK;
    struct order like = {
        .kind = kind,
        .job_name = session->job->name,
        .epoch = epoch,
        .worker = session->worker,
        .observer = session->role == STEPD_OBSERVER,
        .rank = session->rank,
        .last_clock = UINT64_MAX,
    };
    if (why != NULL)
        like.error = *why;
    memcpy(like.session, session->id, sizeof like.session);
    return send_all(control, &like);
}

enum stepd_status control_order_session(struct control *control,
                                        const struct control_session *session, uint64_t epoch)
{
    return send_session(control, session, ORDER_SESSION, epoch, /* why= */ NULL);
}

enum stepd_status control_order_session_gone(struct control *control,
                                             const struct control_session *session,
                                             const struct stepd_error *why)
{
    return send_session(control, session, ORDER_SESSION_GONE, session->epoch, why);
}

enum stepd_status control_order_member(struct control *control, const struct control_job *job,
                                       const struct control_member *member)
{
    return send_all(control, &(struct order){
                                 .kind = ORDER_MEMBER,
                                 .job_name = job->name,
                                 .rank = member->rank,
                                 .from = member->from,
                                 .clock = member->from_clock,
                                 .last_clock = member->last_clock,
                             });
}

enum stepd_status control_order_failure(struct control *control, const struct control_job *job)
{
    return send_all(control, &(struct order){
                                 .kind = ORDER_JOB_FAIL,
                                 .job_name = job->name,
                                 .error = job->failure,
                             });
}

enum stepd_status control_order_give_up(struct control *control, const struct control_job *job,
                                        uint32_t rank, const struct stepd_error *why)
{
    return send_all(control, &(struct order){
                                 .kind = ORDER_GIVE_UP,
                                 .job_name = job->name,
                                 .rank = rank,
                                 .error = *why,
                             });
}

enum stepd_status control_order_like(struct control *control, const struct order *order)
{
    return send_all(control, order);
}

enum stepd_status control_order_proposal(struct control *control, const struct control_job *job)
{
    return send_all(control, &(struct order){
                                 .kind = ORDER_PROPOSE,
                                 .job_name = job->name,
                                 .query = job->changes.number,
                                 .version = job->changes.version,
                             });
}

enum stepd_status control_order_snapshot(struct control *control, const struct order *like)
{
    return send_all(control, like);
}

enum stepd_status control_order_query(struct control *control, const struct control_job *job,
                                      uint64_t query)
{
    return send_all(control, &(struct order){
                                 .kind = ORDER_QUERY,
                                 .job_name = job->name,
                                 .query = query,
                             });
}
