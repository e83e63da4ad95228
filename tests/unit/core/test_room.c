/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers who do not read: which rounds wait for them, what memory there is for the versions that
 * they hold, and whose connection is cut when there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/base/limit.h"
#include "tests/lib/shard.h"

enum {
    ELEMENTS = 4,
    ANNEX_BYTES = 128 + sizeof(struct annex), /* 4 floats on a line, and their encodings */
    WORKERS = 2,
    OBSERVER = 4, /* the first of them: peer and number of the session */
};

static const uint64_t four[] = {ELEMENTS};
static const float ones[ELEMENTS] = {1, 1, 1, 1};

struct scene {
    struct limits limits;
    struct shard shard;
};

/* One tensor of four weights that start at 10, lr 1: after v rounds they are 10 - v. So many
 * observers, whose replies wait from now on. */
static void set_up(struct scene *scene, enum stepd_mode mode, size_t observers, size_t annexes)
{
    const struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 10.0);
    const struct shard_job job = {.mode = mode,
                                  .workers = WORKERS,
                                  .lr = 1.0,
                                  .limits = &scene->limits,
                                  .tensors = 1,
                                  .tensor = &tensor};
    scene->limits = (struct limits){.max = {[LIMIT_OLD_VERSIONS] = annexes * ANNEX_BYTES}};
    shard_setup(&scene->shard, &job);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        shard_connect(&scene->shard, rank, rank);
    for (uint32_t i = 0; i < observers; i++) {
        shard_session(&scene->shard, OBSERVER + i, 1, /* observer= */ true);
        shard_connect(&scene->shard, OBSERVER + i, OBSERVER + i);
    }
    scene->shard.hold = true;
}

static uint64_t annexes(const struct scene *scene)
{
    return scene->limits.used[LIMIT_OLD_VERSIONS] / ANNEX_BYTES;
}

static void tear_down(struct scene *scene)
{
    scene->shard.hold = false;
    shard_release(&scene->shard);
    shard_teardown(&scene->shard);
    assert_int_equal(scene->limits.used[LIMIT_OLD_VERSIONS], 0);
}

static void push(struct scene *scene, size_t peer, uint64_t clock)
{
    const struct shard_push push = {.id = 100 + clock,
                                    .clock = clock,
                                    .base_version = clock - 1,
                                    .examples = 1,
                                    .slices = 1,
                                    .grad = ones,
                                    .values = ELEMENTS};
    shard_push(&scene->shard, peer, &push);
}

/* All workers push; the round closes, unless it waits for readers. */
static void round_of_all(struct scene *scene, uint64_t clock)
{
    for (size_t rank = 0; rank < WORKERS; rank++)
        push(scene, rank, clock);
}

static bool has_closed(const struct scene *scene, uint64_t clock)
{
    const struct shard_reply *const reply = shard_last(&scene->shard, WORKERS - 1);
    return reply->kind == STEPD_MESSAGE_RESULT && reply->request_id == 100 + clock;
}

static void pull(struct scene *scene, size_t peer)
{
    shard_pull(&scene->shard, peer, 7, 0, 1);
}

/* What a peer has got last is a version whole. */
static void assert_got(const struct scene *scene, size_t peer, uint64_t version)
{
    const struct shard_reply *const reply = shard_last(&scene->shard, peer);
    assert_int_equal(reply->kind, STEPD_MESSAGE_RESULT);
    assert_int_equal(reply->version[0], version);
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_true(reply->value[i] == 10.0F - (float)version);
}

/* What is on its way to anybody is still the version that it was. */
static void assert_held_are_whole(const struct scene *scene)
{
    for (size_t i = 0; i < scene->shard.held; i++) {
        const struct weights *const weights = scene->shard.held_piece[i];
        for (size_t k = 0; k < ELEMENTS; k++)
            assert_true(weights->values[k] == 10.0F - (float)weights->version);
    }
}

/* So many observers each pull another version, from 0 on, and do not read it. */
static void hoard(struct scene *scene, size_t observers)
{
    for (size_t i = 0; i < observers; i++) {
        pull(scene, OBSERVER + i);
        assert_got(scene, OBSERVER + i, i);
        round_of_all(scene, i + 1);
    }
}

/* ---- Memory for old versions ----------------------------------------------------------------- */

static void round__while_observers_hold_all_versions__closes_in_an_annex(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 5, 4);
    hoard(&scene, 5);
    assert_true(has_closed(&scene, 5));
    assert_int_equal(annexes(&scene), 4); /* of 6 versions, of which two are in the buffers */
    assert_held_are_whole(&scene);
    tear_down(&scene);
}

static void annex__that_nobody_reads__is_freed_when_the_slice_has_moved_out(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 2, 1);
    hoard(&scene, 2);
    assert_int_equal(annexes(&scene), 1); /* the newest version is in it */
    shard_release_of(&scene.shard, OBSERVER);
    shard_release_of(&scene.shard, OBSERVER + 1);
    assert_int_equal(annexes(&scene), 1);
    round_of_all(&scene, 3);
    assert_int_equal(annexes(&scene), 0);
    pull(&scene, OBSERVER);
    assert_got(&scene, OBSERVER, 3);
    tear_down(&scene);
}

static void annex__with_the_newest_version_of_a_job_that_closes__is_freed(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 2, 1);
    hoard(&scene, 2);
    shard_order(&scene.shard, ORDER_JOB_CLOSE);
    assert_int_equal(annexes(&scene), 1);
    tear_down(&scene);
}

static void round__while_workers_hold_all_versions__closes_in_an_annex_too(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_ASYNC, 0, 1);
    pull(&scene, 0);
    push(&scene, 1, 1);
    pull(&scene, 0);
    push(&scene, 1, 2);
    assert_true(has_closed(&scene, 2));
    assert_int_equal(annexes(&scene), 1);
    assert_held_are_whole(&scene);
    tear_down(&scene);
}

/* ---- None is left ---------------------------------------------------------------------------- */

static void round__without_memory_for_old_versions__cuts_who_reads_the_oldest(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 2, 0);
    hoard(&scene, 2);
    assert_false(has_closed(&scene, 2));
    assert_true(scene.shard.peer[OBSERVER].cut);
    assert_false(scene.shard.peer[OBSERVER + 1].cut);
    assert_int_equal(scene.limits.refused[LIMIT_OLD_VERSIONS], 1);
    shard_close_cut(&scene.shard);
    assert_true(has_closed(&scene, 2));
    assert_held_are_whole(&scene);
    tear_down(&scene);
}

static void round__of_a_version_that_many_read__cuts_all_of_them(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 4, 0);
    pull(&scene, OBSERVER + 2);
    pull(&scene, OBSERVER + 3);
    pull(&scene, OBSERVER + 3);
    hoard(&scene, 2);
    assert_int_equal(scene.limits.refused[LIMIT_OLD_VERSIONS], 3);
    shard_close_cut(&scene.shard);
    assert_true(has_closed(&scene, 2));
    assert_false(scene.shard.peer[OBSERVER + 1].conn == NULL);
    tear_down(&scene);
}

static void observer__beside_a_worker_that_reads_the_same__is_not_cut_for_nothing(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_ASYNC, 2, 0);
    pull(&scene, 0);
    pull(&scene, OBSERVER);
    push(&scene, 1, 1);
    pull(&scene, 0);
    pull(&scene, OBSERVER + 1);
    push(&scene, 1, 2);
    assert_false(has_closed(&scene, 2));
    assert_int_equal(scene.limits.refused[LIMIT_OLD_VERSIONS], 0);
    shard_release_of(&scene.shard, 0); /* only now it is the observers who are in the way */
    assert_int_equal(scene.limits.refused[LIMIT_OLD_VERSIONS], 1);
    shard_close_cut(&scene.shard);
    assert_true(has_closed(&scene, 2));
    tear_down(&scene);
}

static void reader__that_the_core_has_forgotten__gives_way(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_ASYNC, 1, 0);
    pull(&scene, 0);
    shard_session(&scene.shard, 0, 2, /* observer= */ false); /* it comes again elsewhere */
    push(&scene, 1, 1);
    pull(&scene, OBSERVER);
    push(&scene, 1, 2);
    assert_true(scene.shard.peer[0].cut);
    shard_close_cut(&scene.shard);
    assert_true(has_closed(&scene, 2));
    tear_down(&scene);
}

static void round__that_waits_for_a_worker_who_comes_again__goes_on_at_once(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_ASYNC, 0, 0);
    pull(&scene, 0);
    push(&scene, 1, 1);
    pull(&scene, 0);
    push(&scene, 1, 2);
    assert_false(has_closed(&scene, 2));
    shard_session(&scene.shard, 0, 2, /* observer= */ false);
    assert_true(scene.shard.peer[0].cut);
    shard_close_cut(&scene.shard);
    assert_true(has_closed(&scene, 2));
    tear_down(&scene);
}

static void worker__that_is_fenced__gives_way(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 0, 0);
    assert_false(scene.shard.peer[1].gives_way);
    shard_give(&scene.shard, &(struct order){.kind = ORDER_GIVE_UP,
                                             .job_name = scene.shard.job->name,
                                             .rank = 1,
                                             .error = {.code = STEPD_ABORTED, .text = "lost"}});
    assert_true(scene.shard.peer[1].gives_way);
    tear_down(&scene);
}

/* ---- Whose turn has not come ----------------------------------------------------------------- */

static void pull__by_a_peer_that_takes_nothing__is_answered_when_it_does(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 1, 0);
    struct shard_peer *const peer = &scene.shard.peer[OBSERVER];
    peer->full = true;
    pull(&scene, OBSERVER);
    pull(&scene, OBSERVER);
    assert_int_equal(peer->replies, 1); /* its Welcome */
    assert_int_equal(scene.shard.held, 0);
    round_of_all(&scene, 1);
    peer->full = false;
    core_on_taken(peer->conn, scene.shard.now_ms);
    assert_int_equal(peer->replies, 3);
    assert_got(&scene, OBSERVER, 1); /* with the weights that there are now */
    tear_down(&scene);
}

static void pulls__that_were_due__are_answered_in_their_order(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 1, 0);
    struct shard_peer *const peer = &scene.shard.peer[OBSERVER];
    peer->full = true;
    for (uint64_t id = 11; id <= 13; id++)
        shard_pull(&scene.shard, OBSERVER, id, 0, 1);
    peer->full = false;
    shard_pull(&scene.shard, OBSERVER, 14, 0, 1); /* before it is told that it may go on */
    assert_int_equal(peer->replies, 1);
    core_on_taken(peer->conn, scene.shard.now_ms);
    assert_int_equal(peer->replies, 5);
    for (uint64_t id = 11; id <= 14; id++)
        assert_int_equal(peer->reply[id - 10].request_id, id);
    tear_down(&scene);
}

static void pull__due_at_its_deadline__ends_and_says_for_what_it_waited(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 1, 0);
    struct shard_peer *const peer = &scene.shard.peer[OBSERVER];
    peer->full = true;
    pull(&scene, OBSERVER);
    scene.shard.now_ms += 10000;
    core_on_tick(scene.shard.core, scene.shard.now_ms);
    const struct shard_reply *const reply = shard_last(&scene.shard, OBSERVER);
    assert_int_equal(reply->code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(reply->text, "waiting for you to read the replies before this one"));
    core_on_taken(peer->conn, scene.shard.now_ms); /* and is not answered again */
    assert_ptr_equal(shard_last(&scene.shard, OBSERVER), reply);
    tear_down(&scene);
}

static void pull__due_when_its_job_closes__ends(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 1, 0);
    scene.shard.peer[OBSERVER].full = true;
    pull(&scene, OBSERVER);
    shard_order(&scene.shard, ORDER_JOB_CLOSE);
    assert_int_equal(shard_last(&scene.shard, OBSERVER)->code, STEPD_ABORTED);
    tear_down(&scene);
}

static void push__by_a_peer_that_takes_nothing__is_answered_at_once(void **state)
{
    struct scene scene;
    (void)state;
    set_up(&scene, STEPD_SYNC, 0, 0);
    scene.shard.peer[0].full = true;
    scene.shard.peer[1].full = true;
    round_of_all(&scene, 1);
    assert_true(has_closed(&scene, 1));
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round__while_observers_hold_all_versions__closes_in_an_annex),
        cmocka_unit_test(annex__that_nobody_reads__is_freed_when_the_slice_has_moved_out),
        cmocka_unit_test(annex__with_the_newest_version_of_a_job_that_closes__is_freed),
        cmocka_unit_test(round__while_workers_hold_all_versions__closes_in_an_annex_too),
        cmocka_unit_test(round__without_memory_for_old_versions__cuts_who_reads_the_oldest),
        cmocka_unit_test(round__of_a_version_that_many_read__cuts_all_of_them),
        cmocka_unit_test(observer__beside_a_worker_that_reads_the_same__is_not_cut_for_nothing),
        cmocka_unit_test(reader__that_the_core_has_forgotten__gives_way),
        cmocka_unit_test(round__that_waits_for_a_worker_who_comes_again__goes_on_at_once),
        cmocka_unit_test(worker__that_is_fenced__gives_way),
        cmocka_unit_test(pull__by_a_peer_that_takes_nothing__is_answered_when_it_does),
        cmocka_unit_test(pulls__that_were_due__are_answered_in_their_order),
        cmocka_unit_test(pull__due_at_its_deadline__ends_and_says_for_what_it_waited),
        cmocka_unit_test(pull__due_when_its_job_closes__ends),
        cmocka_unit_test(push__by_a_peer_that_takes_nothing__is_answered_at_once),
    };
    return cmocka_run_group_tests_name("core/room", tests, NULL, NULL);
}
