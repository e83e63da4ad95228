/* SPDX-License-Identifier: Apache-2.0
 *
 * The other daemon of a link, on the test's end of a socket: it says what the test makes up, and
 * hears what comes, while the test turns the loop of the end that is tested. What that writes into
 * its log can be asked for.
 */
#ifndef TESTS_UNIT_NET_FAR_DAEMON_H
#define TESTS_UNIT_NET_FAR_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

#include "proto/arena.h"
#include "proto/message.h"
#include "server/base/log.h"
#include "server/net/caller.h"
#include "server/peer/letter.h"

enum { FAR_ROOM_BYTES = 1 << 20 };

struct far_daemon {
    uv_loop_t *uv; /* borrowed; of the end that is tested */
    int fd;        /* -1: closed */
    bool ended;    /* the other end has said that nothing more comes, or reset */
    size_t count;
    uint8_t bytes[FAR_ROOM_BYTES]; /* received and not consumed yet */
    struct stepd_arena arena;
    /* What was heard last, until the next. */
    struct stepd_message message;
    size_t payload_bytes;
    uint8_t payload[FAR_ROOM_BYTES];
};

/* Takes ownership of the socket. */
struct far_daemon *far_daemon_create(uv_loop_t *uv, int fd);
/* The same of one end of a pair; *ret_caller: the other, owned by the caller. */
struct far_daemon *far_daemon_pair(uv_loop_t *uv, struct caller **ret_caller);
/* NULL is fine. Returns NULL. */
struct far_daemon *far_daemon_destroy(struct far_daemon *far);

/* Turns the loop until nothing more happens by itself. */
void far_turn(uv_loop_t *uv);

void far_say(struct far_daemon *far, const struct stepd_message *message, const uint8_t *payload,
             size_t payload_bytes);
void far_say_bytes(struct far_daemon *far, const uint8_t *bytes, size_t n);

/* A letter's piece; and a whole one, packed. Gives the reference back. */
void far_say_piece(struct far_daemon *far, struct stepd_letter head, const uint8_t *bytes,
                   size_t n);
void far_say_letter(struct far_daemon *far, uint64_t sequence, struct peer_bytes *letter);

/* Hears one more message. False: nothing has come, or only the end. */
bool far_hears(struct far_daemon *far);

/* The next message is of this kind. */
const struct stepd_message *far_expect(struct far_daemon *far, enum stepd_message_kind kind);
/* It is an Error with this code and these words, and then comes the end. */
void far_expect_refusal(struct far_daemon *far, enum stepd_status code, const char *words);
/* Nothing comes, and no end either. */
void far_expect_silence(struct far_daemon *far);
void far_expect_end(struct far_daemon *far);

/* A log that is kept. */
struct kept_log {
    struct log log;
    FILE *stream; /* owned */
    char *text;   /* owned; of what was logged until the stream was flushed */
    size_t n;
};

void kept_log_init(struct kept_log *kept);
void kept_log_deinit(struct kept_log *kept);
/* How many lines have these words. */
size_t kept_log_count(struct kept_log *kept, const char *words);
void kept_log_expect(struct kept_log *kept, const char *words);

#endif
