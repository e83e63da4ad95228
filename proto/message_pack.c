/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing: protobuf-c's structs to bytes, as its own packing does it, in a third of the time. That
 * one asks twice for the length of everything that has one, before and while it writes. This one
 * writes from the end to the beginning, the last field first: what is in front of a text, a list or
 * a message is its length, and by then it is known. It knows the messages from protobuf-c's
 * descriptors, so it cannot fall behind stepd.proto.
 *
 * Where the room ends it remembers that, and goes on without writing. Of types it knows those that
 * stepd.proto has; test_message_pack.c packs every message, and holds it against protobuf-c's
 * bytes.
 */
#include <assert.h>
#include <string.h>

#include "proto/message_internal.h"

#define VARINT_MAX_BYTES 10u

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_64_BIT = 1,
    WIRE_LENGTH = 2,
};

struct packing {
    const uint8_t *begin;
    uint8_t *at; /* the first byte that is written */
    bool full;
};

static void put(struct packing *p, const void *bytes, size_t n)
{
    p->full = p->full || n > (size_t)(p->at - p->begin);
    if (p->full || n == 0)
        return;
    p->at -= n;
    memcpy(p->at, bytes, n);
}

static void put_varint(struct packing *p, uint64_t value)
{
    if (value <= 0x7F && p->at > p->begin && !p->full) { /* nearly every one */
        *--p->at = (uint8_t)value;
        return;
    }
    uint8_t bytes[VARINT_MAX_BYTES];
    size_t n = 0;
    for (; value > 0x7F; value >>= 7)
        bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    put(p, bytes, n);
}

/* What was written since p->at was `end`, preceded by its length. */
static void put_length(struct packing *p, const uint8_t *end)
{
    put_varint(p, (uint64_t)(end - p->at));
}

static void put_tag(struct packing *p, const ProtobufCFieldDescriptor *field, enum wire_type type)
{
    put_varint(p, (uint64_t)field->id << 3 | type);
}

static void put_double(struct packing *p, double value)
{
    uint64_t bits;
    uint8_t bytes[sizeof bits];
    memcpy(&bits, &value, sizeof bits);
    for (size_t i = 0; i < sizeof bits; i++)
        bytes[i] = (uint8_t)(bits >> 8 * i);
    put(p, bytes, sizeof bytes);
}

/* As deep as our messages are nested, whatever they hold. NOLINTBEGIN(misc-no-recursion) */
static void put_message(struct packing *p, const ProtobufCMessage *message);

/* Puts the value that stands at `at` in its struct. */
static enum wire_type put_value(struct packing *p, ProtobufCType type, const void *at)
{
    const uint8_t *const end = p->at;
    const ProtobufCBinaryData *bytes;
    switch (type) {
    case PROTOBUF_C_TYPE_UINT32: put_varint(p, *(const uint32_t *)at); return WIRE_VARINT;
    case PROTOBUF_C_TYPE_UINT64: put_varint(p, *(const uint64_t *)at); return WIRE_VARINT;
    case PROTOBUF_C_TYPE_ENUM: put_varint(p, (uint64_t) * (const int32_t *)at); return WIRE_VARINT;
    case PROTOBUF_C_TYPE_BOOL:
        put_varint(p, *(const protobuf_c_boolean *)at != 0);
        return WIRE_VARINT;
    case PROTOBUF_C_TYPE_SINT32: {
        const int32_t value = *(const int32_t *)at;
        put_varint(p, (uint32_t)value << 1 ^ (value < 0 ? UINT32_MAX : 0));
        return WIRE_VARINT;
    }
    case PROTOBUF_C_TYPE_DOUBLE: put_double(p, *(const double *)at); return WIRE_64_BIT;
    case PROTOBUF_C_TYPE_BYTES:
        bytes = at;
        put(p, bytes->data, bytes->len);
        break;
    case PROTOBUF_C_TYPE_MESSAGE: put_message(p, *(ProtobufCMessage *const *)at); break;
    default: assert(false && "stepd.proto has no field of this type"); break;
    }
    put_length(p, end);
    return WIRE_LENGTH;
}

/* What every value of the type takes in a struct. */
static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_UINT64: return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_DOUBLE: return sizeof(double);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(ProtobufCMessage *);
    default: return sizeof(uint32_t);
    }
}

static_assert(sizeof(protobuf_c_boolean) == sizeof(uint32_t) && sizeof(int) == sizeof(uint32_t),
              "a bool and an enum take four bytes in protobuf-c's structs");

/* Is it what an absent field would be? */
static bool is_default(const ProtobufCFieldDescriptor *field, const void *at)
{
    static const uint8_t zeros[sizeof(uint64_t)];
    if (field->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)at)->len == 0;
    return memcmp(at, zeros, size_of(field->type)) == 0;
}

/* A list of numbers is one field, of anything else as many as it has values. */
static void put_list(struct packing *p, const ProtobufCFieldDescriptor *field, size_t count,
                     const uint8_t *values)
{
    const uint8_t *const end = p->at;
    const size_t size = size_of(field->type);
    const bool packed = (field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0;
    for (size_t i = count; i-- > 0;) {
        const enum wire_type type = put_value(p, field->type, values + i * size);
        if (!packed)
            put_tag(p, field, type);
    }
    if (!packed || count == 0)
        return;
    put_length(p, end);
    put_tag(p, field, WIRE_LENGTH);
}

static void put_field(struct packing *p, const ProtobufCFieldDescriptor *field,
                      const uint8_t *message)
{
    const uint8_t *const at = message + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        put_list(p, field, *(const size_t *)(const void *)(message + field->quantifier_offset),
                 *(const uint8_t *const *)(const void *)at);
    else if (!is_default(field, at))
        put_tag(p, field, put_value(p, field->type, at));
}

static void put_message(struct packing *p, const ProtobufCMessage *message)
{
    for (unsigned i = message->descriptor->n_fields; i-- > 0;)
        put_field(p, &message->descriptor->fields[i], (const uint8_t *)message);
}

/* NOLINTEND(misc-no-recursion) */

/* All of a Header are its id and one of the many bodies, which are not to be walked through. */
size_t stepd_message_pack(const Stepd__V1__Header *wire, uint8_t *room, size_t room_bytes)
{
    const ProtobufCMessageDescriptor *const header = &stepd__v1__header__descriptor;
    struct packing p = {.begin = room, .at = room + room_bytes};
    put_field(&p, protobuf_c_message_descriptor_get_field(header, (unsigned)wire->body_case),
              (const uint8_t *)wire);
    put_field(&p, &header->fields[0], (const uint8_t *)wire);
    return p.full ? room_bytes + 1 : (size_t)(room + room_bytes - p.at);
}
