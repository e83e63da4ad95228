/* SPDX-License-Identifier: Apache-2.0
 *
 * A question: one message to control or to a shard, and what its reply comes to. It waits until its
 * link stands, and goes out again where the link is lost: all requests to control are answered the
 * same however often they are sent, and so is Assign.
 */
#ifndef CLIENT_LIB_CORE_QUESTION_H
#define CLIENT_LIB_CORE_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "client/lib/core/brain.h"
#include "client/lib/core/outgoing.h"
#include "client/lib/core/pending.h"
#include "proto/message.h"

/*
 * Takes one frame of the reply (borrowed until return), of the kind that answers the message. It
 * runs in the loop's thread, and must not call the client. A failure is what the question
 * comes to, once the reply has ended; later frames are then dropped.
 */
typedef enum stepd_status stepd_reply_function(void *user, const struct stepd_message *reply,
                                               struct stepd_error *reterr);

struct stepd_question {
    struct stepd_request request; /* first: the table of pending requests knows it as this */

    /* Set by who asks; what is pointed to is borrowed until on_done. */
    struct stepd_brain *brain;
    const struct stepd_message *message;   /* its request_id is chosen here, as are a Leave's
                                            * clock and a Barrier's incarnation */
    uint32_t shard;                        /* 0: control */
    const struct stepd_outgoing *outgoing; /* with a payload but no head; NULL: no payload */
    stepd_reply_function *on_reply;        /* may be NULL */
    void (*on_again)(void *user); /* the reply begins anew: forgets what has been taken of it. NULL:
                                   * a reply that has begun is not asked for again */
    void *user;
    void (*on_done)(struct stepd_question *question); /* `error` says how; it may be freed */

    struct stepd_error error; /* code OK: no failure so far */
    uint64_t clock;           /* of a Leave, the same each time that it is sent */
    uint64_t incarnation;     /* of a Barrier, likewise: a restore meanwhile does not go unseen */
    bool sent;
    bool begun; /* a part of the reply has come */
    bool last;  /* the frame that has just come ends the reply */
};

/* Ends in on_done, which may be called before this returns; unless withdrawn. */
void stepd_question_ask(struct stepd_question *question);

/* Nobody wants to know any more; on_done is not called. A reply that comes later finds no request
 * of its id, and is dropped. */
void stepd_question_withdraw(struct stepd_question *question);

#endif
