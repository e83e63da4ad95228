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

#include "body.h"
#include "tests/lib/random.h"

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
    *story = (struct story){.undisturbed = body_train_undisturbed()};
    body_init(body, BRAIN_SHARDS);
    body_start(body);
    body_train(body, 1, 3);
    body_begin_snapshot(body); /* version 0 is past, and so is asked for 3, where both shards are */
    body_train(body, 4, STEPS);
    body_keep_snapshot(body, &story->taken);
    body_crash(body, &story->taken, 1);
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
    body_train(&story.body, 4, STEPS);
    body_pull(&story.body);
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
    body_push_slice(&story.body, 0, 0, STEPS + 1, 1);
    assert_int_equal(story.body.answer[0][0].code, STEPD_ROLLED_BACK);
    body_push_slice(&story.body, 0, 0, 4, 1);
    assert_int_equal(story.body.answer[0][0].code, STEPD_ROLLED_BACK);
    body_train(&story.body, 4, STEPS);
    body_pull(&story.body);
    assert_memory_equal(story.body.weights, story.undisturbed, SHARES_ELEMENTS * sizeof(float));
    end(&story);
}

static void push__that_was_counted_before_the_snapshot__is_not_counted_again(void **state)
{
    (void)state;
    struct story story;
    go_back(&story);
    body_train(&story.body, 2, 3);
    assert_int_equal(story.body.answer[0][0].outcome, STEPD_DUPLICATE);
    assert_int_equal(story.body.answer[0][0].version, 3);
    body_train(&story.body, 4, STEPS);
    body_pull(&story.body);
    assert_memory_equal(story.body.weights, story.undisturbed, SHARES_ELEMENTS * sizeof(float));
    end(&story);
}

/* Rank 1 has passed to another worker since the snapshot. Its session is not known any more, and it
 * comes before anybody comes with the one that the snapshot has. */
static void push__of_who_took_a_rank_behind_the_snapshot__counts_once(void **state)
{
    (void)state;
    struct shares_taken taken = {.state = NULL};
    struct body body;
    struct peer session[RANKS];
    float *undisturbed = body_train_undisturbed();
    body_init(&body, BRAIN_SHARDS);
    body_start(&body);
    body_train(&body, 1, 3);
    body_begin_snapshot(&body);
    body_keep_snapshot(&body, &taken);
    session[0] = *body.worker[0];
    brain_wait(body.brain, BRAIN_LEASE_MS);
    body_join(&body, 1, hello_worker("j", 1));
    session[1] = *body.worker[1];
    body_train(&body, 4, STEPS);
    body_restart(&body, &taken, 1);
    brain_assert_refused(body.brain, hello_resume(&session[1]), STEPD_NOT_FOUND, "not known");
    body_join(&body, 0, hello_resume(&session[0]));
    struct stepd_message rejoin = hello_worker("j", 1);
    rejoin.body.hello.rejoins = true;
    body_join(&body, 1, rejoin);
    body_push_slice(&body, 1, 0, 3, 2); /* that the snapshot counts */
    assert_int_equal(body.answer[1][0].outcome, STEPD_DUPLICATE);
    body_train(&body, 4, STEPS); /* that it does not */
    assert_int_equal(body.answer[1][0].outcome, STEPD_APPLIED);
    body_pull(&body);
    assert_memory_equal(body.weights, undisturbed, SHARES_ELEMENTS * sizeof(float));
    body_deinit(&body);
    shares_taken_deinit(&taken);
    free(undisturbed);
}

/* ---- Changed --------------------------------------------------------------------------------- */

/* A job, and what is changed of it. */
struct changed {
    const char *job;
    bool gated;        /* its slices, which are parts of one tensor on two shards, close together */
    const char *first; /* at version 2; NULL: nothing is */
    const char *later;
};

static const struct changed changed[] = {
    {"", false, "lr=0.25", "lr=0.125"},
    {"clip_global_norm=100000", true, "clip_norm=8", "clip_norm=4"},
};

/* All was decided before the first step. */
static void start_changed(struct body *body, const struct changed *what, uint64_t later)
{
    body_init(body, BRAIN_SHARDS);
    body_start_with(body, what->job);
    if (what->first == NULL)
        return;
    shares_ask_change(body->worker[0], what->first, 2);
    body_settle(body);
    shares_ask_change(body->worker[0], what->later, later);
    body_settle(body);
    (void)peer_answer(body->worker[0], STEPD_MESSAGE_CHANGES);
}

/* The later change is to come when the snapshot is taken at version 3; or begins with it, or is
 * made by then. */
static void assert_changed_job_goes_back(const struct changed *what, uint64_t later)
{
    struct body undisturbed;
    struct body body;
    struct shares_taken taken = {.state = NULL};
    float *plain = body_train_undisturbed();
    start_changed(&undisturbed, what, later);
    body_train(&undisturbed, 1, STEPS);
    body_pull(&undisturbed);
    assert_memory_not_equal(undisturbed.weights, plain, SHARES_ELEMENTS * sizeof(float));
    start_changed(&body, what, later);
    body_train(&body, 1, 3);
    body_begin_snapshot(&body);
    body_train(&body, 4, STEPS);
    body_keep_snapshot(&body, &taken);
    body_crash(&body, &taken, 1);
    body_train(&body, 4, STEPS);
    body_pull(&body);
    assert_memory_equal(body.weights, undisturbed.weights, SHARES_ELEMENTS * sizeof(float));
    peer_request(body.worker[1], (struct stepd_message){.kind = STEPD_MESSAGE_GET_CHANGES,
                                                        .body.get_changes = {.job = "j"}});
    const struct stepd_change_list *list =
        &peer_answer(body.worker[1], STEPD_MESSAGE_CHANGES)->body.changes;
    assert_int_equal(list->records, 2);
    assert_int_equal(list->record[1].version, later);
    body_deinit(&body);
    body_deinit(&undisturbed);
    shares_taken_deinit(&taken);
    free(plain);
}

static void job__that_was_changed_and_went_back__comes_to_the_same_weights(void **state)
{
    (void)state;
    for (uint64_t later = 2; later <= 5; later++) {
        for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++)
            assert_changed_job_goes_back(&changed[i], later);
    }
}

/* ---- At random ------------------------------------------------------------------------------- */

enum { SEEDS = 40, CRASHES_MAX = 3 };

/* Workers that are at different places in different slices. */
struct wanderers {
    struct random random;
    bool gated;
    uint64_t next[RANKS][SLICES]; /* clock */
    size_t crashes;
    bool begun; /* a snapshot */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* All that a rank may push of a slice is a contribution to its open round, which is that of all
 * slices where they close together. */
static uint64_t open_round(const struct wanderers *w, uint32_t slice)
{
    const uint64_t own = least(w->next[0][slice], w->next[1][slice]);
    const uint32_t other = 1 - slice;
    return w->gated ? least(own, least(w->next[0][other], w->next[1][other])) : own;
}

static bool have_arrived(const struct wanderers *w)
{
    return least(open_round(w, 0), open_round(w, 1)) > STEPS;
}

static void push_something(struct wanderers *w, struct body *body)
{
    const uint32_t slice = (uint32_t)random_below(&w->random, SLICES);
    const size_t rank = random_below(&w->random, RANKS);
    const uint64_t clock = open_round(w, slice);
    if (w->next[rank][slice] > clock || clock > STEPS)
        return;
    body_push_slice(body, rank, slice, clock, body->job->incarnation);
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
        body_keep_snapshot(body, taken);
        w->begun = false;
    } else if (!w->begun && random_once_in(&w->random, 6)) {
        body_begin_snapshot(body);
        w->begun = true;
    } else if (taken->state != NULL && w->crashes < CRASHES_MAX && random_once_in(&w->random, 12)) {
        body_crash(body, taken, (uint32_t)random_between(&w->random, 1, BRAIN_SHARDS));
        go_on(w, body);
        w->crashes++;
    } else {
        push_something(w, body);
    }
}

/* Returns how often it crashed. */
static size_t wander_home(uint64_t seed, const struct changed *what, const float *undisturbed)
{
    struct wanderers w = {
        .random = {.state = seed}, .gated = what->gated, .next = {{1, 1}, {1, 1}}};
    struct shares_taken taken = {.state = NULL};
    struct body body;
    start_changed(&body, what, 4);
    while (!have_arrived(&w))
        wander(&w, &body, &taken);
    body_pull(&body);
    if (memcmp(body.weights, undisturbed, SHARES_ELEMENTS * sizeof(float)) != 0)
        fail_msg("%s, seed %llu: other weights", what->job, (unsigned long long)seed);
    shares_taken_deinit(&taken);
    body_deinit(&body);
    return w.crashes;
}

static void assert_wanders_home(const struct changed *what)
{
    struct body undisturbed;
    size_t crashes = 0;
    start_changed(&undisturbed, what, 4);
    body_train(&undisturbed, 1, STEPS);
    body_pull(&undisturbed);
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        crashes += wander_home(seed, what, undisturbed.weights);
    assert_true(crashes > SEEDS);
    body_deinit(&undisturbed);
}

static void job__that_goes_back_at_random__comes_to_the_same_weights(void **state)
{
    (void)state;
    assert_wanders_home(&(struct changed){.job = ""});
}

static void job__that_changes_and_goes_back_at_random__comes_to_the_same_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++)
        assert_wanders_home(&changed[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job__that_went_back__comes_to_the_same_weights),
        cmocka_unit_test(worker__of_a_job_that_went_back__is_told_by_control_and_shard),
        cmocka_unit_test(push__of_the_incarnation_before__is_rolled_back_and_not_counted),
        cmocka_unit_test(push__that_was_counted_before_the_snapshot__is_not_counted_again),
        cmocka_unit_test(push__of_who_took_a_rank_behind_the_snapshot__counts_once),
        cmocka_unit_test(job__that_was_changed_and_went_back__comes_to_the_same_weights),
        cmocka_unit_test(job__that_goes_back_at_random__comes_to_the_same_weights),
        cmocka_unit_test(job__that_changes_and_goes_back_at_random__comes_to_the_same_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
