/* SPDX-License-Identifier: Apache-2.0
 *
 * Somebody who was let in at the door, on the way to the thread that will serve them: a socket,
 * and what was read from it already, which the thread reads again from its first byte.
 */
#ifndef NET_CALLER_H
#define NET_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/net/address.h"

struct tls;

struct caller {
    int fd;                        /* owned; -1: somebody took it */
    bool tcp;                      /* or a Unix socket */
    struct tls *tls;               /* owned; NULL: none, or somebody took it */
    char peer[ADDRESS_TEXT_BYTES]; /* for the log */
    size_t count;
    uint8_t bytes[]; /* count of them */
};

/* Takes ownership of fd on success; bytes are copied. NULL: no memory. Any thread. */
struct caller *caller_create(int fd, bool tcp, const char *peer, const uint8_t *bytes,
                             size_t count);

/* Closes the socket if nobody took it. NULL is fine. Returns NULL. Any thread. */
struct caller *caller_destroy(struct caller *caller);

#endif
