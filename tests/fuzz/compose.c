/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests. Definitions are in compose_groups.c, what a server says in compose_replies.c.
 */
#include "tests/fuzz/compose.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *compose_job(const struct composer *c)
{
    return take_word(c->taker, c->arena, c->known->job, c->known->jobs);
}

const char *compose_name(const struct composer *c)
{
    static const char *const names[] = {"g", "a", "b", "fc1.weight", "h", "end", ""};
    return take_word(c->taker, c->arena, names, COUNT(names));
}

struct stepd_u32s compose_u32s(const struct composer *c, size_t count)
{
    uint32_t *const list = take_room(c->arena, count, sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = (uint32_t)take_number(c->taker);
    return (struct stepd_u32s){.count = count, .at = list};
}

struct stepd_u64s compose_u64s(const struct composer *c, size_t count)
{
    uint64_t *const list = take_room(c->arena, count, sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = take_number(c->taker);
    return (struct stepd_u64s){.count = count, .at = list};
}

static uint32_t take_u32(const struct composer *c)
{
    return (uint32_t)take_number(c->taker);
}

static enum stepd_dtype take_dtype(const struct composer *c)
{
    return (enum stepd_dtype)(take_byte(c->taker) % 3);
}

static struct stepd_bytes copy(const struct composer *c, const void *from, size_t n)
{
    uint8_t *const bytes = take_room(c->arena, n, 1);
    if (n > 0)
        memcpy(bytes, from, n);
    return (struct stepd_bytes){.count = n, .at = bytes};
}

static struct stepd_bytes take_any(const struct composer *c, size_t n)
{
    uint8_t bytes[256];
    take_bytes(c->taker, bytes, n);
    return copy(c, bytes, n);
}

static struct stepd_bytes take_token(const struct composer *c)
{
    const uint8_t first = take_byte(c->taker);
    if (first >= 240)
        return take_any(c, take_byte(c->taker));
    if (first == 239 || c->known->tokens == 0)
        return (struct stepd_bytes){.count = 0};
    const char *const token = c->known->token[first % c->known->tokens];
    return copy(c, token, strlen(token));
}

/* A shard wants one, and who comes to control for the first time has none. */
static struct stepd_bytes take_session(const struct composer *c)
{
    const uint8_t first = take_byte(c->taker);
    const bool wanted = c->known->shard != 0;
    if (first >= 240)
        return take_any(c, first == 255 ? take_byte(c->taker) : STEPD_SESSION_BYTES);
    if ((first % 2 == 0) != wanted || !c->known->has_session)
        return (struct stepd_bytes){.count = 0};
    return copy(c, c->known->session, STEPD_SESSION_BYTES);
}

static void compose_hello(const struct composer *c, struct stepd_hello *hello)
{
    const uint8_t flags = take_byte(c->taker);
    hello->role = (flags & 1) != 0 ? STEPD_OBSERVER : STEPD_WORKER;
    hello->rejoins = (flags & 2) != 0;
    hello->shares_memory = (flags & 4) != 0;
    if ((flags & 8) != 0)
        hello->client = take_any(c, STEPD_CLIENT_BYTES);
    hello->job = compose_job(c);
    hello->rank = (int32_t)take_u32(c);
    hello->token = take_token(c);
    hello->session = take_session(c);
    hello->worker = compose_name(c);
    hello->lease_ms = take_u32(c);
    hello->max_frame_bytes = take_u32(c);
    hello->shard = c->known->shard + take_u32(c);
    hello->protocol = STEPD_PROTOCOL_VERSION + take_u32(c);
}

/* All that the shard has, or some. */
static struct stepd_u32s take_slices(const struct composer *c)
{
    const uint8_t first = take_byte(c->taker);
    const struct stepd_u32s *all = &c->known->slices;
    if (first == 0 && all->count > 0)
        return *all;
    if (first < 64 && all->count > 0) {
        const size_t from = first % all->count;
        return (struct stepd_u32s){.count = all->count - from, .at = all->at + from};
    }
    return compose_u32s(c, first % 9);
}

static void compose_push(const struct composer *c, struct stepd_push_slices *push)
{
    const uint8_t flags = take_byte(c->taker);
    push->slices = take_slices(c);
    push->clock = c->known->clock + (uint64_t)(int64_t)(int8_t)take_byte(c->taker);
    push->dtype = take_dtype(c);
    push->examples = (flags & 1) != 0 ? take_number(c->taker) : 1;
    push->has_loss = (flags & 2) != 0;
    push->placed = (flags & 4) != 0;
    push->loss_scale = (flags & 8) != 0 ? take_double(c->taker, 1.0) : 1.0;
    if (push->has_loss)
        push->loss = take_double(c->taker, 0.5);
    uint64_t *const base = take_room(c->arena, 1, sizeof *base);
    *base = c->known->version;
    push->base_versions = (struct stepd_u64s){.count = 1, .at = base};
    if ((flags & 16) != 0)
        push->base_versions = compose_u64s(c, take_byte(c->taker) % 9);
    push->incarnation = c->known->incarnation + ((flags & 32) != 0 ? take_number(c->taker) : 0);
    push->deadline_ms = (flags & 64) != 0 ? take_u32(c) : 0;
}

static void compose_pull(const struct composer *c, struct stepd_pull_slices *pull)
{
    pull->slices = take_slices(c);
    pull->dtype = take_dtype(c);
    pull->view = (enum stepd_view)(take_byte(c->taker) % STEPD_VIEWS);
    pull->min_version = c->known->version + (uint64_t)(int64_t)(int8_t)take_byte(c->taker);
    pull->deadline_ms = take_u32(c);
    pull->incarnation = c->known->incarnation + take_number(c->taker);
}

static void compose_assign(const struct composer *c, struct stepd_assign *assign)
{
    assign->slices = take_slices(c);
    assign->dtype = take_dtype(c);
    assign->incarnation = c->known->incarnation + take_number(c->taker);
}

static void compose_barrier(const struct composer *c, struct stepd_barrier_at *barrier)
{
    barrier->name = compose_name(c);
    barrier->sequence = 1 + take_number(c->taker);
    barrier->deadline_ms = take_u32(c);
    barrier->incarnation = c->known->incarnation + take_number(c->taker);
}

static void compose_page(const struct composer *c, struct stepd_define_tensors *page)
{
    page->tensors = (2u + take_byte(c->taker)) % 7u;
    page->last = take_byte(c->taker) % 4 != 3;
    page->first = take_u32(c);
    compose_tensors(c, page->tensors, &page->tensor);
}

static const enum stepd_message_kind kinds[] = {
    STEPD_MESSAGE_HELLO,      STEPD_MESSAGE_DEFINE_JOB, STEPD_MESSAGE_DEFINE_TENSORS,
    STEPD_MESSAGE_GET_LAYOUT, STEPD_MESSAGE_ASSIGN,     STEPD_MESSAGE_PUSH,
    STEPD_MESSAGE_PULL,       STEPD_MESSAGE_STEP,       STEPD_MESSAGE_REPORT,
    STEPD_MESSAGE_HEARTBEAT,  STEPD_MESSAGE_LEAVE,      STEPD_MESSAGE_GET_STATUS,
    STEPD_MESSAGE_GET_GROUPS, STEPD_MESSAGE_CHANGE_JOB, STEPD_MESSAGE_GET_CHANGES,
    STEPD_MESSAGE_BARRIER,    STEPD_MESSAGE_CHECKPOINT,
};

static void compose_small(const struct composer *c, struct stepd_message *message)
{
    switch (message->kind) {
    case STEPD_MESSAGE_GET_LAYOUT: message->body.get_layout.deadline_ms = take_u32(c); return;
    case STEPD_MESSAGE_REPORT:
        message->body.report.clock = take_number(c->taker);
        message->body.report.loss = take_double(c->taker, 0.5);
        message->body.report.examples = take_number(c->taker);
        return;
    case STEPD_MESSAGE_LEAVE:
        message->body.leave.clock = c->known->clock - 1 + take_number(c->taker);
        return;
    case STEPD_MESSAGE_GET_STATUS: message->body.get_status.job = compose_job(c); return;
    case STEPD_MESSAGE_GET_GROUPS: message->body.get_groups.job = compose_job(c); return;
    case STEPD_MESSAGE_GET_CHANGES: message->body.get_changes.job = compose_job(c); return;
    case STEPD_MESSAGE_CHECKPOINT:
        message->body.checkpoint.job = compose_job(c);
        message->body.checkpoint.deadline_ms = take_u32(c);
        return;
    default: return;
    }
}

void compose_request(struct taker *taker, const struct known *known, struct stepd_arena *arena,
                     struct stepd_message *ret_message)
{
    const struct composer c = {.taker = taker, .known = known, .arena = arena};
    const uint8_t kind = take_byte(taker);
    if (kind >= 240) { /* what no client says */
        compose_reply(taker, known, arena, ret_message);
        return;
    }
    *ret_message = (struct stepd_message){.kind = kinds[kind % COUNT(kinds)]};
    switch (ret_message->kind) {
    case STEPD_MESSAGE_HELLO: compose_hello(&c, &ret_message->body.hello); break;
    case STEPD_MESSAGE_DEFINE_JOB: compose_define_job(&c, &ret_message->body.define_job); break;
    case STEPD_MESSAGE_DEFINE_TENSORS: compose_page(&c, &ret_message->body.define_tensors); break;
    case STEPD_MESSAGE_ASSIGN: compose_assign(&c, &ret_message->body.assign); break;
    case STEPD_MESSAGE_PUSH: compose_push(&c, &ret_message->body.push); break;
    case STEPD_MESSAGE_PULL: compose_pull(&c, &ret_message->body.pull); break;
    case STEPD_MESSAGE_STEP:
        compose_push(&c, &ret_message->body.step.push);
        ret_message->body.step.pull_dtype = take_dtype(&c);
        ret_message->body.step.pull_view = (enum stepd_view)(take_byte(taker) % STEPD_VIEWS);
        break;
    case STEPD_MESSAGE_CHANGE_JOB: compose_change(&c, &ret_message->body.change_job); break;
    case STEPD_MESSAGE_BARRIER: compose_barrier(&c, &ret_message->body.barrier); break;
    default: compose_small(&c, ret_message); break;
    }
    /* Behind all fields: most say nothing here, and get the next number. */
    ret_message->request_id = known->request_id + take_number(taker);
}
