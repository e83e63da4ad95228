/* SPDX-License-Identifier: Apache-2.0
 *
 * The world around control, as lists. Asserts are CMocka's: what goes wrong here fails the test.
 */
#include "brain_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/frame.h"

/* ---- The functions that control calls -------------------------------------------------------- */

static void on_reply(void *owner, void *who, const struct stepd_message *message)
{
    (void)owner;
    struct peer *peer = who;
    assert_non_null(peer->conn);
    struct reply *reply = calloc(1, sizeof *reply);
    assert_non_null(reply);
    stepd_arena_init(&reply->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    struct stepd_error error = {.text = ""};
    if (stepd_message_encode(message, 0, &reply->arena, &head, &head_bytes, &error) != STEPD_OK)
        fail_msg("the reply cannot be encoded: %s", error.text);
    stepd_arena_reset(&reply->arena);
    struct stepd_frame_head frame;
    assert_int_equal(stepd_frame_parse(head, head_bytes, STEPD_FRAME_MAX_BYTES, &frame, &error),
                     STEPD_FRAME_HEAD);
    if (stepd_message_decode(head + frame.header_at, frame.header_bytes, &reply->arena,
                             &reply->message, &error) != STEPD_OK)
        fail_msg("the reply cannot be decoded: %s", error.text);
    free(head);
    struct reply **at = &peer->replies;
    while (*at != NULL)
        at = &(*at)->next;
    *at = reply;
}

static void on_hang_up(void *owner, void *who)
{
    (void)owner;
    struct peer *peer = who;
    assert_non_null(peer->conn);
    peer->conn = NULL;
    peer->hung_up = true;
}

static void on_order(void *owner, uint32_t shard, struct order *order)
{
    struct brain *brain = owner;
    assert_true(shard < BRAIN_SHARDS);
    assert_true(brain->orders < BRAIN_ORDERS_MAX);
    brain->order[brain->orders++] = (struct sent_order){.shard = shard, .order = order};
}

static void on_snapshot(void *owner, const struct job_snapshot *snapshot,
                        const struct stepd_error *error)
{
    struct brain *brain = owner;
    brain->snapshots++;
    brain->snapshot = snapshot;
    brain->snapshot_error = *error;
}

static void on_checkpoint(void *owner, const struct job_snapshot *snapshot, uint64_t step)
{
    struct brain *brain = owner;
    brain->checkpoints++;
    brain->checkpoint = snapshot;
    brain->checkpoint_step = step;
}

static enum stepd_status on_fetch(void *owner, struct job *job, uint64_t attempt,
                                  bool *ret_fetching)
{
    struct brain *brain = owner;
    (void)job;
    brain->attempt = attempt;
    *ret_fetching = brain->fetches;
    return STEPD_OK;
}

static uint64_t on_ordered(void *owner)
{
    return ((const struct brain *)owner)->orders;
}

static uint64_t on_arrived(void *owner)
{
    const struct brain *const brain = owner;
    return brain->apart ? brain->arrived : brain->orders;
}

static size_t on_daemons(void *owner, struct stepd_daemon_status *daemon, size_t room)
{
    const struct brain *const brain = owner;
    for (size_t i = 0; i < brain->daemons && i < room; i++)
        daemon[i] = (struct stepd_daemon_status){.place = (uint32_t)i,
                                                 .address = "h:1",
                                                 .state = STEPD_DAEMON_AWAY,
                                                 .first_shard = 1 + (uint32_t)i,
                                                 .shards = 1,
                                                 .silent_ms = 5,
                                                 .clock_ms = -7};
    return brain->daemons;
}

static struct control_caller on_caller(void *owner, void *peer)
{
    (void)peer;
    return (struct control_caller){.address = "192.0.2.7:4711",
                                   .certificate = ((const struct brain *)owner)->certificate};
}

static int64_t on_unix_s(void *owner)
{
    return ((const struct brain *)owner)->unix_s;
}

static void on_random(void *owner, uint8_t *bytes, size_t n)
{
    struct brain *brain = owner;
    for (size_t i = 0; i < n; i++) {
        if (n == CONTROL_INCARNATION_BYTES)
            bytes[i] = i == n - 1 ? brain->creation : 0;
        else
            bytes[i] = i < 2 ? ++brain->newest_random : 0xA5;
    }
}

static void on_log(void *owner, enum log_level level, const char *event, const char *facts)
{
    struct brain *brain = owner;
    const size_t used = strlen(brain->log);
    (void)snprintf(brain->log + used, sizeof brain->log - used, "%s%s %s\n",
                   level == LOG_WARN ? "warn: " : "", event, facts);
}

/* ---- The brain ------------------------------------------------------------------------------- */

struct control_options brain_options(void)
{
    return (struct control_options){
        .shards = BRAIN_SHARDS,
        .slice_elements = 65536,
        .lease_ms = BRAIN_LEASE_MS,
        .wait_max_ms = BRAIN_WAIT_MAX_MS,
        .frame_max_bytes = STEPD_FRAME_MAX_BYTES,
        .jobs_max = 3,
        .memory_max_bytes = 64u << 20,
        .server_version = "9.9.9",
    };
}

static struct brain *create(const struct control_options *options, bool keeps)
{
    struct brain *brain = calloc(1, sizeof *brain);
    assert_non_null(brain);
    brain->now_ms = 1000000;
    const struct control_io io = {
        .owner = brain,
        .reply = on_reply,
        .hang_up = on_hang_up,
        .order = on_order,
        .snapshot = on_snapshot,
        .checkpoint = keeps ? on_checkpoint : NULL,
        .fetch = on_fetch,
        .ordered = on_ordered,
        .arrived = on_arrived,
        .daemons = on_daemons,
        .caller = on_caller,
        .unix_s = on_unix_s,
        .random = on_random,
        .log = on_log,
    };
    assert_int_equal(control_create(options, &io, &brain->control), STEPD_OK);
    return brain;
}

struct brain *brain_create(const struct control_options *options)
{
    return create(options, /* keeps= */ false);
}

void brain_forget_orders(struct brain *brain)
{
    for (size_t i = 0; i < brain->orders; i++)
        (void)order_destroy(brain->order[i].order);
    brain->orders = 0;
}

static void peer_destroy(struct peer *peer)
{
    if (peer->conn != NULL)
        peer_close(peer);
    while (peer->replies != NULL) {
        struct reply *reply = peer->replies;
        peer->replies = reply->next;
        stepd_arena_deinit(&reply->arena);
        free(reply);
    }
    free(peer);
}

void brain_destroy(struct brain *brain)
{
    while (brain->peers != NULL) {
        struct peer *peer = brain->peers;
        brain->peers = peer->next;
        peer_destroy(peer);
    }
    assert_null(control_destroy(brain->control));
    brain_forget_orders(brain);
    free(brain);
}

int brain_setup(void **state)
{
    const struct control_options options = brain_options();
    *state = brain_create(&options);
    return 0;
}

int brain_setup_keeping(void **state)
{
    const struct control_options options = brain_options();
    *state = create(&options, /* keeps= */ true);
    return 0;
}

int brain_teardown(void **state)
{
    brain_destroy(*state);
    return 0;
}

/* ---- Shards ---------------------------------------------------------------------------------- */

size_t brain_count(const struct brain *brain, uint32_t shard, enum order_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < brain->orders; i++)
        count += brain->order[i].shard == shard && brain->order[i].order->kind == kind;
    return count;
}

static size_t place(const struct brain *brain, uint32_t shard, enum order_kind kind)
{
    for (size_t i = brain->orders; i-- > 0;) {
        if (brain->order[i].shard == shard && brain->order[i].order->kind == kind)
            return i;
    }
    fail_msg("shard %u got no order of kind %d", shard, kind);
    return 0;
}

const struct order *brain_newest(const struct brain *brain, uint32_t shard, enum order_kind kind)
{
    return brain->order[place(brain, shard, kind)].order;
}

size_t brain_place(const struct brain *brain, enum order_kind kind)
{
    return place(brain, 0, kind);
}

static struct notice *notice(enum notice_kind kind, uint32_t shard, const char *job)
{
    struct notice *made = notice_create(kind, job);
    assert_non_null(made);
    made->shard = shard;
    return made;
}

/* Gives a notice one rank. */
static void add_rank(struct notice *to, uint32_t rank, uint64_t clock)
{
    to->ranks = 1;
    to->rank = malloc(sizeof *to->rank);
    to->clock = malloc(sizeof *to->clock);
    if (to->rank == NULL || to->clock == NULL)
        abort();
    to->rank[0] = rank;
    to->clock[0] = clock;
}

void brain_opened(struct brain *brain, uint32_t shard, const char *job, enum stepd_status code)
{
    const bool asked = brain_count(brain, shard, ORDER_JOB_OPEN) > 0;
    brain_opened_to(brain, shard, job, code,
                    asked ? brain_newest(brain, shard, ORDER_JOB_OPEN)->query : 0);
}

void brain_opened_to(struct brain *brain, uint32_t shard, const char *job, enum stepd_status code,
                     uint64_t attempt)
{
    struct notice *opened = notice(NOTICE_JOB_OPENED, shard, job);
    opened->query = attempt;
    if (code != STEPD_OK)
        (void)stepd_fail(&opened->error, code, "shard %u cannot", shard);
    control_on_notice(brain->control, opened, brain->now_ms);
}

void brain_opened_all(struct brain *brain, const char *job)
{
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_opened(brain, shard, job, STEPD_OK);
}

void brain_heard(struct brain *brain, const char *job, uint32_t rank, uint64_t clock)
{
    brain_heard_by(brain, 1, job, rank, clock);
}

void brain_heard_by(struct brain *brain, uint32_t shard, const char *job, uint32_t rank,
                    uint64_t clock)
{
    struct notice *heard = notice(NOTICE_HEARD, shard, job);
    add_rank(heard, rank, clock);
    control_on_notice(brain->control, heard, brain->now_ms);
}

void brain_answer(struct brain *brain, uint32_t shard, uint64_t min, uint64_t max, uint32_t rank)
{
    const struct order *query = brain_newest(brain, shard, ORDER_QUERY);
    struct notice *answer = notice(NOTICE_ANSWER, shard, query->job_name);
    answer->query = query->query;
    answer->slices = 1;
    answer->version_min = min;
    answer->version_max = max;
    answer->parked = 3;
    if (rank != UINT32_MAX)
        add_rank(answer, rank, 0);
    control_on_notice(brain->control, answer, brain->now_ms);
}

void brain_proposed(struct brain *brain, uint32_t shard, uint64_t newest)
{
    const struct order *proposal = brain_newest(brain, shard, ORDER_PROPOSE);
    struct notice *answer = notice(NOTICE_PROPOSED, shard, proposal->job_name);
    answer->query = proposal->query;
    answer->version_min = newest;
    answer->version_max = newest;
    answer->agreed = newest <= proposal->version;
    control_on_notice(brain->control, answer, brain->now_ms);
}

void brain_proposed_all(struct brain *brain, uint64_t newest)
{
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_proposed(brain, shard, newest);
}

/* ---- Peers ----------------------------------------------------------------------------------- */

struct peer *peer_open(struct brain *brain)
{
    struct peer *peer = calloc(1, sizeof *peer);
    assert_non_null(peer);
    peer->brain = brain;
    peer->next = brain->peers;
    brain->peers = peer;
    peer->conn = control_open(brain->control, peer, brain->now_ms);
    assert_non_null(peer->conn);
    return peer;
}

void peer_close(struct peer *peer)
{
    control_close(peer->conn, peer->brain->now_ms);
    peer->conn = NULL;
}

enum stepd_status peer_send(struct peer *peer, struct stepd_message message,
                            struct stepd_error *reterr)
{
    message.request_id = ++peer->request_id;
    const enum stepd_status status =
        control_on_message(peer->conn, &message, peer->brain->now_ms, reterr);
    if (status != STEPD_OK)
        peer_close(peer);
    return status;
}

void peer_request(struct peer *peer, struct stepd_message message)
{
    struct stepd_error error = {.text = ""};
    if (peer_send(peer, message, &error) != STEPD_OK)
        fail_msg("the connection ended: %s", error.text);
}

size_t peer_answers(const struct peer *peer)
{
    size_t count = 0;
    for (const struct reply *reply = peer->replies; reply != NULL; reply = reply->next)
        count += reply->message.request_id == peer->request_id;
    return count;
}

const struct stepd_message *peer_answer(const struct peer *peer, enum stepd_message_kind kind)
{
    static const struct stepd_message none;
    const struct stepd_message *newest = &none;
    for (const struct reply *reply = peer->replies; reply != NULL; reply = reply->next) {
        if (reply->message.request_id == peer->request_id)
            newest = &reply->message;
    }
    if (newest == &none)
        fail_msg("there is no answer, and not %s", stepd_message_name(kind));
    if (newest->kind == STEPD_MESSAGE_ERROR && kind != STEPD_MESSAGE_ERROR)
        fail_msg("the answer is the error: %s", newest->body.error.text);
    assert_string_equal(stepd_message_name(newest->kind), stepd_message_name(kind));
    return newest;
}

static void assert_holds(const char *text, const char *words)
{
    if (strstr(text, words) == NULL)
        fail_msg("'%s' does not hold '%s'", text, words);
}

void peer_assert_error(const struct peer *peer, enum stepd_status code, const char *words)
{
    assert_int_equal(peer_answers(peer), 1);
    const struct stepd_message *answer = peer_answer(peer, STEPD_MESSAGE_ERROR);
    assert_string_equal(stepd_status_name(answer->body.error.code), stepd_status_name(code));
    assert_holds(answer->body.error.text, words);
}

static struct stepd_message hello(enum stepd_role role, const char *job, int32_t rank)
{
    static const char *const name[] = {"an observer", "w0", "w1", "w2", "w3"};
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello =
            {
                .protocol = STEPD_PROTOCOL_VERSION,
                .role = role,
                .job = job,
                .worker = rank >= 0 && rank < 4 ? name[rank + 1] : "w",
                .rank = rank,
            },
    };
}

struct stepd_message hello_worker(const char *job, int32_t rank)
{
    return hello(STEPD_WORKER, job, rank);
}

struct stepd_message hello_observer(const char *job)
{
    return hello(STEPD_OBSERVER, job, -1);
}

struct stepd_message hello_resume(const struct peer *peer)
{
    struct stepd_message message = hello(STEPD_WORKER, "", -1);
    message.body.hello.session =
        (struct stepd_bytes){.count = sizeof peer->session, .at = peer->session};
    return message;
}

struct peer *peer_join(struct brain *brain, struct stepd_message hello_message)
{
    struct peer *peer = peer_open(brain);
    peer_request(peer, hello_message);
    const struct stepd_message *answer = peer_answer(peer, STEPD_MESSAGE_WELCOME);
    assert_int_equal(answer->body.welcome.session.count, STEPD_SESSION_BYTES);
    memcpy(peer->session, answer->body.welcome.session.at, STEPD_SESSION_BYTES);
    return peer;
}

void brain_assert_refused(struct brain *brain, struct stepd_message hello_message,
                          enum stepd_status code, const char *words)
{
    struct peer *peer = peer_open(brain);
    struct stepd_error error = {.text = ""};
    const enum stepd_status status = peer_send(peer, hello_message, &error);
    assert_string_equal(stepd_status_name(status), stepd_status_name(code));
    assert_int_equal(error.code, status);
    assert_holds(error.text, words);
    assert_int_equal(peer_answers(peer), 0);
}
