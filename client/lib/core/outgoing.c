/* SPDX-License-Identifier: Apache-2.0
 *
 * Building a frame. Neighbouring floats make one span, so that a large tensor goes out in one
 * piece although its slices were added one by one.
 */
#include "client/lib/core/outgoing.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/core/grow.h"
#include "proto/dtype.h"
#include "proto/error.h"
#include "proto/frame.h"

/* Do floats in memory look like these elements on the wire? */
static bool travels_as_it_is(enum stepd_dtype dtype)
{
    return dtype == STEPD_F32 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

struct stepd_outgoing *stepd_outgoing_create(enum stepd_dtype dtype, size_t elements)
{
    struct stepd_outgoing *const outgoing = malloc(sizeof *outgoing);
    if (outgoing == NULL)
        return NULL;
    *outgoing = (struct stepd_outgoing){
        .dtype = dtype,
        .payload_max = elements * stepd_dtype_bytes(dtype),
    };
    if (elements == 0 || travels_as_it_is(dtype))
        return outgoing;
    outgoing->narrowed = malloc(outgoing->payload_max);
    return outgoing->narrowed == NULL ? stepd_outgoing_destroy(outgoing) : outgoing;
}

struct stepd_outgoing *stepd_outgoing_again(const struct stepd_outgoing *outgoing)
{
    struct stepd_outgoing *const again = calloc(1, sizeof *again);
    if (again == NULL)
        return NULL;
    again->dtype = outgoing->dtype;
    again->payload_bytes = outgoing->payload_bytes;
    again->payload_max = outgoing->payload_max;
    if (outgoing->spans == 0)
        return again;
    again->span = calloc(outgoing->spans, sizeof *again->span);
    if (again->span == NULL)
        return stepd_outgoing_destroy(again);
    memcpy(again->span, outgoing->span, outgoing->spans * sizeof *again->span);
    again->spans = outgoing->spans;
    again->room = outgoing->spans;
    return again;
}

static enum stepd_status add_span(struct stepd_outgoing *outgoing, const void *at, size_t bytes)
{
    if (outgoing->spans > 0) {
        struct stepd_span *const newest = &outgoing->span[outgoing->spans - 1];
        if ((const uint8_t *)newest->at + newest->bytes == (const uint8_t *)at) {
            newest->bytes += bytes;
            return STEPD_OK;
        }
    }
    struct stepd_span *const grown =
        stepd_grow(outgoing->span, &outgoing->room, outgoing->spans + 1, sizeof *grown);
    if (grown == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    outgoing->span = grown;
    outgoing->span[outgoing->spans++] = (struct stepd_span){.at = at, .bytes = bytes};
    return STEPD_OK;
}

enum stepd_status stepd_outgoing_add_floats(struct stepd_outgoing *outgoing, const float *floats,
                                            size_t n)
{
    const size_t bytes = n * stepd_dtype_bytes(outgoing->dtype);
    assert(bytes <= outgoing->payload_max - outgoing->payload_bytes);
    const void *at = floats;
    if (n == 0)
        return STEPD_OK;
    if (outgoing->narrowed != NULL) {
        uint8_t *const wire = outgoing->narrowed + outgoing->payload_bytes;
        stepd_dtype_narrow(outgoing->dtype, n, floats, wire);
        at = wire;
    }
    const enum stepd_status status = add_span(outgoing, at, bytes);
    if (status == STEPD_OK)
        outgoing->payload_bytes += bytes;
    return status;
}

enum stepd_status stepd_outgoing_encode(struct stepd_outgoing *outgoing,
                                        const struct stepd_message *message,
                                        struct stepd_arena *arena, struct stepd_error *reterr)
{
    outgoing->request_id = message->request_id;
    stepd_arena_reset(arena);
    return stepd_message_encode(message, outgoing->payload_bytes, arena, &outgoing->head,
                                &outgoing->head_bytes, reterr);
}

enum stepd_status stepd_outgoing_check(const struct stepd_outgoing *outgoing,
                                       struct stepd_arena *arena, struct stepd_error *reterr)
{
    struct stepd_frame_head head;
    struct stepd_message message;
    const enum stepd_frame_progress progress =
        stepd_frame_parse(outgoing->head, outgoing->head_bytes, SIZE_MAX, &head, reterr);
    assert(progress == STEPD_FRAME_HEAD);
    (void)progress;
    stepd_arena_reset(arena);
    return stepd_message_decode(outgoing->head + head.header_at, head.header_bytes, arena, &message,
                                reterr);
}

struct stepd_outgoing *stepd_outgoing_destroy(struct stepd_outgoing *outgoing)
{
    if (outgoing == NULL)
        return NULL;
    free(outgoing->head);
    free(outgoing->span);
    free(outgoing->narrowed);
    free(outgoing);
    return NULL;
}
