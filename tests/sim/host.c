/* SPDX-License-Identifier: Apache-2.0
 *
 * Control gets as much memory as the job takes, and not a byte more.
 */
#include "tests/sim/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "server/control/members.h"
#include "server/core/core_internal.h"
#include "tests/lib/blocked.h"
#include "tests/sim/link.h"
#include "tests/sim/snapshots.h"

enum { OLD_MOST = 5000 }; /* bytes for old versions: of a few slices at most */

/* Exactly one of the three. */
struct letter {
    struct letter *next;
    struct order *order;   /* owned */
    struct notice *notice; /* owned */
    struct link *link;     /* borrowed */
};

static bool is_control(const struct host *host)
{
    return host->control != NULL;
}

static size_t in_the_way(void *owner, const struct weights *weights)
{
    const struct host *host = owner;
    size_t held = 0;
    for (const struct link *link = host->links; link != NULL; link = link_next(link))
        held += link_in_the_way(link, weights);
    return held;
}

static void check_blocked(const struct host *host)
{
    const struct core_slice *const slice = blocked_for_nothing(host->core);
    if (slice != NULL)
        plan_fail(host->plan, "slice %u waits for those who give way", slice->slice.index);
}

/* Something has been done to the shard. */
static void look(const struct host *host)
{
    if (is_control(host) || host->dead)
        return;
    witness_look(host->witness, host->shard, host->core);
    if (!links_close_cut(host->links)) /* else it is looked at again */
        check_blocked(host);
}

/* ---- Letters --------------------------------------------------------------------------------- */

static void post(struct host *host, struct letter letter)
{
    struct letter *last = malloc(sizeof *last);
    assert_non_null(last);
    *last = letter;
    *host->letters_end = last;
    host->letters_end = &last->next;
}

static struct letter take(struct host *host)
{
    struct letter *first = host->letters;
    const struct letter letter = *first;
    host->letters = first->next;
    if (host->letters == NULL)
        host->letters_end = &host->letters;
    free(first);
    return letter;
}

void host_post_link(struct host *host, struct link *link)
{
    post(host, (struct letter){.link = link});
}

static void give_order(const struct host *host, struct order *order)
{
    const bool resumes = order->kind == ORDER_SESSION;
    uint8_t session[STEPD_SESSION_BYTES];
    memcpy(session, order->session, sizeof session);
    core_on_order(host->core, order, *host->now_ms);
    const struct core_conn *conn = host->core->conns;
    for (; conn != NULL && resumes; conn = conn->next) {
        if (conn->session != NULL && memcmp(conn->session->id, session, sizeof session) == 0)
            plan_fail(host->plan, "an older connection of rank %u goes on", conn->session->rank);
    }
}

bool host_deliver(struct host *host)
{
    if (host->letters == NULL)
        return !is_control(host) && core_on_idle(host->core);
    const struct letter letter = take(host);
    if (letter.order != NULL)
        give_order(host, letter.order);
    else if (letter.notice != NULL)
        control_on_notice(host->control, letter.notice, *host->now_ms);
    else
        link_open(letter.link);
    look(host);
    return true;
}

void host_tick(struct host *host)
{
    if (is_control(host))
        control_on_tick(host->control, *host->now_ms);
    else
        core_on_tick(host->core, *host->now_ms);
    look(host);
}

/* ---- What a core does ------------------------------------------------------------------------ */

static void core_reply(void *owner, void *peer, const struct stepd_message *message,
                       const struct core_piece *piece, size_t pieces)
{
    const struct host *host = owner;
    const bool worker = link_rank(peer) < PLAN_WORKERS_MAX;
    for (size_t i = 0; i < pieces && !host->dead && worker; i++)
        witness_weights(host->witness, link_rank(peer), message->body.result.slices.at[i]);
    link_reply(peer, message, piece, pieces);
}

static void on_hang_up(void *owner, void *peer)
{
    (void)owner;
    link_hang_up(peer);
}

static void on_hold(void *owner, void *peer, bool hold)
{
    const struct host *host = owner;
    coverage_count(host->plan->coverage, COVERAGE_HELD, hold);
    link_hold(peer, hold);
}

static bool on_takes(void *owner, void *peer)
{
    (void)owner;
    return link_takes(peer);
}

static void on_give_way(void *owner, void *peer)
{
    (void)owner;
    link_give_way(peer);
}

static size_t on_cut(void *owner, const struct weights *weights)
{
    const struct host *host = owner;
    size_t cut = 0;
    for (struct link *link = host->links; link != NULL; link = link_next(link))
        cut += link_in_the_way(link, weights) > 0 && link_cut(link);
    coverage_count(host->plan->coverage, COVERAGE_CUT, cut);
    return cut;
}

static void core_notify(void *owner, struct notice *notice)
{
    struct host *host = owner;
    if (notice->kind == NOTICE_READY && !host->dead)
        witness_ready(host->witness, host->shard, host->core);
    post(&host->all[host->plan->job->shards], (struct letter){.notice = notice});
}

static void make_core(struct host *host)
{
    const struct core_options options = {
        .shard = host->shard,
        .isa = kernels_choose(),
        .wait_max_ms = plan_wait_max_ms(host->plan),
        .frame_max_bytes = STEPD_FRAME_MAX_BYTES,
        .limits = &host->limits,
    };
    const uint64_t drawn = plan_hash(host->plan, host->shard, 0, 0x01D);
    host->limits =
        (struct limits){.max = {[LIMIT_OLD_VERSIONS] = drawn % 2 == 0 ? 0 : drawn % OLD_MOST}};
    const struct core_io io = {.owner = host,
                               .reply = core_reply,
                               .hang_up = on_hang_up,
                               .hold = on_hold,
                               .takes = on_takes,
                               .give_way = on_give_way,
                               .in_the_way = in_the_way,
                               .cut = on_cut,
                               .notify = core_notify};
    assert_int_equal(core_create(&options, &io, &host->core), STEPD_OK);
}

/* ---- What control does ----------------------------------------------------------------------- */

static void io_reply(void *owner, void *peer, const struct stepd_message *message)
{
    (void)owner;
    link_reply(peer, message, NULL, 0);
}

static void io_order(void *owner, uint32_t shard, struct order *order)
{
    const struct host *host = owner;
    post(&host->all[shard], (struct letter){.order = order});
}

static void io_random(void *owner, uint8_t *bytes, size_t n)
{
    struct host *host = owner;
    const bool is_id = n != CONTROL_INCARNATION_BYTES; /* the job's is 1, as workers say */
    for (size_t i = 0; i < n; i++)
        bytes[i] = is_id ? (uint8_t)random_next(&host->ids) : 0;
}

static void io_log(void *owner, enum log_level level, const char *event, const char *facts)
{
    const struct host *host = owner;
    (void)level;
    plan_trace(host->plan, "control: %s %s", event, facts);
}

static void io_snapshot(void *owner, const struct job_snapshot *snapshot,
                        const struct stepd_error *error)
{
    const struct host *host = owner;
    if (snapshot == NULL)
        plan_trace(host->plan, "no snapshot: %s", error->text);
    else
        plan_trace(host->plan, "a snapshot is whole");
    snapshots_whole(host->snapshots, snapshot);
}

static void make_control(struct host *host, uint64_t life)
{
    const struct plan *plan = host->plan;
    const struct control_options options = {
        .shards = plan->job->shards,
        .slice_elements = DEFINITION_SLICE_ELEMENTS,
        .lease_ms = PLAN_LEASE_MS,
        .wait_max_ms = plan_wait_max_ms(plan),
        .frame_max_bytes = STEPD_FRAME_MAX_BYTES,
        .jobs_max = 1,
        .memory_max_bytes = job_memory_bytes(plan->job),
        .server_version = "sim",
    };
    const struct control_io io = {.owner = host,
                                  .reply = io_reply,
                                  .hang_up = on_hang_up,
                                  .order = io_order,
                                  .snapshot = io_snapshot,
                                  .random = io_random,
                                  .log = io_log};
    host->ids.state = plan->seed + 1 + (life << 32);
    assert_int_equal(control_create(&options, &io, &host->control), STEPD_OK);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

void hosts_init(struct host *all, const struct plan *plan, struct witness *witness,
                const uint64_t *now_ms)
{
    for (uint32_t k = 0; k <= plan->job->shards; k++) {
        struct host *host = &all[k];
        *host = (struct host){
            .plan = plan, .witness = witness, .now_ms = now_ms, .shard = k, .all = all};
        host->letters_end = &host->letters;
        if (k < plan->job->shards)
            make_core(host);
        else
            make_control(host, /* life= */ 0);
    }
}

void hosts_deinit(struct host *all, const struct plan *plan)
{
    for (uint32_t k = 0; k <= plan->job->shards; k++) {
        all[k].core = core_destroy(all[k].core);
        if (all[k].limits.used[LIMIT_OLD_VERSIONS] != 0)
            plan_fail(plan, "shard %u has not given back all memory for old versions", k);
        all[k].control = control_destroy(all[k].control);
        while (all[k].letters != NULL) {
            const struct letter letter = take(&all[k]);
            (void)order_destroy(letter.order);
            (void)notice_destroy(letter.notice);
        }
    }
}

void hosts_kill(struct host *all, const struct plan *plan)
{
    for (uint32_t k = 0; k <= plan->job->shards; k++)
        all[k].dead = true;
}

void hosts_restart(struct host *all, const struct plan *plan, struct witness *witness,
                   uint64_t life)
{
    hosts_deinit(all, plan);
    for (uint32_t k = 0; k <= plan->job->shards; k++) {
        all[k].dead = false;
        all[k].witness = witness;
        if (k < plan->job->shards)
            make_core(&all[k]);
        else
            make_control(&all[k], life);
    }
}

bool host_has_left(const struct host *control, uint32_t rank)
{
    const struct control_job *job = control_job_find(control->control, control->plan->job->name);
    const struct control_member *member = job == NULL ? NULL : control_member_find(job, rank);
    return member != NULL && member->state == STEPD_MEMBER_LEFT;
}

void host_check_end(const struct host *host, bool known)
{
    const struct plan *plan = host->plan;
    const struct core_job *job = host->core->jobs;
    const uint64_t last = plan_last_version(plan);
    if (job->pieces != 0 || host->core->conns != NULL)
        plan_fail(plan, "shard %u keeps weights for somebody who is gone", host->shard);
    for (size_t i = 0; i < plan->job->layout.slices; i++) {
        const struct core_slice *slice = job->slice[i];
        if (slice == NULL)
            continue;
        if (slice->waiters != NULL)
            plan_fail(plan, "slice %zu has waiters of nobody", i);
        if (known && slice->slice.version != last)
            plan_fail(plan, "slice %zu ends at version %llu, not %llu", i,
                      (unsigned long long)slice->slice.version, (unsigned long long)last);
        for (uint32_t rank = 0; rank < slice->round.ranks; rank++) {
            const enum contribution_state state = round_of(&slice->round, rank).state;
            if (state == CONTRIBUTION_RECEIVING || (known && state != CONTRIBUTION_ABSENT))
                plan_fail(plan, "slice %zu keeps a part of rank %u", i, rank);
        }
    }
}

/* ---- Connections ----------------------------------------------------------------------------- */

void *host_open(const struct host *host, struct link *link)
{
    if (is_control(host))
        return control_open(host->control, link, *host->now_ms);
    return core_open(host->core, link, *host->now_ms);
}

enum stepd_status host_message(const struct host *host, void *conn,
                               const struct stepd_message *message, uint64_t payload_bytes,
                               struct stepd_error *reterr)
{
    if (is_control(host)) {
        assert_int_equal(payload_bytes, 0);
        return control_on_message(conn, message, *host->now_ms, reterr);
    }
    const enum stepd_status status =
        core_on_message(conn, message, payload_bytes, *host->now_ms, reterr);
    look(host);
    return status;
}

uint8_t *host_window(const struct host *host, void *conn, size_t *ret_room)
{
    assert_false(is_control(host));
    return core_window(conn, ret_room);
}

void host_filled(const struct host *host, void *conn, size_t n)
{
    core_filled(conn, n, *host->now_ms);
    look(host);
}

void host_close(const struct host *host, void *conn)
{
    if (is_control(host))
        control_close(conn, *host->now_ms);
    else
        core_close(conn, *host->now_ms);
    look(host);
}

void host_release(const struct host *host, struct weights *weights)
{
    core_release(host->core, weights, *host->now_ms);
    look(host);
}

void host_taken(const struct host *host, void *conn)
{
    if (is_control(host))
        return;
    core_on_taken(conn, *host->now_ms);
    look(host);
}
