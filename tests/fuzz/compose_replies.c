/* SPDX-License-Identifier: Apache-2.0
 *
 * What a server says. Without more bytes it is of a job of the tensors "a" and "b", of 5 elements
 * each, in one slice each, on shards 1 and 2.
 */
#include "tests/fuzz/compose.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define ELEMENTS 5u

static uint32_t take_u32(const struct composer *c)
{
    return (uint32_t)take_number(c->taker);
}

/* As many as `usual` says, or of that length. */
static struct stepd_u32s like_u32s(const struct composer *c, size_t usual, const uint32_t *value)
{
    const uint8_t first = take_byte(c->taker);
    if (first > 0)
        return compose_u32s(c, first % COMPOSE_LIST_MAX);
    uint32_t *const list = take_room(c->arena, usual, sizeof *list);
    for (size_t i = 0; i < usual; i++)
        list[i] = value[i];
    return (struct stepd_u32s){.count = usual, .at = list};
}

static const char *take_text(const struct composer *c)
{
    static const char *const texts[] = {"",     "a text",    "127.0.0.1:1",   "[::1]:9",
                                        "host", "unix:/x/y", "tls:host:7070", "lr"};
    return take_word(c->taker, c->arena, texts, COUNT(texts));
}

static void compose_welcome(const struct composer *c, struct stepd_welcome *welcome)
{
    uint8_t *const session = take_room(c->arena, STEPD_SESSION_BYTES, 1);
    const uint8_t form = take_byte(c->taker);
    memcpy(session, c->known->session, STEPD_SESSION_BYTES);
    session[0] ^= (form & 1) != 0 ? take_byte(c->taker) : 0;
    welcome->session = (struct stepd_bytes){
        .count = (form & 2) != 0 ? take_byte(c->taker) % 17 : STEPD_SESSION_BYTES, .at = session};
    welcome->rank = take_u32(c);
    welcome->world = 1 + take_u32(c);
    welcome->incarnation = c->known->incarnation + take_number(c->taker);
    welcome->epoch = 1 + take_number(c->taker);
    welcome->clock = take_number(c->taker);
    welcome->lease_ms = take_u32(c);
    welcome->max_frame_bytes = (form & 4) != 0 ? take_u32(c) : STEPD_FRAME_MAX_BYTES;
    welcome->wait_max_ms = (form & 8) != 0 ? take_u32(c) : 60000;
    welcome->shards = (form & 16) != 0 ? take_byte(c->taker) % 9 : 2 * (c->known->shard == 0);
    const char **const address = take_room(c->arena, welcome->shards, sizeof *address);
    for (size_t i = 0; i < welcome->shards; i++)
        address[i] = take_text(c);
    welcome->shard_address = address;
    if ((form & 32) == 0)
        return;
    welcome->weights_bytes = take_number(c->taker);
    welcome->gradients_bytes = take_number(c->taker);
}

static void compose_layout(const struct composer *c, struct stepd_layout *layout)
{
    static const uint32_t shards[] = {1, 2}, parts[] = {1, 1}, tensors[] = {0, 1},
                          elements[] = {ELEMENTS, ELEMENTS}, extras[] = {0, 0};
    const uint8_t form = take_byte(c->taker);
    layout->last = (form & 1) == 0;
    layout->tensors = (form & 2) != 0 ? take_byte(c->taker) % 5 : 2;
    compose_tensors(c, layout->tensors, &layout->tensor);
    layout->slice_shards = like_u32s(c, 2, shards);
    layout->slice_parts = like_u32s(c, 2, parts);
    layout->part_tensors = like_u32s(c, 2, tensors);
    layout->part_elements = like_u32s(c, 2, elements);
    layout->part_offsets = compose_u64s(c, (2 + take_byte(c->taker)) % COMPOSE_LIST_MAX);
    if ((form & 4) != 0)
        layout->slice_extras = like_u32s(c, 2, extras);
    layout->incarnation = c->known->incarnation + take_number(c->taker);
    layout->world = 1 + take_u32(c);
    layout->mode = (enum stepd_mode)(take_byte(c->taker) % 3);
}

static void compose_result(const struct composer *c, struct stepd_result *result)
{
    const uint8_t form = take_byte(c->taker);
    const size_t count = c->known->slices.count;
    uint32_t outcome[COMPOSE_LIST_MAX] = {0};
    for (size_t i = 0; i < COMPOSE_LIST_MAX; i++)
        outcome[i] = ((form & 1) != 0) != c->known->pushes ? STEPD_APPLIED : STEPD_NONE;
    result->slices = like_u32s(c, count % COMPOSE_LIST_MAX, c->known->slices.at);
    result->outcomes = like_u32s(c, count % COMPOSE_LIST_MAX, outcome);
    uint64_t *const version = take_room(c->arena, result->slices.count, sizeof *version);
    for (size_t i = 0; i < result->slices.count; i++)
        version[i] = c->known->version + take_number(c->taker);
    result->versions = (struct stepd_u64s){.count = result->slices.count, .at = version};
    result->dtype = (enum stepd_dtype)(take_byte(c->taker) % 3);
    result->last = (form & 2) == 0;
    result->durable_version = take_number(c->taker);
    if ((form & 4) != 0)
        result->places = compose_u64s(c, take_byte(c->taker) % COMPOSE_LIST_MAX);
}

static void compose_member(const struct composer *c, struct stepd_member_status *member)
{
    member->rank = take_u32(c);
    member->worker = compose_name(c);
    member->state = (enum stepd_member_state)(take_byte(c->taker) % 5);
    member->clock = take_number(c->taker);
    member->silent_ms = take_number(c->taker);
    member->loss = take_double(c->taker, 0.5);
    member->from = take_number(c->taker);
    member->until = take_number(c->taker);
    member->barrier = compose_name(c);
}

static void compose_job_status(const struct composer *c, struct stepd_job_status *job)
{
    job->name = compose_job(c);
    job->state = (enum stepd_job_state)(take_byte(c->taker) % 5);
    job->mode = (enum stepd_mode)(take_byte(c->taker) % 3);
    job->incarnation = take_number(c->taker);
    job->workers = take_u32(c);
    job->tensors = take_number(c->taker);
    job->elements = take_number(c->taker);
    job->version_max = take_number(c->taker);
    job->memory_bytes = take_number(c->taker);
    job->waited_for = compose_u32s(c, take_byte(c->taker) % 5);
    job->failure = take_text(c);
    job->checkpoint.name = take_text(c);
    job->checkpoint.failure = take_text(c);
    job->checkpoint.step = take_number(c->taker);
    job->first_weights = take_text(c);
    job->members = take_byte(c->taker) % 4;
    struct stepd_member_status *const member = take_room(c->arena, job->members, sizeof *member);
    for (size_t i = 0; i < job->members; i++)
        compose_member(c, &member[i]);
    job->member = member;
}

static void compose_status(const struct composer *c, struct stepd_server_status *status)
{
    status->last = take_byte(c->taker) % 4 != 3;
    status->server_version = take_text(c);
    status->uptime_ms = take_number(c->taker);
    status->jobs = take_byte(c->taker) % 4;
    struct stepd_job_status *const job = take_room(c->arena, status->jobs, sizeof *job);
    for (size_t i = 0; i < status->jobs; i++)
        compose_job_status(c, &job[i]);
    status->job = job;
    status->jobs_unknown = take_text(c);
}

static void compose_groups(const struct composer *c, struct stepd_groups *groups)
{
    groups->last = take_byte(c->taker) % 4 != 3;
    groups->tensors = take_byte(c->taker) % 4;
    struct stepd_tensor_group *const tensor = take_room(c->arena, groups->tensors, sizeof *tensor);
    for (size_t i = 0; i < groups->tensors; i++) {
        const struct stepd_u64s shape = compose_u64s(c, take_byte(c->taker) % 4);
        tensor[i] = (struct stepd_tensor_group){
            .tensor = compose_name(c),
            .dims = shape.count,
            .shape = shape.at,
            .group = compose_name(c),
            .optimizer = take_text(c),
            .schedule = take_text(c),
            .lr = take_double(c->taker, 0.1),
            .version = take_number(c->taker),
        };
    }
    groups->tensor = tensor;
}

static void compose_changes(const struct composer *c, struct stepd_change_list *changes)
{
    changes->last = take_byte(c->taker) % 4 != 3;
    changes->forgotten = take_number(c->taker);
    changes->records = take_byte(c->taker) % 4;
    struct stepd_change_record *const record =
        take_room(c->arena, changes->records, sizeof *record);
    for (size_t i = 0; i < changes->records; i++) {
        record[i].number = take_number(c->taker);
        record[i].group = compose_name(c);
        record[i].by = take_text(c);
        record[i].version = take_number(c->taker);
        record[i].differences = take_byte(c->taker) % 3;
        struct stepd_difference *const difference =
            take_room(c->arena, record[i].differences, sizeof *difference);
        for (size_t k = 0; k < record[i].differences; k++) {
            difference[k].name = take_text(c);
            difference[k].from = take_text(c);
            difference[k].to = take_text(c);
        }
        record[i].difference = difference;
    }
    changes->record = record;
}

static void compose_error(const struct composer *c, struct stepd_error_reply *error)
{
    static const enum stepd_status codes[] = {
        STEPD_UNAVAILABLE,       STEPD_ROLLED_BACK,        STEPD_NOT_FOUND,
        STEPD_DEADLINE_EXCEEDED, STEPD_INVALID_ARGUMENT,   STEPD_FAILED_PRECONDITION,
        STEPD_ALREADY_EXISTS,    STEPD_RESOURCE_EXHAUSTED, STEPD_PERMISSION_DENIED,
    };

    error->code = codes[take_byte(c->taker) % COUNT(codes)];
    error->text = take_text(c);
    error->waited_for = compose_u32s(c, take_byte(c->taker) % 5);
}

static const enum stepd_message_kind kinds[] = {
    STEPD_MESSAGE_WELCOME,
    STEPD_MESSAGE_JOB_DEFINED,
    STEPD_MESSAGE_TENSORS_DEFINED,
    STEPD_MESSAGE_LAYOUT,
    STEPD_MESSAGE_RESULT,
    STEPD_MESSAGE_ACK,
    STEPD_MESSAGE_STATUS,
    STEPD_MESSAGE_GROUPS,
    STEPD_MESSAGE_ERROR,
    STEPD_MESSAGE_CHANGES,
    STEPD_MESSAGE_CHECKPOINT_WRITTEN,
};

void compose_reply(struct taker *taker, const struct known *known, struct stepd_arena *arena,
                   struct stepd_message *ret_message)
{
    const struct composer c = {.taker = taker, .known = known, .arena = arena};
    const uint8_t kind = take_byte(taker);
    *ret_message = (struct stepd_message){.kind = kinds[kind % COUNT(kinds)]};
    if (kind == 0 && known->answer != 0)
        ret_message->kind = known->answer;
    switch (ret_message->kind) {
    case STEPD_MESSAGE_WELCOME: compose_welcome(&c, &ret_message->body.welcome); break;
    case STEPD_MESSAGE_JOB_DEFINED:
        ret_message->body.job_defined.world = 1 + take_u32(&c);
        ret_message->body.job_defined.incarnation = known->incarnation + take_number(taker);
        break;
    case STEPD_MESSAGE_TENSORS_DEFINED:
        ret_message->body.tensors_defined.count = 2 + take_u32(&c);
        break;
    case STEPD_MESSAGE_LAYOUT: compose_layout(&c, &ret_message->body.layout); break;
    case STEPD_MESSAGE_RESULT: compose_result(&c, &ret_message->body.result); break;
    case STEPD_MESSAGE_STATUS: compose_status(&c, &ret_message->body.status); break;
    case STEPD_MESSAGE_GROUPS: compose_groups(&c, &ret_message->body.groups); break;
    case STEPD_MESSAGE_ERROR: compose_error(&c, &ret_message->body.error); break;
    case STEPD_MESSAGE_CHANGES: compose_changes(&c, &ret_message->body.changes); break;
    case STEPD_MESSAGE_CHECKPOINT_WRITTEN:
        ret_message->body.checkpoint_written.name = take_text(&c);
        ret_message->body.checkpoint_written.step = take_number(taker);
        break;
    default: break;
    }
    ret_message->request_id = known->request_id + take_number(taker);
}
