/* SPDX-License-Identifier: Apache-2.0
 *
 * Pulls through a shard's core: what they wait for, what they get, and in how many frames.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "proto/frame.h"
#include "tests/lib/shard.h"

enum { ELEMENTS = 4 };

static const uint64_t four[] = {ELEMENTS};
static const float ones[ELEMENTS] = {1, 1, 1, 1};
static const uint32_t slices_0_to_7[] = {0, 1, 2, 3, 4, 5, 6, 7};

/* One tensor of four weights that start at 10; lr 1. */
static void setup(struct shard *shard, enum stepd_mode mode, uint32_t workers)
{
    const struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 10.0);
    const struct shard_job job = {
        .mode = mode, .workers = workers, .lr = 1.0, .tensors = 1, .tensor = &tensor};
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < workers; rank++)
        shard_connect(shard, rank, rank);
}

/* One tensor of `slices` slices, with random weights. */
static void setup_slices(struct shard *shard, uint64_t slices, uint32_t slice_elements)
{
    const uint64_t shape[] = {slices, slice_elements};
    struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    tensor.init = (struct stepd_init){.kind = STEPD_INIT_UNIFORM, .a = -1, .b = 1, .seed = 5};
    const struct shard_job job = {
        .workers = 1, .lr = 1.0, .slice_elements = slice_elements, .tensors = 1, .tensor = &tensor};
    shard_setup(shard, &job);
}

static void push(struct shard *shard, size_t peer, uint64_t clock, uint64_t base_version)
{
    const struct shard_push push = {.id = 100 + clock,
                                    .clock = clock,
                                    .base_version = base_version,
                                    .examples = 1,
                                    .slices = 1,
                                    .grad = ones,
                                    .values = ELEMENTS};
    shard_push(shard, peer, &push);
}

static void pull(struct shard *shard, size_t peer, struct stepd_pull_slices pull)
{
    pull.incarnation = 1;
    if (pull.slices.count == 0)
        pull.slices.count = 1;
    pull.slices.at = slices_0_to_7;
    const struct stepd_message message = {
        .request_id = 7, .kind = STEPD_MESSAGE_PULL, .body.pull = pull};
    assert_int_equal(shard_send(shard, peer, &message, NULL, 0, 0, NULL), STEPD_OK);
}

static bool is_answered(const struct shard *shard, size_t peer)
{
    return shard_last(shard, peer)->kind != STEPD_MESSAGE_WELCOME;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void pull__of_a_version_that_is_there__is_answered_at_once(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 0});
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->request_id, 7);
    assert_int_equal(reply->outcome[0], STEPD_NONE);
    assert_int_equal(reply->version[0], 0);
    assert_int_equal(reply->values, ELEMENTS);
    assert_true(reply->value[3] == 10.0F);
    assert_true(reply->last);
    shard_teardown(&shard);
}

static void pull__of_a_later_version__waits_until_it_is_there(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 2});
    for (uint64_t clock = 1; clock <= 2; clock++) {
        assert_int_equal(shard_last(&shard, 0)->values, 0);
        push(&shard, 0, clock, clock - 1);
        push(&shard, 1, clock, clock - 1);
    }
    const struct shard_peer *peer = &shard.peer[0];
    const struct shard_reply *reply = &peer->reply[peer->replies - 2];
    reply = reply->request_id == 7 ? reply : shard_last(&shard, 0);
    assert_int_equal(reply->request_id, 7);
    assert_int_equal(reply->version[0], 2);
    assert_true(reply->value[0] == 8.0F);
    shard_teardown(&shard);
}

static void pull__of_slices_of_which_some_are_ready__gets_those_first(void **state)
{
    (void)state;
    struct shard shard;
    setup_slices(&shard, 2, 256);
    shard_connect(&shard, 0, 0);
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 1, .slices = {.count = 2}});
    assert_false(is_answered(&shard, 0));
    static const float grad[256] = {1};
    const uint32_t second[] = {1};
    struct shard_push part = {
        .id = 8, .clock = 1, .examples = 1, .slices = 1, .grad = grad, .values = 256};
    part.slice = second;
    shard_push(&shard, 0, &part);
    const struct shard_peer *peer = &shard.peer[0];
    const struct shard_reply *a = &peer->reply[1];
    a = a->request_id == 7 ? a : &peer->reply[2];
    assert_int_equal(a->slices, 1);
    assert_int_equal(a->slice[0], 1);
    assert_false(a->last);
    part.slice = NULL;
    shard_push(&shard, 0, &part);
    const struct shard_reply *b = &peer->reply[3];
    b = b->request_id == 7 ? b : &peer->reply[4];
    assert_int_equal(b->request_id, 7);
    assert_int_equal(b->slice[0], 0);
    assert_true(b->last);
    shard_teardown(&shard);
}

static void pull__woken_by_one_update_and_overtaken_by_another__states_what_it_gets(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 3);
    shard.hold = true;
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 0});
    push(&shard, 0, 1, 0);
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 1});
    push(&shard, 0, 2, 1); /* both versions are read: these two wait, */
    push(&shard, 1, 1, 0);
    pull(&shard, 2, (struct stepd_pull_slices){.min_version = 2});
    assert_false(is_answered(&shard, 2));
    shard.hold = false;
    shard_release(&shard); /* and now happen together */
    const struct shard_reply *reply = shard_last(&shard, 2);
    assert_int_equal(reply->version[0], 3);
    assert_true(reply->value[0] == 7.0F);
    shard_teardown(&shard);
}

/* ---- Deadlines ------------------------------------------------------------------------------- */

static void pull__past_its_deadline__ends_and_names_the_rank_it_waits_for(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    push(&shard, 0, 1, 0);
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 1, .deadline_ms = 300});
    shard.now_ms += 299;
    core_on_tick(shard.core, shard.now_ms);
    assert_false(is_answered(&shard, 0));
    shard.now_ms += 1;
    core_on_tick(shard.core, shard.now_ms);
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->request_id, 7);
    assert_int_equal(reply->code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(reply->text, "w, version 1: waiting for rank 1 (worker 'tester'"));
    assert_int_equal(reply->waited_for, 1);
    assert_int_equal(reply->waited[0], 1);
    shard_teardown(&shard);
}

static void pull__with_a_deadline_beyond_the_servers__gets_the_servers(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 1, .deadline_ms = UINT32_MAX});
    shard.now_ms += 9999;
    core_on_tick(shard.core, shard.now_ms);
    assert_false(is_answered(&shard, 0));
    shard.now_ms += 1;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_DEADLINE_EXCEEDED);
    shard_teardown(&shard);
}

static void pull__of_a_version_that_readers_hold_up__says_so_at_its_deadline(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 1);
    shard.hold = true;
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 0});
    push(&shard, 0, 1, 0);
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 1});
    push(&shard, 0, 2, 1);
    shard.now_ms += 10000;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "readers that hold two versions"));
    shard_teardown(&shard);
}

/* ---- What comes ------------------------------------------------------------------------------ */

static void pull__in_16_bits__equals_the_converted_weights(void **state)
{
    (void)state;
    struct shard shard;
    setup_slices(&shard, 1, 512);
    shard_connect(&shard, 0, 0);
    pull(&shard, 0, (struct stepd_pull_slices){.dtype = STEPD_F32});
    const float *weights = shard_last(&shard, 0)->value;

    const enum stepd_dtype dtypes[] = {STEPD_F16, STEPD_BF16};

    for (size_t i = 0; i < 2; i++) {
        uint8_t expected[1024];
        stepd_dtype_narrow(dtypes[i], 512, weights, expected);
        pull(&shard, 0, (struct stepd_pull_slices){.dtype = dtypes[i]});
        assert_int_equal(shard_last(&shard, 0)->bytes, sizeof expected);
        assert_memory_equal(shard_last(&shard, 0)->value, expected, sizeof expected);
    }
    shard_teardown(&shard);
}

static void pull__in_16_bits_by_many__encodes_a_version_once(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    shard.hold = true;
    pull(&shard, 0, (struct stepd_pull_slices){.dtype = STEPD_F16});
    shard.held_piece[0]->encoded[STEPD_F16][0] ^= 1; /* would be gone from a second encoding */
    pull(&shard, 1, (struct stepd_pull_slices){.dtype = STEPD_F16});
    const uint8_t *second = (const uint8_t *)shard_last(&shard, 1)->value;
    assert_int_equal(second[0], shard.held_piece[0]->encoded[STEPD_F16][0]);
    shard_teardown(&shard);
}

static void pull__with_a_payload__is_refused_and_the_payload_dropped(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    const struct stepd_message message = {
        .request_id = 7,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = 1, .slices = {.count = 1, .at = slices_0_to_7}},
    };
    assert_int_equal(shard_send(&shard, 0, &message, ones, 16, 16, NULL), STEPD_OK);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "this one has 16 bytes"));
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 0}); /* the connection goes on */
    assert_int_equal(shard_last(&shard, 0)->values, ELEMENTS);
    shard_teardown(&shard);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

/* Checks that the replies from `first` on are `frames` Results, of which only the final one is
 * last, and gives how many slices they hold. */
static size_t count_slices(const struct shard *shard, size_t peer, size_t first, size_t frames)
{
    const struct shard_peer *p = &shard->peer[peer];
    size_t slices = 0;
    assert_int_equal(p->replies - first, frames);
    for (size_t i = first; i < p->replies; i++) {
        assert_int_equal(p->reply[i].kind, STEPD_MESSAGE_RESULT);
        assert_int_equal(p->reply[i].last, i + 1 == p->replies);
        for (size_t k = 0; k < p->reply[i].slices; k++)
            assert_int_equal(p->reply[i].slice[k], slices + k);
        slices += p->reply[i].slices;
    }
    return slices;
}

static void pull__of_more_than_4_mib__comes_in_several_frames(void **state)
{
    (void)state;
    struct shard shard;
    setup_slices(&shard, 6, 262144);
    shard_connect(&shard, 0, 0);
    pull(&shard, 0, (struct stepd_pull_slices){.slices = {.count = 6}});
    assert_int_equal(count_slices(&shard, 0, 1, 2), 6);
    assert_int_equal(shard.peer[0].reply[1].bytes, 4 << 20);
    assert_int_equal(shard.peer[0].reply[2].bytes, 2 << 20);
    shard_teardown(&shard);
}

/* Connects a peer that accepts frames of at most the least size that a shard grants. */
static void connect_small(struct shard *shard)
{
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_hello hello = shard_hello_of(0, session);
    hello.max_frame_bytes = 2 * STEPD_FRAME_HEAD_MAX_BYTES;
    shard_open(shard, 0);
    assert_int_equal(shard_say_hello(shard, 0, &hello, NULL), STEPD_OK);
}

static void pull__by_a_peer_of_small_frames__gets_none_that_is_larger(void **state)
{
    (void)state;
    struct shard shard;
    setup_slices(&shard, 5, 6000); /* 24000 bytes each; two fit */
    connect_small(&shard);
    pull(&shard, 0, (struct stepd_pull_slices){.slices = {.count = 5}});
    assert_int_equal(count_slices(&shard, 0, 1, 3), 5);
    for (size_t i = 1; i < shard.peer[0].replies; i++)
        assert_in_range(shard.peer[0].reply[i].bytes, 1, STEPD_FRAME_HEAD_MAX_BYTES);
    shard_teardown(&shard);
}

static void pull__of_a_slice_beyond_the_peers_frames__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup_slices(&shard, 1, 20000);
    connect_small(&shard);
    pull(&shard, 0, (struct stepd_pull_slices){.min_version = 0});
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "a slice of 80000 bytes"));
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pull__of_a_version_that_is_there__is_answered_at_once),
        cmocka_unit_test(pull__of_a_later_version__waits_until_it_is_there),
        cmocka_unit_test(pull__of_slices_of_which_some_are_ready__gets_those_first),
        cmocka_unit_test(pull__woken_by_one_update_and_overtaken_by_another__states_what_it_gets),
        cmocka_unit_test(pull__past_its_deadline__ends_and_names_the_rank_it_waits_for),
        cmocka_unit_test(pull__with_a_deadline_beyond_the_servers__gets_the_servers),
        cmocka_unit_test(pull__of_a_version_that_readers_hold_up__says_so_at_its_deadline),
        cmocka_unit_test(pull__in_16_bits__equals_the_converted_weights),
        cmocka_unit_test(pull__in_16_bits_by_many__encodes_a_version_once),
        cmocka_unit_test(pull__with_a_payload__is_refused_and_the_payload_dropped),
        cmocka_unit_test(pull__of_more_than_4_mib__comes_in_several_frames),
        cmocka_unit_test(pull__by_a_peer_of_small_frames__gets_none_that_is_larger),
        cmocka_unit_test(pull__of_a_slice_beyond_the_peers_frames__is_refused),
    };
    return cmocka_run_group_tests_name("core/pull", tests, NULL, NULL);
}
