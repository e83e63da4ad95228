/* SPDX-License-Identifier: Apache-2.0
 *
 * Status, frame by frame: jobs are put into a page one after the other, each with as many of its
 * members as still fit. A page that is full is sent, and the job that filled it goes on in the next
 * one with the same numbers and the members that are left.
 */
#include <string.h>

#include "proto/error.h"
#include "server/base/limit.h"
#include "server/control/barriers.h"
#include "server/control/handle_status.h"
#include "server/control/jobs.h"
#include "server/control/limits.h"
#include "server/control/login.h"
#include "server/control/members.h"
#include "server/control/page.h"
#include "server/control/query.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

/* Numbers of a JobStatus, with those of its MemoryPlan and CheckpointStatus and these messages'
 * lengths, and of a MemberStatus, the loss among them. */
#define JOB_NUMBERS    27u
#define MEMBER_NUMBERS 8u
#define DAEMON_NUMBERS 6u

/* No job takes less, so no page has more jobs. */
#define JOB_LEAST_BYTES (JOB_NUMBERS * PAGE_NUMBER_BYTES)
#define PAGE_JOBS_MAX   (CONTROL_PAGE_BYTES / JOB_LEAST_BYTES)

/* All limits take no more: a name of 32 bytes and three numbers each. */
#define LIMITS_BYTES (LIMITS * (2 * PAGE_TAG_BYTES + 32 + 3 * PAGE_NUMBER_BYTES))

struct page {
    struct control_pages *pages;
    const struct control_query *query;
    size_t left;                              /* bytes */
    size_t daemons;                           /* of the first page alone */
    const struct stepd_daemon_status *daemon; /* in the arena */
    const char *jobs_unknown;                 /* of the first page alone */
    size_t jobs;
    struct stepd_job_status *job; /* PAGE_JOBS_MAX of them, in the arena; NULL: no memory */
};

static void begin(struct page *page)
{
    page->left = CONTROL_PAGE_BYTES;
    page->jobs = 0;
    page->job = stepd_arena_calloc(&page->pages->arena, PAGE_JOBS_MAX, sizeof *page->job);
}

static void use_up(struct page *page, size_t bytes)
{
    page->left = page->left > bytes ? page->left - bytes : 0;
}

/* Why there may be other jobs; what is wrong with a member's link has addresses in it. */
static const char *jobs_unknown(const struct control_pages *pages)
{
    const struct control *const control = pages->conn->control;
    return control->place > 0 && !control_login_shows_limits(pages->conn) ? control_aside
                                                                          : control->missing;
}

/* Puts all limits into the last page, or none without memory. */
static void put_limits(const struct page *page, struct stepd_server_status *status)
{
    struct stepd_limit_status *const limit =
        stepd_arena_calloc(&page->pages->arena, LIMITS, sizeof *limit);
    if (limit == NULL || !control_login_shows_limits(page->pages->conn))
        return;
    status->limits = control_limits(page->pages->conn->control, limit);
    status->limit = limit;
}

static void finish(struct page *page, bool last)
{
    const struct control *control = page->pages->conn->control;
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_STATUS,
        .body.status =
            {
                .server_version = control->options.server_version,
                .uptime_ms = control->now_ms - control->begin_ms,
                .jobs = page->jobs,
                .job = page->job,
                .last = last,
                .daemons = page->daemons,
                .daemon = page->daemon,
                .jobs_unknown = page->jobs_unknown,
                .place = control->place,
            },
    };
    if (last)
        put_limits(page, &message.body.status);
    control_pages_put(page->pages, &message);
    page->daemons = 0;
    page->jobs_unknown = "";
}

/* ---- Daemons --------------------------------------------------------------------------------- */

/* They are in the first page, where they leave room for a job. */
static bool put_daemons(struct page *page)
{
    const struct control_io *const io = &page->pages->conn->control->io;
    if (io->daemons == NULL)
        return true;
    struct stepd_daemon_status *const daemon =
        stepd_arena_calloc(&page->pages->arena, STEPD_DAEMONS_MAX, sizeof *daemon);
    if (daemon == NULL)
        return false;
    const size_t daemons = io->daemons(io->owner, daemon, STEPD_DAEMONS_MAX);
    page->daemons = daemons < STEPD_DAEMONS_MAX ? daemons : STEPD_DAEMONS_MAX;
    page->daemon = daemon;
    for (size_t i = 0; i < page->daemons; i++)
        use_up(page, PAGE_TAG_BYTES + page_text_bytes(daemon[i].address) +
                         DAEMON_NUMBERS * PAGE_NUMBER_BYTES);
    return true;
}

/* ---- Members --------------------------------------------------------------------------------- */

static size_t member_bytes(const struct control_member *member)
{
    return PAGE_TAG_BYTES + page_text_bytes(member->session->worker) +
           page_text_bytes(member->session->arrival.name) + MEMBER_NUMBERS * PAGE_NUMBER_BYTES;
}

/* What the shards have counted is told late; the worker may have said something higher itself. */
static uint64_t clock_of(const struct control_member *member)
{
    uint64_t clock = control_member_clock(member);
    if (clock < member->reported_clock)
        clock = member->reported_clock;
    if (member->state == STEPD_MEMBER_LEFT && clock < member->last_clock)
        clock = member->last_clock;
    return clock;
}

static uint64_t until_of(const struct control_member *member)
{
    switch (member->state) {
    case STEPD_MEMBER_LEFT: return member->last_clock;
    case STEPD_MEMBER_GIVEN_UP: return member->until;
    case STEPD_MEMBER_JOINING:
    case STEPD_MEMBER_PRESENT:
    case STEPD_MEMBER_LOST: break;
    }
    return 0;
}

static struct stepd_member_status member_status(const struct control_member *member,
                                                uint64_t now_ms)
{
    return (struct stepd_member_status){
        .rank = member->rank,
        .worker = member->session->worker,
        .state = member->state,
        .clock = clock_of(member),
        .silent_ms = control_session_silent_ms(member->session, now_ms),
        .loss = member->loss,
        .examples = member->examples,
        .from = member->from,
        .until = until_of(member),
        .barrier = control_barrier_of(member, now_ms),
    };
}

/* How many members fit from a rank on; *ret_end is the rank behind the final one of them. */
static size_t count_members(struct page *page, const struct control_job *job, size_t begin_rank,
                            size_t *ret_end)
{
    size_t count = 0;
    size_t rank = begin_rank;
    for (; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member == NULL)
            continue;
        const size_t bytes = member_bytes(member);
        if (bytes > page->left)
            break;
        page->left -= bytes;
        count++;
    }
    *ret_end = rank;
    return count;
}

/* Adds the members that fit from *rank on to the status, and moves *rank behind them. */
static bool put_members(struct page *page, const struct control_job *job, size_t *rank,
                        struct stepd_job_status *status)
{
    size_t end = 0;
    const size_t count = count_members(page, job, *rank, &end);
    struct stepd_member_status *members =
        stepd_arena_calloc(&page->pages->arena, count, sizeof *members);
    if (members == NULL)
        return false;
    for (size_t put = 0; *rank < end; (*rank)++) {
        if (job->member[*rank] != NULL)
            members[put++] = member_status(job->member[*rank], page->pages->conn->control->now_ms);
    }
    status->members = count;
    status->member = members;
    return true;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static bool put_tally(struct page *page, const struct control_tally *tally,
                      struct stepd_job_status *status)
{
    uint32_t ranks[STEPD_WORKERS_MAX];
    const size_t count = control_tally_waited_for(tally, ranks);
    uint32_t *waited_for = stepd_arena_calloc(&page->pages->arena, count, sizeof *waited_for);
    if (waited_for == NULL)
        return false;
    memcpy(waited_for, ranks, count * sizeof *waited_for);
    status->version_min = tally->version_min;
    status->version_max = tally->version_max;
    status->parked = tally->parked;
    status->waited_for = (struct stepd_u32s){.count = count, .at = waited_for};
    return true;
}

static void put_memory(const struct job *job, struct stepd_job_status *status)
{
    const struct job_memory memory = job_memory_plan(job);
    status->memory_bytes = job_memory_bytes(job);
    status->memory = (struct stepd_memory_plan){
        .weights = memory.weights,
        .second_version = memory.second_version,
        .views = memory.views,
        .slots = memory.slots,
        .sums = memory.sums,
        .staging = memory.staging,
        .backups = memory.backups,
        .spare = memory.spare,
    };
}

static struct stepd_checkpoint_status checkpoint_status(const struct control_checkpoints *own,
                                                        uint64_t now_ms)
{
    const bool any = own->newest.name[0] != '\0';
    return (struct stepd_checkpoint_status){
        .name = own->newest.name,
        .step = own->newest.step,
        .bytes = own->newest.bytes,
        .age_ms = any ? now_ms - own->newest.at_ms : 0,
        .failure = own->failure.code == STEPD_OK ? "" : own->failure.text,
    };
}

static const char *trouble_of(const struct control_job *job)
{
    return job->failure.code != STEPD_OK ? job->failure.text
           : job->late.code != STEPD_OK  ? job->late.text
                                         : "";
}

/* All but the members. */
static bool put_entry(struct page *page, const struct control_job *job,
                      struct stepd_job_status *status)
{
    *status = (struct stepd_job_status){
        .name = job->name,
        .state = control_job_state_seen(job),
        .failure = trouble_of(job),
        .first_weights = job->first_weights,
    };
    if (job->draft != NULL) {
        status->mode = job_draft_mode(job->draft);
        status->incarnation = job->incarnation;
        status->workers = job_draft_workers(job->draft);
        status->workers_min = consistency_start(job_draft_consistency(job->draft), status->workers);
        status->tensors = job_draft_tensors(job->draft);
    }
    if (job->job != NULL) {
        status->elements = job->job->elements;
        status->slices = job->job->layout.slices;
        put_memory(job->job, status);
    }
    status->changes = job->history.made;
    status->checkpoint = checkpoint_status(&job->checkpoints, page->pages->conn->control->now_ms);
    const struct control_tally *tally = control_query_tally(page->query, job);
    return tally == NULL || put_tally(page, tally, status);
}

static size_t entry_bytes(const struct page *page, const struct control_job *job)
{
    uint32_t ranks[STEPD_WORKERS_MAX];
    size_t bytes = PAGE_TAG_BYTES + page_text_bytes(job->name) + PAGE_TAG_BYTES + JOB_LEAST_BYTES;
    bytes += page_text_bytes(trouble_of(job));
    if (job->checkpoints.failure.code != STEPD_OK)
        bytes += page_text_bytes(job->checkpoints.failure.text);
    bytes += page_text_bytes(job->checkpoints.newest.name);
    bytes += page_text_bytes(job->first_weights);
    const struct control_tally *tally = control_query_tally(page->query, job);
    const size_t count = tally == NULL ? 0 : control_tally_waited_for(tally, ranks);
    for (size_t i = 0; i < count; i++)
        bytes += page_varint_bytes(ranks[i]);
    return bytes;
}

/* Puts a job into the page, and where it does not fit into as many more as it takes. */
static bool put_job(struct page *page, const struct control_job *job)
{
    const size_t bytes = entry_bytes(page, job);
    size_t rank = 0;
    bool again = false;
    do {
        if (again || bytes > page->left) {
            finish(page, /* last= */ false);
            begin(page);
        }
        if (page->job == NULL)
            return false;
        page->left -= bytes;
        struct stepd_job_status *status = &page->job[page->jobs++];
        if (!put_entry(page, job, status) || !put_members(page, job, &rank, status))
            return false;
        again = true;
    } while (rank < job->ranks);
    return true;
}

enum stepd_status control_status_pages(const struct control_wait *wait, struct control_pages *pages,
                                       struct stepd_error *reterr)
{
    const struct control *const control = pages->conn->control;
    const struct control_job *job = control->first_job;
    struct page page = {.pages = pages, .query = wait->query, .jobs_unknown = jobs_unknown(pages)};
    begin(&page);
    use_up(&page, page_text_bytes(page.jobs_unknown));
    bool room = page.job != NULL && put_daemons(&page);
    for (; room && job != NULL; job = job->next) {
        if ((wait->job == NULL || wait->job == job) && control_login_shows(wait->conn, job->name))
            room = put_job(&page, job);
    }
    if (!room)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to list the status");
    if (page.left < LIMITS_BYTES) {
        finish(&page, /* last= */ false);
        begin(&page);
    }
    finish(&page, /* last= */ true);
    return STEPD_OK;
}
