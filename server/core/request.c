/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests and their waiters. A parked request is a struct in lists, with a reason and a deadline;
 * it never stops its connection from being read. However a request ends (answered in full,
 * failed, expired, its connection gone) it ends in request_destroy.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/dtype.h"
#include "proto/error.h"
#include "server/base/limit.h"
#include "server/core/core_internal.h"

/* ---- Making ---------------------------------------------------------------------------------- */

/* "to versions 5 to 5, and its next clock is 6": what there is instead of the weights that a
 * request is about. */
static void describe_state(const struct session *session, const struct core_job *job, char *text,
                           size_t size)
{
    char clock[64] = "";
    uint64_t newest = 0;
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] == NULL)
            continue;
        const uint64_t version = job->slice[i]->slice.version;
        newest = version > newest ? version : newest;
        oldest = version < oldest ? version : oldest;
    }
    if (!session->observer)
        (void)stepd_format(clock, sizeof clock, ", and its next clock is %" PRIu64,
                           job_clock(job, session->rank) + 1);
    (void)stepd_format(text, size, "to versions %" PRIu64 " to %" PRIu64 "%s",
                       oldest < newest ? oldest : newest, newest, clock);
}

/* The job that the connection's session may speak about, at the incarnation that it means. */
static enum stepd_status find_job(const struct core_conn *conn, uint64_t incarnation,
                                  struct core_job **ret_job, struct stepd_error *reterr)
{
    struct core_job *job = job_find(conn->core, conn->session->job_name);
    if (job == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' is not defined here; send DefineJob and DefineTensors to "
                          "control first",
                          conn->session->job_name);
    if (incarnation != job->job->incarnation) {
        char text[160];
        describe_state(conn->session, job, text, sizeof text);
        return stepd_fail(reterr, STEPD_ROLLED_BACK,
                          "job '%s' is at incarnation %" PRIu64 ", not %" PRIu64
                          ": it went back or was begun anew, %s; pull the weights again and go on "
                          "from there",
                          job->job->name, job->job->incarnation, incarnation, text);
    }
    if (job->failure.code != STEPD_OK && !conn->session->observer)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s", job->failure.text);
    *ret_job = job;
    return STEPD_OK;
}

static enum stepd_status check_slices(struct core_conn *conn, struct core_job *job,
                                      const struct stepd_u32s *slices, struct stepd_error *reterr)
{
    const uint64_t number = ++conn->core->requests_made;
    const size_t known = job->job->layout.slices;
    for (size_t i = 0; i < slices->count; i++) {
        const uint32_t index = slices->at[i];
        if (index >= known)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "job '%s' has slices 0 to %zu; there is no slice %u", job->job->name,
                              known - 1, index);
        struct core_slice *slice = job->slice[index];
        if (slice == NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "slice %u belongs to shard %u, and this is shard %u", index,
                              job->job->layout.slice[index].shard + 1,
                              conn->core->options.shard + 1);
        if (slice->listed == number)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "slice %u is listed twice in one request", index);
        slice->listed = number;
    }
    return STEPD_OK;
}

static void free_room(struct reply_room *room)
{
    free(room->slice);
    free(room->outcome);
    free(room->version);
    free(room->place);
    free(room->piece);
}

/* The lists of a reply are as long as the longest request; a failure leaves them as they are. */
static bool make_room(struct core *core, size_t count)
{
    if (count <= core->room.count)
        return true;
    struct reply_room room = {
        .count = count,
        .slice = calloc(count, sizeof *room.slice),
        .outcome = calloc(count, sizeof *room.outcome),
        .version = calloc(count, sizeof *room.version),
        .place = calloc(count, sizeof *room.place),
        .piece = calloc(count, sizeof *room.piece),
    };
    const bool whole = room.slice != NULL && room.outcome != NULL && room.version != NULL &&
                       room.place != NULL && room.piece != NULL;
    free_room(whole ? &core->room : &room);
    if (whole)
        core->room = room;
    return whole;
}

static void link_request(struct core_conn *conn, struct request *request)
{
    request->next = conn->requests;
    if (conn->requests != NULL)
        conn->requests->prev = request;
    conn->requests = request;
    conn->requests_count++;
    conn->waiters += request->count;
}

enum stepd_status request_create(struct core_conn *conn, const struct request_terms *terms,
                                 struct request **ret_request, struct stepd_error *reterr)
{
    struct core *core = conn->core;
    struct core_job *job = NULL;
    enum stepd_status status = find_job(conn, terms->incarnation, &job, reterr);
    if (status == STEPD_OK)
        status = check_slices(conn, job, &terms->slices, reterr);
    if (status != STEPD_OK)
        return status;
    const size_t count = terms->slices.count;
    if (conn->requests_count >= core->options.requests_max) {
        limit_refused(core->options.limits, LIMIT_REQUESTS);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "%u requests wait on this connection already; read their replies first, "
                          "or raise the server's requests_max",
                          (unsigned)core->options.requests_max);
    }
    if (conn->waiters + count > CONN_WAITERS_MAX)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "%zu slices wait for answers on this connection, and the most are %u; "
                          "read the replies before you ask for more",
                          conn->waiters, CONN_WAITERS_MAX);
    struct request *request = malloc(sizeof *request + count * sizeof request->waiter[0]);
    if (request == NULL || !make_room(core, count)) {
        free(request);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the request");
    }
    const uint32_t most = core->options.wait_max_ms;
    const bool stated = terms->deadline_ms != 0 && terms->deadline_ms < most;
    *request = (struct request){
        .conn = conn,
        .job = job,
        .id = terms->id,
        .kind = terms->kind,
        .deadline_ms = core->now_ms + (stated ? terms->deadline_ms : most),
        .count = count,
        .unsent = count,
    };
    for (size_t i = 0; i < count; i++)
        request->waiter[i] =
            (struct waiter){.request = request, .slice = job->slice[terms->slices.at[i]]};
    link_request(conn, request);
    *ret_request = request;
    return STEPD_OK;
}

/* The first slice whose pushes carry more than its gradient, or NULL. */
static const struct slice *with_hessian(const struct request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        const struct slice *slice = &request->waiter[i].slice->slice;
        if (slice->plan->extra > 0)
            return slice;
    }
    return NULL;
}

static enum stepd_status fail_payload(const struct request *request, uint64_t wanted,
                                      uint64_t given, struct stepd_error *reterr)
{
    const struct slice *hessian =
        request->kind == STEPD_MESSAGE_ASSIGN ? NULL : with_hessian(request);
    const enum stepd_status status =
        stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                   "the slices take %" PRIu64 " bytes of %s, and the payload has %" PRIu64, wanted,
                   stepd_dtype_name(request->dtype), given);
    if (hessian == NULL || wanted == 0)
        return status;
    return stepd_fail_in(reterr, status,
                         "group '%s' wants a Hessian of %u numbers behind its %u gradients",
                         hessian->group->name, hessian->plan->extra, hessian->plan->elements);
}

enum stepd_status request_check_payload(const struct request *request, uint64_t payload_bytes,
                                        struct stepd_error *reterr)
{
    uint64_t wanted = 0;
    for (size_t i = 0; i < request->count; i++) {
        if (!stepd_bytes_add(wanted, waiter_payload_bytes(&request->waiter[i]), &wanted))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the slices' lengths overflow");
    }
    if (request->kind != STEPD_MESSAGE_ASSIGN && (request->examples == 0 || request->placed))
        wanted = 0;
    return wanted == payload_bytes ? STEPD_OK
                                   : fail_payload(request, wanted, payload_bytes, reterr);
}

/* ---- Waiters --------------------------------------------------------------------------------- */

static bool is_parked(const struct waiter *waiter)
{
    return waiter->state == WAITER_ROUND || waiter->state == WAITER_VERSION;
}

static void unpark(struct waiter *waiter)
{
    if (!is_parked(waiter))
        return;
    if (waiter->prev != NULL)
        waiter->prev->next = waiter->next;
    else
        waiter->slice->waiters = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
    waiter->prev = NULL;
    waiter->next = NULL;
}

void waiter_park(struct waiter *waiter, enum waiter_state state)
{
    unpark(waiter);
    waiter->state = state;
    waiter->next = waiter->slice->waiters;
    if (waiter->next != NULL)
        waiter->next->prev = waiter;
    waiter->slice->waiters = waiter;
}

void waiter_ready(struct waiter *waiter, enum stepd_outcome outcome, uint64_t version)
{
    unpark(waiter);
    waiter->state = WAITER_READY;
    waiter->outcome = outcome;
    waiter->version = version;
    dispatch_dirty(waiter->request);
}

uint64_t waiter_clock(const struct waiter *waiter)
{
    const struct session *session = waiter->request->conn->session;
    const struct slice *slice = &waiter->slice->slice;
    if (session->observer || session->rank >= slice->ranks)
        return 0;
    return members_clock(&waiter->slice->job->members, session->rank,
                         slice->by_rank[session->rank].record.clock);
}

uint64_t waiter_payload_bytes(const struct waiter *waiter)
{
    const struct slice *slice = &waiter->slice->slice;
    const bool assigns = waiter->request->kind == STEPD_MESSAGE_ASSIGN;
    const uint64_t elements = assigns ? slice->plan->elements : slice_push_floats(slice);
    return elements * stepd_dtype_bytes(waiter->request->dtype);
}

/* ---- Ending ---------------------------------------------------------------------------------- */

void request_fail(struct request *request, const struct stepd_error *error)
{
    if (request->error.code == STEPD_OK)
        request->error = *error;
    dispatch_dirty(request);
}

void requests_fail(struct core_conn *conn, const struct core_job *job,
                   const struct stepd_error *error)
{
    if (conn->receiving != NULL && (job == NULL || conn->receiving->job == job))
        receive_cancel(conn);
    for (struct request *request = conn->requests; request != NULL; request = request->next) {
        if (job == NULL || request->job == job)
            request_fail(request, error);
    }
}

void request_destroy(struct request *request)
{
    struct core_conn *conn = request->conn;
    conn->requests_count--;
    conn->waiters -= request->count;
    for (size_t i = 0; i < request->count; i++)
        unpark(&request->waiter[i]);
    dispatch_not_due(request);
    if (request->dirty) {
        struct request **at = &conn->core->dirty;
        while (*at != request)
            at = &(*at)->next_dirty;
        *at = request->next_dirty;
    }
    if (request->prev != NULL)
        request->prev->next = request->next;
    else
        conn->requests = request->next;
    if (request->next != NULL)
        request->next->prev = request->prev;
    free(request);
}

/* ---- Deadlines ------------------------------------------------------------------------------- */

/* "rank 3 (worker 'gpu7:41', last heard by this shard 12 s ago)"; returns its length. */
static size_t explain_rank(const struct core *core, const struct core_job *job, uint32_t rank,
                           char *text, size_t size)
{
    const struct session *session = session_of_rank(core, job->job->name, rank);
    if (session == NULL)
        return stepd_format(text, size, "rank %u (gone)", rank);
    return stepd_format(text, size,
                        "rank %u (worker '%s', last heard by this shard %" PRIu64 " s ago)", rank,
                        session->worker, (core->now_ms - session->heard_ms) / 1000);
}

/* The ranks that a slice, or a worker at this clock, waits for: up to `most` of them, and how many
 * there are. */
static size_t collect_waited_for(const struct core_slice *slice, uint64_t clock, uint32_t *rank,
                                 size_t most, size_t *ret_all)
{
    const struct scene scene = slice_scene(slice);
    size_t found = 0;
    size_t all = 0;
    for (uint32_t i = 0; i < slice->slice.ranks; i++) {
        if (!slice->job->policy->waits_for(&scene, clock, i))
            continue;
        all++;
        if (found < most)
            rank[found++] = i;
    }
    *ret_all = all;
    return found;
}

static size_t count_members(const struct members *members)
{
    size_t count = 0;
    for (uint32_t rank = 0; rank < members->ranks; rank++)
        count += members_know(members, rank);
    return count;
}

/* What a slice waits for that waits for no rank. */
static const char *explain_no_rank(const struct core_slice *slice)
{
    const struct core_job *job = slice->job;
    if (slice->blocked)
        return "readers that hold two versions";
    if (job->last.open && slice->slice.version >= job->last.version)
        return "the end of the server, which keeps its last checkpoint";
    if (change_holds(job, slice->slice.version))
        return "all shards to agree on a change";
    return job->gate.state == GATE_REPORTED ? "other shards" : "the next push";
}

size_t waiter_explain(const struct waiter *waiter, char *text, size_t size, uint32_t *rank,
                      size_t most)
{
    const struct core_slice *slice = gate_slowest(waiter->slice);
    const struct core_job *job = slice->job;
    char name[JOB_SLICE_NAME_BYTES];
    job_slice_name(job->job, slice->slice.index, name, sizeof name);
    if (!slice->slice.valued) {
        (void)stepd_format(text, size, "%s has no values yet: waiting for rank 0 to send them",
                           name);
        rank[0] = 0;
        return 1;
    }
    if (!job->members.started) {
        (void)stepd_format(text, size, "job '%s' has not started: %zu of %u workers have joined",
                           job->job->name, count_members(&job->members), job->job->workers);
        return 0;
    }
    size_t all = 0;
    const size_t found = collect_waited_for(slice, waiter_clock(waiter), rank, most, &all);
    if (slice->blocked || found == 0) {
        (void)stepd_format(text, size, "%s: waiting for %s", name, explain_no_rank(slice));
        return 0;
    }
    size_t at = stepd_format(text, size, "%s, version %" PRIu64 ": waiting for ", name,
                             slice->slice.version + 1);
    at += explain_rank(waiter->request->conn->core, job, rank[0], text + at, size - at);
    if (all > 1)
        (void)stepd_format(text + at, size - at, " and %zu more", all - 1);
    return found;
}

static const struct waiter *first_parked(const struct request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        if (is_parked(&request->waiter[i]))
            return &request->waiter[i];
    }
    return NULL;
}

/* A connection that receives a payload for the same job: what one that is held waits for. NULL:
 * they have all just ended. */
static const struct core_conn *find_receiving(const struct request *request)
{
    const struct core_conn *conn = request->conn->core->conns;
    while (conn != NULL &&
           (conn->held || conn->receiving == NULL || conn->receiving->job != request->job))
        conn = conn->next;
    return conn;
}

/* Its own payload has stopped coming, or was not read from: what counted of it counts, the rest is
 * read and dropped. All results may be out already, if nobody wanted that payload. */
static void expire_receiving(struct request *request)
{
    struct core_conn *conn = request->conn;
    const struct core_conn *other = conn->held ? find_receiving(request) : NULL;
    struct stepd_error error = {.code = STEPD_OK};
    const uint32_t rank = other != NULL ? other->session->rank : 0;
    char who[160];
    (void)stepd_fail(&error, STEPD_DEADLINE_EXCEEDED,
                     "the payload of this request had not come in whole");
    if (other != NULL) {
        (void)explain_rank(conn->core, request->job, rank, who, sizeof who);
        (void)stepd_fail(&error, STEPD_DEADLINE_EXCEEDED,
                         "the payload of this request was waiting for that of %s to come in", who);
    }
    const struct stepd_u32s waited_for = {.count = other != NULL, .at = &rank};
    receive_cancel(conn);
    if (request->unsent > 0)
        dispatch_error(conn, request->id, &error, waited_for);
    request_destroy(request);
}

static void expire(struct request *request)
{
    enum { RANKS_NAMED = 16 };

    if (request->conn->receiving == request) {
        expire_receiving(request);
        return;
    }
    const struct waiter *waiter = first_parked(request);
    if (waiter == NULL && !request->due)
        return; /* it is ready: the next flush answers it */
    uint32_t rank[RANKS_NAMED];
    char why[STEPD_ERROR_TEXT_BYTES] = "waiting for you to read the replies before this one";
    const size_t ranks =
        waiter == NULL ? 0 : waiter_explain(waiter, why, sizeof why, rank, RANKS_NAMED);
    struct stepd_error error = {.code = STEPD_OK};
    (void)stepd_fail(&error, STEPD_DEADLINE_EXCEEDED, "%s", why);
    const struct stepd_u32s waited_for = {.count = ranks, .at = rank};
    dispatch_error(request->conn, request->id, &error, waited_for);
    request_destroy(request);
}

void requests_expire(struct core *core)
{
    for (struct core_conn *conn = core->conns; conn != NULL; conn = conn->next) {
        struct request *next = NULL;
        for (struct request *request = conn->requests; request != NULL; request = next) {
            next = request->next;
            if (request->deadline_ms <= core->now_ms)
                expire(request);
        }
    }
}
