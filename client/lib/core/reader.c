/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader is a loop over two states, told apart by payload_left: in front of a head (collect
 * until stepd_frame_parse has one, decode it, ask the request for its first piece), and inside a
 * payload (fill the piece, ask for the next). Frames without a payload pass through the second
 * state in no time; nothing waits for bytes that are already here.
 */
#include "client/lib/core/reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/dtype.h"
#include "proto/error.h"
#include "proto/frame.h"

#define STASH_BYTES (128u << 10)
static_assert(STASH_BYTES > STEPD_FRAME_HEAD_MAX_BYTES, "a whole head fits into the stash");

/* From this size on a run is read straight into its array; below, one read takes many runs. */
#define DIRECT_MIN_BYTES (16u << 10)

/* Behind a payload that was read straight into its array comes the head of another such, as a rule:
 * no more than this is read with it, for what comes behind it would have to be copied. */
#define HEAD_READ_BYTES (4u << 10)

/* One read takes at most this much, so that one connection does not starve the others. */
#define WINDOW_MAX_BYTES (256u << 10)

enum stepd_status stepd_reader_init(struct stepd_reader *reader, struct stepd_pending *pending,
                                    uint32_t shard)
{
    *reader = (struct stepd_reader){.pending = pending, .shard = shard};
    stepd_arena_init(&reader->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    reader->stash = malloc(STASH_BYTES);
    return reader->stash == NULL ? STEPD_RESOURCE_EXHAUSTED : STEPD_OK;
}

void stepd_reader_deinit(struct stepd_reader *reader)
{
    stepd_arena_deinit(&reader->arena);
    free(reader->stash);
    reader->stash = NULL;
}

/* Where in its array the piece's next byte goes. */
static uint8_t *piece_next(struct stepd_reader *reader)
{
    const struct stepd_piece *const piece = &reader->piece;
    return stepd_dtype_wire_start(piece->dtype, piece->elements, piece->to) + reader->piece_at;
}

void stepd_reader_window(struct stepd_reader *reader, struct stepd_room *ret_room)
{
    const size_t missing = reader->piece_bytes - reader->piece_at;
    const bool head_only = reader->was_direct && reader->payload_left == 0;
    reader->direct =
        reader->start == reader->end && reader->piece.to != NULL && missing >= DIRECT_MIN_BYTES;
    if (reader->direct) {
        ret_room->at = piece_next(reader);
        ret_room->bytes = missing < WINDOW_MAX_BYTES ? missing : WINDOW_MAX_BYTES;
        return;
    }
    if (reader->start > 0) {
        memmove(reader->stash, reader->stash + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    ret_room->at = reader->stash + reader->end;
    ret_room->bytes = head_only ? HEAD_READ_BYTES : STASH_BYTES - reader->end;
}

/* The frame is complete; nothing of its message is needed any more. */
static void finish_frame(struct stepd_reader *reader)
{
    struct stepd_request *const request = reader->request;
    reader->request = NULL;
    if (request != NULL) {
        reader->answers += !request->kind->greets;
        request->kind->on_frame_end(request);
    }
    stepd_arena_reset(&reader->arena);
}

/* Takes the next piece from the request; without one the frame's rest is of no interest. */
static void next_piece(struct stepd_reader *reader)
{
    struct stepd_request *const request = reader->request;
    reader->piece = (struct stepd_piece){.to = NULL};
    reader->piece_at = 0;
    reader->piece_bytes = 0;
    if (request == NULL)
        return;
    if (request->kind->next_piece == NULL || !request->kind->next_piece(request, &reader->piece))
        finish_frame(reader);
    else
        reader->piece_bytes = reader->piece.elements * stepd_dtype_bytes(reader->piece.dtype);
}

/* n more bytes of the payload are in place. */
static void count_payload(struct stepd_reader *reader, size_t n)
{
    reader->payload_left -= n;
    if (reader->piece_bytes == 0)
        return;
    reader->piece_at += n;
    if (reader->piece_at < reader->piece_bytes)
        return;
    if (reader->piece.to != NULL)
        stepd_dtype_widen(reader->piece.dtype, reader->piece.elements, reader->piece.to);
    next_piece(reader);
}

/* Moves payload from the stash to where it belongs, up to the end of the piece. */
static void take_payload(struct stepd_reader *reader)
{
    size_t n = reader->end - reader->start;
    if (n > reader->payload_left)
        n = reader->payload_left;
    if (reader->piece_bytes != 0 && n > reader->piece_bytes - reader->piece_at)
        n = reader->piece_bytes - reader->piece_at;
    if (reader->piece.to != NULL)
        memcpy(piece_next(reader), reader->stash + reader->start, n);
    reader->start += n;
    count_payload(reader, n);
}

/* What a server says is wrong; some say nothing, and their code alone must do. */
static enum stepd_status server_error(const struct stepd_error_reply *reply,
                                      struct stepd_error *reterr)
{
    const enum stepd_status code = reply->code == STEPD_OK ? STEPD_UNKNOWN : reply->code;
    if (reply->text[0] != '\0')
        return stepd_fail(reterr, code, "%s", reply->text);
    return stepd_fail(reterr, code, "the server answers %s (%s) without saying why; see its log",
                      stepd_status_name(code), stepd_status_text(code));
}

/* An Error reply: of one request, or with id 0 of the whole connection. */
static enum stepd_status take_error(struct stepd_reader *reader,
                                    const struct stepd_message *message, struct stepd_error *reterr)
{
    const struct stepd_error_reply *const reply = &message->body.error;
    if (message->request_id == 0)
        return server_error(reply, reterr);
    struct stepd_request *const request =
        stepd_pending_find(reader->pending, reader->shard, message->request_id);
    struct stepd_error error;
    (void)server_error(reply, &error);
    if (request != NULL) {
        reader->answers += !request->kind->greets;
        stepd_pending_end(reader->pending, request, &error);
    }
    return STEPD_OK;
}

static enum stepd_status take_message(struct stepd_reader *reader,
                                      const struct stepd_message *message,
                                      struct stepd_error *reterr)
{
    reader->request = NULL;
    if (message->kind == STEPD_MESSAGE_ERROR)
        return take_error(reader, message, reterr);
    struct stepd_request *const request =
        stepd_pending_find(reader->pending, reader->shard, message->request_id);
    if (request == NULL || request->ended)
        return STEPD_OK;
    const enum stepd_status status =
        request->kind->on_reply(request, message, reader->payload_left, reterr);
    if (status == STEPD_OK)
        reader->request = request;
    return status;
}

/* Who sent bytes that are no frame, as far as these tell. A web server answers a Hello with a
 * status line, one that wants TLS with an alert. */
static const char *stranger(const uint8_t *bytes, size_t n)
{
    static const char http[] = "HTTP/";
    if (memcmp(bytes, http, n < sizeof http - 1 ? n : sizeof http - 1) == 0)
        return "HTTP";
    if (n >= 2 && (bytes[0] == 0x15 || bytes[0] == 0x16) && bytes[1] == 0x03)
        return "TLS";
    return NULL;
}

/* reterr holds what the parser says. */
static enum stepd_status refuse(const uint8_t *bytes, size_t n, struct stepd_error *reterr)
{
    const char *const protocol = stranger(bytes, n);
    if (protocol == NULL)
        return stepd_fail_in(reterr, STEPD_INTERNAL, "the server's answer");
    return stepd_fail(reterr, STEPD_INTERNAL, "this server speaks %s, not the protocol of stepd",
                      protocol);
}

/* Takes one head from the stash. *ret_more is false when it is not yet whole. */
static enum stepd_status take_head(struct stepd_reader *reader, bool *ret_more,
                                   struct stepd_error *reterr)
{
    const uint8_t *const bytes = reader->stash + reader->start;
    struct stepd_frame_head head;
    *ret_more = false;
    switch (stepd_frame_parse(bytes, reader->end - reader->start, STEPD_FRAME_MAX_BYTES, &head,
                              reterr)) {
    case STEPD_FRAME_NEED_MORE: return STEPD_OK;
    case STEPD_FRAME_BAD: return refuse(bytes, reader->end - reader->start, reterr);
    case STEPD_FRAME_HEAD: break;
    }
    *ret_more = true;
    stepd_arena_reset(&reader->arena);
    enum stepd_status status = stepd_message_decode(bytes + head.header_at, head.header_bytes,
                                                    &reader->arena, &reader->message, reterr);
    if (status != STEPD_OK)
        return status;
    reader->start += head.payload_at;
    reader->payload_left = head.payload_bytes;
    status = take_message(reader, &reader->message, reterr);
    if (status == STEPD_OK)
        next_piece(reader);
    return status;
}

enum stepd_status stepd_reader_advance(struct stepd_reader *reader, size_t n,
                                       struct stepd_error *reterr)
{
    reader->was_direct = reader->direct;
    if (reader->direct) {
        count_payload(reader, n);
        return STEPD_OK;
    }
    reader->end += n;
    bool more = true;
    while (more) {
        if (reader->payload_left > 0) {
            more = reader->start < reader->end;
            if (more)
                take_payload(reader);
            continue;
        }
        const enum stepd_status status = take_head(reader, &more, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}
