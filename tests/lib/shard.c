/* SPDX-License-Identifier: Apache-2.0
 *
 * The fixture's pieces are given back after the entry into the core has returned, as a socket
 * would: the core may not be called from within its own io.
 */
#include "tests/lib/shard_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- The core's outside ---------------------------------------------------------------------- */

static void keep_result(struct shard_reply *reply, const struct stepd_result *result)
{
    assert_true(result->slices.count <= SHARD_SLICES);
    reply->slices = result->slices.count;
    reply->places = result->places.count;
    reply->durable_version = result->durable_version;
    reply->last = result->last;
    for (size_t i = 0; i < reply->slices; i++) {
        reply->slice[i] = result->slices.at[i];
        reply->outcome[i] = (enum stepd_outcome)result->outcomes.at[i];
        reply->version[i] = result->versions.at[i];
    }
    assert_true(reply->places == 0 || reply->places == reply->slices);
    for (size_t i = 0; i < reply->places; i++)
        reply->place[i] = result->places.at[i];
}

static void keep_error(struct shard_reply *reply, const struct stepd_error_reply *error)
{
    reply->code = error->code;
    (void)strncpy(reply->text, error->text, sizeof reply->text - 1);
    reply->waited_for = error->waited_for.count;
    for (size_t i = 0; i < error->waited_for.count && i < 4; i++)
        reply->waited[i] = error->waited_for.at[i];
}

static void keep_welcome(struct shard_reply *reply, const struct stepd_welcome *welcome)
{
    reply->welcome.epoch = welcome->epoch;
    reply->welcome.rank = welcome->rank;
    reply->welcome.world = welcome->world;
    reply->welcome.incarnation = welcome->incarnation;
    reply->welcome.clock = welcome->clock;
    reply->welcome.weights_bytes = welcome->weights_bytes;
    reply->welcome.gradients_bytes = welcome->gradients_bytes;
}

static void keep_payload(struct shard *shard, struct shard_peer *to, const struct core_piece *piece,
                         size_t pieces)
{
    struct shard_reply *reply = &to->reply[to->replies - 1];
    size_t bytes = 0;
    for (size_t i = 0; i < pieces; i++)
        bytes += piece[i].count;
    reply->bytes = bytes;
    reply->values = bytes / sizeof(float);
    reply->value = malloc(bytes + 1);
    assert_non_null(reply->value);
    uint8_t *at = (uint8_t *)reply->value;
    for (size_t i = 0; i < pieces; i++) {
        memcpy(at, piece[i].bytes, piece[i].count);
        at += piece[i].count;
        assert_true(shard->held < SHARD_REPLIES);
        shard->held_of[shard->held] = to;
        shard->held_piece[shard->held++] = piece[i].weights;
    }
}

static void on_reply(void *owner, void *peer, const struct stepd_message *message,
                     const struct core_piece *piece, size_t pieces)
{
    struct shard *shard = owner;
    struct shard_peer *to = peer;
    if (shard->watch != NULL) {
        assert_int_equal(pieces, 0);
        shard->watch(shard->watcher, message);
        return;
    }
    assert_true(to->replies < SHARD_REPLIES);
    struct shard_reply *reply = &to->reply[to->replies++];
    *reply = (struct shard_reply){.request_id = message->request_id, .kind = message->kind};
    if (message->kind == STEPD_MESSAGE_RESULT)
        keep_result(reply, &message->body.result);
    if (message->kind == STEPD_MESSAGE_ERROR)
        keep_error(reply, &message->body.error);
    if (message->kind == STEPD_MESSAGE_WELCOME)
        keep_welcome(reply, &message->body.welcome);
    keep_payload(shard, to, piece, pieces);
}

static void on_hang_up(void *owner, void *peer)
{
    (void)owner;
    struct shard_peer *gone = peer;
    gone->conn = NULL;
    gone->hung_up = true;
    shard_unlend(gone);
}

static void on_hold(void *owner, void *peer, bool hold)
{
    struct shard_peer *const held = peer;
    (void)owner;
    held->held = hold;
}

static bool on_takes(void *owner, void *peer)
{
    const struct shard_peer *const asked = peer;
    (void)owner;
    return !asked->full;
}

static void on_give_way(void *owner, void *peer)
{
    struct shard_peer *const to = peer;
    (void)owner;
    to->gives_way = true;
}

/* Is a held piece one of these weights, on its way to a peer that gives way? */
static bool is_in_the_way(const struct shard *shard, size_t i, const struct weights *weights)
{
    const struct shard_peer *const peer = shard->held_of[i];
    return shard->held_piece[i] == weights && (peer->gives_way || peer->conn == NULL);
}

static size_t on_in_the_way(void *owner, const struct weights *weights)
{
    const struct shard *const shard = owner;
    size_t held = 0;
    for (size_t i = 0; i < shard->held; i++)
        held += is_in_the_way(shard, i, weights);
    return held;
}

static size_t on_cut(void *owner, const struct weights *weights)
{
    struct shard *const shard = owner;
    size_t cut = 0;
    for (size_t i = 0; i < shard->held; i++) {
        struct shard_peer *const peer = &shard->peer[shard->held_of[i] - shard->peer];
        if (!is_in_the_way(shard, i, weights) || peer->cut)
            continue;
        peer->cut = true;
        cut++;
    }
    return cut;
}

static void keep_heard(struct shard *shard, const struct notice *heard)
{
    shard->heard = heard->ranks;
    for (size_t i = 0; i < heard->ranks && i < 4; i++) {
        shard->heard_rank[i] = heard->rank[i];
        shard->heard_clock[i] = heard->clock[i];
    }
}

static void on_notify(void *owner, struct notice *notice)
{
    struct shard *shard = owner;
    shard->resets += notice->kind == NOTICE_RESET;
    if (notice->kind == NOTICE_JOB_OPENED)
        shard->opened = notice->error;
    if (notice->kind == NOTICE_HEARD)
        keep_heard(shard, notice);
    if (notice->kind == NOTICE_ANSWER) {
        shard->answers++;
        shard->answer_slices = notice->slices;
        shard->waited_for = 0;
        for (size_t i = 0; i < notice->ranks; i++)
            shard->waited_for |= UINT64_C(1) << notice->rank[i];
        shard->answer_min = notice->version_min;
        shard->answer_max = notice->version_max;
        shard->answer_parked = notice->parked;
    }
    if (notice->kind == NOTICE_PROPOSED) {
        shard->proposals++;
        shard->proposal = notice->query;
        shard->newest_step = notice->version_max;
        shard->agreed = notice->agreed;
    }
    if (notice->kind == NOTICE_GIVEN_UP) {
        shard->without_min = notice->version_min;
        shard->without_max = notice->version_max;
        shard->later = notice->later;
        shard->later_slice = notice->later == 0 ? 0 : notice->later_slice[0];
    }
    if (notice->kind == NOTICE_CHANGED) {
        shard->changed = notice->query;
        shard->changed_min = notice->version_min;
        shard->changed_max = notice->version_max;
    }
    if (notice->kind == NOTICE_READY) {
        (void)notice_destroy(shard->ready);
        shard->ready = notice;
        return;
    }
    if (notice->kind == NOTICE_SNAPSHOT) {
        (void)notice_destroy(shard->snapshot);
        shard->snapshot = notice;
        shard->snapshots++;
        return;
    }
    (void)notice_destroy(notice);
}

struct core_io shard_io(struct shard *shard)
{
    struct core_io io = {.owner = shard,
                         .reply = on_reply,
                         .hang_up = on_hang_up,
                         .hold = on_hold,
                         .takes = on_takes,
                         .give_way = on_give_way,
                         .in_the_way = on_in_the_way,
                         .cut = on_cut,
                         .notify = on_notify};
    if (shard->shares)
        shard_share(&io);
    return io;
}

void shard_release(struct shard *shard)
{
    while (shard->held > 0)
        core_release(shard->core, shard->held_piece[--shard->held], shard->now_ms);
}

void shard_release_of(struct shard *shard, size_t peer)
{
    const struct shard_peer *const of = &shard->peer[peer];
    for (size_t i = 0; i < shard->held; i++) {
        if (shard->held_of[i] != of)
            continue;
        struct weights *const weights = shard->held_piece[i];
        shard->held--;
        shard->held_piece[i] = shard->held_piece[shard->held];
        shard->held_of[i--] = shard->held_of[shard->held];
        core_release(shard->core, weights, shard->now_ms); /* which may reply */
    }
}

void shard_close_cut(struct shard *shard)
{
    for (size_t peer = 0; peer < SHARD_PEERS; peer++) {
        if (!shard->peer[peer].cut)
            continue;
        shard->peer[peer].cut = false;
        shard_close(shard, peer);
        shard_release_of(shard, peer);
    }
}

/* Replies are complete: their pieces may go. */
void shard_settle(struct shard *shard)
{
    while (!shard->hold && shard->held > 0)
        core_release(shard->core, shard->held_piece[--shard->held], shard->now_ms);
}

/* ---- Connections ----------------------------------------------------------------------------- */

void shard_open(struct shard *shard, size_t peer)
{
    struct shard_peer *p = &shard->peer[peer];
    p->hung_up = false;
    p->gives_way = false;
    p->conn = core_open(shard->core, p, shard->now_ms);
    assert_non_null(p->conn);
}

struct stepd_hello shard_hello_of(uint32_t rank, uint8_t session[STEPD_SESSION_BYTES])
{
    for (size_t i = 0; i < STEPD_SESSION_BYTES; i++)
        session[i] = i == 0 ? (uint8_t)(rank + 1) : 0;
    return (struct stepd_hello){.protocol = STEPD_PROTOCOL_VERSION,
                                .job = "j",
                                .worker = "tester",
                                .session = {.count = STEPD_SESSION_BYTES, .at = session},
                                .shard = 1};
}

enum stepd_status shard_say_hello(struct shard *shard, size_t peer, const struct stepd_hello *hello,
                                  struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .request_id = 1, .kind = STEPD_MESSAGE_HELLO, .body.hello = *hello};
    return core_on_message(shard->peer[peer].conn, &message, 0, shard->now_ms, reterr);
}

enum stepd_status shard_hello(struct shard *shard, size_t peer, uint32_t rank,
                              struct stepd_error *reterr)
{
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_hello hello = shard_hello_of(rank, session);
    hello.shard = shard->index + 1;
    hello.shares_memory = shard->shares;
    shard_open(shard, peer);
    return shard_say_hello(shard, peer, &hello, reterr);
}

void shard_connect(struct shard *shard, size_t peer, uint32_t rank)
{
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(shard_hello(shard, peer, rank, &error), STEPD_OK);
    assert_int_equal(shard_last(shard, peer)->kind, STEPD_MESSAGE_WELCOME);
}

void shard_close(struct shard *shard, size_t peer)
{
    if (shard->peer[peer].conn != NULL)
        core_close(shard->peer[peer].conn, shard->now_ms);
    shard->peer[peer].conn = NULL;
    shard_unlend(&shard->peer[peer]);
    shard_settle(shard);
}

/* ---- Requests -------------------------------------------------------------------------------- */

enum stepd_status shard_send(struct shard *shard, size_t peer, const struct stepd_message *message,
                             const void *payload, size_t n, size_t total,
                             struct stepd_error *reterr)
{
    struct core_conn *conn = shard->peer[peer].conn;
    const uint8_t *bytes = payload;
    const enum stepd_status status = core_on_message(conn, message, total, shard->now_ms, reterr);
    while (status == STEPD_OK && n > 0) {
        size_t room = 0;
        uint8_t *window = core_window(conn, &room);
        assert_true(room > 0);
        const size_t part = room < n ? room : n;
        if (window != NULL)
            memcpy(window, bytes, part);
        core_filled(conn, part, shard->now_ms);
        bytes += part;
        n -= part;
    }
    shard_settle(shard);
    return status;
}

static const uint32_t counting[SHARD_SLICES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                8, 9, 10, 11, 12, 13, 14, 15};

void shard_push(struct shard *shard, size_t peer, const struct shard_push *push)
{
    const struct stepd_push_slices body = {
        .incarnation = push->incarnation == 0 ? shard->job->incarnation : push->incarnation,
        .clock = push->clock,
        .slices = {.count = push->slices, .at = push->slice == NULL ? counting : push->slice},
        .base_versions = {.count = 1, .at = &push->base_version},
        .examples = push->examples,
        .dtype = push->dtype,
        .deadline_ms = push->deadline_ms,
        .has_loss = push->has_loss,
        .loss = push->loss,
        .loss_scale = push->loss_scale == 0.0 ? 1.0 : push->loss_scale,
        .placed = push->placed,
    };
    struct stepd_message message = {.request_id = push->id, .kind = STEPD_MESSAGE_PUSH};
    if (push->step) {
        message.kind = STEPD_MESSAGE_STEP;
        message.body.step = (struct stepd_step_slices){
            .push = body, .pull_dtype = push->pull_dtype, .pull_view = push->view};
    } else {
        message.body.push = body;
    }
    const size_t bytes = push->values * sizeof(float);
    assert_int_equal(shard_send(shard, peer, &message, push->grad, bytes, bytes, NULL), STEPD_OK);
}

void shard_pull(struct shard *shard, size_t peer, uint64_t id, uint64_t min_version, size_t slices)
{
    const struct stepd_message message = {
        .request_id = id,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = shard->job->incarnation,
                      .slices = {.count = slices, .at = counting},
                      .min_version = min_version},
    };
    assert_int_equal(shard_send(shard, peer, &message, NULL, 0, 0, NULL), STEPD_OK);
}

void shard_pull_view(struct shard *shard, size_t peer, enum stepd_view view, size_t slices)
{
    const struct stepd_message message = {
        .request_id = 900,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = shard->job->incarnation,
                      .slices = {.count = slices, .at = counting},
                      .view = view},
    };
    assert_int_equal(shard_send(shard, peer, &message, NULL, 0, 0, NULL), STEPD_OK);
}

const struct shard_reply *shard_last(const struct shard *shard, size_t peer)
{
    const struct shard_peer *p = &shard->peer[peer];
    assert_true(p->replies > 0);
    return &p->reply[p->replies - 1];
}

struct stepd_tensor_def shard_tensor(const char *name, const uint64_t *shape, size_t dims,
                                     double value)
{
    return (struct stepd_tensor_def){
        .name = name,
        .dims = dims,
        .shape = shape,
        .init = {.kind = STEPD_INIT_CONSTANT, .a = value},
        .group = "",
    };
}
