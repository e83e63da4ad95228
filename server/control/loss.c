/* SPDX-License-Identifier: Apache-2.0
 *
 * A lost member is looked at with every tick, until it is back, replaced or given up: who is left
 * may become enough to go on without it, and what there is no memory for is done at a later one.
 */
#include "server/control/loss.h"

#include "proto/error.h"
#include "server/control/members.h"
#include "server/control/orders.h"
#include "server/control/sessions.h"

static size_t count_present(const struct control_job *job)
{
    size_t present = 0;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        present += member != NULL && member->state == STEPD_MEMBER_PRESENT;
    }
    return present;
}

static void give_up(struct control *control, struct control_job *job, struct control_member *member)
{
    struct stepd_error why = {.code = STEPD_OK};
    char room[CONTROL_SILENCE_TEXT_BYTES];
    (void)stepd_fail(&why, STEPD_FAILED_PRECONDITION,
                     "rank %u (worker '%s') of job '%s' %s and was given up (on_loss is shrink): "
                     "what it sends is fenced and changes nothing; connect anew to join again",
                     member->rank, member->session->worker, job->name,
                     control_session_silence(member->session, control->now_ms, room));
    if (control_order_give_up(control, job, member->rank, &why) != STEPD_OK)
        return;
    member->given_up = why;
    control_member_move(control, member, STEPD_MEMBER_GIVEN_UP);
}

/* Too few would be left. */
static void keep(const struct control *control, const struct control_job *job,
                 struct control_member *member, size_t present, uint32_t least)
{
    if (member->kept)
        return;
    member->kept = true;
    control_warn(control, "worker_waited_for", "job=%s rank=%u present=%zu workers_min=%u",
                 control_quote(job->name).text, member->rank, present, least);
}

static void fail(struct control *control, struct control_job *job,
                 const struct control_member *member)
{
    struct stepd_error why = {.code = STEPD_OK};
    char room[CONTROL_SILENCE_TEXT_BYTES];
    (void)stepd_fail(&why, STEPD_FAILED_PRECONDITION,
                     "job '%s' has failed: rank %u (worker '%s') %s (on_loss is fail)", job->name,
                     member->rank, member->session->worker,
                     control_session_silence(member->session, control->now_ms, room));
    control_job_fail(control, job, &why, /* shards_know= */ false);
}

static void see_to(struct control *control, struct control_job *job, struct control_member *member)
{
    const struct consistency *consistency = job_draft_consistency(job->draft);
    const uint32_t least = consistency_least(consistency);
    const size_t present = count_present(job);
    if (consistency->on_loss == CONSISTENCY_LOSS_FAIL)
        fail(control, job, member);
    else if (consistency->on_loss != CONSISTENCY_LOSS_SHRINK)
        return;
    else if (present >= least)
        give_up(control, job, member);
    else
        keep(control, job, member, present, least);
}

void control_loss_on_tick(struct control *control, struct control_job *job)
{
    for (size_t rank = 0; rank < job->ranks && job->state == CONTROL_JOB_RUNNING; rank++) {
        struct control_member *member = job->member[rank];
        if (member != NULL && member->state == STEPD_MEMBER_LOST)
            see_to(control, job, member);
    }
}
