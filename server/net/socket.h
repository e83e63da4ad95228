/* SPDX-License-Identifier: Apache-2.0
 *
 * What is set on every accepted socket, beyond libuv's reach.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stddef.h>

#include <stepd/status.h>

/* The name that leaves the choice to us. */
#define SOCKET_CONGESTION_AUTO "auto"

/*
 * Does the kernel know a congestion control of this name, and may we use it? "auto" it need not
 * know. FAILED_PRECONDITION: it does not, or we may not; the text lists those that there are. Any
 * thread.
 */
enum stepd_status socket_check_congestion(const char *congestion,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Prepares a connected TCP socket for large frames and small replies, and for peers that vanish.
 * congestion is the name of a congestion control, or "auto": the system's, but reno to a loopback
 * peer where that is bbr. What the system refuses is left as it is: nothing breaks without. Any
 * thread.
 */
void socket_tune(int fd, const char *congestion);

/*
 * Prepares a connected Unix socket for large frames. Likewise.
 */
void socket_tune_local(int fd);

/* Writes the peer's address, "unix" for a Unix socket, "?" if it is gone. Any thread. */
void socket_peer(int fd, char *text, size_t size);

#endif
