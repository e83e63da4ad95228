/* SPDX-License-Identifier: Apache-2.0
 *
 * The real stepd as a process of a test: started on a free port, ready when it says so in its log,
 * ended by its pid. Nothing sleeps; everything that waits gives up after DAEMON_PATIENCE_MS and
 * fails the test.
 */
#ifndef TESTS_LIB_DAEMON_H
#define TESTS_LIB_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { DAEMON_PATIENCE_MS = 60000, DAEMON_LOG_BYTES = 1 << 18, DAEMON_FLAGS_MAX = 16 };

struct daemon {
    pid_t pid;  /* 0: it has ended */
    int stderr; /* of the process; -1: closed */
    uint16_t port;
    size_t log_bytes;
    char log[DAEMON_LOG_BYTES]; /* all that it wrote there; NUL-terminated */
};

/*
 * Starts it with these flags (NULL-terminated; NULL: none) behind "--listen 127.0.0.1:0", and waits
 * until it is ready.
 */
void daemon_start(struct daemon *daemon, const char *const flags[]);

/* Runs it with these flags and nothing else until it ends by itself. Returns its exit code. */
int daemon_run(struct daemon *daemon, const char *const flags[]);

/* The same of another program, such as a worker. */
int daemon_run_program(struct daemon *daemon, const char *path, const char *const flags[]);

/* Waits until the log holds the text. False: it has ended without. */
bool daemon_logs(struct daemon *daemon, const char *text);

/* SIGTERM or SIGINT. */
void daemon_signal(struct daemon *daemon, int signal);

/* Waits for its end. Returns its exit code, or 128 and the signal that killed it. */
int daemon_wait(struct daemon *daemon);

/* SIGTERM, then as daemon_wait. */
int daemon_stop(struct daemon *daemon);

/* For teardowns: kills it if it runs. A zeroed one is fine. */
void daemon_kill(struct daemon *daemon);

#endif
