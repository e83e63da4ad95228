/* SPDX-License-Identifier: Apache-2.0
 *
 * What is set on every accepted socket, beyond libuv's reach.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stddef.h>

/*
 * Prepares a connected TCP socket for large frames and small replies, and for peers that vanish.
 * What the system refuses is left as it is: nothing breaks without. Any thread.
 */
void socket_tune(int fd);

/* Writes the peer's address, "unix" for a Unix socket, "?" if it is gone. Any thread. */
void socket_peer(int fd, char *text, size_t size);

#endif
