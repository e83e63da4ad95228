/* SPDX-License-Identifier: Apache-2.0
 *
 * The system's resolver, asked from a thread that may wait, but not for ever: getaddrinfo() can be
 * neither interrupted nor given a time limit, so a name is looked up in a thread of its own.
 * Whoever asks leaves it there when it is wanted no more; it ends when the resolver does, and frees
 * what is left. Nobody waits for it at the end of the process either. Numbers need no thread.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <netdb.h>
#include <stdatomic.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/net/address.h"

/* How often it is looked whether somebody has set `stop`. */
#define RESOLVE_SLICE_MS 100u

/*
 * Looks up the TCP addresses of a host. UNAVAILABLE: the host is not known, or the resolver has not
 * answered for limit_ms. CANCELLED: stop was set. RESOURCE_EXHAUSTED: no memory, or no thread.
 * *ret_found: the caller frees with freeaddrinfo. Any thread.
 */
enum stepd_status resolve_host(const struct address *address, uint32_t limit_ms,
                               const atomic_bool *stop, struct addrinfo **ret_found,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
