/* SPDX-License-Identifier: Apache-2.0
 *
 * The scan before the unpacking. protobuf lets a singular sub-message occur several times and wants
 * the occurrences merged; protobuf-c does that in time quadratic in the length (a quarter of a MiB
 * takes 0.2 s). No encoder writes such input, so it is refused. The scan knows the messages from
 * protobuf-c's own descriptors, so it cannot fall behind stepd.proto.
 *
 * On its way it notes what the Header is made of, so that protobuf-c has to parse the body alone.
 *
 * It keeps the sub-messages that it is in on a small stack of its own. None of our messages is
 * recursive; were one to become so, the stack would bound it, which protobuf-c does not.
 */
#include <assert.h>

#include "proto/error.h"
#include "proto/message_internal.h"

#define DEPTH_MAX 6u

#define REQUEST_ID 1u /* the number of that field of Header */

/* Field 63 of `seen`: the oneof. One member of it may occur, whichever. */
#define ONEOF_BIT 63u

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_64_BIT = 1,
    WIRE_LENGTH = 2,
    WIRE_32_BIT = 5,
};

/* A sub-message that the scan is inside of. */
struct level {
    const ProtobufCMessageDescriptor *type;
    size_t end;    /* offset behind its last byte */
    uint64_t seen; /* bit i: fields[i], a singular sub-message, has occurred */
};

struct scan {
    const uint8_t *bytes;
    size_t at;
    struct level stack[DEPTH_MAX];
    size_t depth; /* levels in use; stack[depth - 1] is the innermost */
    struct stepd_message_outline outline;
    struct stepd_error *reterr;
};

static enum stepd_status malformed(const struct scan *s)
{
    return stepd_fail(s->reterr, STEPD_INVALID_ARGUMENT,
                      "the header is no protobuf message (at byte %zu)", s->at);
}

/* Reads a varint of at most 64 bits. */
static enum stepd_status read_varint(struct scan *s, uint64_t *ret_value)
{
    const size_t end = s->stack[s->depth - 1].end;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && s->at < end; shift += 7) {
        const uint8_t byte = s->bytes[s->at++];
        value |= (uint64_t)(byte & 0x7Fu) << shift;
        if ((byte & 0x80u) == 0) {
            *ret_value = value;
            return STEPD_OK;
        }
    }
    return malformed(s);
}

static enum stepd_status skip(struct scan *s, uint64_t length)
{
    if (length > s->stack[s->depth - 1].end - s->at)
        return malformed(s);
    s->at += (size_t)length;
    return STEPD_OK;
}

/* Goes into the sub-message of `length` bytes that stands at s->at. */
static enum stepd_status enter(struct scan *s, const ProtobufCFieldDescriptor *field,
                               uint64_t length)
{
    struct level *outer = &s->stack[s->depth - 1];
    if (length > outer->end - s->at)
        return malformed(s);
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        const bool in_oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
        const unsigned index = in_oneof ? ONEOF_BIT : (unsigned)(field - outer->type->fields);
        assert(index <= ONEOF_BIT);
        if ((outer->seen >> index & 1u) != 0)
            return stepd_fail(s->reterr, STEPD_INVALID_ARGUMENT,
                              in_oneof ? "%s: a second body, '%s'" : "%s.%s: given more than once",
                              outer->type->short_name, field->name);
        outer->seen |= UINT64_C(1) << index;
    }
    if (s->depth == DEPTH_MAX)
        return malformed(s);
    if (s->depth == 1) { /* all sub-messages of a Header are bodies */
        s->outline.body = field;
        s->outline.body_at = s->bytes + s->at;
        s->outline.body_bytes = (size_t)length;
    }
    s->stack[s->depth++] = (struct level){.type = field->descriptor, .end = s->at + (size_t)length};
    return STEPD_OK;
}

/* A field of Header is a number or a message, or one that nobody knows. */
static bool is_as_declared(struct scan *s, uint64_t tag)
{
    const ProtobufCFieldDescriptor *const field = protobuf_c_message_descriptor_get_field(
        &stepd__v1__header__descriptor, (unsigned)(tag >> 3));
    const bool message = field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE;
    if (field == NULL && s->outline.unknown == 0)
        s->outline.unknown = (unsigned)(tag >> 3);
    return field == NULL || (tag & 7u) == (message ? WIRE_LENGTH : WIRE_VARINT);
}

static enum stepd_status scan_field(struct scan *s)
{
    uint64_t tag = 0;
    uint64_t value = 0;
    enum stepd_status status = read_varint(s, &tag);
    if (status != STEPD_OK)
        return status;
    if (tag > UINT32_MAX || tag >> 3 == 0)
        return malformed(s);
    if (s->depth == 1 && !is_as_declared(s, tag))
        return malformed(s);
    switch ((enum wire_type)(tag & 7u)) {
    case WIRE_VARINT:
        status = read_varint(s, &value);
        if (s->depth == 1 && tag >> 3 == REQUEST_ID)
            s->outline.request_id = value;
        return status;
    case WIRE_64_BIT: return skip(s, 8);
    case WIRE_32_BIT: return skip(s, 4);
    case WIRE_LENGTH:
        status = read_varint(s, &value);
        if (status != STEPD_OK)
            return status;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
            s->stack[s->depth - 1].type, (unsigned)(tag >> 3));
        if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE)
            return enter(s, field, value);
        return skip(s, value);
    }
    return malformed(s);
}

enum stepd_status stepd_message_scan(const uint8_t *header, size_t n,
                                     struct stepd_message_outline *ret_outline,
                                     struct stepd_error *reterr)
{
    struct scan s = {
        .bytes = header,
        .stack = {{.type = &stepd__v1__header__descriptor, .end = n}},
        .depth = 1,
        .reterr = reterr,
    };
    while (s.depth > 0) {
        if (s.at == s.stack[s.depth - 1].end) {
            s.depth--;
            continue;
        }
        const enum stepd_status status = scan_field(&s);
        if (status != STEPD_OK)
            return status;
    }
    *ret_outline = s.outline;
    return STEPD_OK;
}
