/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's thread from outside: it serves callers that come by letter, drains, is cut, and says
 * what it does by letters. The test waits for letters, never for time.
 */
#include "server/net/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rig.h"

enum { SHARD = 3, TIMEOUT_MS = 60000 };

/* A shard, and the main thread's mailbox. */
struct household {
    uv_loop_t uv;
    struct mailbox mailbox;
    struct shard *shard; /* owned */
    size_t gone;
    size_t ended;
    size_t lost;
};

static void deliver(void *owner, const struct letter *letter)
{
    struct household *const household = owner;
    if (letter->kind == LETTER_ENDED)
        assert_int_equal(letter->shard, SHARD);
    household->gone += letter->kind == LETTER_GONE;
    household->ended += letter->kind == LETTER_ENDED;
    household->lost += letter->kind == LETTER_LOST;
}

static void wait_for(struct household *household, const size_t *count, size_t wanted)
{
    while (*count < wanted)
        (void)uv_run(&household->uv, UV_RUN_ONCE);
    assert_int_equal(*count, wanted);
}

static int set_up(void **state)
{
    struct household *const household = calloc(1, sizeof *household);
    assert_non_null(household);
    assert_int_equal(uv_loop_init(&household->uv), 0);
    assert_int_equal(mailbox_init(&household->mailbox, &household->uv, deliver, household),
                     STEPD_OK);
    const struct shard_options options = {
        .core = {.shard = SHARD, .frame_max_bytes = RIG_FRAME_MAX_BYTES, .wait_max_ms = TIMEOUT_MS},
        .write_timeout_ms = TIMEOUT_MS,
        .read_timeout_ms = TIMEOUT_MS,
        .main = &household->mailbox,
    };
    assert_int_equal(shard_create(&options, &household->shard), STEPD_OK);
    *state = household;
    return 0;
}

/* The shard must have been started and told to end. */
static int tear_down(void **state)
{
    struct household *const household = *state;
    wait_for(household, &household->ended, 1);
    shard_join(household->shard);
    shard_destroy(household->shard);
    mailbox_close(&household->mailbox);
    assert_int_equal(uv_run(&household->uv, UV_RUN_DEFAULT), 0);
    mailbox_deinit(&household->mailbox);
    assert_int_equal(uv_loop_close(&household->uv), 0);
    assert_int_equal(household->lost, 0);
    free(household);
    return 0;
}

static void start(struct household *household)
{
    assert_int_equal(shard_start(household->shard), STEPD_OK);
}

static void post(struct household *household, enum letter_kind kind)
{
    shard_post(household->shard, (struct letter){.kind = kind});
}

/* Sends a caller, who has said these bytes. Returns the other end of its socket. */
static int send_caller(struct household *household, const uint8_t *bytes, size_t n)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct caller *const caller = caller_create(pair[0], false, "unix", bytes, n);
    assert_non_null(caller);
    shard_post(household->shard, (struct letter){.kind = LETTER_CALLER, .caller = caller});
    return pair[1];
}

/* Reads to the end of the stream, and gives the count. */
static size_t read_to_end(int fd, uint8_t *bytes, size_t size)
{
    size_t at = 0;
    for (;;) {
        const ssize_t n = read(fd, bytes + at, size - at);
        assert_true(n >= 0);
        if (n == 0)
            return at;
        at += (size_t)n;
    }
}

static void shard__told_to_drain_with_nobody_there__ends(void **state)
{
    start(*state);
    post(*state, LETTER_DRAIN);
}

static void shard__told_to_stop_twice__ends_once(void **state)
{
    start(*state);
    post(*state, LETTER_DRAIN);
    post(*state, LETTER_CUT);
}

static void shard__caller_without_hello__is_told_and_reported_gone(void **state)
{
    struct household *const household = *state;
    uint8_t bytes[512];
    uint64_t request_id = 1;
    struct stepd_error error;
    start(household);
    const int fd = send_caller(household, bytes, rig_heartbeat(bytes, 0, 1));
    rig_decode_error(bytes, read_to_end(fd, bytes, sizeof bytes), &request_id, &error);
    assert_int_equal(request_id, 0);
    assert_int_equal(error.code, STEPD_FAILED_PRECONDITION);
    assert_int_equal(close(fd), 0);
    wait_for(household, &household->gone, 1);
    post(household, LETTER_DRAIN);
}

static void shard__drained__says_goodbye_to_its_callers(void **state)
{
    struct household *const household = *state;
    uint8_t bytes[512];
    uint64_t request_id = 1;
    struct stepd_error error;
    start(household);
    const int fd = send_caller(household, NULL, 0);
    post(household, LETTER_DRAIN);
    rig_decode_error(bytes, read_to_end(fd, bytes, sizeof bytes), &request_id, &error);
    assert_int_equal(error.code, STEPD_UNAVAILABLE);
    assert_non_null(strstr(error.text, "shutting down"));
    assert_int_equal(close(fd), 0);
    wait_for(household, &household->gone, 1);
}

static void shard__cut__ends_though_a_caller_stays(void **state)
{
    struct household *const household = *state;
    start(household);
    const int fd = send_caller(household, NULL, 0);
    post(household, LETTER_CUT);
    wait_for(household, &household->ended, 1);
    assert_int_equal(household->gone, 1);
    assert_int_equal(close(fd), 0);
}

static void shard__caller_after_the_drain__is_reported_gone_too(void **state)
{
    struct household *const household = *state;
    uint8_t byte;
    const int first = send_caller(household, NULL, 0); /* whose goodbye keeps the shard there */
    post(household, LETTER_DRAIN);
    const int late = send_caller(household, NULL, 0);
    start(household); /* so all three letters come in one delivery */
    assert_int_equal(read_to_end(late, &byte, 1), 0);
    assert_int_equal(close(late), 0);
    assert_int_equal(close(first), 0);
    wait_for(household, &household->gone, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shard__told_to_drain_with_nobody_there__ends),
        TEST(shard__told_to_stop_twice__ends_once),
        TEST(shard__caller_without_hello__is_told_and_reported_gone),
        TEST(shard__drained__says_goodbye_to_its_callers),
        TEST(shard__cut__ends_though_a_caller_stays),
        TEST(shard__caller_after_the_drain__is_reported_gone_too),
    };
    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}
