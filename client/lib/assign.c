/* SPDX-License-Identifier: Apache-2.0
 *
 * Assign frames: slices of one shard, a few MiB at a time, one call after the other. It happens
 * once in a job's life, so nothing is made of overlapping the calls.
 */
#include "client/lib/assign.h"

#include "client/lib/call.h"
#include "client/lib/client.h"
#include "client/lib/core/outgoing.h"
#include "proto/error.h"

#define FRAME_ELEMENTS (1u << 20)
#define FRAME_SLICES   1024u
#define HEADER_BYTES   (FRAME_SLICES * 5 + 128) /* of the longest Assign */

/* Slices that go together in the next frame. */
struct assignment {
    struct stepd_client *client;
    const struct stepd_layout_table *layout;
    const struct stepd_tensor *tensors;
    uint32_t shard;
    uint32_t slice[FRAME_SLICES];
    size_t slices;
    uint64_t elements;
};

static bool has_values(const struct assignment *frame, const struct stepd_part *part)
{
    return frame->tensors[part->tensor].init == STEPD_TENSOR_VALUES;
}

/* Does a worker send this slice's first values? All of its parts, or none. */
static enum stepd_status check_slice(const struct assignment *frame, size_t slice,
                                     bool *ret_assigned, struct stepd_error *reterr)
{
    const struct stepd_slice_place *const place = &frame->layout->slice[slice];
    const struct stepd_part *const part = &frame->layout->part[place->first_part];
    for (uint32_t i = 1; i < place->parts; i++) {
        if (has_values(frame, &part[i]) != has_values(frame, &part[0]))
            return stepd_fail(reterr, STEPD_INTERNAL,
                              "the server packed '%s' and '%s' together, of which one has values",
                              frame->tensors[part[0].tensor].name,
                              frame->tensors[part[i].tensor].name);
    }
    *ret_assigned = has_values(frame, part);
    return STEPD_OK;
}

static enum stepd_status add_values(const struct assignment *frame, size_t slice,
                                    struct stepd_outgoing *outgoing)
{
    const struct stepd_slice_place *const place = &frame->layout->slice[slice];
    const struct stepd_part *const part = &frame->layout->part[place->first_part];
    enum stepd_status status = STEPD_OK;
    for (uint32_t i = 0; i < place->parts && status == STEPD_OK; i++) {
        const float *const values = frame->tensors[part[i].tensor].values;
        status = stepd_outgoing_add_floats(outgoing, values + part[i].offset, part[i].elements);
    }
    return status;
}

/* Sends what has been collected, if anything, and waits for the result. */
static enum stepd_status flush(struct assignment *frame, struct stepd_error *reterr)
{
    if (frame->slices == 0)
        return STEPD_OK;
    struct stepd_outgoing *const outgoing =
        stepd_outgoing_create(STEPD_F32, (size_t)frame->elements);
    enum stepd_status status = outgoing == NULL ? STEPD_RESOURCE_EXHAUSTED : STEPD_OK;
    for (size_t i = 0; i < frame->slices && status == STEPD_OK; i++)
        status = add_values(frame, frame->slice[i], outgoing);
    if (status != STEPD_OK) {
        (void)stepd_outgoing_destroy(outgoing);
        return stepd_fail(reterr, status, "no memory to send the first values");
    }
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_ASSIGN,
        .body.assign =
            {
                .incarnation = frame->layout->incarnation,
                .slices = {.count = frame->slices, .at = frame->slice},
                .dtype = STEPD_F32,
            },
    };
    const struct stepd_call_options options = {.shard = frame->shard, .outgoing = outgoing};
    frame->slices = 0;
    frame->elements = 0;
    return stepd_call_with(frame->client, &message, &options, reterr);
}

static bool fits(const struct assignment *frame, size_t slice)
{
    const uint64_t elements = frame->elements + frame->layout->slice[slice].elements;
    return frame->slices < FRAME_SLICES && elements <= FRAME_ELEMENTS &&
           HEADER_BYTES + elements * sizeof(float) <= atomic_load(&frame->client->frame_max_bytes);
}

static enum stepd_status add_slice(struct assignment *frame, size_t slice,
                                   struct stepd_error *reterr)
{
    bool assigned = false;
    enum stepd_status status = check_slice(frame, slice, &assigned, reterr);
    if (status == STEPD_OK && assigned && !fits(frame, slice))
        status = flush(frame, reterr);
    if (status != STEPD_OK || !assigned)
        return status;
    frame->slice[frame->slices++] = (uint32_t)slice;
    frame->elements += frame->layout->slice[slice].elements;
    return STEPD_OK;
}

enum stepd_status stepd_assign(struct stepd_client *client, const struct stepd_layout_table *layout,
                               const struct stepd_tensor *tensors, struct stepd_error *reterr)
{
    struct assignment frame = {.client = client, .layout = layout, .tensors = tensors};
    enum stepd_status status = STEPD_OK;
    const uint32_t shards = atomic_load(&client->shards);
    for (frame.shard = 1; frame.shard <= shards; frame.shard++) {
        for (size_t i = 0; i < layout->slices && status == STEPD_OK; i++) {
            if (layout->slice[i].shard == frame.shard)
                status = add_slice(&frame, i, reterr);
        }
        if (status == STEPD_OK)
            status = flush(&frame, reterr);
    }
    return status;
}
