/* SPDX-License-Identifier: Apache-2.0
 *
 * A Hello on its way over a connection that has just been made, and the Welcome that comes back. It
 * is a request like any other, so the reader finds it by its id; a refusal comes as an Error of it,
 * or as one that ends the connection.
 */
#ifndef CLIENT_LIB_CORE_GREETING_H
#define CLIENT_LIB_CORE_GREETING_H

#include <stdint.h>

#include "client/lib/core/outgoing.h"
#include "client/lib/core/pending.h"
#include "proto/message.h"

struct stepd_greeting_owner {
    void *self;
    /* The Welcome (borrowed until return). A failure ends the connection. */
    enum stepd_status (*welcome)(void *self, uint32_t shard, const struct stepd_welcome *welcome,
                                 struct stepd_error *reterr);
    /* The Hello was answered: with a Welcome that names this incarnation (error NULL), or not. */
    void (*ended)(void *self, uint32_t shard, uint64_t incarnation,
                  const struct stepd_error *error);
};

/* A zeroed one is idle. */
struct stepd_greeting_request {
    struct stepd_request request; /* first; id 0: none is under way */
    struct stepd_pending *pending;
    struct stepd_greeting_owner owner;
    uint32_t shard;
    uint64_t incarnation; /* of the Welcome */
};

/*
 * Enters the Hello (its request_id is chosen here) in the table, and encodes it. *ret_outgoing: the
 * caller sends it. Fails where the message breaks a rule of the protocol, or without memory; then
 * forget it.
 */
enum stepd_status stepd_greeting_begin(struct stepd_greeting_request *greeting,
                                       struct stepd_pending *pending, uint32_t shard,
                                       const struct stepd_message *hello,
                                       struct stepd_outgoing **ret_outgoing,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Its connection is no more; nobody is told. Fine when none is under way. */
void stepd_greeting_forget(struct stepd_greeting_request *greeting);

#endif
