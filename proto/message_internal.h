/* SPDX-License-Identifier: Apache-2.0
 *
 * What message.c, message_pack.c, message_scan.c, message_decode.c and message_encode.c share.
 * Nobody else may include it: behind it is protobuf-c's output, whose names end here.
 */
#ifndef PROTO_MESSAGE_INTERNAL_H
#define PROTO_MESSAGE_INTERNAL_H

#include <assert.h>

#include "stepd.pb-c.h"

#include "proto/message.h"

/* Our enums have the wire's numbers, so they are cast to and fro. */
#define X(KIND, member, type, number)                                                              \
    static_assert((int)STEPD_MESSAGE_##KIND == (int)STEPD__V1__HEADER__BODY_##KIND, #member);
STEPD_MESSAGE_MAP(X)
#undef X
static_assert((int)STEPD_BF16 == (int)STEPD__V1__DTYPE__BF16, "enum stepd_dtype");
static_assert((int)STEPD_BOUNDED == (int)STEPD__V1__MODE__BOUNDED, "enum stepd_mode");
static_assert((int)STEPD_SWA == (int)STEPD__V1__VIEW__SWA, "enum stepd_view");
static_assert((int)STEPD_ACCUMULATED == (int)STEPD__V1__OUTCOME__ACCUMULATED, "enum stepd_outcome");
static_assert((int)STEPD_OBSERVER == (int)STEPD__V1__ROLE__OBSERVER, "enum stepd_role");
static_assert((int)STEPD_INIT_VALUES == (int)STEPD__V1__INIT__KIND__ASSIGNED,
              "enum stepd_init_kind");
static_assert((int)STEPD_MEMBER_GIVEN_UP == (int)STEPD__V1__MEMBER_STATUS__STATE__GIVEN_UP,
              "enum stepd_member_state");
static_assert((int)STEPD_DAEMON_LEAVING == (int)STEPD__V1__DAEMON_STATUS__STATE__LEAVING,
              "enum stepd_daemon_state");
static_assert((int)STEPD_JOB_FAILED == (int)STEPD__V1__JOB_STATUS__STATE__FAILED,
              "enum stepd_job_state");

/* What a Header is made of. */
struct stepd_message_outline {
    uint64_t request_id;
    const ProtobufCFieldDescriptor *body; /* NULL: it has none that is known */
    const uint8_t *body_at;               /* borrowed; the encoded message */
    size_t body_bytes;
    unsigned unknown; /* the first field of its that is not known; 0: there is none */
};

/*
 * Looks through an encoded Header before protobuf-c does, allocating nothing: refuses what is no
 * protobuf, and every singular sub-message that occurs more than once, which protobuf-c would
 * merge in quadratic time. INVALID_ARGUMENT.
 */
enum stepd_status stepd_message_scan(const uint8_t *header, size_t n,
                                     struct stepd_message_outline *ret_outline,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Packs a Header into the end of the room: its bytes are the last ones there. Returns how many they
 * are, or room_bytes + 1 where they do not fit.
 */
size_t stepd_message_pack(const Stepd__V1__Header *wire, uint8_t *room, size_t room_bytes);

/*
 * Checks the body of an unpacked Header and fills in ret_message->kind and ->body. Lists of
 * numbers are borrowed from `wire`, all else is copied into the arena.
 * INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
 */
enum stepd_status stepd_message_decode_body(const Stepd__V1__Header *wire,
                                            struct stepd_arena *arena,
                                            struct stepd_message *ret_message,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Fills in body and body_case of `wire` for packing. What it points to is in the arena or
 * borrowed from `message`. False without memory, or for a kind that is none.
 */
bool stepd_message_encode_body(const struct stepd_message *message, struct stepd_arena *arena,
                               Stepd__V1__Header *wire) STEPD_MUST_CHECK;

#endif
