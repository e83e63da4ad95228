/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients that are added up as they arrive come in through a few buffers, whoever sends: the
 * others are held meanwhile, and each gets its turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/job.h"
#include "tests/lib/shard.h"

/* So many receive at once; two are one too many. */
enum { RECEIVE = JOB_LANDINGS - 1, WORKERS = RECEIVE + 2, SLICES = 2, SLICE = 256 };

enum { SLICE_BYTES = SLICE * sizeof(float) };

static const float grad[SLICES * SLICE] = {0};

static void setup(struct shard *shard, bool shares)
{
    static const struct stepd_setting arrival = {.name = "reduction", .word = "arrival"};
    const uint64_t shape[] = {SLICES, SLICE};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    const struct shard_job job = {.settings = {.count = 1, .at = &arrival},
                                  .workers = WORKERS,
                                  .lr = 1.0,
                                  .slice_elements = SLICE,
                                  .shares = shares,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        shard_connect(shard, rank, rank);
}

/* A push of both slices, of which a byte has come in where it is wanted. */
static void begin_push(struct shard *shard, size_t peer)
{
    static const uint32_t slice[] = {0, 1};
    static const uint64_t version_0[] = {0};
    const struct stepd_message push = {
        .request_id = 7,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {.incarnation = 1,
                      .clock = 1,
                      .slices = {.count = SLICES, .at = slice},
                      .base_versions = {.count = 1, .at = version_0},
                      .examples = 1,
                      .deadline_ms = 1000},
    };
    assert_int_equal(shard_send(shard, peer, &push, grad, 0, (size_t)SLICES * SLICE_BYTES, NULL),
                     STEPD_OK);
    if (!shard->peer[peer].held)
        core_filled(shard->peer[peer].conn, 1, shard->now_ms);
}

static void fill(struct shard *shard, size_t peer, size_t bytes)
{
    size_t room = 0;
    uint8_t *const window = core_window(shard->peer[peer].conn, &room);
    assert_false(shard->peer[peer].held);
    assert_in_range(room, bytes, SLICE_BYTES);
    if (window != NULL)
        memset(window, 0, bytes);
    core_filled(shard->peer[peer].conn, bytes, shard->now_ms);
}

/* All workers push; so many are held, in the order of their ranks. */
static void begin_all(struct shard *shard, bool shares)
{
    setup(shard, shares);
    for (size_t peer = 0; peer < WORKERS; peer++) {
        begin_push(shard, peer);
        assert_int_equal(shard->peer[peer].held, peer >= RECEIVE);
    }
}

static void assert_held(const struct shard *shard, bool first, bool second)
{
    assert_int_equal(shard->peer[RECEIVE].held, first);
    assert_int_equal(shard->peer[RECEIVE + 1].held, second);
}

static void push__without_a_buffer__goes_on_in_the_order_of_coming(void **state)
{
    (void)state;
    struct shard shard;
    begin_all(&shard, false);
    fill(&shard, 1, SLICE_BYTES - 1);
    assert_held(&shard, false, true);
    assert_true(shard.peer[1].held); /* with its second slice, and behind the others */
    fill(&shard, 0, SLICE_BYTES - 1);
    assert_held(&shard, false, false);
    assert_true(shard.peer[0].held && shard.peer[1].held);
    fill(&shard, RECEIVE, SLICE_BYTES);
    assert_false(shard.peer[1].held);
    shard_teardown(&shard);
}

static void push__of_all_workers__counts_each_once(void **state)
{
    (void)state;
    struct shard shard;
    begin_all(&shard, false);
    for (bool busy = true; busy;) {
        busy = false;
        for (size_t peer = 0; peer < WORKERS; peer++) {
            size_t room = 0;
            if (shard.peer[peer].held || shard.peer[peer].conn == NULL)
                continue;
            if (shard_last(&shard, peer)->request_id == 7)
                continue;
            (void)core_window(shard.peer[peer].conn, &room);
            if (room == 0)
                continue;
            fill(&shard, peer, room);
            busy = true;
        }
    }
    for (size_t peer = 0; peer < WORKERS; peer++) {
        const struct shard_reply *const reply = shard_last(&shard, peer);
        assert_int_equal(reply->outcome[reply->slices - 1], STEPD_APPLIED);
        assert_int_equal(reply->version[reply->slices - 1], 1);
    }
    shard_teardown(&shard);
}

static void connection__that_ends_while_it_receives__lets_the_next_one_go_on(void **state)
{
    (void)state;
    struct shard shard;
    begin_all(&shard, false);
    shard_close(&shard, RECEIVE - 1);
    assert_held(&shard, false, true);
    shard_teardown(&shard);
}

static void connection__that_ends_while_it_is_held__is_passed_over(void **state)
{
    (void)state;
    struct shard shard;
    begin_all(&shard, false);
    shard_close(&shard, RECEIVE);
    fill(&shard, 0, SLICE_BYTES - 1);
    assert_false(shard.peer[RECEIVE + 1].held);
    shard_teardown(&shard);
}

static void push__held_at_its_deadline__says_so_and_is_read_to_its_end(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, false);
    for (size_t peer = 0; peer < RECEIVE; peer++)
        begin_push(&shard, peer);
    shard.now_ms += 500;
    begin_push(&shard, RECEIVE);
    struct core_conn *const held = shard.peer[RECEIVE].conn;
    for (size_t peer = 0; peer < RECEIVE; peer++) /* their deadlines are not what ends it */
        fill(&shard, peer, 10);
    shard.now_ms += 1000;
    core_on_tick(shard.core, shard.now_ms);
    const struct shard_reply *const reply = shard_last(&shard, RECEIVE);
    assert_int_equal(reply->code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(reply->text, "waiting for that of rank "));
    assert_int_equal(reply->waited_for, 1);
    assert_in_range(reply->waited[0], 0, RECEIVE - 1);
    assert_false(shard.peer[RECEIVE].held);
    size_t room = 0;
    assert_null(core_window(held, &room));
    assert_int_equal(room, SLICES * SLICE_BYTES);
    shard_teardown(&shard);
}

static void pushes__that_end_all_at_once__end(void **state)
{
    (void)state;
    struct shard shard;
    begin_all(&shard, false);
    shard.now_ms += 1000;
    core_on_tick(shard.core, shard.now_ms);
    for (size_t peer = 0; peer < WORKERS; peer++) {
        assert_int_equal(shard_last(&shard, peer)->code, STEPD_DEADLINE_EXCEEDED);
        assert_false(shard.peer[peer].held);
    }
    shard_teardown(&shard);
}

static void push__placed_while_all_receive__counts_at_once(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, true);
    for (size_t peer = 0; peer < RECEIVE; peer++)
        begin_push(&shard, peer);
    memcpy(shard_gradient(&shard, RECEIVE, 0), grad, SLICE_BYTES);
    const struct shard_push push = {
        .id = 9, .clock = 1, .examples = 1, .slices = SLICES, .placed = true};
    shard_push(&shard, RECEIVE, &push);
    assert_false(shard.peer[RECEIVE].held);
    for (size_t peer = 0; peer < RECEIVE; peer++)
        shard_close(&shard, peer);
    shard_query(&shard);
    assert_int_equal(shard.waited_for & (UINT64_C(1) << RECEIVE), 0); /* it has come */
    shard_teardown(&shard);
}

static void worker__that_is_held__is_not_silent(void **state)
{
    (void)state;
    struct shard shard;
    begin_all(&shard, false);
    for (size_t tick = 0; tick < 2; tick++) { /* the first tells of what has come in, too */
        shard.now_ms += 300;
        shard.heard = 0;
        core_on_tick(shard.core, shard.now_ms);
    }
    assert_int_equal(shard.heard, WORKERS - RECEIVE);
    assert_int_equal(shard.heard_rank[0] + shard.heard_rank[1], RECEIVE + RECEIVE + 1);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push__without_a_buffer__goes_on_in_the_order_of_coming),
        cmocka_unit_test(push__of_all_workers__counts_each_once),
        cmocka_unit_test(connection__that_ends_while_it_receives__lets_the_next_one_go_on),
        cmocka_unit_test(connection__that_ends_while_it_is_held__is_passed_over),
        cmocka_unit_test(push__held_at_its_deadline__says_so_and_is_read_to_its_end),
        cmocka_unit_test(pushes__that_end_all_at_once__end),
        cmocka_unit_test(push__placed_while_all_receive__counts_at_once),
        cmocka_unit_test(worker__that_is_held__is_not_silent),
    };
    return cmocka_run_group_tests_name("core/landing", tests, NULL, NULL);
}
