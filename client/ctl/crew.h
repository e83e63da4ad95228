/* SPDX-License-Identifier: Apache-2.0
 *
 * The crew: the processes of one launch, as one thing that succeeds or fails.
 *
 *     all start --> all exit with 0                               success
 *         \--> one fails, or a signal comes --> SIGTERM to all
 *                 --> (patience) --> SIGKILL to all --> all have exited    failure
 *
 * A member is a worker, or the ssh to a host with workers of its own. Each is the leader of its own
 * process group and session, and signals go to the group, so that what a worker has started ends
 * with it. One that takes orders on its stdin is not signalled but told, by a letter
 * (CREW_LETTERS); the others read from /dev/null. Members die with their launcher whatever becomes
 * of it (worker_exec.h).
 */
#ifndef CLIENT_CTL_CREW_H
#define CLIENT_CTL_CREW_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/status.h>

/* What one launcher tells another through a pipe: to end its crew, as if these signals had come.
 * The end of the pipe says the first. */
#define CREW_TERMINATE 'T'
#define CREW_INTERRUPT 'I'

/* In front of a line that has its prefix already. */
#define CREW_MARK '\x1e'

/* Everything is borrowed until crew_run returns. */
struct crew_member {
    const char *name;   /* "rank 3", in what is said about it */
    const char *prefix; /* "[3] ", in front of what it says */
    char **command;     /* NULL-terminated */
    char **environment; /* likewise */
    const char *orders; /* its stdin begins with these; NULL: it is empty */
    size_t orders_bytes;
};

struct crew_options {
    const struct crew_member *member;
    unsigned members;     /* at least 1 */
    unsigned patience_ms; /* between SIGTERM and SIGKILL */
    bool relayed;         /* stdout and stderr go to another launcher, and stdin has its letters */
};

/*
 * Runs the crew to its end. *ret_exit: 0, or the exit code of the first member that failed (128
 * and the signal's number if one killed it), or 128 and the signal that came to us. What happened
 * is said on stderr. INTERNAL, RESOURCE_EXHAUSTED: it could not be started; nothing is left
 * running.
 */
enum stepd_status crew_run(const struct crew_options *options, int *ret_exit,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
