/* SPDX-License-Identifier: Apache-2.0
 *
 * A call: one message to the server, and its reply waited for. All of the control plane is made
 * of calls, so that the code that connects, defines and asks reads from top to bottom.
 *
 * Offered to stepctl too, for what the public interface does not have (GetGroups, GetChanges).
 */
#ifndef CLIENT_LIB_CALL_H
#define CLIENT_LIB_CALL_H

#include <stdint.h>

#include <stepd/client.h>

#include "client/lib/core/outgoing.h"
#include "client/lib/core/question.h"
#include "proto/message.h"

/*
 * Sends a message to control (borrowed until return; request_id is chosen here) and waits until
 * the reply has ended. Where the connection is lost meanwhile and made again, it is sent again.
 * on_reply may be NULL. Fails as the server says, with INVALID_ARGUMENT and nothing sent when the
 * message breaks a rule of the protocol, with UNAVAILABLE when the connection is lost, and with
 * RESOURCE_EXHAUSTED without memory. Any thread.
 */
enum stepd_status stepd_call(struct stepd_client *client, const struct stepd_message *message,
                             stepd_reply_function *on_reply, void *user,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same, but UNAVAILABLE, with the server's address and what is wrong with the connection, when
 * the reply has not ended after wait_ms. */
enum stepd_status stepd_call_within(struct stepd_client *client,
                                    const struct stepd_message *message, uint64_t wait_ms,
                                    stepd_reply_function *on_reply, void *user,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same with all there is to choose. */
struct stepd_call_options {
    uint32_t shard;                  /* 0: control */
    struct stepd_outgoing *outgoing; /* a frame with payload but no head yet; taken over whatever
                                      * comes of the call; NULL: no payload */
    uint64_t wait_ms;                /* then UNAVAILABLE; 0: as long as it takes */
    stepd_reply_function *on_reply;  /* may be NULL */
    void (*on_again)(void *user);    /* the reply begins anew: forgets what has been taken of it.
                                      * NULL: a reply that has begun is not asked for again */
    void *user;
};

enum stepd_status stepd_call_with(struct stepd_client *client, const struct stepd_message *message,
                                  const struct stepd_call_options *options,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
