/* SPDX-License-Identifier: Apache-2.0
 *
 * From a message to its handler and from the handler to the reply. A handler fills in one answer or
 * parks the request; it never sends. Each request is answered once, here.
 */
#ifndef CONTROL_DISPATCH_H
#define CONTROL_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/arena.h"
#include "server/control/brain.h"

/* What an answer's frame may hold beside its lists, and what its lists may: together less than
 * STEPD_HEADER_MAX_BYTES. */
#define CONTROL_PAGE_BYTES (STEPD_HEADER_MAX_BYTES - 4096u)

struct control_answer;

/* Where the frames of a long answer go, one after the other. */
struct control_pages {
    struct control_conn *conn;
    uint64_t request_id;
    struct stepd_arena arena; /* for one frame; reset when it was sent */
};

/* Writes a long answer frame by frame. On failure an Error ends the request instead. */
typedef enum stepd_status control_pages_fn(const struct control_wait *wait,
                                           struct control_pages *pages, struct stepd_error *reterr);

struct control_answer {
    bool parked;                     /* there is no answer yet */
    struct stepd_message message;    /* what it points to is borrowed until it was sent */
    control_pages_fn *pages;         /* instead of message */
    const struct control_wait *wait; /* what pages is called with */
};

/* Handles one request of a connection. Not OK: the answer is an Error with *reterr. */
typedef enum stepd_status control_handle_fn(struct control_conn *conn,
                                            const struct stepd_message *request,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr);

/* Finds the handler, calls it, and sends its answer. Fails where the connection cannot go on: the
 * first message is no good Hello, or the message has no request_id. */
enum stepd_status control_dispatch(struct control_conn *conn, const struct stepd_message *request,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Sends what a request came to: the answer, or with another status than OK the error. */
void control_send(struct control_conn *conn, uint64_t request_id, enum stepd_status status,
                  const struct control_answer *answer, const struct stepd_error *error);

/* Sends one frame of a long answer and resets the arena. */
void control_pages_put(struct control_pages *pages, struct stepd_message *message);

#endif
