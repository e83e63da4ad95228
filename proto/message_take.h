/* SPDX-License-Identifier: Apache-2.0
 *
 * How message_decode.c takes values out of protobuf-c's structs: one function for each kind of
 * value, each with the rule that it must keep.
 *
 * Errors stick. The first rule that is broken is written down in the decoder, and from then on
 * everything that is taken is empty; so a message can be decoded as one struct literal, and only
 * the caller at the end looks at the outcome. After a failure lists are NULL: loops over them run
 * while the decoder's status is OK.
 *
 * A struct place says where in the message we are ("define_job.groups[2].settings"). The places of
 * a path are linked through the call stack, and are put into words only for an error.
 */
#ifndef PROTO_MESSAGE_TAKE_H
#define PROTO_MESSAGE_TAKE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/message_internal.h"

#define STEPD_PLACE_NO_INDEX SIZE_MAX

struct stepd_decoder {
    struct stepd_arena *arena;
    struct stepd_error *reterr;
    enum stepd_status status; /* of the first failure */
};

struct stepd_place {
    const struct stepd_place *above; /* NULL for the body */
    const char *field;
    size_t index; /* in a list; else STEPD_PLACE_NO_INDEX */
};

/*
 * Writes down that a field breaks a rule, unless something broke before. Here and below, `field`
 * NULL means the place itself: an element of a list of plain values.
 */
void stepd_take_refuse(struct stepd_decoder *d, const struct stepd_place *above, const char *field,
                       const char *fmt, ...) STEPD_PRINTF(4, 5);

/* Rules about numbers: refuse unless count == wanted, value <= most. */
void stepd_take_same_length(struct stepd_decoder *d, const struct stepd_place *above,
                            const char *field, size_t count, size_t wanted);
void stepd_take_at_most(struct stepd_decoder *d, const struct stepd_place *above, const char *field,
                        uint64_t value, uint64_t most);

/* count elements of the arena, zeroed; NULL after any failure. */
void *stepd_take_array(struct stepd_decoder *d, size_t count, size_t size);

/*
 * A NUL-terminated copy in the arena, or "" after a failure. text: printable UTF-8 of at most
 * max_bytes; name: one of at most STEPD_NAME_MAX_BYTES; some_name: one that is not empty.
 */
const char *stepd_take_text(struct stepd_decoder *d, const struct stepd_place *above,
                            const char *field, const ProtobufCBinaryData *text, size_t max_bytes);
const char *stepd_take_name(struct stepd_decoder *d, const struct stepd_place *above,
                            const char *field, const ProtobufCBinaryData *name);
const char *stepd_take_some_name(struct stepd_decoder *d, const struct stepd_place *above,
                                 const char *field, const ProtobufCBinaryData *name);

/* An id of so many bytes, or none. */
struct stepd_bytes stepd_take_id(struct stepd_decoder *d, const struct stepd_place *above,
                                 const char *field, const ProtobufCBinaryData *id, size_t bytes);

/* A number that the enum knows; 0 if it does not. `mode` is the field of that name. */
int stepd_take_enum(struct stepd_decoder *d, const struct stepd_place *above, const char *field,
                    const ProtobufCEnumDescriptor *type, int number);
enum stepd_dtype stepd_take_dtype(struct stepd_decoder *d, const struct stepd_place *above,
                                  const char *field, Stepd__V1__DType number);
enum stepd_view stepd_take_view(struct stepd_decoder *d, const struct stepd_place *above,
                                const char *field, Stepd__V1__View number);
enum stepd_mode stepd_take_mode(struct stepd_decoder *d, const struct stepd_place *above,
                                Stepd__V1__Mode number);

/* A number that is neither NaN nor infinite. */
double stepd_take_finite(struct stepd_decoder *d, const struct stepd_place *above,
                         const char *field, double value);

/* The field `slices` of a request: not empty. Borrowed from protobuf-c's struct. */
struct stepd_u32s stepd_take_slices(struct stepd_decoder *d, const struct stepd_place *above,
                                    size_t count, const uint32_t *slices);

/* Lists of sub-messages, named as their fields are ("groups", "tensors", "jobs"). */
const struct stepd_group *stepd_take_groups(struct stepd_decoder *d,
                                            const struct stepd_place *above, size_t count,
                                            Stepd__V1__Group *const *wire);
/* A list of settings in the field of this name. */
struct stepd_settings stepd_take_settings(struct stepd_decoder *d, const struct stepd_place *above,
                                          const char *field, size_t count,
                                          Stepd__V1__Setting *const *wire);
/* The field `defaults`, where NULL is a group that says nothing. */
struct stepd_group stepd_take_defaults(struct stepd_decoder *d, const struct stepd_place *above,
                                       const Stepd__V1__Group *wire);
/* The field `group` of a change, where NULL is one that says nothing. */
struct stepd_group stepd_take_edit(struct stepd_decoder *d, const struct stepd_place *above,
                                   const Stepd__V1__Group *wire);
const struct stepd_tensor_def *stepd_take_tensors(struct stepd_decoder *d,
                                                  const struct stepd_place *above, size_t count,
                                                  Stepd__V1__Tensor *const *wire);
const struct stepd_job_status *stepd_take_jobs(struct stepd_decoder *d,
                                               const struct stepd_place *above, size_t count,
                                               Stepd__V1__JobStatus *const *wire);
const struct stepd_daemon_status *stepd_take_daemons(struct stepd_decoder *d,
                                                     const struct stepd_place *above, size_t count,
                                                     Stepd__V1__DaemonStatus *const *wire);
const struct stepd_limit_status *stepd_take_limits(struct stepd_decoder *d,
                                                   const struct stepd_place *above, size_t count,
                                                   Stepd__V1__Limit *const *wire);
const struct stepd_change_record *stepd_take_records(struct stepd_decoder *d,
                                                     const struct stepd_place *above, size_t count,
                                                     Stepd__V1__ChangeRecord *const *wire);
const struct stepd_tensor_group *stepd_take_tensor_groups(struct stepd_decoder *d,
                                                          const struct stepd_place *above,
                                                          size_t count,
                                                          Stepd__V1__TensorGroup *const *wire);

/* The body of a message between daemons: message_peer.c. False: it is none. */
bool stepd_take_peer_body(struct stepd_decoder *d, const struct stepd_place *at,
                          const Stepd__V1__Header *wire,
                          struct stepd_message *message) STEPD_MUST_CHECK;

#endif
