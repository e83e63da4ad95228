/* SPDX-License-Identifier: Apache-2.0
 *
 * What a daemon does with a link, with pipes in the place of sockets.
 */
#include "tests/unit/peer/link_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CONTROL = 0, MEMBER = 1, STAMP_BYTES = 16 };

/* ---- Pipes ----------------------------------------------------------------------------------- */

static void pipe_put(struct rig_pipe *pipe, const void *bytes, size_t n)
{
    if (pipe->n + n > pipe->room) {
        pipe->room = 2 * (pipe->n + n);
        pipe->at = realloc(pipe->at, pipe->room);
        assert_non_null(pipe->at);
    }
    if (n > 0)
        memcpy(pipe->at + pipe->n, bytes, n);
    pipe->n += n;
}

static void pipe_clear(struct rig_pipe *pipe)
{
    pipe->n = 0;
    pipe->arrived = 0;
    pipe->taken = 0;
}

/* What is written on a dead connection is gone. */
static void put_frame(struct rig *rig, size_t from, const struct stepd_message *message,
                      const uint8_t *payload, size_t n)
{
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    stepd_arena_reset(&rig->arena);
    assert_int_equal(
        stepd_message_encode(message, n, &rig->arena, &head, &head_bytes, /* reterr= */ NULL),
        STEPD_OK);
    if (rig->alive && rig->end[from].conn == rig->conn) {
        pipe_put(&rig->to[1 - from], head, head_bytes);
        pipe_put(&rig->to[1 - from], payload, n);
    }
    free(head);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static struct peer_link *make_link(const struct rig *rig, size_t end)
{
    struct peer_link_options options = rig->options;
    options.dials = end == MEMBER;
    struct peer_link *const link = peer_link_create(&options);
    assert_non_null(link);
    return link;
}

void rig_init(struct rig *rig, uint64_t seed, const struct peer_link_options *options)
{
    *rig = (struct rig){.seed = seed,
                        .random = {.state = seed},
                        .options = *options,
                        .reign = 1,
                        .instance = 1,
                        .now_ms = 1000};
    stepd_arena_init(&rig->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    for (size_t end = 0; end < 2; end++)
        rig->end[end].link = make_link(rig, end);
}

void rig_deinit(struct rig *rig)
{
    for (size_t end = 0; end < 2; end++) {
        (void)peer_link_destroy(rig->end[end].link);
        free(rig->to[end].at);
    }
    stepd_arena_deinit(&rig->arena);
}

/* The connection is closed from this end; nothing more arrives here or leaves. */
static void hang_up(struct rig *rig, size_t end)
{
    if (rig->end[end].conn == 0)
        return;
    peer_link_down(rig->end[end].link, rig->now_ms);
    if (rig->end[end].conn == rig->conn)
        rig_cut(rig);
    rig->end[end].conn = 0;
    rig->end[end].joined = false;
}

/* Control begins a reign: all that was of the last one is forgotten. */
static void begin_reign(struct rig *rig)
{
    rig->reign++;
    rig->reigns++;
    peer_link_clear(rig->end[CONTROL].link);
}

/* ---- Joining --------------------------------------------------------------------------------- */

static void instance_bytes(const struct rig *rig, uint8_t bytes[PEER_INSTANCE_BYTES])
{
    memset(bytes, 0, PEER_INSTANCE_BYTES);
    memcpy(bytes, &rig->instance, sizeof rig->instance);
}

static void begin(struct rig *rig, size_t end, const uint8_t *instance, uint64_t reign)
{
    peer_link_begin(rig->end[end].link, instance, reign, rig->now_ms);
    rig->end[end].posted = 0;
    rig->end[end].got = 0;
    rig->end[end].got_reign = reign;
}

static void on_join(struct rig *rig, const struct stepd_join *join)
{
    struct rig_end *const control = &rig->end[CONTROL];
    struct peer_terms terms = {.reign = join->reign, .expects = join->expects};
    struct stepd_error error;
    memcpy(terms.instance, join->instance.at, sizeof terms.instance);
    const enum peer_meet meet = peer_link_meet(control->link, &terms, &error);
    if (meet == PEER_MEET_TAKEN) {
        rig_cut(rig); /* refused: its end will see it */
        return;
    }
    if (meet == PEER_MEET_BROKEN)
        fail_msg("seed %d: %s", (int)rig->seed, error.text);
    if (meet == PEER_MEET_OTHER)
        begin_reign(rig);
    peer_link_down(control->link, rig->now_ms); /* of the connection before */
    control->conn = rig->conn;
    control->joined = true;
    if (meet == PEER_MEET_ON)
        peer_link_go_on(control->link, &terms, rig->now_ms);
    else
        begin(rig, CONTROL, terms.instance, rig->reign);
    rig->went_on += meet == PEER_MEET_ON;
    const struct stepd_message joined = {
        .request_id = 1,
        .kind = STEPD_MESSAGE_JOINED,
        .body.joined = {.reign = peer_link_reign(control->link),
                        .shards = 1,
                        .expects = peer_link_expects(control->link),
                        .probe = ""},
    };
    put_frame(rig, CONTROL, &joined, NULL, 0);
}

static void on_joined(struct rig *rig, const struct stepd_joined *joined)
{
    struct rig_end *const member = &rig->end[MEMBER];
    struct peer_terms terms = {.reign = joined->reign, .expects = joined->expects};
    struct stepd_error error;
    instance_bytes(rig, terms.instance);
    const enum peer_meet meet = peer_link_meet(member->link, &terms, &error);
    assert_int_not_equal(meet, PEER_MEET_TAKEN);
    if (meet == PEER_MEET_BROKEN)
        fail_msg("seed %d: %s", (int)rig->seed, error.text);
    if (meet == PEER_MEET_ON)
        peer_link_go_on(member->link, &terms, rig->now_ms);
    else
        begin(rig, MEMBER, terms.instance, terms.reign);
    member->joined = true;
}

void rig_dial(struct rig *rig)
{
    struct rig_end *const member = &rig->end[MEMBER];
    uint8_t instance[PEER_INSTANCE_BYTES];
    if (member->conn != 0)
        return;
    instance_bytes(rig, instance);
    pipe_clear(&rig->to[CONTROL]);
    pipe_clear(&rig->to[MEMBER]);
    member->conn = ++rig->conn;
    rig->alive = true;
    rig->reconnects++;
    const struct stepd_message join = {
        .request_id = 1,
        .kind = STEPD_MESSAGE_JOIN,
        .body.join = {.protocol = STEPD_PROTOCOL_VERSION,
                      .version = "1",
                      .place = 1,
                      .address = "",
                      .shards = 1,
                      .instance = {.count = sizeof instance, .at = instance},
                      .reign = peer_link_reign(member->link),
                      .expects = peer_link_expects(member->link)},
    };
    put_frame(rig, MEMBER, &join, NULL, 0);
}

/* ---- Letters --------------------------------------------------------------------------------- */

void rig_post(struct rig *rig, size_t end, size_t bytes)
{
    struct rig_end *const at = &rig->end[end];
    const uint64_t stamp[2] = {peer_link_reign(at->link), at->posted};
    struct peer_bytes *letter = malloc(sizeof *letter);
    struct stepd_error error;
    assert_non_null(letter);
    *letter = (struct peer_bytes){.refs = 1, .n = STAMP_BYTES + bytes};
    letter->at = malloc(letter->n);
    assert_non_null(letter->at);
    memcpy(letter->at, stamp, sizeof stamp);
    memset(letter->at + sizeof stamp, (int)(at->posted % 251), bytes);
    const bool known = stamp[0] != 0;
    const enum stepd_status status = peer_link_post(at->link, letter, &error);
    assert_int_equal(status, known ? STEPD_OK : STEPD_UNAVAILABLE);
    at->posted += known;
}

void rig_write(struct rig *rig, size_t end, size_t frames)
{
    struct peer_frame frame;
    while (frames-- > 0 && rig->end[end].joined &&
           peer_link_next(rig->end[end].link, rig->now_ms, &frame)) {
        const struct stepd_message message = {.kind = STEPD_MESSAGE_LETTER,
                                              .body.letter = frame.head};
        put_frame(rig, end, &message, frame.at, frame.n);
        (void)peer_bytes_unref(frame.letter);
    }
}

static void check_letter(struct rig *rig, size_t end, const struct peer_received *received)
{
    struct rig_end *const at = &rig->end[end];
    uint64_t stamp[2];
    assert_true(received->n >= sizeof stamp);
    memcpy(stamp, received->at, sizeof stamp);
    if (stamp[0] != peer_link_reign(at->link) || stamp[1] != at->got)
        fail_msg("seed %d: end %d got letter %d of reign %d, and waits for %d of %d",
                 (int)rig->seed, (int)end, (int)stamp[1], (int)stamp[0], (int)at->got,
                 (int)peer_link_reign(at->link));
    for (size_t i = sizeof stamp; i < received->n; i++) {
        if (received->at[i] != stamp[1] % 251)
            fail_msg("seed %d: letter %d is torn", (int)rig->seed, (int)stamp[1]);
    }
    at->got++;
    rig->delivered++;
}

static void on_letter(struct rig *rig, size_t end, const struct stepd_letter *head,
                      const uint8_t *payload, size_t n)
{
    struct peer_received received;
    struct stepd_error error;
    if (peer_link_receive(rig->end[end].link, head, &(struct peer_opaque){.n = n, .at = payload},
                          rig->now_ms, &received, &error) != STEPD_OK)
        fail_msg("seed %d: end %d: %s", (int)rig->seed, (int)end, error.text);
    if (received.n > 0)
        check_letter(rig, end, &received);
    (void)peer_bytes_unref(received.letter);
}

static void on_frame(struct rig *rig, size_t end, const uint8_t *frame,
                     const struct stepd_frame_head *head)
{
    struct stepd_message message;
    struct stepd_error error;
    stepd_arena_reset(&rig->arena);
    if (stepd_message_decode(frame + head->header_at, head->header_bytes, &rig->arena, &message,
                             &error) != STEPD_OK)
        fail_msg("seed %d: %s", (int)rig->seed, error.text);
    if (message.kind == STEPD_MESSAGE_JOIN)
        on_join(rig, &message.body.join);
    else if (message.kind == STEPD_MESSAGE_JOINED)
        on_joined(rig, &message.body.joined);
    else
        on_letter(rig, end, &message.body.letter, frame + head->payload_at, head->payload_bytes);
}

/* False: no whole frame has arrived. */
static bool take_frame(struct rig *rig, size_t end)
{
    struct rig_pipe *const pipe = &rig->to[end];
    struct stepd_frame_head head;
    const uint8_t *const at = pipe->at + pipe->taken;
    const size_t left = pipe->arrived - pipe->taken;
    if (left == 0 ||
        stepd_frame_parse(at, left, STEPD_FRAME_LEAST_BYTES, &head, NULL) != STEPD_FRAME_HEAD)
        return false;
    if (left < head.payload_at + head.payload_bytes)
        return false;
    pipe->taken += head.payload_at + head.payload_bytes;
    on_frame(rig, end, at, &head);
    return true;
}

void rig_arrive(struct rig *rig, size_t end, size_t bytes)
{
    struct rig_pipe *const pipe = &rig->to[end];
    const size_t left = pipe->n - pipe->arrived;
    if (!rig->alive || left == 0)
        return;
    pipe->arrived += bytes < left ? bytes : left;
    if (rig->end[end].joined && rig->end[end].conn == rig->conn)
        peer_link_heard(rig->end[end].link, rig->now_ms);
    while (rig->alive && take_frame(rig, end))
        ;
}

/* ---- What goes wrong ------------------------------------------------------------------------- */

void rig_cut(struct rig *rig)
{
    rig->alive = false;
    pipe_clear(&rig->to[CONTROL]);
    pipe_clear(&rig->to[MEMBER]);
}

void rig_notice_cut(struct rig *rig, size_t end)
{
    if (rig->end[end].conn != rig->conn || !rig->alive)
        hang_up(rig, end);
}

void rig_pass(struct rig *rig, uint64_t ms)
{
    rig->now_ms += ms;
    for (size_t end = 0; end < 2; end++) {
        struct stepd_error error;
        const enum peer_due due = peer_link_on_tick(rig->end[end].link, rig->now_ms, &error);
        if (due != PEER_DUE_NOTHING)
            hang_up(rig, end);
        if (due == PEER_DUE_LOST && end == CONTROL)
            begin_reign(rig);
    }
}

void rig_restart(struct rig *rig, size_t end)
{
    hang_up(rig, end);
    (void)peer_link_destroy(rig->end[end].link);
    rig->end[end] = (struct rig_end){.link = make_link(rig, end)};
    rig->instance += end == MEMBER;
    rig->reign += end == CONTROL;
}

/* ---- The end --------------------------------------------------------------------------------- */

static bool is_settled(const struct rig *rig)
{
    for (size_t end = 0; end < 2; end++) {
        if (!rig->end[end].joined || rig->end[end].conn != rig->conn ||
            rig->end[end].posted != rig->end[1 - end].got)
            return false;
    }
    return rig->alive;
}

void rig_settle(struct rig *rig)
{
    for (unsigned round = 0; !is_settled(rig); round++) {
        if (round == 1000)
            fail_msg("seed %d: end 0 has posted %d and got %d, end 1 has posted %d and got %d",
                     (int)rig->seed, (int)rig->end[0].posted, (int)rig->end[0].got,
                     (int)rig->end[1].posted, (int)rig->end[1].got);
        for (size_t end = 0; end < 2; end++)
            rig_notice_cut(rig, end);
        rig_dial(rig);
        for (size_t end = 0; end < 2; end++) {
            rig_write(rig, end, SIZE_MAX);
            rig_arrive(rig, 1 - end, SIZE_MAX);
        }
        rig_pass(rig, 1);
    }
}
