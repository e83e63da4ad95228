/* SPDX-License-Identifier: Apache-2.0
 *
 * A stepd of the benchmark's own: started in a folder of its own on a free port of loopback and on
 * a Unix socket, and ended by its pid.
 */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

#include <sys/types.h>

#include <stepd/status.h>

#include "tests/bench/disk.h"

#define DAEMON_PATH_BYTES 128u

struct daemon {
    pid_t pid;                            /* 0: not running */
    struct disk_folder folder;            /* for its socket */
    char tcp_address[DAEMON_PATH_BYTES];  /* as stepd_options.address */
    char unix_address[DAEMON_PATH_BYTES]; /* as stepd_options.address */
};

/*
 * Starts the binary at `path`, and returns when it listens. Ended with daemon_stop.
 * UNAVAILABLE: it did not start (its own log on stderr says why).
 */
enum stepd_status daemon_start(const char *path, struct daemon *ret_daemon,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same with flags of stepd, whose end is NULL: at most 14 words. */
enum stepd_status daemon_start_with(const char *path, const char *const *flags,
                                    struct daemon *ret_daemon,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* SIGTERM, then waits for its end and removes the folder. INTERNAL: it did not exit with 0. */
enum stepd_status daemon_stop(struct daemon *daemon, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
