/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages as C structs: what stands in a frame's header. message.c alone knows protobuf-c. The
 * structs follow proto/stepd.proto field by field, which is where the fields are explained.
 *
 * Decoding checks all that needs no job: known enums, printable UTF-8 in names that are not too
 * long, list lengths that agree, finite settings, exactly one body. What a message points to lives
 * in the arena until its next reset. Strings are never NULL; an absent list has count 0.
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "proto/arena.h"
#include "proto/limit_status.h"
#include "proto/lists.h"
#include "proto/message_peer.h"

/* X(KIND, name of the union's member, name of the struct, number in Header's oneof). All messages:
 * those of clients, and those between daemons. */
#define STEPD_MESSAGE_MAP(X)                                                                       \
    STEPD_CLIENT_MESSAGE_MAP(X)                                                                    \
    STEPD_PEER_MESSAGE_MAP(X)

#define STEPD_CLIENT_MESSAGE_MAP(X)                                                                \
    X(HELLO, hello, stepd_hello, 2)                                                                \
    X(WELCOME, welcome, stepd_welcome, 3)                                                          \
    X(DEFINE_JOB, define_job, stepd_define_job, 4)                                                 \
    X(JOB_DEFINED, job_defined, stepd_job_defined, 5)                                              \
    X(DEFINE_TENSORS, define_tensors, stepd_define_tensors, 6)                                     \
    X(TENSORS_DEFINED, tensors_defined, stepd_tensors_defined, 7)                                  \
    X(GET_LAYOUT, get_layout, stepd_get_layout, 8)                                                 \
    X(LAYOUT, layout, stepd_layout, 9)                                                             \
    X(ASSIGN, assign, stepd_assign, 10)                                                            \
    X(PUSH, push, stepd_push_slices, 11)                                                           \
    X(PULL, pull, stepd_pull_slices, 12)                                                           \
    X(STEP, step, stepd_step_slices, 13)                                                           \
    X(RESULT, result, stepd_result, 14)                                                            \
    X(REPORT, report, stepd_report_values, 15)                                                     \
    X(HEARTBEAT, heartbeat, stepd_heartbeat, 16)                                                   \
    X(LEAVE, leave, stepd_leave_at, 17)                                                            \
    X(ACK, ack, stepd_ack, 18)                                                                     \
    X(GET_STATUS, get_status, stepd_get_status, 19)                                                \
    X(STATUS, status, stepd_server_status, 20)                                                     \
    X(GET_GROUPS, get_groups, stepd_get_groups, 21)                                                \
    X(GROUPS, groups, stepd_groups, 22)                                                            \
    X(ERROR, error, stepd_error_reply, 23)                                                         \
    X(CHANGE_JOB, change_job, stepd_change_job, 28)                                                \
    X(GET_CHANGES, get_changes, stepd_get_changes, 29)                                             \
    X(CHANGES, changes, stepd_change_list, 30)                                                     \
    X(BARRIER, barrier, stepd_barrier_at, 31)                                                      \
    X(CHECKPOINT, checkpoint, stepd_checkpoint_job, 32)                                            \
    X(CHECKPOINT_WRITTEN, checkpoint_written, stepd_checkpoint_written, 33)

enum stepd_message_kind {

#define X(KIND, member, type, number) STEPD_MESSAGE_##KIND = number,
    STEPD_MESSAGE_MAP(X)
#undef X
};

#define STEPD_SETTINGS_MAX       64u  /* of one group; these too: */
#define STEPD_VALUES_MAX         256u /* numbers of one setting */
#define STEPD_SCHEDULE_PARTS_MAX 16u
#define STEPD_PHASES_MAX         16u

enum stepd_role {
    STEPD_WORKER = 0,
    STEPD_OBSERVER = 1,
};

struct stepd_hello {
    uint32_t
        protocol; /* not checked by decode: whoever answers must be able to say what it wants */
    enum stepd_role role;
    const char *job;
    const char *worker;
    int32_t rank;
    struct stepd_bytes token;
    struct stepd_bytes session; /* 0 or STEPD_SESSION_BYTES long */
    uint32_t shard;
    uint32_t lease_ms;
    uint32_t max_frame_bytes;
    struct stepd_bytes client; /* 0 or STEPD_CLIENT_BYTES long */
    bool rejoins;
    bool shares_memory;
};

struct stepd_welcome {
    struct stepd_bytes session;
    uint64_t epoch;
    uint32_t rank;
    uint32_t world;
    uint64_t incarnation;
    uint64_t clock;
    uint32_t lease_ms;
    uint32_t max_frame_bytes;
    size_t shards;
    const char *const *shard_address;
    uint32_t wait_max_ms;
    uint64_t weights_bytes; /* of the memory that comes with it; both are 0 where none does */
    uint64_t gradients_bytes;
};

struct stepd_setting {
    const char *name;
    size_t values;
    const double *value;
    const char *word; /* instead of values; "": numbers */
    bool list;
};

struct stepd_settings {
    size_t count;
    const struct stepd_setting *at;
};

/* A schedule that is part of another. */
struct stepd_schedule_part {
    const char *kind;
    struct stepd_settings settings;
};

/* What a group does from a step on. */
struct stepd_phase {
    uint64_t from;
    const char *optimizer;
    struct stepd_settings settings;
};

struct stepd_group {
    const char *name;
    const char *match;
    const char *optimizer;
    struct stepd_settings settings;
    const char *schedule;
    struct stepd_settings schedule_settings;
    size_t schedule_parts;
    const struct stepd_schedule_part *schedule_part;
    struct stepd_u32s ndim; /* none: any number of dimensions */
    bool frozen;
    size_t phases;
    const struct stepd_phase *phase;
};

struct stepd_define_job {
    enum stepd_mode mode;
    uint32_t workers;
    size_t groups;
    const struct stepd_group *group;
    bool strict;
    uint32_t slice_elements;
    struct stepd_group defaults; /* name, match, ndim and phases are empty, and it is not frozen */
    struct stepd_settings settings;
};

struct stepd_job_defined {
    uint32_t world;
    uint64_t incarnation;
};

enum stepd_init_kind {
    STEPD_INIT_CONSTANT = 0,
    STEPD_INIT_UNIFORM = 1,
    STEPD_INIT_NORMAL = 2,
    STEPD_INIT_VALUES = 3,
};

struct stepd_init {
    enum stepd_init_kind kind;
    double a;
    double b;
    uint64_t seed;
};

struct stepd_tensor_def {
    const char *name;
    size_t dims; /* at most STEPD_DIMS_MAX */
    const uint64_t *shape;
    struct stepd_init init;
    const char *group;
};

struct stepd_define_tensors {
    uint32_t first;
    size_t tensors;
    const struct stepd_tensor_def *tensor;
    bool last;
};

struct stepd_tensors_defined {
    uint32_t count;
};

struct stepd_get_layout {
    uint32_t deadline_ms;
};

/* part_tensors, part_offsets and part_elements have one length, slice_shards and _parts another;
 * the slice_parts of a page sum to its number of parts. */
struct stepd_layout {
    uint64_t incarnation;
    size_t tensors;
    const struct stepd_tensor_def *tensor;
    struct stepd_u32s slice_shards;
    struct stepd_u32s slice_parts;
    struct stepd_u32s part_tensors;
    struct stepd_u64s part_offsets;
    struct stepd_u32s part_elements;
    enum stepd_mode mode;
    uint32_t world;
    bool last;
    struct stepd_u32s slice_extras; /* as many as slice_shards, or none: 0 for all */
};

struct stepd_assign {
    uint64_t incarnation;
    struct stepd_u32s slices;
    enum stepd_dtype dtype;
};

struct stepd_push_slices {
    uint64_t incarnation;
    uint64_t clock;
    struct stepd_u32s slices;        /* at least one */
    struct stepd_u64s base_versions; /* as many, or one */
    uint64_t examples;               /* at most STEPD_EXAMPLES_MAX */
    enum stepd_dtype dtype;
    uint32_t deadline_ms;
    bool has_loss;
    double loss;       /* finite; of no meaning without has_loss */
    double loss_scale; /* above 0, as a 32-bit float too; 1 where the wire has none */
    bool placed;       /* the gradients lie in shared memory */
};

struct stepd_pull_slices {
    uint64_t incarnation;
    struct stepd_u32s slices; /* at least one */
    uint64_t min_version;
    enum stepd_dtype dtype;
    uint32_t deadline_ms;
    enum stepd_view view;
};

struct stepd_step_slices {
    struct stepd_push_slices push;
    enum stepd_dtype pull_dtype;
    enum stepd_view pull_view;
};

struct stepd_result {
    struct stepd_u32s slices;
    struct stepd_u32s outcomes; /* enum stepd_outcome; as many as slices */
    struct stepd_u64s versions; /* as many */
    enum stepd_dtype dtype;
    uint64_t durable_version;
    bool last;
    struct stepd_u64s places; /* as many, or none: the weights are the payload */
};

struct stepd_report_values {
    uint64_t clock;
    double loss;
    uint64_t examples;
};

struct stepd_heartbeat {
    bool last;
};

struct stepd_leave_at {
    uint64_t clock;
};

struct stepd_barrier_at {
    uint64_t incarnation;
    const char *name;
    uint64_t sequence;
    uint32_t deadline_ms;
};

struct stepd_ack {
    char none; /* the message has no fields, and C no empty structs */
};

struct stepd_get_status {
    const char *job;
};

enum stepd_member_state {
    STEPD_MEMBER_PRESENT = 0,
    STEPD_MEMBER_LOST = 1,
    STEPD_MEMBER_LEFT = 2,
    STEPD_MEMBER_JOINING = 3,
    STEPD_MEMBER_GIVEN_UP = 4,
};

struct stepd_member_status {
    uint32_t rank;
    const char *worker;
    enum stepd_member_state state;
    uint64_t clock;
    uint64_t silent_ms;
    double loss;
    uint64_t examples;
    uint64_t from;
    uint64_t until;
    const char *barrier;
};

enum stepd_job_state {
    STEPD_JOB_CREATED = 0,
    STEPD_JOB_DEFINED = 1,
    STEPD_JOB_RUNNING = 2,
    STEPD_JOB_FINISHED = 3,
    STEPD_JOB_FAILED = 4,
};

struct stepd_memory_plan {
    uint64_t weights;
    uint64_t second_version;
    uint64_t views;
    uint64_t slots;
    uint64_t sums;
    uint64_t staging;
    uint64_t backups;
    uint64_t spare;
};

struct stepd_checkpoint_status {
    const char *name;
    uint64_t step;
    uint64_t bytes;
    uint64_t age_ms;
    const char *failure;
};

struct stepd_job_status {
    const char *name;
    enum stepd_job_state state;
    enum stepd_mode mode;
    uint64_t incarnation;
    uint32_t workers;
    uint64_t tensors;
    uint64_t elements;
    uint64_t slices;
    uint64_t version_min;
    uint64_t version_max;
    uint64_t memory_bytes;
    uint64_t parked;
    struct stepd_u32s waited_for;
    size_t members;
    const struct stepd_member_status *member;
    uint32_t workers_min;
    const char *failure;
    uint64_t changes;
    struct stepd_memory_plan memory;
    struct stepd_checkpoint_status checkpoint;
    const char *first_weights;
};

struct stepd_server_status {
    const char *server_version;
    uint64_t uptime_ms;
    size_t jobs;
    const struct stepd_job_status *job;
    bool last;
    size_t limits;
    const struct stepd_limit_status *limit;
    size_t daemons;
    const struct stepd_daemon_status *daemon;
    const char *jobs_unknown; /* "": there are no others */
    uint32_t place;
};

struct stepd_get_groups {
    const char *job;
};

struct stepd_tensor_group {
    const char *tensor;
    size_t dims;
    const uint64_t *shape;
    const char *group;
    const char *optimizer;
    const char *schedule;
    double lr;
    double weight_decay;
    uint64_t version;
    double base_lr;
    uint64_t change;
    uint64_t change_version;
};

struct stepd_groups {
    size_t tensors;
    const struct stepd_tensor_group *tensor;
    bool last;
};

struct stepd_change_job {
    const char *job;
    struct stepd_group group; /* match and ndim are empty, and it is not frozen */
    uint64_t at;
    bool drop_phases;
    bool dry_run;
    uint32_t deadline_ms;
};

struct stepd_get_changes {
    const char *job;
};

struct stepd_difference {
    const char *name;
    const char *from;
    const char *to;
};

struct stepd_change_record {
    uint64_t number;
    const char *group;
    const char *by;
    uint64_t age_ms;
    uint64_t version;
    uint64_t version_last;
    size_t differences;
    const struct stepd_difference *difference;
};

struct stepd_change_list {
    size_t records;
    const struct stepd_change_record *record;
    uint64_t forgotten;
    bool last;
};

struct stepd_checkpoint_job {
    const char *job;
    uint32_t deadline_ms;
};

struct stepd_checkpoint_written {
    const char *name; /* less than STEPD_CHECKPOINT_NAME_BYTES long */
    uint64_t step;
    uint64_t bytes;
};

struct stepd_error_reply {
    enum stepd_status code; /* UNKNOWN for a number that this build does not know */
    const char *text;
    struct stepd_u32s waited_for;
};

/* A header: the request's id and one body. */
struct stepd_message {
    uint64_t request_id;
    enum stepd_message_kind kind;

    union {
#define X(KIND, member, type, number) struct type member;
        STEPD_MESSAGE_MAP(X)
#undef X
    } body;
};

/* "hello", "define_job", ...: the name in Header's oneof. Static. */
const char *stepd_message_name(enum stepd_message_kind kind);

/*
 * Decodes the n bytes of a frame's header (borrowed until return) into *ret_message, which points
 * into the arena. INVALID_ARGUMENT: no protobuf, no body or an unknown one, or a field that breaks
 * a rule (the text names it). RESOURCE_EXHAUSTED: the arena's cap.
 */
enum stepd_status stepd_message_decode(const uint8_t *header, size_t n, struct stepd_arena *arena,
                                       struct stepd_message *ret_message,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Encodes a message as the whole head of a frame with a payload of payload_bytes. *ret_head, of
 * *ret_head_bytes: caller frees with free(). The arena gives scratch memory, and is not reset.
 * RESOURCE_EXHAUSTED: the header would be above STEPD_HEADER_MAX_BYTES, or no memory.
 */
enum stepd_status stepd_message_encode(const struct stepd_message *message, size_t payload_bytes,
                                       struct stepd_arena *arena, uint8_t **ret_head,
                                       size_t *ret_head_bytes,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
