/* SPDX-License-Identifier: Apache-2.0
 *
 * posix_spawn() with the process's stderr on a pipe. The log is collected whenever the test waits
 * for something in it, and to its end when the process ends.
 */
#include "tests/lib/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ENVIRONMENT_MAX = 256, INSIST_MS = 5000 };

extern char **environ;

/* Ours, without what would configure the daemon behind the test's back. */
static void clean_environment(char *ret_environment[ENVIRONMENT_MAX])
{
    size_t kept = 0;
    for (char **variable = environ; *variable != NULL; variable++) {
        if (strncmp(*variable, "STEPD_", 6) != 0 && kept + 1 < ENVIRONMENT_MAX)
            ret_environment[kept++] = *variable;
    }
    ret_environment[kept] = NULL;
}

static void spawn(struct daemon *daemon, char *const argv[])
{
    int ends[2];
    char *environment[ENVIRONMENT_MAX];
    posix_spawn_file_actions_t actions;
    clean_environment(environment);
    *daemon = (struct daemon){.stderr = -1};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO), 0);
    assert_int_equal(
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0), 0);
    assert_int_equal(posix_spawn(&daemon->pid, argv[0], &actions, NULL, argv, environment), 0);
    assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
    assert_int_equal(close(ends[1]), 0);
    daemon->stderr = ends[0];
}

/* Spawns a program with two lists of flags. */
static void spawn_with(struct daemon *daemon, const char *path, const char *const first[],
                       const char *const flags[])
{
    char *argv[DAEMON_FLAGS_MAX] = {(char *)(uintptr_t)path};
    size_t count = 1;
    for (size_t i = 0; first[i] != NULL; i++)
        argv[count++] = (char *)(uintptr_t)first[i];
    for (size_t i = 0; flags != NULL && flags[i] != NULL; i++) {
        assert_true(count + 1 < DAEMON_FLAGS_MAX);
        argv[count++] = (char *)(uintptr_t)flags[i];
    }
    spawn(daemon, argv);
}

/* Reads more of the log; false at its end. */
static bool read_log(struct daemon *daemon)
{
    struct pollfd readable = {.fd = daemon->stderr, .events = POLLIN};
    if (poll(&readable, 1, DAEMON_PATIENCE_MS) != 1)
        fail_msg("the daemon neither writes nor ends; its log so far:\n%s", daemon->log);
    const size_t room = sizeof daemon->log - 1 - daemon->log_bytes;
    assert_true(room > 0);
    const ssize_t n = read(daemon->stderr, daemon->log + daemon->log_bytes, room);
    assert_true(n >= 0);
    daemon->log_bytes += (size_t)n;
    daemon->log[daemon->log_bytes] = '\0';
    return n > 0;
}

bool daemon_logs(struct daemon *daemon, const char *text)
{
    while (strstr(daemon->log, text) == NULL) {
        if (!read_log(daemon))
            return false;
    }
    return true;
}

void daemon_start(struct daemon *daemon, const char *const flags[])
{
    static const char *const first[] = {"--listen", "127.0.0.1:0", NULL};
    static const char listen[] = " listen=";
    spawn_with(daemon, STEPD_DAEMON, first, flags);
    if (!daemon_logs(daemon, "event=ready"))
        fail_msg("the daemon is not ready; its log:\n%s", daemon->log);
    while (strchr(strstr(daemon->log, "event=ready"), '\n') == NULL)
        assert_true(read_log(daemon));
    const char *const address = strstr(strstr(daemon->log, "event=ready"), listen);
    assert_non_null(address);
    const char *const colon = strchr(address + sizeof listen - 1, ':');
    assert_non_null(colon);
    daemon->port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

int daemon_run_program(struct daemon *daemon, const char *path, const char *const flags[])
{
    static const char *const none[] = {NULL};
    spawn_with(daemon, path, none, flags);
    return daemon_wait(daemon);
}

int daemon_run(struct daemon *daemon, const char *const flags[])
{
    return daemon_run_program(daemon, STEPD_DAEMON, flags);
}

#ifdef __SANITIZE_THREAD__
/*
 * The thread sanitizer's runtime holds a signal back until the next blocking call, and about once
 * in five hundred times (gcc 12) it loses the one that it holds: libuv's handler never runs. So
 * there the signal is repeated until the daemon has noticed.
 */
static void insist(struct daemon *daemon, int signal)
{
    if (signal == SIGHUP)
        return; /* it says something new each time: who sends it waits for that */
    const char *const noticed = signal == SIGTERM ? "reason=SIGTERM" : "reason=SIGINT";
    struct pollfd readable = {.fd = daemon->stderr, .events = POLLIN};
    while (strstr(daemon->log, noticed) == NULL) {
        if (poll(&readable, 1, INSIST_MS) == 0)
            assert_int_equal(kill(daemon->pid, signal), 0);
        else if (!read_log(daemon))
            return;
    }
}
#else
static void insist(struct daemon *daemon, int signal)
{
    (void)daemon;
    (void)signal;
}
#endif

void daemon_signal(struct daemon *daemon, int signal)
{
    assert_true(daemon->pid > 0);
    assert_int_equal(kill(daemon->pid, signal), 0);
    insist(daemon, signal);
}

static int reap(struct daemon *daemon)
{
    int status;
    assert_int_equal(waitpid(daemon->pid, &status, 0), daemon->pid);
    daemon->pid = 0;
    (void)close(daemon->stderr);
    daemon->stderr = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int daemon_wait(struct daemon *daemon)
{
    while (read_log(daemon))
        continue;
    const int code = reap(daemon);
    /* What a sanitizer found is in the log, and would otherwise be lost with the process. */
    if (strstr(daemon->log, "Sanitizer") != NULL)
        fail_msg("%s", daemon->log);
    return code;
}

int daemon_stop(struct daemon *daemon)
{
    daemon_signal(daemon, SIGTERM);
    return daemon_wait(daemon);
}

void daemon_kill(struct daemon *daemon)
{
    if (daemon->pid <= 0)
        return;
    (void)kill(daemon->pid, SIGKILL);
    (void)reap(daemon);
}
