/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders wait in the brain's list until body_settle, so that no core is entered from within another
 * part.
 */
#include "body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/settings.h"

/* ---- Between the parts ----------------------------------------------------------------------- */

static void on_reply(void *owner, void *peer, const struct stepd_message *message,
                     const struct core_piece *piece, size_t pieces)
{
    const struct outside *of = owner;
    struct body *body = of->body;
    struct answer *answer = peer;
    answer->code = STEPD_OK;
    if (message->kind == STEPD_MESSAGE_WELCOME) {
        answer->incarnation = message->body.welcome.incarnation;
        answer->clock = message->body.welcome.clock;
    }
    if (message->kind == STEPD_MESSAGE_ERROR)
        answer->code = message->body.error.code;
    if (message->kind == STEPD_MESSAGE_RESULT) {
        answer->outcome = (enum stepd_outcome)message->body.result.outcomes.at[0];
        answer->version = message->body.result.versions.at[0];
    }
    for (size_t i = 0; i < pieces; i++) {
        const uint32_t slice = message->body.result.slices.at[i];
        assert_int_equal(piece[i].count, ELEMENTS * sizeof(float));
        memcpy(body->weights + (size_t)slice * ELEMENTS, piece[i].bytes, piece[i].count);
        assert_true(body->held < HELD_MAX);
        body->piece[body->held].core = body->core[of->shard];
        body->piece[body->held++].weights = piece[i].weights;
    }
}

static void on_hang_up(void *owner, void *peer)
{
    (void)owner;
    struct answer *answer = peer;
    answer->conn = NULL;
}

static void on_notify(void *owner, struct notice *notice)
{
    const struct outside *of = owner;
    control_on_notice(of->body->brain->control, notice, of->body->brain->now_ms);
}

void body_settle(struct body *body)
{
    const uint64_t now_ms = body->brain->now_ms;
    while (body->held > 0) {
        body->held--;
        core_release(body->piece[body->held].core, body->piece[body->held].weights, now_ms);
    }
    for (; body->fed < body->brain->orders; body->fed++) {
        const struct sent_order sent = body->brain->order[body->fed];
        struct order *order = order_copy(sent.order);
        assert_non_null(order);
        core_on_order(body->core[sent.shard], order, now_ms);
        while (core_on_idle(body->core[sent.shard]))
            continue;
    }
}

void body_init(struct body *body, uint32_t shards)
{
    struct control_options options = brain_options();
    options.shards = shards;
    *body = (struct body){.brain = brain_create(&options), .shards = shards};
    body->weights = calloc(SHARES_ELEMENTS, sizeof *body->weights);
    assert_non_null(body->weights);
    for (uint32_t shard = 0; shard < shards; shard++) {
        body->outside[shard] = (struct outside){.body = body, .shard = shard};
        const struct core_options core_options = {.shard = shard,
                                                  .isa = kernels_choose(),
                                                  .wait_max_ms = BRAIN_WAIT_MAX_MS,
                                                  .frame_max_bytes = STEPD_FRAME_MAX_BYTES};
        const struct core_io io = {.owner = &body->outside[shard],
                                   .reply = on_reply,
                                   .hang_up = on_hang_up,
                                   .notify = on_notify};
        assert_int_equal(core_create(&core_options, &io, &body->core[shard]), STEPD_OK);
    }
}

void body_deinit(struct body *body)
{
    for (size_t rank = 0; rank < RANKS; rank++) {
        for (uint32_t shard = 0; shard < body->shards; shard++) {
            if (body->answer[rank][shard].conn != NULL)
                core_close(body->answer[rank][shard].conn, body->brain->now_ms);
        }
    }
    for (uint32_t shard = 0; shard < body->shards; shard++)
        (void)core_destroy(body->core[shard]);
    brain_destroy(body->brain);
    free(body->weights);
}

/* ---- Workers --------------------------------------------------------------------------------- */

/* A rank's connections to all shards. */
static void connect_shards(struct body *body, size_t rank)
{
    for (uint32_t shard = 0; shard < body->shards; shard++) {
        struct answer *answer = &body->answer[rank][shard];
        const struct stepd_message hello = {
            .request_id = 1,
            .kind = STEPD_MESSAGE_HELLO,
            .body.hello = {.protocol = STEPD_PROTOCOL_VERSION,
                           .shard = shard + 1,
                           .session = {.count = STEPD_SESSION_BYTES,
                                       .at = body->worker[rank]->session}},
        };
        answer->conn = core_open(body->core[shard], answer, body->brain->now_ms);
        assert_non_null(answer->conn);
        assert_int_equal(core_on_message(answer->conn, &hello, 0, body->brain->now_ms, NULL),
                         STEPD_OK);
    }
}

static void send(struct body *body, struct core_conn *conn, const struct stepd_message *message,
                 const float *payload, size_t floats)
{
    const uint8_t *bytes = (const uint8_t *)payload;
    size_t left = floats * sizeof(float);
    assert_int_equal(core_on_message(conn, message, left, body->brain->now_ms, NULL), STEPD_OK);
    while (left > 0) {
        size_t room = 0;
        uint8_t *window = core_window(conn, &room);
        const size_t part = room < left ? room : left;
        if (window != NULL)
            memcpy(window, bytes, part);
        core_filled(conn, part, body->brain->now_ms);
        bytes += part;
        left -= part;
    }
    body_settle(body);
}

void body_push_slice(struct body *body, size_t rank, uint32_t slice, uint64_t clock,
                     uint64_t incarnation)
{
    float *grad = calloc(ELEMENTS, sizeof *grad);
    assert_non_null(grad);
    for (size_t i = 0; i < ELEMENTS; i++)
        grad[i] = (float)(i % 7) * 0.1F + (float)clock * 0.3F - (float)(rank + slice);
    const uint64_t base = clock - 1;
    const struct stepd_message push = {
        .request_id = 2,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {.incarnation = incarnation,
                      .clock = clock,
                      .slices = {.count = 1, .at = &slice},
                      .base_versions = {.count = 1, .at = &base},
                      .examples = 1 + rank,
                      .loss_scale = 1.0},
    };
    const uint32_t shard = body->job->layout.slice[slice].shard;
    send(body, body->answer[rank][shard].conn, &push, grad, ELEMENTS);
    free(grad);
}

void body_train(struct body *body, uint64_t from, uint64_t to)
{
    for (uint64_t clock = from; clock <= to; clock++) {
        for (size_t rank = 0; rank < RANKS; rank++) {
            for (uint32_t slice = 0; slice < SLICES; slice++)
                body_push_slice(body, rank, slice, clock, body->job->incarnation);
        }
    }
}

void body_pull(struct body *body)
{
    for (uint32_t slice = 0; slice < SLICES; slice++) {
        const struct stepd_message message = {
            .request_id = 3,
            .kind = STEPD_MESSAGE_PULL,
            .body.pull = {.incarnation = body->job->incarnation,
                          .slices = {.count = 1, .at = &slice}},
        };
        const uint32_t shard = body->job->layout.slice[slice].shard;
        send(body, body->answer[0][shard].conn, &message, NULL, 0);
        assert_int_equal(body->answer[0][shard].code, STEPD_OK);
    }
}

void body_start(struct body *body)
{
    body_start_with(body, "");
}

void body_start_with(struct body *body, const char *settings)
{
    struct stepd_message definition = define_job(STEPD_SYNC, RANKS);
    definition.body.define_job.settings = settings_of(settings);
    for (int32_t rank = 0; rank < RANKS; rank++)
        body->worker[rank] = peer_join(body->brain, hello_worker("j", rank));
    peer_request(body->worker[0], definition);
    peer_request(body->worker[0], define_tensor(SHARES_ELEMENTS));
    body_settle(body);
    body->job = brain_newest(body->brain, 0, ORDER_JOB_OPEN)->job;
    assert_int_equal(body->job->layout.slices, SLICES);
    for (size_t rank = 0; rank < RANKS; rank++)
        connect_shards(body, rank);
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

void body_begin_snapshot(struct body *body)
{
    struct stepd_error error = {.text = ""};
    if (control_snapshot(body->brain->control, "j", body->brain->now_ms, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    body_settle(body);
}

void body_keep_snapshot(struct body *body, struct shares_taken *taken)
{
    struct stepd_error error = {.text = ""};
    const struct job_snapshot *snapshot = body->brain->snapshot;
    assert_non_null(snapshot);
    shares_taken_deinit(taken);
    assert_int_equal(job_snapshot_copy(snapshot, &taken->snapshot), STEPD_OK);
    if (job_state_gather(snapshot->share, snapshot->shares, &taken->state, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    control_snapshot_end(body->brain->control, snapshot, body->brain->now_ms);
    body->brain->snapshot = NULL;
    body_settle(body);
}

void body_restart(struct body *body, struct shares_taken *taken, uint32_t shards)
{
    struct stepd_error error = {.text = ""};
    body_deinit(body);
    body_init(body, shards);
    if (control_restore(body->brain->control, &taken->snapshot, taken->state, body->brain->now_ms,
                        &error) != STEPD_OK)
        fail_msg("%s", error.text);
    body_settle(body);
    body->job = brain_newest(body->brain, 0, ORDER_JOB_OPEN)->job;
}

void body_join(struct body *body, size_t rank, struct stepd_message hello)
{
    body->worker[rank] = peer_join(body->brain, hello);
    body_settle(body);
    connect_shards(body, rank);
}

void body_crash(struct body *body, struct shares_taken *taken, uint32_t shards)
{
    struct peer session[RANKS];
    for (size_t rank = 0; rank < RANKS; rank++)
        memcpy(session[rank].session, body->worker[rank]->session, STEPD_SESSION_BYTES);
    body_restart(body, taken, shards);
    for (size_t rank = 0; rank < RANKS; rank++)
        body_join(body, rank, hello_resume(&session[rank]));
}

float *body_train_undisturbed(void)
{
    struct body body;
    body_init(&body, BRAIN_SHARDS);
    body_start(&body);
    body_train(&body, 1, STEPS);
    body_pull(&body);
    float *const weights = body.weights;
    body.weights = NULL;
    body_deinit(&body);
    return weights;
}
