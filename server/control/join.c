/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing a rank: the one that is asked for, or the lowest that is free, a lost one of a running
 * job before others, because rounds wait for it. Where none is free, one whose worker had the same
 * name and is connected no more: it is that worker, started again. Then a session for it; a rank
 * that somebody held before keeps its entry, and what was the older session is told whose the rank
 * is now when it comes back. Who gets none is told who holds them, and how long that may last.
 */
#include "server/control/join.h"

#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/members.h"

/* ---- Choosing -------------------------------------------------------------------------------- */

enum stepd_status control_join_check_range(const struct control_job *job, int32_t rank,
                                           struct stepd_error *reterr)
{
    const uint32_t ranks = control_job_ranks(job);
    if (rank == CONTROL_ANY_RANK || (uint32_t)rank < ranks)
        return STEPD_OK;
    if (ranks == 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "rank is %d, and job '%s' has 1 worker: rank 0", rank, job->name);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "rank is %d, and job '%s' has %u workers: ranks 0 to %u", rank, job->name,
                      ranks, ranks - 1);
}

static enum stepd_status taken(const struct control *control, const struct control_member *member,
                               struct stepd_error *reterr)
{
    const struct control_session *session = member->session;
    const uint64_t silent_ms = control_session_silent_ms(session, control->now_ms);
    const uint64_t left_ms = session->lease_ms - silent_ms;
    if (session->restored)
        return stepd_fail(
            reterr, STEPD_ALREADY_EXISTS,
            "rank %u is kept for worker '%s', which has not come back since the job "
            "was restored; ask for this rank by its number to take its place, or wait "
            "%" PRIu64 " ms",
            member->rank, session->worker, left_ms);
    if (session->conn != NULL)
        return stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                          "rank %u is taken by worker '%s', which is connected and was heard of "
                          "%" PRIu64 " ms ago; ask for another rank, or for any (-1, or none)",
                          member->rank, session->worker, silent_ms);
    return stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                      "rank %u is taken by worker '%s', which has lost its connection and was "
                      "silent for %" PRIu64 " ms; if it does not come back, its lease runs out in "
                      "%" PRIu64 " ms: connect again then, or now under the same worker name",
                      member->rank, session->worker, silent_ms, left_ms);
}

/* A rank that has left. Its worker may have pushes under way until it has hung up. */
static enum stepd_status check_left(const struct control_job *job,
                                    const struct control_member *member, bool rejoins,
                                    struct stepd_error *reterr)
{
    if (rejoins)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "rank %u has left job '%s' while this worker was away", member->rank,
                          job->name);
    if (!control_job_takes_ranks_back(job))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "rank %u has left job '%s'; a sync job that has started does not take it "
                          "back",
                          member->rank, job->name);
    if (control_job_joins_at_version(job) && member->session->conn != NULL)
        return stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                          "rank %u has left job '%s', and its worker '%s' is still connected; try "
                          "again when it has hung up",
                          member->rank, job->name, member->session->worker);
    return STEPD_OK;
}

/* How somebody without a session comes to a rank. */
struct claim {
    bool by_number;     /* it asks for this one */
    bool rejoins;       /* it has been a worker before */
    const char *worker; /* its name, where it may go by that; else NULL */
};

/* Is this the rank's worker, started again? Two that live may have one name: so not while the other
 * is connected. */
static bool is_again(const struct control_session *session, const struct claim *claim)
{
    return claim->worker != NULL && session->conn == NULL &&
           strcmp(session->worker, claim->worker) == 0;
}

/* May a worker that brings no session take this rank now? Whoever rejoins was away while somebody
 * else left for it: it is not to do that one's work again. But where the session is one that a
 * snapshot has brought back, and nobody has come with it, whoever rejoins may have had the rank
 * later than the snapshot was taken, when that session had lost it; and whoever asks for it by its
 * number may stand for a worker that was started again with the daemon, and has no session. */
static enum stepd_status check_rank(const struct control *control, const struct control_job *job,
                                    uint32_t rank, struct claim claim, struct stepd_error *reterr)
{
    const struct control_member *member = control_member_find(job, rank);
    if (member == NULL)
        return STEPD_OK;
    const bool restored = member->session->restored;
    switch (member->state) {
    case STEPD_MEMBER_LEFT: return check_left(job, member, claim.rejoins && !restored, reterr);
    case STEPD_MEMBER_GIVEN_UP: return STEPD_OK;
    case STEPD_MEMBER_JOINING:
        return stepd_fail(reterr, STEPD_ALREADY_EXISTS, "rank %u is taken by worker '%s'", rank,
                          member->session->worker);
    case STEPD_MEMBER_PRESENT:
    case STEPD_MEMBER_LOST: break;
    }
    const bool is_free = control_session_is_over(member->session, control->now_ms) ||
                         ((claim.rejoins || claim.by_number) && restored) ||
                         is_again(member->session, &claim);
    return is_free ? STEPD_OK : taken(control, member, reterr);
}

/* Do rounds of a running job wait for a rank that anybody may take? */
static bool is_missed(const struct control *control, const struct control_job *job, uint32_t rank)
{
    const struct control_member *member = control_member_find(job, rank);
    return job->state == CONTROL_JOB_RUNNING && member != NULL &&
           (member->state == STEPD_MEMBER_LOST || member->state == STEPD_MEMBER_PRESENT) &&
           control_session_is_over(member->session, control->now_ms);
}

/* ---- Refusing -------------------------------------------------------------------------------- */

/* So many holders are named, and names are cut, so that what to do about it has room. */
#define HOLDERS_NAMED     4u
#define HOLDER_NAME_BYTES 41
#define JOB_NAME_BYTES    81

/* Who holds the ranks of a job of which none is free. */
struct holders {
    uint32_t ranks;
    uint32_t restored;  /* kept for those who have not come back since the job was restored */
    uint32_t lost;      /* their worker is connected no more */
    uint64_t lowest_ms; /* until the first lease of a lost one runs out */
    size_t length;      /* of the text */
    char text[STEPD_ERROR_TEXT_BYTES / 2];
    char job[JOB_NAME_BYTES];
};

static void name_holder(const struct control *control, const struct control_member *member,
                        struct holders *holders)
{
    const struct control_session *const session = member->session;
    const char *how = session->conn == NULL ? "connection lost" : "connected";
    char worker[HOLDER_NAME_BYTES];
    (void)stepd_format(worker, sizeof worker, "%s", session->worker);
    if (!control_member_stays(member))
        how = "left";
    holders->length += stepd_format(
        holders->text + holders->length, sizeof holders->text - holders->length,
        "%srank %u by worker '%s' (%s, silent for %" PRIu64 " s)", holders->length == 0 ? "" : ", ",
        member->rank, worker, how, control_session_silent_ms(session, control->now_ms) / 1000);
}

static struct holders find_holders(const struct control *control, const struct control_job *job)
{
    struct holders holders = {.ranks = control_job_ranks(job), .lowest_ms = UINT64_MAX};
    uint32_t named = 0;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member == NULL)
            continue;
        const struct control_session *const session = member->session;
        const bool lost = control_member_stays(member) && session->conn == NULL;
        holders.restored += session->restored;
        holders.lost += lost;
        const uint64_t left_ms =
            session->lease_ms - control_session_silent_ms(session, control->now_ms);
        if (lost && left_ms < holders.lowest_ms)
            holders.lowest_ms = left_ms;
        if (named++ < HOLDERS_NAMED)
            name_holder(control, member, &holders);
    }
    if (named > HOLDERS_NAMED)
        holders.length +=
            stepd_format(holders.text + holders.length, sizeof holders.text - holders.length,
                         ", and %u more", named - HOLDERS_NAMED);
    (void)stepd_format(holders.job, sizeof holders.job, "%s", job->name);
    return holders;
}

static enum stepd_status none_is_free(const struct control *control, const struct control_job *job,
                                      struct stepd_error *reterr)
{
    const struct holders holders = find_holders(control, job);
    if (holders.restored > 0)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "all %u ranks of job '%s' are taken, %u of them by workers that have not "
                          "come back since the job was restored; ask for one of these by its "
                          "number, or wait until their leases run out",
                          holders.ranks, job->name, holders.restored);
    if (holders.lost == 0)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "all %u ranks of job '%s' are taken: %s; start no more workers than the "
                          "job has (workers), or name another job",
                          holders.ranks, holders.job, holders.text);
    return stepd_fail(
        reterr, STEPD_RESOURCE_EXHAUSTED,
        "all %u ranks of job '%s' are taken: %s; the first lease of a lost one runs out in "
        "%" PRIu64 " s: connect again then, or now under the worker name of one that is lost",
        holders.ranks, holders.job, holders.text, (holders.lowest_ms + 999) / 1000);
}

/* ---- Deciding -------------------------------------------------------------------------------- */

/* The lowest rank that this claim may take; the number of ranks if there is none. */
static uint32_t lowest_free(const struct control *control, const struct control_job *job,
                            struct claim claim)
{
    const uint32_t ranks = control_job_ranks(job);
    uint32_t rank = 0;
    while (rank < ranks && check_rank(control, job, rank, claim, NULL) != STEPD_OK)
        rank++;
    return rank;
}

static enum stepd_status any_rank(const struct control *control, const struct control_job *job,
                                  const char *worker, uint32_t *ret_rank,
                                  struct stepd_error *reterr)
{
    const uint32_t ranks = control_job_ranks(job);
    uint32_t rank = 0;
    while (rank < ranks && !is_missed(control, job, rank))
        rank++;
    if (rank == ranks)
        rank = lowest_free(control, job, (struct claim){.worker = NULL});
    if (rank == ranks)
        rank = lowest_free(control, job, (struct claim){.worker = worker});
    if (rank == ranks)
        return none_is_free(control, job, reterr);
    *ret_rank = rank;
    return STEPD_OK;
}

static enum stepd_status choose_rank(const struct control *control, const struct control_job *job,
                                     const struct stepd_hello *hello, uint32_t *ret_rank,
                                     struct stepd_error *reterr)
{
    if (hello->rank == CONTROL_ANY_RANK)
        return any_rank(control, job, hello->worker, ret_rank, reterr);
    const enum stepd_status status = control_join_check_range(job, hello->rank, reterr);
    if (status != STEPD_OK)
        return status;
    *ret_rank = (uint32_t)hello->rank;
    const struct claim claim = {
        .by_number = true, .rejoins = hello->rejoins, .worker = hello->worker};
    return check_rank(control, job, *ret_rank, claim, reterr);
}

/* ---- Taking ---------------------------------------------------------------------------------- */

/* In bounded mode others wait for who is behind: a joiner is no further back than the slowest. */
static uint64_t clock_of_slowest(const struct control_job *job, const struct control_member *joiner)
{
    uint64_t slowest = UINT64_MAX;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member == NULL || member == joiner || member->state != STEPD_MEMBER_PRESENT)
            continue;
        const uint64_t clock = control_member_clock(member);
        slowest = clock < slowest ? clock : slowest;
    }
    return slowest == UINT64_MAX ? 0 : slowest;
}

/* A rank that nobody holds becomes a member, or is to become one. */
static void admit(struct control *control, const struct control_job *job,
                  struct control_member *member)
{
    const bool bounded = job->draft != NULL && job_draft_mode(job->draft) == STEPD_BOUNDED;
    member->last_clock = UINT64_MAX;
    member->until = 0;
    member->untold = true;
    if (control_job_joins_at_version(job)) {
        control_member_move(control, member, STEPD_MEMBER_JOINING);
        return;
    }
    if (bounded && job->state == CONTROL_JOB_RUNNING) {
        member->from_clock = 0;
        const uint64_t slowest = clock_of_slowest(job, member);
        const uint64_t own = control_member_clock(member);
        member->from_clock = own > slowest ? own : slowest;
    }
    control_member_move(control, member, STEPD_MEMBER_PRESENT);
}

static struct control_former former_of(const struct control *control,
                                       const struct control_session *old, const char *by)
{
    struct control_former former = {.known = true};
    char room[CONTROL_SILENCE_TEXT_BYTES];
    memcpy(former.session, old->id, sizeof former.session);
    (void)stepd_fail(&former.why, STEPD_FAILED_PRECONDITION,
                     "worker '%s' %s%s, and rank %u of job '%s' has passed to worker '%s': what it "
                     "still sends is fenced and changes nothing; connect anew for another rank",
                     old->worker, control_session_silence(old, control->now_ms, room),
                     old->restored ? " from the time on that the job was restored" : "", old->rank,
                     old->job->name, by);
    return former;
}

/* A new session for a rank that somebody held before. */
static enum stepd_status take_over(struct control *control, struct control_member *member,
                                   const struct stepd_hello *hello,
                                   struct control_session **ret_session, struct stepd_error *reterr)
{
    struct control_session *old = member->session;
    struct control_job *const job = old->job;
    const struct control_former former = former_of(control, old, hello->worker);
    enum stepd_status status = control_session_retire(control, old, &former.why, reterr);
    if (status == STEPD_OK)
        status = control_session_create(control, job, member->rank, hello, ret_session, reterr);
    if (status != STEPD_OK)
        return status;
    control_log(control, "worker_replaced", "job=%s rank=%u worker=%s by=%s",
                control_quote(job->name).text, member->rank, control_quote(old->worker).text,
                control_quote(hello->worker).text);
    member->former = former;
    member->session = *ret_session;
    member->session->member = member;
    control_session_free(control, old);
    if (control_member_stays(member))
        control_member_move(control, member, STEPD_MEMBER_PRESENT);
    else
        admit(control, job, member);
    return STEPD_OK;
}

static enum stepd_status take_new(struct control *control, struct control_job *job, uint32_t rank,
                                  const struct stepd_hello *hello,
                                  struct control_session **ret_session, struct stepd_error *reterr)
{
    struct control_session *session = NULL;
    const enum stepd_status status =
        control_session_create(control, job, rank, hello, &session, reterr);
    if (status != STEPD_OK)
        return status;
    session->member = control_member_create(control, job, rank, session);
    if (session->member == NULL) {
        control_session_drop(control, session);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for rank %u", rank);
    }
    control_log(control, "worker_joined", "job=%s rank=%u worker=%s", control_quote(job->name).text,
                rank, control_quote(hello->worker).text);
    admit(control, job, session->member);
    *ret_session = session;
    return STEPD_OK;
}

enum stepd_status control_join(struct control *control, struct control_job *job,
                               const struct stepd_hello *hello,
                               struct control_session **ret_session, struct stepd_error *reterr)
{
    uint32_t rank = 0;
    enum stepd_status status = choose_rank(control, job, hello, &rank, reterr);
    if (status != STEPD_OK)
        return status;
    struct control_member *member = control_member_find(job, rank);
    status = member != NULL ? take_over(control, member, hello, ret_session, reterr)
                            : take_new(control, job, rank, hello, ret_session, reterr);
    if (status == STEPD_OK)
        control_job_tell_shards(control, job);
    return status;
}
