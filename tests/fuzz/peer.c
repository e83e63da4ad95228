/* SPDX-License-Identifier: Apache-2.0
 *
 * What arrives is cut into frames as server/net does it. What must hold of replies, whatever was
 * asked: they can be encoded and decoded, errors have a text that can be printed, and their weights
 * are the same when they are read.
 */
#include "tests/fuzz/peer.h"

#include <string.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "proto/place.h"
#include "proto/utf8.h"
#include "tests/fuzz/fuzz.h"

#define UNREAD_MOST_BYTES 256u

struct reply {
    struct reply *next;
    uint8_t *frame; /* owned; its head */
    size_t frame_bytes;
    struct core_piece *piece; /* owned, and so is a reference of each */
    size_t pieces;
    uint64_t sum; /* of its payload, when it was sent */
};

/* ---- Replies --------------------------------------------------------------------------------- */

static uint64_t sum_of(const struct core_piece *piece, size_t pieces)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < pieces; i++) {
        for (size_t k = 0; k < piece[i].count; k++)
            sum = (sum ^ piece[i].bytes[k]) * UINT64_C(1099511628211);
    }
    return sum;
}

static size_t bytes_of(const struct core_piece *piece, size_t pieces)
{
    size_t bytes = 0;
    for (size_t i = 0; i < pieces; i++)
        bytes += piece[i].count;
    return bytes;
}

static void check_message(const struct stepd_message *message)
{
    if (message->kind != STEPD_MESSAGE_ERROR)
        return;
    const struct stepd_error_reply *const error = &message->body.error;
    const size_t n = strlen(error->text);
    FUZZ_CHECK(error->code != STEPD_OK && n > 0);
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, n));
}

void peer_on_reply(struct peer *peer, const struct stepd_message *message,
                   const struct core_piece *piece, size_t pieces)
{
    struct stepd_arena arena;
    struct reply *const reply = calloc(1, sizeof *reply);
    FUZZ_CHECK(reply != NULL);
    reply->piece = calloc(pieces + 1, sizeof *piece);
    FUZZ_CHECK(reply->piece != NULL);
    check_message(message);
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    FUZZ_CHECK(stepd_message_encode(message, bytes_of(piece, pieces), &arena, &reply->frame,
                                    &reply->frame_bytes, NULL) == STEPD_OK);
    stepd_arena_deinit(&arena);
    for (size_t i = 0; i < pieces; i++)
        reply->piece[i] = piece[i];
    reply->pieces = pieces;
    reply->sum = sum_of(piece, pieces);
    *peer->replies_end = reply;
    peer->replies_end = &reply->next;
    peer->unread += bytes_of(piece, pieces);
    peer->choked = peer->choked || peer->unread > UNREAD_MOST_BYTES;
}

/* Brings a reply to whoever reads it. */
static void show(const struct peer *peer, const struct reply *reply)
{
    struct stepd_frame_head head;
    struct stepd_message message;
    struct stepd_arena arena;
    struct bytes payload = {.at = NULL};
    for (size_t i = 0; i < reply->pieces; i++)
        bytes_append(&payload, reply->piece[i].bytes, reply->piece[i].count);
    FUZZ_CHECK(stepd_frame_parse(reply->frame, reply->frame_bytes, STEPD_FRAME_MAX_BYTES, &head,
                                 NULL) == STEPD_FRAME_HEAD);
    FUZZ_CHECK(head.payload_bytes == payload.count);
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    FUZZ_CHECK(stepd_message_decode(reply->frame + head.header_at, head.header_bytes, &arena,
                                    &message, NULL) == STEPD_OK);
    peer->on_read(peer->owner, &message, payload.at, payload.count);
    stepd_arena_deinit(&arena);
    free(payload.at);
}

/* Replies have been read; who has waited for that comes again. */
static void take_again(struct peer *peer)
{
    if (!peer->choked || peer->unread >= UNREAD_MOST_BYTES / 4)
        return;
    peer->choked = false;
    if (peer->conn != NULL && peer->host != BRAINS_CONTROL)
        core_on_taken(peer->conn, peer->brains->now_ms);
}

static void drop_first(struct peer *peer)
{
    struct reply *const reply = peer->replies;
    peer->replies = reply->next;
    if (peer->replies == NULL)
        peer->replies_end = &peer->replies;
    peer->unread -= bytes_of(reply->piece, reply->pieces);
    for (size_t i = 0; i < reply->pieces; i++)
        core_release(peer->brains->core[peer->host], reply->piece[i].weights, peer->brains->now_ms);
    free(reply->frame);
    free(reply->piece);
    free(reply);
    take_again(peer);
}

void peer_read(struct peer *peer, size_t n)
{
    for (; n > 0 && peer->replies != NULL; n--) {
        const struct reply *const reply = peer->replies;
        FUZZ_CHECK(sum_of(reply->piece, reply->pieces) == reply->sum);
        if (peer->on_read != NULL)
            show(peer, reply);
        drop_first(peer);
    }
}

/* ---- What arrives ---------------------------------------------------------------------------- */

static void close_conn(struct peer *peer)
{
    if (peer->conn != NULL && peer->host == BRAINS_CONTROL)
        control_close(peer->conn, peer->brains->now_ms);
    else if (peer->conn != NULL)
        core_close(peer->conn, peer->brains->now_ms);
    peer_on_hang_up(peer);
}

/* It cannot go on: the peer is told why, and it ends. */
static void refuse(struct peer *peer, const struct stepd_error *error)
{
    const struct stepd_message message = {.kind = STEPD_MESSAGE_ERROR,
                                          .body.error = {.code = error->code, .text = error->text}};
    peer_on_reply(peer, &message, NULL, 0);
    close_conn(peer);
}

static enum stepd_status hand_over(const struct peer *peer, const struct stepd_message *message,
                                   size_t payload_bytes, struct stepd_error *reterr)
{
    if (peer->host != BRAINS_CONTROL)
        return core_on_message(peer->conn, message, payload_bytes, peer->brains->now_ms, reterr);
    if (payload_bytes > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "control takes no payload");
    return control_on_message(peer->conn, message, peer->brains->now_ms, reterr);
}

/* False: it is not whole yet. */
static bool take_head(struct peer *peer)
{
    struct stepd_frame_head head;
    struct stepd_error error = {.code = STEPD_OK};
    const uint8_t *const bytes = peer->up.at + peer->taken;
    const enum stepd_frame_progress progress =
        stepd_frame_parse(bytes, peer->arrived - peer->taken, STEPD_FRAME_MAX_BYTES, &head, &error);
    if (progress == STEPD_FRAME_NEED_MORE)
        return false;
    struct stepd_arena arena;
    struct stepd_message message;
    enum stepd_status status = error.code;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    if (progress == STEPD_FRAME_HEAD)
        status = stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &message,
                                      &error);
    if (status == STEPD_OK) {
        peer->taken += head.payload_at;
        peer->payload_left = head.payload_bytes;
        status = hand_over(peer, &message, head.payload_bytes, &error);
    }
    stepd_arena_deinit(&arena);
    if (status != STEPD_OK)
        refuse(peer, &error);
    return true;
}

static void take_payload(struct peer *peer)
{
    const size_t here = peer->arrived - peer->taken;
    size_t n = here < peer->payload_left ? here : peer->payload_left;
    size_t room = 0;
    uint8_t *const window = core_window(peer->conn, &room);
    n = n < room ? n : room;
    FUZZ_CHECK(n > 0);
    if (window != NULL)
        memcpy(window, peer->up.at + peer->taken, n);
    peer->taken += n;
    peer->payload_left -= n;
    core_filled(peer->conn, n, peer->brains->now_ms);
}

void peer_carry(struct peer *peer, size_t n)
{
    const size_t left = peer->up.count - peer->arrived;
    peer->arrived += n < left ? n : left;
    while (peer->conn != NULL && !peer->held && peer->taken < peer->arrived) {
        if (peer->payload_left > 0)
            take_payload(peer);
        else if (!take_head(peer))
            break;
    }
}

void peer_send_bytes(struct peer *peer, const void *bytes, size_t n)
{
    bytes_append(&peer->up, bytes, n);
}

void peer_send(struct peer *peer, const struct stepd_message *message, const void *payload,
               size_t payload_bytes)
{
    struct stepd_arena arena;
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    if (stepd_message_encode(message, payload_bytes, &arena, &head, &head_bytes, NULL) ==
        STEPD_OK) {
        bytes_append(&peer->up, head, head_bytes);
        bytes_append(&peer->up, payload, payload_bytes);
        free(head);
    }
    stepd_arena_deinit(&arena);
}

/* ---- Replies that nobody reads --------------------------------------------------------------- */

static size_t in_the_way(const struct peer *peer, const struct weights *weights)
{
    size_t held = 0;
    if (!peer->gives_way && peer->conn != NULL)
        return 0;
    for (const struct reply *reply = peer->replies; reply != NULL; reply = reply->next) {
        for (size_t i = 0; i < reply->pieces; i++)
            held += reply->piece[i].weights == weights;
    }
    return held;
}

size_t peers_in_the_way(const struct brains *brains, const struct weights *weights)
{
    size_t held = 0;
    for (const struct peer *peer = brains->peers; peer != NULL; peer = peer->next)
        held += in_the_way(peer, weights);
    return held;
}

size_t peers_cut(const struct brains *brains, const struct weights *weights)
{
    size_t cut = 0;
    for (struct peer *peer = brains->peers; peer != NULL; peer = peer->next) {
        if (peer->cut || in_the_way(peer, weights) == 0)
            continue;
        peer->cut = true;
        cut++;
    }
    return cut;
}

bool peers_close_cut(struct brains *brains)
{
    bool any = false;
    for (struct peer *peer = brains->peers; peer != NULL;) {
        if (!peer->cut) {
            peer = peer->next;
            continue;
        }
        any = true;
        peer_close(peer);
        peer = brains->peers; /* what that has given back may have cut others */
    }
    return any;
}

/* ---- Memory that is shared ------------------------------------------------------------------- */

uint8_t *peer_pages(size_t bytes)
{
    const size_t room = (bytes / STEPD_PLACE_BYTES + 1) * STEPD_PLACE_BYTES;
    uint8_t *const pages = aligned_alloc(STEPD_PLACE_BYTES, room);
    FUZZ_CHECK(pages != NULL);
    return memset(pages, 0, room);
}

const uint8_t *peer_on_lend(struct peer *peer, size_t gradients_bytes)
{
    free(peer->gradients);
    peer->gradients = peer_pages(gradients_bytes);
    peer->gradients_bytes = gradients_bytes;
    return peer->gradients;
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

void peer_open(struct peer *peer, struct brains *brains, uint32_t host)
{
    peer_read_fn *const on_read = peer->on_read;
    void *const owner = peer->owner;
    *peer = (struct peer){.brains = brains, .host = host, .on_read = on_read, .owner = owner};
    peer->replies_end = &peer->replies;
    peer->conn = host == BRAINS_CONTROL
                     ? (void *)control_open(brains->control, peer, brains->now_ms)
                     : (void *)core_open(brains->core[host], peer, brains->now_ms);
    FUZZ_CHECK(peer->conn != NULL);
    peer->next = brains->peers;
    brains->peers = peer;
}

static void unlist(const struct peer *peer)
{
    struct peer **at = peer->brains == NULL ? NULL : &peer->brains->peers;
    while (at != NULL && *at != NULL && *at != peer)
        at = &(*at)->next;
    if (at != NULL && *at == peer)
        *at = peer->next;
}

void peer_on_hang_up(struct peer *peer)
{
    peer->conn = NULL;
    free(peer->gradients);
    peer->gradients = NULL;
    peer->gradients_bytes = 0;
}

void peer_on_hold(struct peer *peer, bool hold)
{
    FUZZ_CHECK(peer->held != hold);
    peer->held = hold;
}

void peer_close(struct peer *peer)
{
    close_conn(peer);
    while (peer->replies != NULL)
        drop_first(peer);
    unlist(peer);
    peer->cut = false;
    free(peer->up.at);
    peer->up = (struct bytes){.at = NULL};
    peer->arrived = 0;
    peer->taken = 0;
    peer->payload_left = 0;
}
