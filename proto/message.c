/* SPDX-License-Identifier: Apache-2.0
 *
 * Between bytes and messages. Decoding takes three steps, each of which can rely on the one before:
 *
 *   scan     message_scan.c walks the bytes once, refuses what would cost too much to parse, and
 *            says which body there is, and where;
 *   unpack   protobuf-c parses the body into the arena, and fails where that is full;
 *   check    message_decode.c copies protobuf-c's structs into ours and checks every rule.
 *
 * Encoding builds protobuf-c's structs in the arena, packs them (message_pack.c) into room that is
 * large enough for nearly all, else into as much as a header may take, and copies the bytes behind
 * those that the frame codec wants in front. Nothing is checked there but sizes: what we say is our
 * own business, and the receiver checks it anyway.
 *
 * protobuf-c never sees a payload.
 */
#include "proto/message.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "proto/message_internal.h"

#define SMALL_BYTES 512u /* what nearly all headers fit */

const char *stepd_message_name(enum stepd_message_kind kind)
{
    switch (kind) {
#define X(KIND, member, type, number)                                                              \
    case STEPD_MESSAGE_##KIND: return #member;
        STEPD_MESSAGE_MAP(X)
#undef X
    }
    return "unknown";
}

/* protobuf-c's memory is the arena; `full` remembers why an unpacking failed. */
struct unpack_memory {
    struct stepd_arena *arena;
    bool full;
};

static void *unpack_alloc(void *memory, size_t size)
{
    struct unpack_memory *m = memory;
    void *given = stepd_arena_alloc(m->arena, size);
    m->full = m->full || given == NULL;
    return given;
}

/* The arena frees everything at once. */
static void unpack_free(void *memory, void *pointer)
{
    (void)memory;
    (void)pointer;
}

/* False: the body is no message, or memory->full. */
static bool unpack(const struct stepd_message_outline *outline, struct unpack_memory *memory,
                   Stepd__V1__Header *wire)
{
    ProtobufCAllocator allocator = {
        .alloc = unpack_alloc, .free = unpack_free, .allocator_data = memory};
    wire->request_id = outline->request_id;
    ProtobufCMessage *const body = protobuf_c_message_unpack(outline->body->descriptor, &allocator,
                                                             outline->body_bytes, outline->body_at);
    wire->body_case = (Stepd__V1__Header__BodyCase)outline->body->id;
    memcpy((uint8_t *)wire + outline->body->offset, &body, sizeof body); /* into the oneof */
    return body != NULL;
}

static enum stepd_status refuse(const struct unpack_memory *memory, size_t n,
                                struct stepd_error *reterr)
{
    if (memory->full)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "a header of %zu bytes takes too much memory; send smaller pages", n);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the header is no protobuf message of type stepd.v1.Header");
}

static enum stepd_status refuse_bodyless(const struct stepd_message_outline *outline,
                                         struct stepd_error *reterr)
{
    if (outline->unknown > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the header has no body that this build knows, but a field %u",
                          outline->unknown);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the header has no body");
}

enum stepd_status stepd_message_decode(const uint8_t *header, size_t n, struct stepd_arena *arena,
                                       struct stepd_message *ret_message,
                                       struct stepd_error *reterr)
{
    struct stepd_message_outline outline;
    enum stepd_status status = stepd_message_scan(header, n, &outline, reterr);
    if (status != STEPD_OK)
        return status;
    if (outline.body == NULL)
        return refuse_bodyless(&outline, reterr);
    struct unpack_memory memory = {.arena = arena};
    Stepd__V1__Header wire = STEPD__V1__HEADER__INIT;
    if (!unpack(&outline, &memory, &wire))
        return refuse(&memory, n, reterr);
    struct stepd_message message = {.request_id = wire.request_id};
    status = stepd_message_decode_body(&wire, arena, &message, reterr);
    if (status == STEPD_OK)
        *ret_message = message;
    return status;
}

/* The bytes of a frame in front of its payload, in memory of their own; NULL: there is none. */
static uint8_t *make_head(const uint8_t *header, size_t header_bytes, size_t payload_bytes,
                          size_t *ret_head_bytes)
{
    const size_t head_bytes = stepd_frame_head_bytes(header_bytes, payload_bytes);
    uint8_t *const head = malloc(head_bytes);
    if (head == NULL)
        return NULL;
    const size_t at = stepd_frame_write_before(header_bytes, payload_bytes, head);
    memcpy(head + at, header, header_bytes);
    (void)stepd_frame_write_after(payload_bytes, head + at + header_bytes);
    *ret_head_bytes = head_bytes;
    return head;
}

enum stepd_status stepd_message_encode(const struct stepd_message *message, size_t payload_bytes,
                                       struct stepd_arena *arena, uint8_t **ret_head,
                                       size_t *ret_head_bytes, struct stepd_error *reterr)
{
    const char *name = stepd_message_name(message->kind);
    Stepd__V1__Header wire = STEPD__V1__HEADER__INIT;
    wire.request_id = message->request_id;
    if (!stepd_message_encode_body(message, arena, &wire))
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to encode '%s'", name);
    uint8_t small[SMALL_BYTES];
    uint8_t *room = small;
    size_t room_bytes = sizeof small;
    size_t header_bytes = stepd_message_pack(&wire, room, room_bytes);
    if (header_bytes > room_bytes) {
        room_bytes = STEPD_HEADER_MAX_BYTES;
        room = stepd_arena_alloc(arena, room_bytes);
        if (room == NULL)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to encode '%s'", name);
        header_bytes = stepd_message_pack(&wire, room, room_bytes);
    }
    if (header_bytes > room_bytes)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "'%s' takes %zu bytes, above the limit of %u for a header; split it",
                          name, stepd__v1__header__get_packed_size(&wire), STEPD_HEADER_MAX_BYTES);
    uint8_t *const head =
        make_head(room + room_bytes - header_bytes, header_bytes, payload_bytes, ret_head_bytes);
    if (head == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to encode '%s'", name);
    *ret_head = head;
    return STEPD_OK;
}
