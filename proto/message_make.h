/* SPDX-License-Identifier: Apache-2.0
 *
 * How message_encode.c makes protobuf-c's structs: in the arena, with texts and lists of numbers
 * borrowed from the message. Whatever makes a struct returns NULL where the arena is full.
 *
 * protobuf-c's structs know no const, though packing only reads them; borrow_*() takes it off.
 */
#ifndef PROTO_MESSAGE_MAKE_H
#define PROTO_MESSAGE_MAKE_H

#include <stdint.h>
#include <string.h>

#include "proto/message_internal.h"

static inline ProtobufCBinaryData borrow_bytes(struct stepd_bytes bytes)
{
    return (ProtobufCBinaryData){.len = bytes.count, .data = (uint8_t *)(uintptr_t)bytes.at};
}

/* NULL is the empty text. */
static inline ProtobufCBinaryData borrow_text(const char *text)
{
    const size_t length = text == NULL ? 0 : strlen(text);
    return borrow_bytes((struct stepd_bytes){.count = length, .at = (const uint8_t *)text});
}

static inline uint32_t *borrow_u32(const uint32_t *numbers)
{
    return (uint32_t *)(uintptr_t)numbers;
}

static inline uint64_t *borrow_u64(const uint64_t *numbers)
{
    return (uint64_t *)(uintptr_t)numbers;
}

static inline double *borrow_double(const double *numbers)
{
    return (double *)(uintptr_t)numbers;
}

/* A struct of protobuf-c's in its initial state. */
static inline void *make(struct stepd_arena *arena, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *wire = stepd_arena_alloc(arena, type->sizeof_message);
    if (wire != NULL)
        type->message_init(wire);
    return wire;
}

Stepd__V1__Group *stepd_make_group(struct stepd_arena *arena, const struct stepd_group *group);

/* Lists of sub-messages; not NULL for an empty one. */
Stepd__V1__Group **stepd_make_groups(struct stepd_arena *arena, size_t count,
                                     const struct stepd_group *groups);
Stepd__V1__Setting **stepd_make_settings(struct stepd_arena *arena,
                                         const struct stepd_settings *settings);
Stepd__V1__Tensor **stepd_make_tensors(struct stepd_arena *arena, size_t count,
                                       const struct stepd_tensor_def *tensors);
Stepd__V1__JobStatus **stepd_make_jobs(struct stepd_arena *arena, size_t count,
                                       const struct stepd_job_status *jobs);
Stepd__V1__DaemonStatus **stepd_make_daemons(struct stepd_arena *arena, size_t count,
                                             const struct stepd_daemon_status *daemons);
Stepd__V1__Limit **stepd_make_limits(struct stepd_arena *arena, size_t count,
                                     const struct stepd_limit_status *limits);
Stepd__V1__ChangeRecord **stepd_make_records(struct stepd_arena *arena, size_t count,
                                             const struct stepd_change_record *records);
Stepd__V1__TensorGroup **stepd_make_tensor_groups(struct stepd_arena *arena, size_t count,
                                                  const struct stepd_tensor_group *tensors);

/* stepd_message_encode_body of a message between daemons: message_peer.c. */
bool stepd_make_peer_body(const struct stepd_message *message, struct stepd_arena *arena,
                          Stepd__V1__Header *wire) STEPD_MUST_CHECK;

#endif
