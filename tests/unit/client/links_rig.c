/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/links_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "tests/unit/client/rig.h"

static void note(struct links_rig *rig, const char *what, uint32_t shard, const char *how)
{
    const size_t at = strlen(rig->log);
    (void)snprintf(rig->log + at, sizeof rig->log - at, "%s%s %u%s%s", at == 0 ? "" : "; ", what,
                   shard, how[0] == '\0' ? "" : " ", how);
    assert_true(strlen(rig->log) + 1 < sizeof rig->log);
}

const char *links_did(struct links_rig *rig)
{
    memcpy(rig->done, rig->log, sizeof rig->done);
    rig->log[0] = '\0';
    return rig->done;
}

/* ---- The io ---------------------------------------------------------------------------------- */

static uint64_t io_now_ms(void *owner)
{
    return ((const struct links_rig *)owner)->now_ms;
}

static uint32_t io_random(void *owner, uint32_t most)
{
    (void)owner;
    return most;
}

static void io_connect(void *owner, uint32_t shard)
{
    note(owner, "connect", shard, "");
}

static void io_close(void *owner, uint32_t shard)
{
    struct links_rig *const rig = owner;
    if (!rig->open[shard])
        return;
    note(rig, "close", shard, "");
    rig->open[shard] = false;
    stepd_reader_deinit(&rig->reader[shard]);
}

static void note_message(struct links_rig *rig, uint32_t shard,
                         const struct stepd_outgoing *outgoing)
{
    struct stepd_frame_head head;
    struct stepd_arena arena;
    struct stepd_message message;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(
        stepd_frame_parse(outgoing->head, outgoing->head_bytes, STEPD_FRAME_MAX_BYTES, &head, NULL),
        STEPD_FRAME_HEAD);
    assert_int_equal(stepd_message_decode(outgoing->head + head.header_at, head.header_bytes,
                                          &arena, &message, NULL),
                     STEPD_OK);
    if (message.kind == STEPD_MESSAGE_HELLO)
        rig->asked = message.body.hello.shares_memory;
    const bool shares = message.kind == STEPD_MESSAGE_HELLO && rig->asked;
    if (message.kind == STEPD_MESSAGE_LEAVE)
        rig->sent_clock = message.body.leave.clock;
    note(rig, "send", shard, shares ? "sharing hello" : stepd_message_name(message.kind));
    stepd_arena_deinit(&arena);
}

static enum stepd_status io_send(void *owner, uint32_t shard, struct stepd_outgoing *outgoing,
                                 struct stepd_error *reterr)
{
    struct links_rig *const rig = owner;
    assert_true(rig->open[shard]);
    if (rig->no_memory)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to send");
    rig->sent_id[shard] = outgoing->request_id;
    note_message(rig, shard, outgoing);
    (void)stepd_outgoing_destroy(outgoing);
    stepd_pending_written(rig->pending, shard, rig->sent_id[shard]);
    return STEPD_OK;
}

static enum stepd_status io_map(void *owner, uint32_t shard, const struct stepd_welcome *welcome,
                                struct stepd_shared *ret_shared, struct stepd_error *reterr)
{
    static uint8_t memory[1];
    struct links_rig *const rig = owner;
    note(rig, "map", shard, "");
    if (rig->map != STEPD_OK)
        return stepd_fail(reterr, rig->map, "no room to map it");
    *ret_shared = (struct stepd_shared){.weights = memory,
                                        .weights_bytes = welcome->weights_bytes,
                                        .gradients = memory,
                                        .gradients_bytes = welcome->gradients_bytes};
    return STEPD_OK;
}

static uint64_t io_received(void *owner, uint32_t shard)
{
    (void)owner;
    (void)shard;
    return 0;
}

static void io_wake_at(void *owner, uint64_t ms)
{
    ((struct links_rig *)owner)->wake_ms = ms;
}

/* ---- The client ------------------------------------------------------------------------------ */

static const char *address(void *self, uint32_t shard)
{
    (void)self;
    return shard == 0 ? "control:1" : "shard:1";
}

static struct stepd_message hello(void *self, uint32_t shard, enum stepd_greeting how)
{
    static const char *const names[] = {"new", "resume", "rejoin"};
    note(self, "hello", shard, names[how]);
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = STEPD_PROTOCOL_VERSION,
                       .role = STEPD_WORKER,
                       .job = "job",
                       .worker = "worker",
                       .rank = 0,
                       .shares_memory = ((const struct links_rig *)self)->shares,
                       .shard = shard},
    };
}

static enum stepd_status welcome(void *self, uint32_t shard, const struct stepd_welcome *message,
                                 const struct stepd_shared *shared, bool first,
                                 struct stepd_error *reterr)
{
    struct links_rig *const rig = self;
    (void)message;
    rig->first = first;
    note(rig, "welcome", shard, shared->weights == NULL ? "" : "with memory");
    if (rig->welcome == STEPD_OK)
        return STEPD_OK;
    return stepd_fail(reterr, rig->welcome, "another rank");
}

static void gone_back(void *self)
{
    note(self, "gone back", 0, "");
}

static void roll_back(void *self, const struct stepd_error *error)
{
    (void)error;
    note(self, "roll back", 0, "");
}

static void tell(void *self, const struct stepd_event *event)
{
    if (event->kind == STEPD_EVENT_UNSHARED)
        note(self, "tell", 0, "unshared");
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void create(struct links_rig *rig, struct stepd_links_options options)
{
    *rig = (struct links_rig){.now_ms = 1000, .wake_ms = UINT64_MAX, .pending = options.pending};
    options.io = (struct stepd_links_io){
        .owner = rig,
        .now_ms = io_now_ms,
        .random = io_random,
        .connect = io_connect,
        .close = io_close,
        .send = io_send,
        .map = io_map,
        .received = io_received,
        .wake_at = io_wake_at,
    };
    assert_int_equal(stepd_links_create(&options, &rig->links), STEPD_OK);
}

void links_rig_setup(struct links_rig *rig)
{
    static struct stepd_pending pending;
    pending = (struct stepd_pending){.count = 0};
    create(rig, (struct stepd_links_options){
                    .pending = &pending,
                    .greeter = {.self = rig,
                                .address = address,
                                .hello = hello,
                                .welcome = welcome,
                                .gone_back = gone_back,
                                .roll_back = roll_back,
                                .tell = tell},
                    .budget_ms = 60000,
                });
}

void links_rig_setup_of(struct links_rig *rig, struct stepd_brain *brain)
{
    create(rig, stepd_brain_links(brain, 60000));
    brain->links = rig->links;
}

void links_rig_teardown(struct links_rig *rig)
{
    const struct stepd_error over = {.code = STEPD_CANCELLED, .text = "the test is over"};
    stepd_links_stop(rig->links, &over);
    assert_int_equal(rig->pending->count, 0);
    rig->links = stepd_links_destroy(rig->links);
}

/* ---- What happens ---------------------------------------------------------------------------- */

static struct links_rig *rig_of_opening; /* one test at a time */

static void on_done(struct stepd_opening *opening)
{
    note(rig_of_opening, "done", opening->shard, stepd_status_name(opening->error.code));
}

void links_rig_want(struct links_rig *rig, struct stepd_opening *opening, uint32_t shard)
{
    rig_of_opening = rig;
    *opening = (struct stepd_opening){.shard = shard, .on_done = on_done};
    stepd_links_open(rig->links, opening);
}

void links_rig_connect(struct links_rig *rig, uint32_t shard)
{
    assert_int_equal(stepd_reader_init(&rig->reader[shard], rig->pending, shard), STEPD_OK);
    rig->open[shard] = true;
    stepd_links_connected(rig->links, shard);
}

void links_rig_break(struct links_rig *rig, uint32_t shard)
{
    const struct stepd_error error = {.code = STEPD_UNAVAILABLE, .text = "it broke"};
    if (rig->open[shard])
        stepd_reader_deinit(&rig->reader[shard]);
    rig->open[shard] = false;
    stepd_links_broke(rig->links, shard, &error);
}

enum stepd_status links_rig_answer(struct links_rig *rig, uint32_t shard,
                                   struct stepd_message message)
{
    struct stepd_error error;
    struct stepd_room room;
    uint8_t *bytes = NULL;
    message.request_id = rig->sent_id[shard];
    const size_t n = rig_encode(&message, NULL, 0, &bytes);
    stepd_reader_window(&rig->reader[shard], &room);
    assert_true(n <= room.bytes);
    memcpy(room.at, bytes, n);
    free(bytes);
    return stepd_reader_advance(&rig->reader[shard], n, &error);
}

static enum stepd_status answer_welcome(struct links_rig *rig, uint32_t shard, uint64_t incarnation)
{
    static const char *const nowhere_else[LINKS_RIG_SHARDS] = {"", ""};
    const uint8_t session[STEPD_SESSION_BYTES] = {1};
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_WELCOME,
        .body.welcome = {.session = {.count = sizeof session, .at = session},
                         .epoch = 1,
                         .weights_bytes = rig->asked ? 4096 : 0,
                         .gradients_bytes = rig->asked ? 4096 : 0,
                         .incarnation = incarnation,
                         .shards = LINKS_RIG_SHARDS,
                         .shard_address = nowhere_else},
    };
    return links_rig_answer(rig, shard, message);
}

void links_rig_welcome_to(struct links_rig *rig, uint32_t shard, uint64_t incarnation)
{
    assert_int_equal(answer_welcome(rig, shard, incarnation), STEPD_OK);
}

void links_rig_welcome_as(struct links_rig *rig, uint32_t shard, enum stepd_status expected)
{
    const enum stepd_status status = answer_welcome(rig, shard, 1);
    assert_int_equal(status, expected);
    if (status != STEPD_OK) {
        const struct stepd_error error = {.code = status, .text = "no good"};
        stepd_links_broke(rig->links, shard, &error);
    }
}

void links_rig_welcome(struct links_rig *rig, uint32_t shard)
{
    links_rig_welcome_to(rig, shard, 1);
}

void links_rig_stand(struct links_rig *rig, uint32_t shard)
{
    static struct stepd_opening opening;
    links_rig_want(rig, &opening, shard);
    links_rig_connect(rig, shard);
    links_rig_welcome(rig, shard);
    (void)links_did(rig);
}

void links_rig_wake(struct links_rig *rig)
{
    assert_true(rig->wake_ms != UINT64_MAX);
    rig->now_ms = rig->wake_ms > rig->now_ms ? rig->wake_ms : rig->now_ms;
    stepd_links_tick(rig->links);
}
