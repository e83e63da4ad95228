/* SPDX-License-Identifier: Apache-2.0
 *
 * The door and its greetings: who is handed to whom, with all the bytes that were read, who is told
 * what is wrong, and how many come in. Callers come over a Unix socket, where what one end does is
 * there at the other at once, so the loop is only turned, never waited for.
 */
#include "server/net/door.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "rig.h"
#include "server/base/limit.h"
#include "server/net/socket.h"

enum {
    TURNS = 16,
    CALLERS = 8,
    SHARDS = 2,
    ROOMS = 3,     /* connections at once */
    STRANGERS = 2, /* of these */
    HELLO_BYTES = 4096,
    HELLO_TIMEOUT_MS = 5000,
    FRAME_BYTES = 8192,
};

/* A door, and what it said of its callers. */
struct entrance {
    uv_loop_t uv;
    struct limits limits;
    struct door *door;
    char directory[32];
    char path[64];

    size_t admitted;
    uint32_t shard[CALLERS];
    struct caller *caller[CALLERS]; /* owned */
    size_t joined;
    size_t refused;
    struct stepd_error error; /* of the last refusal */
};

static void admit(void *owner, uint32_t shard, struct caller *caller)
{
    struct entrance *const entrance = owner;
    assert_true(entrance->admitted < CALLERS);
    entrance->shard[entrance->admitted] = shard;
    entrance->caller[entrance->admitted] = caller;
    entrance->admitted++;
}

static void take_daemon(void *owner, struct caller *caller)
{
    struct entrance *const entrance = owner;
    entrance->joined++;
    caller_destroy(caller);
    door_gone(entrance->door, /* known= */ false);
}

static void refuse(void *owner, struct caller *caller, const struct stepd_error *error)
{
    struct entrance *const entrance = owner;
    entrance->error = *error;
    entrance->refused++;
    caller_destroy(caller);
    door_gone(entrance->door, /* known= */ false);
}

static void turn(struct entrance *entrance)
{
    for (int i = 0; i < TURNS; i++)
        (void)uv_run(&entrance->uv, UV_RUN_NOWAIT);
}

static int set_up_with(void **state, void (*join)(void *owner, struct caller *caller))
{
    struct entrance *const entrance = calloc(1, sizeof *entrance);
    assert_non_null(entrance);
    assert_int_equal(uv_loop_init(&entrance->uv), 0);
    const struct door_options options = {
        .uv = &entrance->uv,
        .shards = {.first = 1, .count = SHARDS},
        .connections_max = ROOMS,
        .unauthenticated_max = STRANGERS,
        .hello_timeout_ms = HELLO_TIMEOUT_MS,
        .hello_max_bytes = HELLO_BYTES,
        .limits = &entrance->limits,
        .tcp_congestion = SOCKET_CONGESTION_AUTO,
        .owner = entrance,
        .admit = admit,
        .join = join,
        .refuse = refuse,
    };
    const struct sockaddr_in any = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    entrance->door = door_create(&options);
    assert_non_null(entrance->door);
    (void)snprintf(entrance->directory, sizeof entrance->directory, "/tmp/stepd-door-XXXXXX");
    assert_non_null(mkdtemp(entrance->directory));
    (void)snprintf(entrance->path, sizeof entrance->path, "%s/socket", entrance->directory);
    assert_int_equal(
        door_listen(entrance->door, (const struct sockaddr *)&any, entrance->path, NULL), STEPD_OK);
    *state = entrance;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static int set_up_first(void **state)
{
    return set_up_with(state, take_daemon);
}

static int tear_down(void **state)
{
    struct entrance *const entrance = *state;
    door_close(entrance->door);
    (void)uv_run(&entrance->uv, UV_RUN_DEFAULT);
    door_destroy(entrance->door);
    assert_int_equal(uv_loop_close(&entrance->uv), 0);
    for (size_t i = 0; i < entrance->admitted; i++)
        caller_destroy(entrance->caller[i]);
    assert_int_equal(rmdir(entrance->directory), 0); /* the socket's file has gone */
    free(entrance);
    return 0;
}

/* ---- Callers --------------------------------------------------------------------------------- */

/* Knocks. The caller closes the descriptor. */
static int call(struct entrance *entrance)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", entrance->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    turn(entrance);
    return fd;
}

static void say(struct entrance *entrance, int fd, const uint8_t *bytes, size_t n)
{
    assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
    turn(entrance);
}

static size_t hello_of_version(uint8_t *bytes, uint32_t shard, uint32_t protocol)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = protocol, .job = "j", .worker = "w", .shard = shard},
    };
    return rig_frame(bytes, 0, &message, NULL, 0);
}

static size_t hello(uint8_t *bytes, uint32_t shard)
{
    return hello_of_version(bytes, shard, STEPD_PROTOCOL_VERSION);
}

/* Calls, says the bytes, and stays. */
static int call_with(struct entrance *entrance, const uint8_t *bytes, size_t n)
{
    const int fd = call(entrance);
    say(entrance, fd, bytes, n);
    return fd;
}

static bool is_closed(int fd)
{
    uint8_t byte;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return read(fd, &byte, 1) == 0;
}

static void hang_up(struct entrance *entrance, int fd)
{
    assert_int_equal(close(fd), 0);
    turn(entrance);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void door__hello__goes_to_whom_it_names_with_all_that_was_read(void **state)
{
    struct entrance *const entrance = *state;
    for (uint32_t shard = 0; shard <= SHARDS; shard++) {
        uint8_t bytes[FRAME_BYTES];
        const size_t of_hello = hello(bytes, shard);
        const size_t n = rig_heartbeat(bytes, of_hello, 1); /* sent before the answer */
        const int fd = call_with(entrance, bytes, n);
        assert_int_equal(entrance->admitted, shard + 1);
        door_known(entrance->door);
        assert_int_equal(entrance->shard[shard], shard);
        assert_int_equal(entrance->caller[shard]->count, n);
        assert_memory_equal(entrance->caller[shard]->bytes, bytes, n);
        assert_false(entrance->caller[shard]->tcp);
        assert_false(is_closed(fd));
        hang_up(entrance, fd);
    }
    assert_int_equal(entrance->refused, 0);
}

static void door__hello_over_tcp__goes_in_as_well(void **state)
{
    struct entrance *const entrance = *state;
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(door_port(entrance->door)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    uint8_t bytes[FRAME_BYTES];
    const size_t n = hello(bytes, 1);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
    while (entrance->admitted == 0)
        (void)uv_run(&entrance->uv, UV_RUN_ONCE);
    assert_true(entrance->caller[0]->tcp);
    assert_int_equal(strncmp(entrance->caller[0]->peer, "127.0.0.1:", 10), 0);
    assert_int_equal(close(fd), 0);
}

static void door__hello_byte_by_byte__is_heard_at_its_last(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    const size_t n = hello(bytes, 2);
    const int fd = call(entrance);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(entrance->admitted, 0);
        say(entrance, fd, bytes + i, 1);
    }
    assert_int_equal(entrance->admitted, 1);
    assert_int_equal(entrance->shard[0], 2);
    hang_up(entrance, fd);
}

static void door__hello_of_another_version__is_not_the_doors_to_judge(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    hang_up(entrance, call_with(entrance, bytes, hello_of_version(bytes, 0, 9)));
    assert_int_equal(entrance->admitted, 1);
}

static void check_refused(struct entrance *entrance, const uint8_t *bytes, size_t n,
                          enum stepd_status code, const char *text)
{
    const int fd = call_with(entrance, bytes, n);
    assert_int_equal(entrance->refused, 1);
    assert_int_equal(entrance->admitted, 0);
    assert_int_equal(entrance->error.code, code);
    assert_non_null(strstr(entrance->error.text, text));
    hang_up(entrance, fd);
}

static void door__hello_for_no_shard__is_refused_with_the_shards_there_are(void **state)
{
    uint8_t bytes[FRAME_BYTES];
    check_refused(*state, bytes, hello(bytes, SHARDS + 1), STEPD_NOT_FOUND,
                  "there is no shard 3: this server has shards 1 to 2");
}

/* ---- Of several daemons ---------------------------------------------------------------------- */

/* What a Hello for this shard is answered with. */
static void check_shard_refused(struct entrance *entrance, uint32_t shard, enum stepd_status code,
                                const char *text)
{
    uint8_t bytes[FRAME_BYTES];
    entrance->refused = 0;
    check_refused(entrance, bytes, hello(bytes, shard), code, text);
}

static void door__of_a_member_daemon__serves_its_own_shards_alone(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    door_serve(entrance->door, &(struct door_shards){.first = 3, .count = 2});
    check_shard_refused(entrance, 2, STEPD_NOT_FOUND,
                        "shard 2 is not here: this daemon has 3 to 4");
    check_shard_refused(entrance, 5, STEPD_NOT_FOUND, "shard 5 is not here");
    hang_up(entrance, call_with(entrance, bytes, hello(bytes, 4)));
    assert_int_equal(entrance->shard[0], 4);
}

static void door__of_a_daemon_that_has_not_joined__says_so(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    door_serve(entrance->door, &(struct door_shards){.first = 0});
    check_shard_refused(entrance, 1, STEPD_UNAVAILABLE, "has not joined the first of peers yet");
    hang_up(entrance, call_with(entrance, bytes, hello(bytes, 0))); /* who asks for its status */
    assert_int_equal(entrance->shard[0], 0);
}

static size_t join(uint8_t *bytes)
{
    static const uint8_t instance[STEPD_INSTANCE_BYTES] = {1};
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_JOIN,
        .body.join = {.protocol = STEPD_PROTOCOL_VERSION,
                      .version = "1",
                      .place = 1,
                      .address = "h:1",
                      .shards = 1,
                      .instance = {.count = sizeof instance, .at = instance},
                      .expects = 1},
    };
    return rig_frame(bytes, 0, &message, NULL, 0);
}

static void door__join_where_nobody_is_expected__is_refused(void **state)
{
    uint8_t bytes[FRAME_BYTES];
    check_refused(*state, bytes, join(bytes), STEPD_FAILED_PRECONDITION,
                  "not the first of any peers");
}

static void door__join__goes_to_who_takes_daemons(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    hang_up(entrance, call_with(entrance, bytes, join(bytes)));
    assert_int_equal(entrance->joined, 1);
}

static void door__another_message_first__is_refused(void **state)
{
    uint8_t bytes[FRAME_BYTES];
    check_refused(*state, bytes, rig_heartbeat(bytes, 0, 1), STEPD_FAILED_PRECONDITION,
                  "begins with hello, not with heartbeat");
}

static void door__stranger__is_refused_by_its_first_bytes(void **state)
{
    check_refused(*state, (const uint8_t *)"GET / HTTP", 10, STEPD_INVALID_ARGUMENT, "HTTP");
}

static void door__first_frame_too_long__is_refused_by_its_length(void **state)
{
    static const uint8_t bytes[] = {0x81, 0x20}; /* 4097 */
    check_refused(*state, bytes, sizeof bytes, STEPD_RESOURCE_EXHAUSTED, "4096");
}

static void door__silent_caller__is_refused_when_its_time_is_over(void **state)
{
    struct entrance *const entrance = *state;
    const int fd = call(entrance);
    const uint64_t now_ms = uv_now(&entrance->uv);
    door_tick(entrance->door, now_ms); /* the loop's time may have gone on since the call */
    assert_int_equal(entrance->refused, 0);
    door_tick(entrance->door, now_ms + HELLO_TIMEOUT_MS);
    assert_int_equal(entrance->refused, 1);
    assert_int_equal(entrance->error.code, STEPD_DEADLINE_EXCEEDED);
    hang_up(entrance, fd);
}

static void door__full__lets_in_who_waits_when_somebody_is_gone(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    const size_t n = hello(bytes, 0);
    int fd[ROOMS + 1];
    for (size_t i = 0; i <= ROOMS; i++) {
        fd[i] = call_with(entrance, bytes, n);
        if (i < ROOMS)
            door_known(entrance->door);
    }
    assert_int_equal(entrance->admitted, ROOMS);
    assert_int_equal(entrance->limits.refused[LIMIT_CONNECTIONS], 1);
    door_gone(entrance->door, /* known= */ true);
    turn(entrance);
    assert_int_equal(entrance->admitted, ROOMS + 1);
    for (size_t i = 0; i <= ROOMS; i++)
        hang_up(entrance, fd[i]);
}

/* Lets so much time pass that strangers may be dropped for others. */
static void wait_for_grace(struct entrance *entrance)
{
    const uint64_t until_ms = uv_now(&entrance->uv) + DOOR_GRACE_MS;
    while (uv_now(&entrance->uv) < until_ms)
        turn(entrance);
}

static void door__strangers__leave_room_for_who_is_known(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    const size_t n = hello(bytes, 0);
    int fd[STRANGERS + 1];
    for (size_t i = 0; i <= STRANGERS; i++)
        fd[i] = call_with(entrance, bytes, n);
    assert_int_equal(entrance->admitted, STRANGERS); /* and the next waits, though there is room */
    assert_int_equal(entrance->limits.refused[LIMIT_UNAUTHENTICATED], 1);
    door_known(entrance->door);
    turn(entrance);
    assert_int_equal(entrance->admitted, STRANGERS + 1);
    assert_int_equal(entrance->limits.used[LIMIT_CONNECTIONS], STRANGERS + 1);
    assert_int_equal(entrance->limits.used[LIMIT_UNAUTHENTICATED], STRANGERS);
    for (size_t i = 0; i <= STRANGERS; i++)
        hang_up(entrance, fd[i]);
}

static void door__strangers_who_say_nothing__go_for_others_the_oldest_first(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    const int oldest = call(entrance);
    const int next = call(entrance);
    const int late = call_with(entrance, bytes, hello(bytes, 1));
    assert_int_equal(entrance->admitted, 0); /* who has only just come may stay */
    wait_for_grace(entrance);
    door_tick(entrance->door, uv_now(&entrance->uv));
    turn(entrance);
    assert_int_equal(entrance->admitted, 1);
    assert_true(is_closed(oldest));
    assert_false(is_closed(next));
    hang_up(entrance, oldest);
    hang_up(entrance, next);
    hang_up(entrance, late);
}

static void door__callers_who_leave__make_room(void **state)
{
    struct entrance *const entrance = *state;
    uint8_t bytes[FRAME_BYTES];
    for (size_t i = 0; i < ROOMS + 2; i++)
        hang_up(entrance, call(entrance));
    hang_up(entrance, call_with(entrance, bytes, hello(bytes, 0)));
    assert_int_equal(entrance->admitted, 1);
    assert_int_equal(entrance->refused, 0);
}

static void door__closed__drops_who_has_not_said_hello(void **state)
{
    struct entrance *const entrance = *state;
    const int fd = call(entrance);
    door_close(entrance->door);
    turn(entrance);
    assert_true(is_closed(fd));
    assert_int_equal(entrance->refused, 0);
    hang_up(entrance, fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(door__hello__goes_to_whom_it_names_with_all_that_was_read),
        TEST(door__hello_over_tcp__goes_in_as_well),
        TEST(door__hello_byte_by_byte__is_heard_at_its_last),
        TEST(door__hello_of_another_version__is_not_the_doors_to_judge),
        TEST(door__hello_for_no_shard__is_refused_with_the_shards_there_are),
        TEST(door__of_a_member_daemon__serves_its_own_shards_alone),
        TEST(door__of_a_daemon_that_has_not_joined__says_so),
        TEST(door__join_where_nobody_is_expected__is_refused),
        cmocka_unit_test_setup_teardown(door__join__goes_to_who_takes_daemons, set_up_first,
                                        tear_down),
        TEST(door__another_message_first__is_refused),
        TEST(door__stranger__is_refused_by_its_first_bytes),
        TEST(door__first_frame_too_long__is_refused_by_its_length),
        TEST(door__silent_caller__is_refused_when_its_time_is_over),
        TEST(door__full__lets_in_who_waits_when_somebody_is_gone),
        TEST(door__strangers__leave_room_for_who_is_known),
        TEST(door__strangers_who_say_nothing__go_for_others_the_oldest_first),
        TEST(door__callers_who_leave__make_room),
        TEST(door__closed__drops_who_has_not_said_hello),
    };
    return cmocka_run_group_tests_name("door", tests, NULL, NULL);
}
