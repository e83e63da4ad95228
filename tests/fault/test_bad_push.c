/* SPDX-License-Identifier: Apache-2.0
 *
 * What a shard must refuse: pushes whose numbers cannot be, payloads that do not match, gradients
 * that are no numbers, and frames that break off.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scene.h"

/* Sends a Push that the row has spoilt, with this payload. */
static void send_push(struct scene *scene, const struct stepd_message *push, const float *payload,
                      size_t payload_bytes)
{
    wire_send(scene->bad.shard, push, payload, payload_bytes);
}

static void send_full(struct scene *scene, const struct stepd_message *push)
{
    send_push(scene, push, peer_ones(), PEER_ELEMENTS * sizeof(float));
}

static void send_good_push(struct scene *scene)
{
    const struct stepd_message push = peer_push(&scene->bad);
    send_full(scene, &push);
}

static void send_short_payload(struct scene *scene)
{
    const struct stepd_message push = peer_push(&scene->bad);
    send_push(scene, &push, peer_ones(), (PEER_ELEMENTS - 1) * sizeof(float));
}

static void send_payload_of_another_dtype(struct scene *scene)
{
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.dtype = STEPD_BF16;
    send_full(scene, &push);
}

static void send_empty_with_payload(struct scene *scene)
{
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.examples = 0;
    send_full(scene, &push);
}

static void send_to_no_slice(struct scene *scene)
{
    static const uint32_t slice[] = {7};
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.slices.at = slice;
    send_full(scene, &push);
}

static void send_slice_twice(struct scene *scene)
{
    static const uint32_t slice[] = {0, 0};
    static const float eight[2 * PEER_ELEMENTS];
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.slices = (struct stepd_u32s){.count = 2, .at = slice};
    send_push(scene, &push, eight, sizeof eight);
}

static void send_clock_zero(struct scene *scene)
{
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.clock = 0;
    send_full(scene, &push);
}

static void send_clock_with_a_gap(struct scene *scene)
{
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.clock = 3;
    send_full(scene, &push);
}

static void send_base_version_to_come(struct scene *scene)
{
    static const uint64_t version[] = {5};
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.base_versions.at = version;
    send_full(scene, &push);
}

static void send_base_versions_that_do_not_match(struct scene *scene)
{
    /* Push{incarnation 1, clock 1, slices [0], base_versions [0, 0], examples 1} */
    SEND_LITERAL(scene->bad.shard, "\x15\x0A\x13\x08\x02\x5A\x0F\x08\x01\x10\x01\x1A\x01\x00\x22"
                                   "\x02\x00\x00\x28\x01\x30\x00");
}

static void send_gradient_with(struct scene *scene, float value)
{
    float gradient[PEER_ELEMENTS];
    memcpy(gradient, peer_ones(), sizeof gradient);
    gradient[2] = value;
    const struct stepd_message push = peer_push(&scene->bad);
    send_push(scene, &push, gradient, sizeof gradient);
}

static void send_nan(struct scene *scene)
{
    send_gradient_with(scene, NAN);
}

static void send_infinity(struct scene *scene)
{
    send_gradient_with(scene, -INFINITY);
}

static void send_other_incarnation(struct scene *scene)
{
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.incarnation++;
    send_full(scene, &push);
}

static void send_loss_that_is_no_number(struct scene *scene)
{
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.has_loss = true;
    push.body.push.loss = NAN;
    send_full(scene, &push);
}

static void send_negative_loss_scale(struct scene *scene)
{
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.loss_scale = -2;
    send_full(scene, &push);
}

/* The gradient is finite only as long as it is multiplied. */
static void send_loss_scale_that_makes_infinities(struct scene *scene)
{
    static const float large[PEER_ELEMENTS] = {0, 0, 0x1p100F, 0};
    struct stepd_message push = peer_push(&scene->bad);
    push.body.push.loss_scale = 0x1p-100;
    send_push(scene, &push, large, sizeof large);
}

static void send_hessian_that_nobody_takes(struct scene *scene)
{
    static const float hessian[PEER_ELEMENTS + PEER_ELEMENTS * PEER_ELEMENTS];
    const struct stepd_message push = peer_push(&scene->bad);
    send_push(scene, &push, hessian, sizeof hessian);
}

static struct stepd_message pull_of(struct scene *scene, enum stepd_view view)
{
    static const uint32_t slice[] = {0};
    return (struct stepd_message){
        .request_id = ++scene->bad.request_id,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull =
            {
                .incarnation = scene->bad.incarnation,
                .slices = {.count = 1, .at = slice},
                .view = view,
            },
    };
}

static void send_pull_with_payload(struct scene *scene)
{
    const struct stepd_message pull = pull_of(scene, STEPD_TRAINING);
    send_full(scene, &pull);
}

static void send_pull_of_no_view(struct scene *scene)
{
    const struct stepd_message pull = pull_of(scene, (enum stepd_view)STEPD_VIEWS);
    wire_send(scene->bad.shard, &pull, NULL, 0);
}

static void send_pull_of_a_view_that_is_not_kept(struct scene *scene)
{
    const struct stepd_message pull = pull_of(scene, STEPD_SWA);
    wire_send(scene->bad.shard, &pull, NULL, 0);
}

/* Its gradient does not count either. */
static void send_step_for_a_view_that_is_not_kept(struct scene *scene)
{
    const struct stepd_message push = peer_push(&scene->bad);
    const struct stepd_message step = {
        .request_id = push.request_id,
        .kind = STEPD_MESSAGE_STEP,
        .body.step = {.push = push.body.push, .pull_view = STEPD_EMA},
    };
    send_full(scene, &step);
}

static void send_without_request_id(struct scene *scene)
{
    struct stepd_message push = peer_push(&scene->bad);
    push.request_id = 0;
    send_full(scene, &push);
}

static void send_heartbeat_to_shard(struct scene *scene)
{
    const struct stepd_message message = {
        .request_id = ++scene->bad.request_id,
        .kind = STEPD_MESSAGE_HEARTBEAT,
    };
    wire_send(scene->bad.shard, &message, NULL, 0);
}

static void send_second_hello(struct scene *scene)
{
    const struct stepd_message hello = peer_hello(&scene->bad, 1);
    wire_send(scene->bad.shard, &hello, NULL, 0);
}

static void send_frame_over_the_cap(struct scene *scene)
{
    SEND_LITERAL(scene->bad.shard, "\x81\x80\x80\x20\x0A"); /* 64 MiB and 1 byte */
}

static void send_garbage_behind_a_frame(struct scene *scene)
{
    const struct stepd_message push = peer_push(&scene->bad);
    send_full(scene, &push);
    assert_int_equal(wire_receive(scene->bad.shard)->kind, STEPD_MESSAGE_RESULT);
    SEND_LITERAL(scene->bad.shard, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
}

/* A frame is cut by the sender's end: nobody is told, nothing of it counts, and it can be resent.
 */
static void push__cut_at_every_byte__counts_nothing(void **state)
{
    struct scene *const scene = scene_start(state);
    uint8_t frame[128];
    peer_ready(&scene->bad, scene->daemon.port, "bad");
    for (size_t cut = 1;; cut++) {
        struct stepd_arena arena;
        uint8_t *head;
        size_t head_bytes;
        const struct stepd_message push = peer_push(&scene->bad);
        const size_t payload_bytes = PEER_ELEMENTS * sizeof(float);
        stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
        assert_int_equal(
            stepd_message_encode(&push, payload_bytes, &arena, &head, &head_bytes, NULL), STEPD_OK);
        assert_true(head_bytes + payload_bytes <= sizeof frame);
        memcpy(frame, head, head_bytes);
        memcpy(frame + head_bytes, peer_ones(), payload_bytes);
        free(head);
        stepd_arena_deinit(&arena);
        if (cut == head_bytes + payload_bytes)
            break;
        assert_true(wire_write(scene->bad.shard, frame, cut));
        wire_shut(scene->bad.shard);
        wire_expect_end(scene->bad.shard);
        wire_close(scene->bad.shard);
        peer_open_shard(&scene->bad);
    }
    peer_step(&scene->bad); /* clock 1, applied, and the weights have moved by one gradient */
    peer_step(&scene->good);
}

static const struct row rows[] = {
    {.name = "push_to_an_undefined_job",
     .sender = UNDEFINED,
     .send = send_good_push,
     .code = STEPD_FAILED_PRECONDITION,
     .text = "job 'bad' is not defined"},
    {.name = "observer_pushes",
     .sender = WATCHER,
     .send = send_good_push,
     .code = STEPD_PERMISSION_DENIED,
     .text = "observer"},
    {.name = "short_payload",
     .sender = MEMBER,
     .send = send_short_payload,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "the slices take 16 bytes of f32, and the payload has 12"},
    {.name = "payload_of_another_dtype",
     .sender = MEMBER,
     .send = send_payload_of_another_dtype,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "8 bytes of bf16"},
    {.name = "empty_push_with_payload",
     .sender = MEMBER,
     .send = send_empty_with_payload,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "the payload has 16"},
    {.name = "unknown_slice",
     .sender = MEMBER,
     .send = send_to_no_slice,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "no slice 7"},
    {.name = "slice_twice",
     .sender = MEMBER,
     .send = send_slice_twice,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "twice"},
    {.name = "clock_zero",
     .sender = MEMBER,
     .send = send_clock_zero,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "clock is 0"},
    {.name = "clock_with_a_gap",
     .sender = MEMBER,
     .send = send_clock_with_a_gap,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "clock 3 leaves a gap"},
    {.name = "base_version_to_come",
     .sender = MEMBER,
     .send = send_base_version_to_come,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "base version 5 does not exist"},
    {.name = "base_versions_that_do_not_match",
     .sender = MEMBER,
     .send = send_base_versions_that_do_not_match,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "base_versions",
     .closes = true},
    {.name = "nan_in_a_gradient",
     .sender = MEMBER,
     .send = send_nan,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "tensor 'w' from rank 0 (worker 'test') is NaN or infinite at element 2"},
    {.name = "infinity_in_a_gradient",
     .sender = MEMBER,
     .send = send_infinity,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "NaN or infinite at element 2"},
    {.name = "loss_that_is_no_number",
     .sender = MEMBER,
     .send = send_loss_that_is_no_number,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "push.loss.mean: not a finite number",
     .closes = true},
    {.name = "negative_loss_scale",
     .sender = MEMBER,
     .send = send_negative_loss_scale,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "push.loss_scale: -2 is not above 0",
     .closes = true},
    {.name = "loss_scale_that_makes_infinities",
     .sender = MEMBER,
     .send = send_loss_scale_that_makes_infinities,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "NaN or infinite at element 2"},
    {.name = "hessian_that_nobody_takes",
     .sender = MEMBER,
     .send = send_hessian_that_nobody_takes,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "the slices take 16 bytes of f32, and the payload has 80"},
    {.name = "pull_of_no_view",
     .sender = MEMBER,
     .send = send_pull_of_no_view,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "pull.view: 4 is no View",
     .closes = true},
    {.name = "pull_of_a_view_that_is_not_kept",
     .sender = MEMBER,
     .send = send_pull_of_a_view_that_is_not_kept,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "keeps no running mean of its weights; set swa_start in the group"},
    {.name = "step_for_a_view_that_is_not_kept",
     .sender = MEMBER,
     .send = send_step_for_a_view_that_is_not_kept,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "keeps no exponential moving average of its weights; set ema_decay in the group"},
    {.name = "other_incarnation",
     .sender = MEMBER,
     .send = send_other_incarnation,
     .code = STEPD_ROLLED_BACK,
     .text = "incarnation"},
    {.name = "pull_with_payload",
     .sender = MEMBER,
     .send = send_pull_with_payload,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "a pull has no payload"},
    {.name = "no_request_id",
     .sender = MEMBER,
     .send = send_without_request_id,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "request_id 0",
     .closes = true},
    {.name = "heartbeat_to_shard",
     .sender = MEMBER,
     .send = send_heartbeat_to_shard,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "not heartbeat"},
    {.name = "second_hello",
     .sender = MEMBER,
     .send = send_second_hello,
     .code = STEPD_INVALID_ARGUMENT,
     .text = ""},
    {.name = "frame_over_the_cap",
     .sender = MEMBER,
     .send = send_frame_over_the_cap,
     .code = STEPD_RESOURCE_EXHAUSTED,
     .text = "67108865 bytes is above the limit of 67108864",
     .closes = true},
    {.name = "garbage_behind_a_frame",
     .sender = MEMBER,
     .send = send_garbage_behind_a_frame,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "bad frame",
     .closes = true},
    {.name = "push__cut_at_every_byte__counts_nothing",
     .play = push__cut_at_every_byte__counts_nothing},
};

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return scene_run("bad_push", rows, sizeof rows / sizeof rows[0]);
}
