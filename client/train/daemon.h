/* SPDX-License-Identifier: Apache-2.0
 *
 * A stepd of our own, for as long as a command needs one: on a free port of loopback, ended by its
 * process id, and by the system should we die before.
 */
#ifndef TRAIN_DAEMON_H
#define TRAIN_DAEMON_H

#include <sys/types.h>

#include <stepd/status.h>

#define DAEMON_ADDRESS_BYTES 32u

struct daemon {
    pid_t pid; /* 0: none */
    char address[DAEMON_ADDRESS_BYTES];
};

/*
 * Starts the stepd that lies beside this program, or else the one on the PATH, and returns when it
 * listens. What it warns of goes to our stderr. *ret_daemon: caller ends it with daemon_stop, in
 * the thread that started it.
 * NOT_FOUND: there is no stepd. UNAVAILABLE: it ended, or was not ready in time.
 * FAILED_PRECONDITION: no folder could be made for what it says.
 */
enum stepd_status daemon_start(struct daemon *ret_daemon,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Tells it to end and waits until it has; kills it where that takes too long. Fine for one that is
 * not there. */
void daemon_stop(struct daemon *daemon);

#endif
