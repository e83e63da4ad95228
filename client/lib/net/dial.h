/* SPDX-License-Identifier: Apache-2.0
 *
 * Dialling: from an address to a connected socket, in the loop's thread and without waiting.
 */
#ifndef CLIENT_LIB_NET_DIAL_H
#define CLIENT_LIB_NET_DIAL_H

#include <stdbool.h>
#include <uv.h>

#include <stepd/status.h>

#define STEPD_DIAL_ADDRESS_MS 3000u /* for each of a host's addresses */

struct stepd_dial;

/*
 * In the loop's thread, once unless cancelled, and never from within stepd_dial_start. fd:
 * connected, non-blocking, close-on-exec, with TCP_NODELAY and keep-alive, owned by the callee;
 * local: a Unix socket. -1: `error` says why. UNAVAILABLE: nobody answers there, or the host is
 * unknown. INVALID_ARGUMENT: the address is malformed. RESOURCE_EXHAUSTED: no memory here.
 */
typedef void stepd_dial_done(void *user, int fd, bool local, const struct stepd_error *error);

/* text: an address as people write it, borrowed until return. NULL: no memory. */
struct stepd_dial *stepd_dial_start(uv_loop_t *uv, const char *text, stepd_dial_done *done,
                                    void *user);

/* Nobody is told any more. Not after `done` was called. NULL is fine. Returns NULL. */
struct stepd_dial *stepd_dial_cancel(struct stepd_dial *dial);

#endif
