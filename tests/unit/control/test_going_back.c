/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole way: control and real shards train a job, a snapshot is taken while they do, all of
 * them crash, and new ones go on from it, on another number of shards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/core/core.h"
#include "shard_shares.h"
#include "tests/lib/random.h"

enum { RANKS = 2, SLICES = 2, ELEMENTS = SHARES_ELEMENTS / SLICES, STEPS = 6, HELD_MAX = 8 };

/* What a rank was answered last, by a shard. */
struct answer {
    struct core_conn *conn;
    uint64_t incarnation; /* of a Welcome */
    uint64_t clock;
    enum stepd_status code; /* OK, or of an error */
    enum stepd_outcome outcome;
    uint64_t version;
};

struct body;

/* Whose replies and notices these are. */
struct outside {
    struct body *body;
    uint32_t shard;
};

/* A daemon: the brain's orders go to cores, and their notices come back. It must not move. */
struct body {
    struct brain *brain;
    struct core *core[BRAIN_SHARDS];
    struct outside outside[BRAIN_SHARDS]; /* as cores know it */
    uint32_t shards;
    size_t fed; /* orders */
    const struct job *job;
    struct peer *worker[RANKS];
    struct answer answer[RANKS][BRAIN_SHARDS];
    float *weights; /* owned; that were pulled last */
    size_t held;

    struct {
        struct core *core;
        struct weights *weights;
    } piece[HELD_MAX];
};

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

static void settle(struct body *body)
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
    }
}

static void body_init(struct body *body, uint32_t shards)
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

/* As a crash would, but for what it would leak. */
static void body_deinit(struct body *body)
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
    settle(body);
}

static void push_slice(struct body *body, size_t rank, uint32_t slice, uint64_t clock,
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

static void train(struct body *body, uint64_t from, uint64_t to)
{
    for (uint64_t clock = from; clock <= to; clock++) {
        for (size_t rank = 0; rank < RANKS; rank++) {
            for (uint32_t slice = 0; slice < SLICES; slice++)
                push_slice(body, rank, slice, clock, body->job->incarnation);
        }
    }
}

static void pull(struct body *body)
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

/* Two workers that have defined a job and can push. */
static void start(struct body *body)
{
    for (int32_t rank = 0; rank < RANKS; rank++)
        body->worker[rank] = peer_join(body->brain, hello_worker("j", rank));
    peer_request(body->worker[0], define_job(STEPD_SYNC, RANKS));
    peer_request(body->worker[0], define_tensor(SHARES_ELEMENTS));
    settle(body);
    body->job = brain_newest(body->brain, 0, ORDER_JOB_OPEN)->job;
    assert_int_equal(body->job->layout.slices, SLICES);
    for (size_t rank = 0; rank < RANKS; rank++)
        connect_shards(body, rank);
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

static void begin_snapshot(struct body *body)
{
    struct stepd_error error = {.text = ""};
    if (control_snapshot(body->brain->control, "j", body->brain->now_ms, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    settle(body);
}

/* Copies the snapshot that is whole, which is over then, in place of an older one. */
static void keep_snapshot(struct body *body, struct shares_taken *taken)
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
    settle(body);
}

/* Control and shards are gone; new ones, so many of them, go on from a snapshot, and both workers
 * resume. */
static void crash(struct body *body, struct shares_taken *taken, uint32_t shards)
{
    struct stepd_error error = {.text = ""};
    struct peer session[RANKS];
    for (size_t rank = 0; rank < RANKS; rank++)
        memcpy(session[rank].session, body->worker[rank]->session, STEPD_SESSION_BYTES);
    body_deinit(body);
    body_init(body, shards);
    if (control_restore(body->brain->control, &taken->snapshot, taken->state, body->brain->now_ms,
                        &error) != STEPD_OK)
        fail_msg("%s", error.text);
    settle(body);
    body->job = brain_newest(body->brain, 0, ORDER_JOB_OPEN)->job;
    for (size_t rank = 0; rank < RANKS; rank++) {
        body->worker[rank] = peer_join(body->brain, hello_resume(&session[rank]));
        settle(body);
        connect_shards(body, rank);
    }
}

/* The weights after all steps of a job that nothing happened to; caller frees. */
static float *train_undisturbed(void)
{
    struct body body;
    body_init(&body, BRAIN_SHARDS);
    start(&body);
    train(&body, 1, STEPS);
    pull(&body);
    float *const weights = body.weights;
    body.weights = NULL;
    body_deinit(&body);
    return weights;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

struct story {
    struct shares_taken taken;
    struct body body;
    float *undisturbed; /* owned; weights after STEPS steps */
};

/* Trains, takes a snapshot at version 3 while training goes on, and crashes. */
static void go_back(struct story *story)
{
    struct body *body = &story->body;
    *story = (struct story){.undisturbed = train_undisturbed()};
    body_init(body, BRAIN_SHARDS);
    start(body);
    train(body, 1, 3);
    begin_snapshot(body); /* version 0 is past, and so is asked for 3, where both shards are */
    train(body, 4, STEPS);
    keep_snapshot(body, &story->taken);
    crash(body, &story->taken, 1);
}

static void end(struct story *story)
{
    body_deinit(&story->body);
    shares_taken_deinit(&story->taken);
    free(story->undisturbed);
}

static void job__that_went_back__comes_to_the_same_weights(void **state)
{
    (void)state;
    struct story story;
    go_back(&story);
    train(&story.body, 4, STEPS);
    pull(&story.body);
    assert_memory_equal(story.body.weights, story.undisturbed, SHARES_ELEMENTS * sizeof(float));
    end(&story);
}

static void worker__of_a_job_that_went_back__is_told_by_control_and_shard(void **state)
{
    (void)state;
    struct story story;
    go_back(&story);
    for (size_t rank = 0; rank < RANKS; rank++) {
        const struct stepd_message *welcome =
            peer_answer(story.body.worker[rank], STEPD_MESSAGE_WELCOME);
        assert_int_equal(welcome->body.welcome.incarnation, 2);
        assert_int_equal(welcome->body.welcome.clock, 3);
        assert_int_equal(story.body.answer[rank][0].incarnation, 2);
        assert_int_equal(story.body.answer[rank][0].clock, 3);
    }
    end(&story);
}

static void push__of_the_incarnation_before__is_rolled_back_and_not_counted(void **state)
{
    (void)state;
    struct story story;
    go_back(&story);
    push_slice(&story.body, 0, 0, STEPS + 1, 1);
    assert_int_equal(story.body.answer[0][0].code, STEPD_ROLLED_BACK);
    push_slice(&story.body, 0, 0, 4, 1);
    assert_int_equal(story.body.answer[0][0].code, STEPD_ROLLED_BACK);
    train(&story.body, 4, STEPS);
    pull(&story.body);
    assert_memory_equal(story.body.weights, story.undisturbed, SHARES_ELEMENTS * sizeof(float));
    end(&story);
}

static void push__that_was_counted_before_the_snapshot__is_not_counted_again(void **state)
{
    (void)state;
    struct story story;
    go_back(&story);
    train(&story.body, 2, 3);
    assert_int_equal(story.body.answer[0][0].outcome, STEPD_DUPLICATE);
    assert_int_equal(story.body.answer[0][0].version, 3);
    train(&story.body, 4, STEPS);
    pull(&story.body);
    assert_memory_equal(story.body.weights, story.undisturbed, SHARES_ELEMENTS * sizeof(float));
    end(&story);
}

/* ---- At random ------------------------------------------------------------------------------- */

enum { SEEDS = 60, CRASHES_MAX = 3 };

/* Workers that are at different places in different slices. */
struct wanderers {
    struct random random;
    uint64_t next[RANKS][SLICES]; /* clock */
    size_t crashes;
    bool begun; /* a snapshot */
};

/* All that a rank may push of a slice is a contribution to its open round. */
static uint64_t open_round(const struct wanderers *w, uint32_t slice)
{
    return w->next[0][slice] < w->next[1][slice] ? w->next[0][slice] : w->next[1][slice];
}

static bool have_arrived(const struct wanderers *w)
{
    bool arrived = true;
    for (uint32_t slice = 0; slice < SLICES; slice++)
        arrived = arrived && open_round(w, slice) > STEPS;
    return arrived;
}

static void push_something(struct wanderers *w, struct body *body)
{
    const uint32_t slice = (uint32_t)random_below(&w->random, SLICES);
    const size_t rank = random_below(&w->random, RANKS);
    const uint64_t clock = open_round(w, slice);
    if (w->next[rank][slice] > clock || clock > STEPS)
        return;
    push_slice(body, rank, slice, clock, body->job->incarnation);
    w->next[rank][slice]++;
}

/* What a worker makes of its Welcome. */
static void go_on(struct wanderers *w, const struct body *body)
{
    for (size_t rank = 0; rank < RANKS; rank++) {
        const struct stepd_message *welcome =
            peer_answer(body->worker[rank], STEPD_MESSAGE_WELCOME);
        for (size_t slice = 0; slice < SLICES; slice++)
            w->next[rank][slice] = welcome->body.welcome.clock + 1;
    }
    w->begun = false;
}

static void wander(struct wanderers *w, struct body *body, struct shares_taken *taken)
{
    if (body->brain->snapshot != NULL) {
        keep_snapshot(body, taken);
        w->begun = false;
    } else if (!w->begun && random_once_in(&w->random, 6)) {
        begin_snapshot(body);
        w->begun = true;
    } else if (taken->state != NULL && w->crashes < CRASHES_MAX && random_once_in(&w->random, 12)) {
        crash(body, taken, (uint32_t)random_between(&w->random, 1, BRAIN_SHARDS));
        go_on(w, body);
        w->crashes++;
    } else {
        push_something(w, body);
    }
}

static void job__that_goes_back_at_random__comes_to_the_same_weights(void **state)
{
    (void)state;
    float *undisturbed = train_undisturbed();
    size_t crashes = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct wanderers w = {.random = {.state = seed}, .next = {{1, 1}, {1, 1}}};
        struct shares_taken taken = {.state = NULL};
        struct body body;
        body_init(&body, BRAIN_SHARDS);
        start(&body);
        while (!have_arrived(&w))
            wander(&w, &body, &taken);
        pull(&body);
        if (memcmp(body.weights, undisturbed, SHARES_ELEMENTS * sizeof(float)) != 0)
            fail_msg("seed %llu: other weights", (unsigned long long)seed);
        crashes += w.crashes;
        shares_taken_deinit(&taken);
        body_deinit(&body);
    }
    assert_true(crashes > SEEDS);
    free(undisturbed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job__that_went_back__comes_to_the_same_weights),
        cmocka_unit_test(worker__of_a_job_that_went_back__is_told_by_control_and_shard),
        cmocka_unit_test(push__of_the_incarnation_before__is_rolled_back_and_not_counted),
        cmocka_unit_test(push__that_was_counted_before_the_snapshot__is_not_counted_again),
        cmocka_unit_test(job__that_goes_back_at_random__comes_to_the_same_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
