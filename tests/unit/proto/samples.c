/* SPDX-License-Identifier: Apache-2.0
 *
 * The samples. Numbers are chosen so that no two fields of a message hold the same one, some take
 * several bytes as varints, and texts hold characters of one to four bytes.
 */
#include "tests/unit/proto/samples.h"

#include <assert.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* clang-format off */
#define U32S(...) {.count = COUNT(((const uint32_t[]){__VA_ARGS__})), .at = (const uint32_t[]){__VA_ARGS__}}
#define U64S(...) {.count = COUNT(((const uint64_t[]){__VA_ARGS__})), .at = (const uint64_t[]){__VA_ARGS__}}
/* clang-format on */

#define X(KIND, member, type, number) STEPD_MESSAGE_##KIND,

const enum stepd_message_kind sample_kinds[SAMPLES_COUNT] = {STEPD_MESSAGE_MAP(X)};

#undef X

static const uint8_t client[STEPD_CLIENT_BYTES] = {9, 8, 7, 0, 255};
static const uint8_t session[STEPD_SESSION_BYTES] = {1, 2,  3,  4,  5,  6,  7,    0,
                                                     9, 10, 11, 12, 13, 14, 0xFF, 16};
static const uint8_t token[] = {'s', 0, 'e', 0xFF};
static const char *const addresses[] = {"", "node-1:7070", "[::1]:7071"};
static const double lr[] = {0.001};
static const double betas[] = {0.9, 0.999, -1e-300};
static const struct stepd_setting settings[] = {
    {.name = "lr", .values = COUNT(lr), .value = lr},
    {.name = "betas", .values = COUNT(betas), .value = betas, .list = true},
    {.name = "eps_mode", .word = "au\u00dfen"},
};
static const struct stepd_schedule_part schedule_parts[] = {
    {.kind = "linear", .settings = {.count = 1, .at = settings}},
    {.kind = "constant"},
};
static const struct stepd_daemon_status daemons[] = {
    {.place = 0, .address = "a:7070", .state = STEPD_DAEMON_JOINED, .first_shard = 1, .shards = 2},
    {.place = 1,
     .address = "tls:b:7070",
     .state = STEPD_DAEMON_AWAY,
     .first_shard = 3,
     .shards = 4,
     .silent_ms = 1234,
     .clock_ms = -56.0},
};

static const struct stepd_limit_status limits[] = {
    {.name = "connections_max", .used = 3, .max = 1024, .refused = 17},
    {.name = "memory_max_bytes", .used = 1u << 20, .max = UINT64_MAX, .refused = 0},
};
static const uint32_t ndim[] = {2, 0, 8};
static const struct stepd_phase phases[] = {
    {.from = 1, .optimizer = "momentum", .settings = {.count = 2, .at = settings + 1}},
    {.from = UINT64_MAX, .optimizer = "sgd"},
};
static const struct stepd_group groups[] = {
    {
        .name = "decay",
        .match = "*.weight",
        .optimizer = "adamw",
        .settings = {.count = COUNT(settings), .at = settings},
        .schedule = "sequential",
        .schedule_settings = {.count = 1, .at = settings + 1},
        .schedule_parts = COUNT(schedule_parts),
        .schedule_part = schedule_parts,
        .ndim = {.count = COUNT(ndim), .at = ndim},
        .phases = COUNT(phases),
        .phase = phases,
    },
    {.name = "rest", .match = "*", .optimizer = "", .schedule = "", .frozen = true},
};
static const uint64_t shape[] = {1000, UINT64_C(1) << 40, 1};
static const struct stepd_tensor_def tensors[] = {
    {
        .name = "fc1.weight",
        .dims = COUNT(shape),
        .shape = shape,
        .init = {.kind = STEPD_INIT_NORMAL, .a = -0.5, .b = 0.25, .seed = UINT64_MAX},
        .group = "decay",
    },
    {.name = "schr\u00e4g.\u03b2.\u6f22.\U0001F600", .group = ""},
};
static const struct stepd_member_status members[] = {
    {
        .rank = 3,
        .worker = "host:77",
        .state = STEPD_MEMBER_LOST,
        .clock = 400,
        .silent_ms = 12000,
        .loss = 2.5,
        .examples = 6000000000,
        .from = 17,
        .barrier = "epoch",
    },
    {.rank = 4, .worker = "", .state = STEPD_MEMBER_GIVEN_UP, .from = 2, .until = 300},
};
static const struct stepd_job_status jobs[] = {
    {
        .name = "mnist",
        .state = STEPD_JOB_RUNNING,
        .mode = STEPD_ASYNC,
        .incarnation = 2,
        .workers = 5,
        .tensors = 6,
        .elements = 7000000,
        .slices = 8,
        .version_min = 900,
        .version_max = 1000,
        .memory_bytes = UINT64_C(1) << 33,
        .parked = 12,
        .waited_for = U32S(3, 300),
        .members = COUNT(members),
        .member = members,
        .workers_min = 2,
        .failure = "rank 4 was lost",
        .changes = 3,
        .memory =
            {
                .weights = UINT64_C(1) << 31,
                .second_version = UINT64_C(1) << 32,
                .views = 3,
                .slots = 4,
                .sums = 5,
                .staging = 600,
                .backups = 7,
                .spare = 8,
            },
        .checkpoint =
            {
                .name = "step-00001200",
                .step = 1200,
                .bytes = UINT64_C(1) << 34,
                .age_ms = 61000,
                .failure = "the disk is full",
            },
        .first_weights = "10 of 12 tensors are from a file",
    },
};
static const struct stepd_difference differences[] = {
    {.name = "lr", .from = "0.1", .to = "0.01"},
    {.name = "phase from 5000", .from = "-", .to = "sgd"},
};
static const struct stepd_change_record records[] = {
    {
        .number = 7,
        .group = "decay",
        .by = "host:77",
        .age_ms = 12000,
        .version = 900,
        .version_last = 901,
        .differences = COUNT(differences),
        .difference = differences,
    },
    {.number = UINT64_MAX, .group = "rest", .by = ""},
};
static const struct stepd_tensor_group tensor_groups[] = {
    {
        .tensor = "fc1.weight",
        .dims = COUNT(shape),
        .shape = shape,
        .group = "decay",
        .optimizer = "adamw",
        .schedule = "cosine",
        .lr = 0.125,
        .weight_decay = 0.01,
        .version = 77,
        .base_lr = 0.25,
        .change = 7,
        .change_version = 70,
    },
};

#define PUSH                                                                                       \
    {                                                                                              \
        .incarnation = 2, .clock = 300, .slices = U32S(0, 5, 70000),                               \
        .base_versions = U64S(299, 298, UINT64_C(1) << 35), .examples = 64, .dtype = STEPD_F16,    \
        .deadline_ms = 30000, .has_loss = true, .loss = -0.125, .loss_scale = 65536,               \
        .placed = true                                                                             \
    }

static const struct stepd_message samples[] = {
    {.kind = STEPD_MESSAGE_HELLO,
     .request_id = 1,
     .body.hello = {.protocol = 1,
                    .role = STEPD_OBSERVER,
                    .job = "mnist",
                    .worker = "host:4711",
                    .rank = -1,
                    .token = {.count = sizeof token, .at = token},
                    .session = {.count = sizeof session, .at = session},
                    .shard = 2,
                    .lease_ms = 15000,
                    .max_frame_bytes = 1 << 24,
                    .client = {.count = sizeof client, .at = client},
                    .rejoins = true,
                    .shares_memory = true}},
    {.kind = STEPD_MESSAGE_WELCOME,
     .request_id = 1,
     .body.welcome = {.session = {.count = sizeof session, .at = session},
                      .epoch = 3,
                      .rank = 2,
                      .world = 4,
                      .incarnation = 5,
                      .clock = 600,
                      .lease_ms = 60000,
                      .max_frame_bytes = 1 << 26,
                      .shards = COUNT(addresses),
                      .shard_address = addresses,
                      .wait_max_ms = 300000,
                      .weights_bytes = UINT64_C(1) << 33,
                      .gradients_bytes = UINT64_C(1) << 32}},
    {.kind = STEPD_MESSAGE_DEFINE_JOB,
     .request_id = 2,
     .body.define_job = {.mode = STEPD_ASYNC,
                         .workers = 4,
                         .groups = COUNT(groups),
                         .group = groups,
                         .strict = true,
                         .slice_elements = 65536,
                         .settings = {.count = 2, .at = settings},
                         .defaults = {.optimizer = "adam",
                                      .settings = {.count = 2, .at = settings + 1},
                                      .schedule = "chained",
                                      .schedule_settings = {.count = 1, .at = settings},
                                      .schedule_parts = 1,
                                      .schedule_part = schedule_parts}}},
    {.kind = STEPD_MESSAGE_JOB_DEFINED,
     .request_id = 3,
     .body.job_defined = {.world = 4, .incarnation = 1}},
    {.kind = STEPD_MESSAGE_DEFINE_TENSORS,
     .request_id = 4,
     .body.define_tensors =
         {.first = 10, .tensors = COUNT(tensors), .tensor = tensors, .last = true}},
    {.kind = STEPD_MESSAGE_TENSORS_DEFINED, .request_id = 5, .body.tensors_defined = {.count = 12}},
    {.kind = STEPD_MESSAGE_GET_LAYOUT, .request_id = 6, .body.get_layout = {.deadline_ms = 5000}},
    {.kind = STEPD_MESSAGE_LAYOUT,
     .request_id = 7,
     .body.layout = {.incarnation = 2,
                     .tensors = COUNT(tensors),
                     .tensor = tensors,
                     .slice_shards = U32S(1, 2),
                     .slice_parts = U32S(1, 2),
                     .part_tensors = U32S(0, 1, 1),
                     .part_offsets = U64S(0, 0, 262144),
                     .part_elements = U32S(262144, 9, 8),
                     .mode = STEPD_ASYNC,
                     .world = 4,
                     .last = true,
                     .slice_extras = U32S(0, 1048576)}},
    {.kind = STEPD_MESSAGE_ASSIGN,
     .request_id = 8,
     .body.assign = {.incarnation = 2, .slices = U32S(7, 3), .dtype = STEPD_BF16}},
    {.kind = STEPD_MESSAGE_PUSH, .request_id = 9, .body.push = PUSH},
    {.kind = STEPD_MESSAGE_PULL,
     .request_id = 10,
     .body.pull = {.incarnation = 2,
                   .slices = U32S(9, 8),
                   .min_version = 100,
                   .dtype = STEPD_F16,
                   .deadline_ms = 1000,
                   .view = STEPD_SWA}},
    {.kind = STEPD_MESSAGE_STEP,
     .request_id = 11,
     .body.step = {.push = PUSH, .pull_dtype = STEPD_BF16, .pull_view = STEPD_EMA}},
    {.kind = STEPD_MESSAGE_RESULT,
     .request_id = 12,
     .body.result = {.slices = U32S(0, 5, 6, 7, 8, 9, 10, 11),
                     .outcomes =
                         U32S(STEPD_NONE, STEPD_APPLIED, STEPD_DUPLICATE, STEPD_LATE_DROPPED,
                              STEPD_SKIPPED, STEPD_STALE, STEPD_FENCED, STEPD_ACCUMULATED),
                     .versions = U64S(300, 301, 1, 2, 3, 4, UINT64_MAX, 5),
                     .dtype = STEPD_F16,
                     .durable_version = 250,
                     .last = true,
                     .places = U64S(0, 4096, 8192, 12288, 16384, 20480, 24576, UINT64_C(1) << 40)}},
    {.kind = STEPD_MESSAGE_REPORT,
     .request_id = 13,
     .body.report = {.clock = 300, .loss = 0.75, .examples = 64}},
    {.kind = STEPD_MESSAGE_HEARTBEAT, .request_id = 14, .body.heartbeat = {.last = true}},
    {.kind = STEPD_MESSAGE_BARRIER,
     .request_id = 31,
     .body.barrier = {.incarnation = 2, .name = "epoch/3", .sequence = 7, .deadline_ms = 60000}},
    {.kind = STEPD_MESSAGE_LEAVE, .request_id = 15, .body.leave = {.clock = 301}},
    {.kind = STEPD_MESSAGE_ACK, .request_id = 16},
    {.kind = STEPD_MESSAGE_GET_STATUS, .request_id = 17, .body.get_status = {.job = "mnist"}},
    {.kind = STEPD_MESSAGE_STATUS,
     .request_id = 18,
     .body.status = {.server_version = "0.1.0",
                     .uptime_ms = 123456,
                     .jobs = COUNT(jobs),
                     .job = jobs,
                     .last = true,
                     .limits = COUNT(limits),
                     .limit = limits,
                     .daemons = COUNT(daemons),
                     .daemon = daemons,
                     .jobs_unknown = "the server waits for daemon 1",
                     .place = 1}},
    {.kind = STEPD_MESSAGE_GET_GROUPS, .request_id = 19, .body.get_groups = {.job = "mnist"}},
    {.kind = STEPD_MESSAGE_GROUPS,
     .request_id = UINT64_MAX,
     .body.groups = {.tensors = COUNT(tensor_groups), .tensor = tensor_groups, .last = true}},
    {.kind = STEPD_MESSAGE_ERROR,
     .request_id = 21,
     .body.error = {.code = STEPD_DEADLINE_EXCEEDED,
                    .text = "waiting for rank 3, silent for 12 s",
                    .waited_for = U32S(3, 4)}},
    {.kind = STEPD_MESSAGE_CHANGE_JOB,
     .request_id = 22,
     .body.change_job = {.job = "mnist",
                         .group = {.name = "decay",
                                   .optimizer = "adamw",
                                   .settings = {.count = COUNT(settings), .at = settings},
                                   .schedule = "sequential",
                                   .schedule_settings = {.count = 1, .at = settings + 1},
                                   .schedule_parts = COUNT(schedule_parts),
                                   .schedule_part = schedule_parts,
                                   .phases = COUNT(phases),
                                   .phase = phases},
                         .at = 1000,
                         .drop_phases = true,
                         .dry_run = true,
                         .deadline_ms = 9000}},
    {.kind = STEPD_MESSAGE_GET_CHANGES, .request_id = 23, .body.get_changes = {.job = "mnist"}},
    {.kind = STEPD_MESSAGE_CHANGES,
     .request_id = 24,
     .body.changes = {.records = COUNT(records), .record = records, .forgotten = 5, .last = true}},
    {.kind = STEPD_MESSAGE_CHECKPOINT,
     .request_id = 25,
     .body.checkpoint = {.job = "mnist", .deadline_ms = 9000}},
    {.kind = STEPD_MESSAGE_CHECKPOINT_WRITTEN,
     .request_id = 26,
     .body.checkpoint_written = {.name = "step-00001200", .step = 1200, .bytes = 1u << 30}},
    {.kind = STEPD_MESSAGE_JOIN,
     .request_id = 27,
     .body.join = {.protocol = 1,
                   .version = "0.9.1",
                   .place = 255,
                   .address = "node-2:7070",
                   .shards = 3,
                   .instance = {.count = sizeof client, .at = client},
                   .reign = UINT64_MAX,
                   .expects = 4,
                   .clock_ms = UINT64_C(1800000000000),
                   .daemons = 3,
                   .others = UINT64_C(0x9123456789ABCDEF),
                   .token = {.count = sizeof token, .at = token}}},
    {.kind = STEPD_MESSAGE_JOINED,
     .request_id = 27,
     .body.joined = {.reign = UINT64_MAX - 1,
                     .first_shard = 300,
                     .shards = 4096,
                     .expects = 70000,
                     .clock_ms = UINT64_C(1800000000001),
                     .probe = ".probe-0f"}},
    {.kind = STEPD_MESSAGE_LETTER,
     .body.letter = {.sequence = 1, .seen = UINT64_MAX, .more = true}},
};

static_assert(COUNT(samples) == SAMPLES_COUNT, "one sample of each kind");

const struct stepd_message *sample_message(enum stepd_message_kind kind)
{
    for (size_t i = 0; i < COUNT(samples); i++) {
        if (samples[i].kind == kind)
            return &samples[i];
    }
    return NULL;
}
