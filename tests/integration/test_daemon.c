/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon as a process: how it starts, how it ends, whom it lets in, and with which exit code
 * and words it refuses. Under the address sanitizer every stop is a check for leaks as well.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/daemon.h"
#include "tests/lib/wire.h"

struct fixture {
    struct daemon daemon;
    struct daemon other;
    struct wire *wire[3];
    char folder[64]; /* of its own, mode 0700 */
};

static int set_up(void **state)
{
    struct fixture *const fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/stepd-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    *state = fixture;
    return 0;
}

/* A path in the fixture's folder; valid until the next call but three. */
static const char *path_of(const struct fixture *fixture, const char *name)
{
    static char paths[4][128];
    static size_t next;
    char *const path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", fixture->folder, name);
    return path;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"stepd.yaml", "port", "port.tmp", "socket"};
    struct fixture *const fixture = *state;
    daemon_kill(&fixture->daemon);
    daemon_kill(&fixture->other);
    for (size_t i = 0; i < 3; i++)
        wire_close(fixture->wire[i]);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlink(path_of(fixture, names[i]));
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

static void start(struct fixture *fixture, const char *const flags[])
{
    daemon_start(&fixture->daemon, flags);
}

/* Connects the fixture's i-th client. */
static struct wire *dial(struct fixture *fixture, size_t i)
{
    fixture->wire[i] = wire_connect(fixture->daemon.port);
    return fixture->wire[i];
}

static void hang_up(struct fixture *fixture, size_t i)
{
    wire_close(fixture->wire[i]);
    fixture->wire[i] = NULL;
}

static void say_hello(struct wire *wire, uint32_t protocol, uint32_t shard)
{
    const struct stepd_message hello = {
        .request_id = 1,
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello =
            {
                .protocol = protocol,
                .role = STEPD_OBSERVER,
                .job = "",
                .worker = "test",
                .rank = -1,
                .shard = shard,
            },
    };
    wire_send(wire, &hello, NULL, 0);
}

static void expect_welcome(struct wire *wire)
{
    assert_int_equal(wire_receive(wire)->kind, STEPD_MESSAGE_WELCOME);
}

/* The daemon still lets in whoever behaves. */
static void expect_service(struct fixture *fixture)
{
    struct wire *const wire = dial(fixture, 2);
    say_hello(wire, STEPD_PROTOCOL_VERSION, 0);
    expect_welcome(wire);
    hang_up(fixture, 2);
}

/* ---- Starting and ending --------------------------------------------------------------------- */

static void daemon__sigterm__ends_with_0(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, NULL);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
    assert_non_null(strstr(fixture->daemon.log, "event=stopped"));
}

static void daemon__sigint__ends_with_0(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, NULL);
    daemon_signal(&fixture->daemon, SIGINT);
    assert_int_equal(daemon_wait(&fixture->daemon), 0);
}

static void daemon__many_shards__end_with_0(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, (const char *const[]){"--shards", "5", NULL});
    assert_non_null(strstr(fixture->daemon.log, "shards=5 isa="));
    expect_service(fixture);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void daemon__port_file__holds_the_port_of_the_log(void **state)
{
    struct fixture *const fixture = *state;
    const char *const path = path_of(fixture, "port");
    unsigned port = 0;
    start(fixture, (const char *const[]){"--port-file", path, NULL});
    /* It is written before the daemon says that it is ready. */
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &port), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(port, fixture->daemon.port);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void daemon__port_file_that_cannot_be__ends_with_1(void **state)
{
    struct fixture *const fixture = *state;
    assert_int_equal(
        daemon_run(&fixture->daemon, (const char *const[]){"--listen", "127.0.0.1:0", "--port-file",
                                                           "/nonexistent/port", NULL}),
        1);
    assert_non_null(strstr(fixture->daemon.log, "/nonexistent/port"));
}

static void daemon__port_file_where_no_file_is__leaves_it(void **state)
{
    struct fixture *const fixture = *state;
    const char *const path = path_of(fixture, "port");
    struct stat pipe;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(daemon_run(&fixture->daemon, (const char *const[]){"--listen", "127.0.0.1:0",
                                                                        "--port-file", path, NULL}),
                     78);
    assert_non_null(strstr(fixture->daemon.log, "only a file is replaced"));
    assert_int_equal(lstat(path, &pipe), 0);
    assert_true(S_ISFIFO(pipe.st_mode));
}

static void daemon__port_in_use__ends_with_1_and_says_what_to_do(void **state)
{
    struct fixture *const fixture = *state;
    char address[32];
    start(fixture, NULL);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)fixture->daemon.port);
    assert_int_equal(daemon_run(&fixture->other, (const char *const[]){"--listen", address, NULL}),
                     1);
    assert_non_null(strstr(fixture->other.log, address));
    assert_non_null(strstr(fixture->other.log, "--listen"));
    expect_service(fixture);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void daemon__stopped_with_an_open_connection__says_goodbye(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, NULL);
    struct wire *const wire = dial(fixture, 0);
    say_hello(wire, STEPD_PROTOCOL_VERSION, 0);
    expect_welcome(wire);
    daemon_signal(&fixture->daemon, SIGTERM);
    wire_expect_error(wire, STEPD_UNAVAILABLE, "shutting down");
    wire_expect_end(wire);
    hang_up(fixture, 0);
    assert_int_equal(daemon_wait(&fixture->daemon), 0);
}

static void daemon__stopped_with_a_client_that_stays__ends_all_the_same(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, NULL);
    say_hello(dial(fixture, 0), STEPD_PROTOCOL_VERSION, 0);
    expect_welcome(fixture->wire[0]);
    (void)dial(fixture, 1); /* and one that has not even said Hello */
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void daemon__second_signal__ends_with_0(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, NULL);
    say_hello(dial(fixture, 0), STEPD_PROTOCOL_VERSION, 0);
    expect_welcome(fixture->wire[0]);
    daemon_signal(&fixture->daemon, SIGTERM);
    assert_true(daemon_logs(&fixture->daemon, "event=stopping"));
    daemon_signal(&fixture->daemon, SIGINT);
    assert_int_equal(daemon_wait(&fixture->daemon), 0);
}

/* ---- Config ---------------------------------------------------------------------------------- */

static const char *write_config(const struct fixture *fixture, const char *text)
{
    const char *const path = path_of(fixture, "stepd.yaml");
    FILE *const file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void daemon__bad_config__ends_with_78_and_names_the_line(void **state)
{
    static const struct {
        const char *text;
        const char *says[3];
    } bad[] = {
        {"shards: 2\nlisten_on: x\n", {"stepd.yaml:2", "listen"}},
        {"shards: many\n", {"stepd.yaml:1", "shards"}},
        {"jobs:\n  - name: a\n    workers: 1\n    groups:\n      - name: all\n        match: '*'\n"
         "        optimizer: sgd\n        lr: -1\n",
         {"stepd.yaml:8", "lr"}},
        {"jobs:\n  - name: a\n    workers: 1\n    groups:\n      - name: all\n        match: '*'\n"
         "        optimizer: sdg\n",
         {"stepd.yaml:5", "'sdg'", "sgd"}},
        {"slice_elements: 8388608\nframe_max_bytes: 1MiB\n", {"slice_elements", "frame_max_bytes"}},
        {"tcp_congestion: no_such\n", {"tcp_congestion", "no_such", "reno"}},
    };
    struct fixture *const fixture = *state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const path = write_config(fixture, bad[i].text);
        const char *const run[] = {"--config", path, NULL};
        const char *const check[] = {"--config", path, "--check-config", NULL};
        assert_int_equal(daemon_run(&fixture->daemon, check), 78);
        assert_int_equal(daemon_run(&fixture->daemon, run), 78);
        for (size_t k = 0; k < 3 && bad[i].says[k] != NULL; k++) {
            if (strstr(fixture->daemon.log, bad[i].says[k]) == NULL)
                fail_msg("\"%s\" is missing in: %s", bad[i].says[k], fixture->daemon.log);
        }
    }
}

static void daemon__hung_up__rereads_its_config_and_serves_on(void **state)
{
    struct fixture *const fixture = *state;
    struct daemon *const daemon = &fixture->daemon;
    const char *const flags[] = {"--config", write_config(fixture, "log_level: info\n"), NULL};
    start(fixture, flags);
    (void)write_config(fixture, "log_level: debug\nshards: 2\n");
    daemon_signal(daemon, SIGHUP);
    assert_true(daemon_logs(daemon, "event=needs_restart key=shards"));
    assert_true(daemon_logs(daemon, "event=reloaded log_level=debug"));
    assert_null(strstr(daemon->log, "level=debug event"));
    expect_service(fixture);
    assert_true(daemon_logs(daemon, "level=debug event"));
    (void)write_config(fixture, "shards: 1\nlog_level: loud\n");
    daemon_signal(daemon, SIGHUP);
    assert_true(daemon_logs(daemon, "event=reload_failed"));
    assert_true(daemon_logs(daemon, "stepd.yaml:2: log_level"));
    expect_service(fixture);
    assert_int_equal(daemon_stop(daemon), 0);
}

static void daemon__good_config__is_checked_with_0(void **state)
{
    struct fixture *const fixture = *state;
    const char *const path = write_config(
        fixture,
        "shards: 2\njobs:\n  - name: a\n    workers: 2\n    groups:\n"
        "      - name: all\n        match: '*'\n        optimizer: adamw\n        lr: 0.01\n");
    assert_int_equal(daemon_run(&fixture->daemon,
                                (const char *const[]){"--config", path, "--check-config", NULL}),
                     0);
    start(fixture, (const char *const[]){"--config", path, NULL});
    assert_non_null(strstr(fixture->daemon.log, "shards=2"));
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void daemon__usage_error__ends_with_2(void **state)
{
    struct fixture *const fixture = *state;
    assert_int_equal(daemon_run(&fixture->daemon, (const char *const[]){"--shard", "1", NULL}), 2);
    assert_non_null(strstr(fixture->daemon.log, "--shard"));
}

static void daemon__asked_to_print__prints_and_ends_with_0(void **state)
{
    static const char *const flags[] = {"--help", "--version", "--print-config"};
    struct fixture *const fixture = *state;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        assert_int_equal(daemon_run(&fixture->daemon, (const char *const[]){flags[i], NULL}), 0);
}

static void daemon__address_that_others_reach__needs_insecure(void **state)
{
    struct fixture *const fixture = *state;
    assert_int_equal(
        daemon_run(&fixture->daemon, (const char *const[]){"--listen", "0.0.0.0:0", NULL}), 78);
    assert_non_null(strstr(fixture->daemon.log, "--insecure"));
    start(fixture, (const char *const[]){"--listen", "0.0.0.0:0", "--insecure", NULL});
    assert_non_null(strstr(fixture->daemon.log, "level=warn event=insecure"));
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

/* ---- The Unix socket ------------------------------------------------------------------------- */

static void daemon__unix_socket__serves_and_is_removed(void **state)
{
    struct fixture *const fixture = *state;
    const char *const path = path_of(fixture, "socket");
    start(fixture, (const char *const[]){"--unix", path, NULL});
    assert_non_null(strstr(fixture->daemon.log, path));
    assert_null(strstr(fixture->daemon.log, "unix_directory_open"));
    fixture->wire[0] = wire_connect_unix(path);
    say_hello(fixture->wire[0], STEPD_PROTOCOL_VERSION, 0);
    expect_welcome(fixture->wire[0]);
    hang_up(fixture, 0);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void daemon__unix_socket_of_a_dead_daemon__is_replaced(void **state)
{
    struct fixture *const fixture = *state;
    const char *const path = path_of(fixture, "socket");
    const char *const flags[] = {"--unix", path, NULL};
    start(fixture, flags);
    daemon_kill(&fixture->daemon);
    assert_int_equal(access(path, F_OK), 0);
    start(fixture, flags);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void daemon__unix_socket_in_use__ends_with_1_and_leaves_it(void **state)
{
    struct fixture *const fixture = *state;
    const char *const path = path_of(fixture, "socket");
    start(fixture, (const char *const[]){"--unix", path, NULL});
    assert_int_equal(daemon_run(&fixture->other, (const char *const[]){"--listen", "127.0.0.1:0",
                                                                       "--unix", path, NULL}),
                     1);
    assert_non_null(strstr(fixture->other.log, path));
    fixture->wire[0] = wire_connect_unix(path);
    say_hello(fixture->wire[0], STEPD_PROTOCOL_VERSION, 0);
    expect_welcome(fixture->wire[0]);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void daemon__file_where_the_unix_socket_should_be__is_left_alone(void **state)
{
    struct fixture *const fixture = *state;
    const char *const path = path_of(fixture, "socket");
    FILE *const file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(daemon_run(&fixture->daemon, (const char *const[]){"--listen", "127.0.0.1:0",
                                                                        "--unix", path, NULL}),
                     1);
    assert_int_equal(access(path, F_OK), 0);
}

/* ---- Whom the door lets in ------------------------------------------------------------------- */

static void door__stalled_hello__is_told_and_closed(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, (const char *const[]){"--hello-timeout-ms", "50", NULL});
    struct wire *const silent = dial(fixture, 0);
    struct wire *const slow = dial(fixture, 1);
    assert_true(wire_write(slow, "\x10\x0A", 2));
    wire_expect_error(silent, STEPD_DEADLINE_EXCEEDED, "50 ms");
    wire_expect_end(silent);
    wire_expect_error(slow, STEPD_DEADLINE_EXCEEDED, "50 ms");
    wire_expect_end(slow);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void door__full__lets_in_the_next_when_one_leaves(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, (const char *const[]){"--connections-max", "2", NULL});
    for (size_t i = 0; i < 2; i++) {
        say_hello(dial(fixture, i), STEPD_PROTOCOL_VERSION, 0);
        expect_welcome(fixture->wire[i]);
    }
    say_hello(dial(fixture, 2), STEPD_PROTOCOL_VERSION, 0);
    assert_true(daemon_logs(&fixture->daemon, "event=connections_full"));
    hang_up(fixture, 0);
    expect_welcome(fixture->wire[2]);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void door__callers_that_come_and_go__leave_room(void **state)
{
    enum { ROUNDS = 200 };
    struct fixture *const fixture = *state;
    start(fixture, (const char *const[]){"--connections-max", "2", NULL});
    for (size_t i = 0; i < ROUNDS; i++) {
        struct wire *const wire = dial(fixture, 0);
        if (i % 3 > 0)
            say_hello(wire, STEPD_PROTOCOL_VERSION, i % 3 == 1 ? 0 : 1);
        hang_up(fixture, 0);
    }
    expect_service(fixture);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void door__hello_to_a_shard__is_heard_there(void **state)
{
    struct fixture *const fixture = *state;
    start(fixture, (const char *const[]){"--shards", "2", NULL});
    say_hello(dial(fixture, 0), STEPD_PROTOCOL_VERSION, 2);
    wire_expect_error(fixture->wire[0], STEPD_FAILED_PRECONDITION, "session");
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

static void door__hello_byte_by_byte__is_heard(void **state)
{
    struct fixture *const fixture = *state;
    /* Hello{protocol 1, role OBSERVER}, request_id 1 */
    static const char hello[] = "\x0A\x0A\x08\x08\x01\x12\x04\x08\x01\x10\x01";
    start(fixture, NULL);
    struct wire *const wire = dial(fixture, 0);
    for (size_t i = 0; i < sizeof hello - 1; i++)
        assert_true(wire_write(wire, hello + i, 1));
    expect_welcome(wire);
    assert_int_equal(daemon_stop(&fixture->daemon), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(daemon__sigterm__ends_with_0),
        TEST(daemon__sigint__ends_with_0),
        TEST(daemon__many_shards__end_with_0),
        TEST(daemon__port_file__holds_the_port_of_the_log),
        TEST(daemon__port_file_that_cannot_be__ends_with_1),
        TEST(daemon__port_file_where_no_file_is__leaves_it),
        TEST(daemon__port_in_use__ends_with_1_and_says_what_to_do),
        TEST(daemon__stopped_with_an_open_connection__says_goodbye),
        TEST(daemon__stopped_with_a_client_that_stays__ends_all_the_same),
        TEST(daemon__second_signal__ends_with_0),
        TEST(daemon__bad_config__ends_with_78_and_names_the_line),
        TEST(daemon__hung_up__rereads_its_config_and_serves_on),
        TEST(daemon__good_config__is_checked_with_0),
        TEST(daemon__usage_error__ends_with_2),
        TEST(daemon__asked_to_print__prints_and_ends_with_0),
        TEST(daemon__address_that_others_reach__needs_insecure),
        TEST(daemon__unix_socket__serves_and_is_removed),
        TEST(daemon__unix_socket_of_a_dead_daemon__is_replaced),
        TEST(daemon__unix_socket_in_use__ends_with_1_and_leaves_it),
        TEST(daemon__file_where_the_unix_socket_should_be__is_left_alone),
        TEST(door__stalled_hello__is_told_and_closed),
        TEST(door__full__lets_in_the_next_when_one_leaves),
        TEST(door__callers_that_come_and_go__leave_room),
        TEST(door__hello_to_a_shard__is_heard_there),
        TEST(door__hello_byte_by_byte__is_heard),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
