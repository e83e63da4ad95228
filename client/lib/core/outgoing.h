/* SPDX-License-Identifier: Apache-2.0
 *
 * One frame on its way out: its encoded head, and its payload as a list of spans that mostly lie in
 * the caller's arrays and are sent from there. Where elements have to be converted (16 bits; any
 * at all on a big-endian machine) they are narrowed into one buffer of the frame's own.
 *
 *     stepd_outgoing_create -> stepd_outgoing_add_floats... -> stepd_outgoing_encode
 *     -> (the socket) -> stepd_outgoing_destroy
 */
#ifndef CLIENT_LIB_CORE_OUTGOING_H
#define CLIENT_LIB_CORE_OUTGOING_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "proto/arena.h"
#include "proto/message.h"

struct stepd_span {
    const void *at;
    size_t bytes;
};

struct stepd_outgoing {
    uint64_t request_id;
    int32_t priority; /* as the sender has set it: see sendqueue.h */
    uint64_t clock;   /* likewise */
    uint8_t *head;    /* owned */
    size_t head_bytes;
    struct stepd_span *span; /* owned list of borrowed memory; never an empty span */
    size_t spans, room;
    enum stepd_dtype dtype; /* as the elements travel */
    uint8_t *narrowed;      /* owned; NULL where nothing is converted */
    size_t payload_bytes;   /* added so far */
    size_t payload_max;     /* as given to create */
};

/* A frame for at most `elements` elements that travel as dtype; with destroy to be freed. NULL:
 * no memory. */
struct stepd_outgoing *stepd_outgoing_create(enum stepd_dtype dtype, size_t elements);

/* The same payload once more, from the same memory, which the first frame goes on to hold and must
 * outlive; no head. NULL: no memory. */
struct stepd_outgoing *stepd_outgoing_again(const struct stepd_outgoing *outgoing);

/* Appends n floats (borrowed until the frame is destroyed) to the payload. RESOURCE_EXHAUSTED:
 * no memory. */
enum stepd_status stepd_outgoing_add_floats(struct stepd_outgoing *outgoing, const float *floats,
                                            size_t n) STEPD_MUST_CHECK;

/* Encodes the head for this message (borrowed until return) and what has been added. The arena is
 * reset. RESOURCE_EXHAUSTED: no memory, or the message is above 64 KiB. */
enum stepd_status stepd_outgoing_encode(struct stepd_outgoing *outgoing,
                                        const struct stepd_message *message,
                                        struct stepd_arena *arena,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A message that breaks a rule of the protocol (a setting that is no number, a name that is too
 * long) would cost the connection. So the encoded head is read here as the server would read it,
 * and refused in the same words: INVALID_ARGUMENT. The arena is reset. */
enum stepd_status stepd_outgoing_check(const struct stepd_outgoing *outgoing,
                                       struct stepd_arena *arena,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct stepd_outgoing *stepd_outgoing_destroy(struct stepd_outgoing *outgoing);

#endif
