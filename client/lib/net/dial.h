/* SPDX-License-Identifier: Apache-2.0
 *
 * Dialling: from an address to a connected socket, in the caller's own thread, which has to wait
 * for it anyway. The loop's thread only ever sees sockets that are connected.
 */
#ifndef CLIENT_LIB_NET_DIAL_H
#define CLIENT_LIB_NET_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/lib/core/address.h"

/* Waiting time between attempts: doubles from the first to the last. */
#define STEPD_DIAL_BACKOFF_FIRST_MS 20u
#define STEPD_DIAL_BACKOFF_LAST_MS  1000u

/*
 * Connects before until_ms (stepd_clock_ms). *ret_fd: non-blocking, close-on-exec, with TCP_NODELAY
 * and keep-alive; the caller closes it. UNAVAILABLE: nobody answers there, or the host is
 * unknown; the text names the address. A name that takes the resolver long may overrun until_ms.
 */
enum stepd_status stepd_dial(const struct stepd_address *address, uint64_t until_ms, int *ret_fd,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Waits before the next attempt, and doubles *backoff_ms; false when there is no time for one. */
bool stepd_dial_again(uint32_t *backoff_ms, uint64_t until_ms);

#endif
