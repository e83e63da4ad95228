/* SPDX-License-Identifier: Apache-2.0 */
#include "far_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "rig.h"

#define TURNS 16

struct far_daemon *far_daemon_create(uv_loop_t *uv, int fd)
{
    struct far_daemon *const far = calloc(1, sizeof *far);
    assert_non_null(far);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    far->uv = uv;
    far->fd = fd;
    stepd_arena_init(&far->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    return far;
}

struct far_daemon *far_daemon_pair(uv_loop_t *uv, struct caller **ret_caller)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *ret_caller = caller_create(pair[0], /* tcp= */ false, "far", NULL, 0);
    assert_non_null(*ret_caller);
    return far_daemon_create(uv, pair[1]);
}

struct far_daemon *far_daemon_destroy(struct far_daemon *far)
{
    if (far == NULL)
        return NULL;
    if (far->fd >= 0)
        (void)close(far->fd);
    stepd_arena_deinit(&far->arena);
    free(far);
    return NULL;
}

void far_turn(uv_loop_t *uv)
{
    for (int i = 0; i < TURNS; i++)
        (void)uv_run(uv, UV_RUN_NOWAIT);
}

/* ---- Saying ---------------------------------------------------------------------------------- */

void far_say_bytes(struct far_daemon *far, const uint8_t *bytes, size_t n)
{
    for (size_t stuck = 0; n > 0; stuck++) {
        const ssize_t sent = send(far->fd, bytes, n, MSG_NOSIGNAL);
        assert_true(stuck < 1000 && (sent > 0 || errno == EAGAIN));
        stuck = sent > 0 ? 0 : stuck;
        bytes += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
        far_turn(far->uv);
    }
}

void far_say(struct far_daemon *far, const struct stepd_message *message, const uint8_t *payload,
             size_t payload_bytes)
{
    uint8_t *const bytes = malloc(payload_bytes + STEPD_FRAME_HEAD_MAX_BYTES);
    assert_non_null(bytes);
    far_say_bytes(far, bytes, rig_frame(bytes, 0, message, payload, payload_bytes));
    free(bytes);
}

void far_say_piece(struct far_daemon *far, struct stepd_letter head, const uint8_t *bytes, size_t n)
{
    far_say(far, &(struct stepd_message){.kind = STEPD_MESSAGE_LETTER, .body.letter = head}, bytes,
            n);
}

void far_say_letter(struct far_daemon *far, uint64_t sequence, struct peer_bytes *letter)
{
    far_say_piece(far, (struct stepd_letter){.sequence = sequence}, letter->at, letter->n);
    (void)peer_bytes_unref(letter);
}

/* ---- Hearing --------------------------------------------------------------------------------- */

static void receive(struct far_daemon *far)
{
    far_turn(far->uv);
    while (far->count < FAR_ROOM_BYTES) {
        const ssize_t n = recv(far->fd, far->bytes + far->count, FAR_ROOM_BYTES - far->count, 0);
        far->ended = far->ended || n == 0 || (n < 0 && errno == ECONNRESET);
        if (n <= 0)
            return;
        far->count += (size_t)n;
        far_turn(far->uv);
    }
}

bool far_hears(struct far_daemon *far)
{
    struct stepd_frame_head head;
    receive(far);
    if (far->count == 0 || stepd_frame_parse(far->bytes, far->count, STEPD_FRAME_MAX_BYTES, &head,
                                             NULL) != STEPD_FRAME_HEAD)
        return false;
    const size_t n = head.payload_at + head.payload_bytes;
    if (n > far->count)
        return false;
    stepd_arena_reset(&far->arena);
    assert_int_equal(stepd_message_decode(far->bytes + head.header_at, head.header_bytes,
                                          &far->arena, &far->message, NULL),
                     STEPD_OK);
    far->payload_bytes = head.payload_bytes;
    memcpy(far->payload, far->bytes + head.payload_at, head.payload_bytes);
    memmove(far->bytes, far->bytes + n, far->count - n);
    far->count -= n;
    return true;
}

const struct stepd_message *far_expect(struct far_daemon *far, enum stepd_message_kind kind)
{
    assert_true(far_hears(far));
    if (far->message.kind != kind)
        fail_msg("%s has come: %s", stepd_message_name(far->message.kind),
                 far->message.kind == STEPD_MESSAGE_ERROR ? far->message.body.error.text : "");
    return &far->message;
}

void far_expect_end(struct far_daemon *far)
{
    assert_false(far_hears(far));
    assert_true(far->ended);
}

void far_expect_refusal(struct far_daemon *far, enum stepd_status code, const char *words)
{
    const struct stepd_message *const message = far_expect(far, STEPD_MESSAGE_ERROR);
    assert_int_equal(message->body.error.code, code);
    if (strstr(message->body.error.text, words) == NULL)
        fail_msg("'%s' has no '%s'", message->body.error.text, words);
    far_expect_end(far);
}

void far_expect_silence(struct far_daemon *far)
{
    assert_false(far_hears(far));
    assert_false(far->ended);
}

/* ---- The log --------------------------------------------------------------------------------- */

void kept_log_init(struct kept_log *kept)
{
    kept->stream = open_memstream(&kept->text, &kept->n);
    assert_non_null(kept->stream);
    log_init(&kept->log, kept->stream, LOG_DEBUG);
}

void kept_log_deinit(struct kept_log *kept)
{
    (void)fclose(kept->stream);
    free(kept->text);
}

size_t kept_log_count(struct kept_log *kept, const char *words)
{
    size_t count = 0;
    (void)fflush(kept->stream);
    for (const char *at = strstr(kept->text, words); at != NULL; at = strstr(at + 1, words))
        count++;
    return count;
}

void kept_log_expect(struct kept_log *kept, const char *words)
{
    if (kept_log_count(kept, words) == 0)
        fail_msg("the log has no '%s':\n%s", words, kept->text);
}
