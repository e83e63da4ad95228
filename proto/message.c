/* SPDX-License-Identifier: Apache-2.0
 *
 * Between bytes and messages. Decoding takes three steps, each of which can rely on the one before:
 *
 *   scan     message_scan.c walks the bytes once and refuses what would cost too much to parse;
 *   unpack   protobuf-c parses into the arena, and fails where that is full;
 *   check    message_decode.c copies protobuf-c's structs into ours and checks every rule.
 *
 * Encoding builds protobuf-c's structs in the arena, asks for their size, and packs them straight
 * into the buffer that goes out, behind the bytes that the frame codec wants in front. Nothing is
 * checked there but sizes: what we say is our own business, and the receiver checks it anyway.
 *
 * protobuf-c never sees a payload.
 */
#include "proto/message.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "proto/message_internal.h"

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

/* NULL: the header is no message, or memory.full. */
static Stepd__V1__Header *unpack(const uint8_t *header, size_t n, struct unpack_memory *memory)
{
    ProtobufCAllocator allocator = {
        .alloc = unpack_alloc, .free = unpack_free, .allocator_data = memory};
    return stepd__v1__header__unpack(&allocator, n, header);
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

enum stepd_status stepd_message_decode(const uint8_t *header, size_t n, struct stepd_arena *arena,
                                       struct stepd_message *ret_message,
                                       struct stepd_error *reterr)
{
    enum stepd_status status = stepd_message_scan(header, n, reterr);
    if (status != STEPD_OK)
        return status;
    struct unpack_memory memory = {.arena = arena};
    const Stepd__V1__Header *wire = unpack(header, n, &memory);
    if (wire == NULL)
        return refuse(&memory, n, reterr);
    struct stepd_message message = {.request_id = wire->request_id};
    status = stepd_message_decode_body(wire, arena, &message, reterr);
    if (status == STEPD_OK)
        *ret_message = message;
    return status;
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
    const size_t header_bytes = stepd__v1__header__get_packed_size(&wire);
    if (header_bytes > STEPD_HEADER_MAX_BYTES)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "'%s' takes %zu bytes, above the limit of %u for a header; split it",
                          name, header_bytes, STEPD_HEADER_MAX_BYTES);
    const size_t head_bytes = stepd_frame_head_bytes(header_bytes, payload_bytes);
    uint8_t *head = malloc(head_bytes);
    if (head == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to encode '%s'", name);
    size_t at = stepd_frame_write_before(header_bytes, payload_bytes, head);
    at += stepd__v1__header__pack(&wire, head + at);
    (void)stepd_frame_write_after(payload_bytes, head + at);
    *ret_head = head;
    *ret_head_bytes = head_bytes;
    return STEPD_OK;
}
