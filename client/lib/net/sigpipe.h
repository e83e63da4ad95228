/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGPIPE: libuv writes with writev(), which raises it on a socket that the peer has closed. While
 * a caller's thread runs the loop the signal is held back, and what was held back is taken off, so
 * that the process's own handling of signals is left alone and EPIPE says the same.
 */
#ifndef CLIENT_LIB_NET_SIGPIPE_H
#define CLIENT_LIB_NET_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>

struct stepd_sigpipe {
    sigset_t before; /* the thread's mask */
    bool pending;    /* one was pending already; it is the process's */
};

/* From here to the end, in one thread. */
void stepd_sigpipe_hold(struct stepd_sigpipe *sigpipe);
void stepd_sigpipe_let_go(const struct stepd_sigpipe *sigpipe);

#endif
