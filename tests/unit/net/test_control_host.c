/* SPDX-License-Identifier: Apache-2.0
 *
 * Control behind real connections: a Hello is welcomed, a payload refused, a refusal passed on, and
 * the count of connections kept. What control decides has tests of its own.
 */
#include "server/net/control_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "rig.h"

enum { TURNS = 16, TIMEOUT_MS = 60000, BYTES = 1024 };

struct place {
    uv_loop_t uv;
    struct control_host *host; /* owned */
    int peer;                  /* the other end of the caller's socket */
    size_t orders;
    size_t gone;
};

static void on_order(void *owner, uint32_t shard, struct order *order)
{
    struct place *const place = owner;
    assert_int_equal(shard, 0);
    place->orders++;
    order_destroy(order);
}

static void on_gone(void *owner, bool known)
{
    struct place *const place = owner;
    (void)known;
    place->gone++;
}

static void turn(struct place *place)
{
    for (int i = 0; i < TURNS; i++)
        (void)uv_run(&place->uv, UV_RUN_NOWAIT);
}

static int set_up(void **state)
{
    struct place *const place = calloc(1, sizeof *place);
    assert_non_null(place);
    place->peer = -1;
    assert_int_equal(uv_loop_init(&place->uv), 0);
    const struct control_host_options options = {
        .uv = &place->uv,
        .control =
            {
                .shards = 1,
                .slice_elements = 256,
                .lease_ms = TIMEOUT_MS,
                .wait_max_ms = TIMEOUT_MS,
                .frame_max_bytes = RIG_FRAME_MAX_BYTES,
                .jobs_max = 1,
                .memory_max_bytes = 1 << 20,
                .server_version = "0",
            },
        .write_timeout_ms = TIMEOUT_MS,
        .read_timeout_ms = TIMEOUT_MS,
        .owner = place,
        .order = on_order,
        .gone = on_gone,
    };
    assert_int_equal(control_host_create(&options, &place->host), STEPD_OK);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *const place = *state;
    if (place->peer >= 0)
        assert_int_equal(close(place->peer), 0);
    control_host_cut(place->host);
    turn(place);
    assert_int_equal(control_host_connections(place->host), 0);
    assert_int_equal(place->gone, 1);
    control_host_destroy(place->host);
    assert_int_equal(uv_loop_close(&place->uv), 0);
    free(place);
    return 0;
}

/* A caller who has said these bytes; place->peer is the other end. */
static struct caller *make_caller(struct place *place, const uint8_t *bytes, size_t n)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    place->peer = pair[1];
    struct caller *const caller = caller_create(pair[0], false, "unix", bytes, n);
    assert_non_null(caller);
    return caller;
}

static size_t hello(uint8_t *bytes, size_t payload_bytes)
{
    const uint8_t payload[] = {1, 2, 3};
    const struct stepd_message message = {
        .request_id = 5,
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = STEPD_PROTOCOL_VERSION, .job = "j", .worker = "w"},
    };
    return rig_frame(bytes, 0, &message, payload, payload_bytes);
}

/* What has been answered so far. */
static size_t read_answer(struct place *place, uint8_t *bytes)
{
    turn(place);
    const ssize_t n = read(place->peer, bytes, BYTES);
    assert_true(n > 0);
    return (size_t)n;
}

static void check_error(struct place *place, enum stepd_status code, const char *text)
{
    uint8_t bytes[BYTES];
    uint64_t request_id = 1;
    struct stepd_error error;
    rig_decode_error(bytes, read_answer(place, bytes), &request_id, &error);
    assert_int_equal(request_id, 0);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
    assert_int_equal(read(place->peer, bytes, 1), 0);
}

static void control_host__hello__is_welcomed(void **state)
{
    struct place *const place = *state;
    uint8_t bytes[BYTES];
    struct stepd_frame_head head;
    struct stepd_arena arena;
    struct stepd_message message;
    control_host_serve(place->host, make_caller(place, bytes, hello(bytes, 0)));
    const size_t n = read_answer(place, bytes);
    assert_int_equal(stepd_frame_parse(bytes, n, BYTES, &head, NULL), STEPD_FRAME_HEAD);
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(
        stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &message, NULL),
        STEPD_OK);
    assert_int_equal(message.kind, STEPD_MESSAGE_WELCOME);
    assert_int_equal(message.request_id, 5);
    assert_int_equal(message.body.welcome.session.count, STEPD_SESSION_BYTES);
    stepd_arena_deinit(&arena);
    assert_true(place->orders > 0); /* the shard was told of the session */
    assert_int_equal(control_host_connections(place->host), 1);
}

static void control_host__payload__is_refused(void **state)
{
    struct place *const place = *state;
    uint8_t bytes[BYTES];
    control_host_serve(place->host, make_caller(place, bytes, hello(bytes, 3)));
    check_error(place, STEPD_INVALID_ARGUMENT, "control takes none");
}

static void control_host__refusal_of_the_door__is_told(void **state)
{
    struct place *const place = *state;
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_NOT_FOUND, "there is no shard 7");
    control_host_refuse(place->host, make_caller(place, NULL, 0), &error);
    check_error(place, STEPD_NOT_FOUND, "there is no shard 7");
}

static void control_host__drained__says_goodbye(void **state)
{
    struct place *const place = *state;
    control_host_serve(place->host, make_caller(place, NULL, 0));
    assert_int_equal(control_host_connections(place->host), 1);
    control_host_drain(place->host);
    check_error(place, STEPD_UNAVAILABLE, "shutting down");
    assert_int_equal(close(place->peer), 0);
    place->peer = -1;
    turn(place);
    assert_int_equal(control_host_connections(place->host), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(control_host__hello__is_welcomed),
        TEST(control_host__payload__is_refused),
        TEST(control_host__refusal_of_the_door__is_told),
        TEST(control_host__drained__says_goodbye),
    };
    return cmocka_run_group_tests_name("control_host", tests, NULL, NULL);
}
