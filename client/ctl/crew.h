/* SPDX-License-Identifier: Apache-2.0
 *
 * The crew: the workers of one launch, as one thing that succeeds or fails.
 *
 *     all start --> all exit with 0                               success
 *         \--> one fails, or a signal comes --> SIGTERM to all
 *                 --> (5 s) --> SIGKILL to all --> all have exited    failure
 *
 * Each worker is the leader of its own process group and session, and signals go to the group, so
 * that what a worker has started ends with it. Workers die with their launcher whatever becomes
 * of it (worker_exec.h). They read from /dev/null.
 */
#ifndef CLIENT_CTL_CREW_H
#define CLIENT_CTL_CREW_H

#include <stddef.h>

#include <stepd/status.h>

struct crew_options {
    unsigned workers;   /* at least 1 */
    char **command;     /* NULL-terminated */
    const char *server; /* its address, for every worker's environment; NULL: none */
    const char *token;  /* likewise; NULL: none */
    const char *tls_ca, *tls_cert, *tls_key, *tls_name; /* likewise */
    const char **setting; /* "NAME=VALUE": added to every worker's environment */
    size_t settings;
};

/*
 * Runs the crew to its end. *ret_exit: 0, or the exit code of the first worker that failed (128
 * and the signal's number if one killed it), or 128 and the signal that came to us. What happened
 * is said on stderr. INTERNAL, RESOURCE_EXHAUSTED: it could not be started; nothing is left
 * running.
 */
enum stepd_status crew_run(const struct crew_options *options, int *ret_exit,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
