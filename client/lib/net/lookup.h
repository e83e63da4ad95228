/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking a host up without waiting for it. Numbers are read at once. A name is looked up in a
 * thread of its own: getaddrinfo() cannot be interrupted, and a resolver that is silent must not
 * keep a client from being closed. A lookup that is cancelled is left to its thread, which ends
 * when the resolver does.
 */
#ifndef CLIENT_LIB_NET_LOOKUP_H
#define CLIENT_LIB_NET_LOOKUP_H

#include <netdb.h>
#include <uv.h>

#include <stepd/status.h>

#include "client/lib/core/address.h"

struct stepd_lookup;

/* In the loop's thread, once unless cancelled, and never from within stepd_lookup_start. found:
 * owned by the callee, to be freed with freeaddrinfo; NULL: `error` says why. */
typedef void stepd_lookup_done(void *user, struct addrinfo *found, const struct stepd_error *error);

/* Looks up a TCP address. RESOURCE_EXHAUSTED: no memory, or no thread. */
enum stepd_status stepd_lookup_start(uv_loop_t *uv, const struct stepd_address *address,
                                     stepd_lookup_done *done, void *user,
                                     struct stepd_lookup **ret_lookup,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Nobody is told any more. Not after `done` was called. NULL is fine. Returns NULL. */
struct stepd_lookup *stepd_lookup_cancel(struct stepd_lookup *lookup);

#endif
