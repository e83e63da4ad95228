/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/intruder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/dtype.h"
#include "server/access/list.h"
#include "server/control/jobs.h"
#include "server/control/sessions.h"
#include "server/core/core_internal.h"
#include "tests/fuzz/compose.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/victim.h"

#define PAYLOAD_MOST_BYTES ((size_t)1 << 20)
#define LINES_BYTES        4096

/* ---- Who they are ---------------------------------------------------------------------------- */

static const struct line {
    const char *token;
    const char *role;
    const char *until;
    const char *jobs;
} lines[] = {
    {"stepd_admin", "admin", "never", "h*,f*"},
    {"stepd_work", "work", "never", "h*,f*"},
    {"stepd_look", "observe", "never", "h*,f*"},
    {"stepd_brief", "work", "2027-01-15T08:02:00Z", "h0"},
    {VICTIM_TOKEN, "work", "never", VICTIM_JOB},
};

#define LINES (sizeof lines / sizeof lines[0])

void intruders_admit(const struct intruders *intruders, uint8_t which)
{
    char text[LINES_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < LINES; i++) {
        uint8_t hash[TOKEN_HASH_BYTES];
        char key[TOKEN_KEY_TEXT_BYTES];
        if (i + 1 < LINES && (which & 1u << i) == 0)
            continue;
        FUZZ_CHECK(token_hash((const uint8_t *)lines[i].token, strlen(lines[i].token), hash));
        token_key_write(hash, key);
        n += (size_t)snprintf(text + n, sizeof text - n, "who%zu %s %s %s %s\n", i, lines[i].role,
                              lines[i].jobs, lines[i].until, key);
    }
    struct access_list *list = NULL;
    FUZZ_CHECK(access_list_read(text, n, &list, NULL) == STEPD_OK);
    control_admit(intruders->brains->control, list);
}

/* ---- What they hear -------------------------------------------------------------------------- */

/* Nobody is told of a job that its token is not for. */
static void on_read(void *owner, const struct stepd_message *message, const uint8_t *payload,
                    size_t payload_bytes)
{
    struct intruder *const intruder = owner;
    (void)payload;
    if (message->kind != STEPD_MESSAGE_RESULT)
        FUZZ_CHECK(payload_bytes == 0);
    if (message->kind == STEPD_MESSAGE_STATUS) {
        const struct stepd_server_status *const status = &message->body.status;
        for (size_t i = 0; i < status->jobs; i++)
            FUZZ_CHECK(strcmp(status->job[i].name, VICTIM_JOB) != 0);
    }
    if (message->kind != STEPD_MESSAGE_WELCOME)
        return;
    FUZZ_CHECK(message->body.welcome.session.count == STEPD_SESSION_BYTES);
    memcpy(intruder->session, message->body.welcome.session.at, STEPD_SESSION_BYTES);
    intruder->has_session = true;
}

/* ---- What they know -------------------------------------------------------------------------- */

struct slices {
    uint32_t slice[COMPOSE_LIST_MAX];
    size_t count;
};

static const struct core_job *job_of(const struct intruders *intruders, const struct peer *peer,
                                     const struct intruder *intruder)
{
    if (peer->host == BRAINS_CONTROL)
        return NULL;
    const struct core *const core = intruders->brains->core[peer->host];
    const struct session *const session = session_find(core, intruder->session);
    return session == NULL ? NULL : job_find(core, session->job_name);
}

static void know_slices(const struct core_job *job, uint32_t shard, struct slices *slices)
{
    const struct layout *const layout = &job->job->layout;
    for (uint32_t i = 0; i < layout->slices && slices->count < COMPOSE_LIST_MAX; i++) {
        if (layout->slice[i].shard == shard)
            slices->slice[slices->count++] = i;
    }
}

static uint64_t incarnation_of(const struct intruders *intruders, const struct intruder *intruder)
{
    const struct control_session *const session =
        control_session_find(intruders->brains->control, intruder->session);
    return session == NULL || session->job == NULL ? 1 : session->job->incarnation;
}

static struct known know(const struct intruders *intruders, const struct peer *peer,
                         const struct intruder *intruder, struct slices *slices)
{
    const struct core_job *const job = job_of(intruders, peer, intruder);
    struct known known = {
        .request_id = intruder->requests,
        .shard = peer->host == BRAINS_CONTROL ? 0 : peer->host + 1,
        .has_session = intruder->has_session,
        .incarnation = incarnation_of(intruders, intruder),
        .clock = 1,
        .job = {"h0", "h1", "f0", "", VICTIM_JOB, "h2"},
        .jobs = 6,
        .tokens = LINES - 1,
    };
    memcpy(known.session, intruder->session, STEPD_SESSION_BYTES);
    for (size_t i = 0; i < known.tokens; i++)
        known.token[i] = lines[i].token;
    if (job == NULL)
        return known;
    const struct session *const session =
        session_find(intruders->brains->core[peer->host], intruder->session);
    know_slices(job, peer->host, slices);
    known.slices = (struct stepd_u32s){.count = slices->count, .at = slices->slice};
    known.incarnation = job->job->incarnation;
    known.clock = session->observer ? 1 : 1 + job_clock(job, session->rank);
    if (slices->count > 0)
        known.version = job->slice[slices->slice[0]]->slice.version;
    return known;
}

/* ---- What they say --------------------------------------------------------------------------- */

static float float_of(uint8_t fill, size_t index)
{
    switch (fill) {
    case 0: return 0.5f;
    case 1: return 0.0f;
    case 2: return index == 1 ? NAN : 0.25f;
    case 3: return INFINITY;
    case 4: return 3e38f;
    case 5: return 1e-45f;
    default: return (float)((index * fill) % 17) - 8.0f;
    }
}

/* The floats that a message's payload should have. */
static size_t floats_of(const struct core_job *job, const struct stepd_message *message,
                        enum stepd_dtype *ret_dtype)
{
    const bool assigns = message->kind == STEPD_MESSAGE_ASSIGN;
    const struct stepd_push_slices *push = &message->body.push;
    if (message->kind == STEPD_MESSAGE_STEP)
        push = &message->body.step.push;
    else if (message->kind != STEPD_MESSAGE_PUSH && !assigns)
        return 0;
    *ret_dtype = assigns ? message->body.assign.dtype : push->dtype;
    const struct stepd_u32s slices = assigns ? message->body.assign.slices : push->slices;
    size_t floats = 0;
    if (job == NULL || (!assigns && (push->placed || push->examples == 0)))
        return 0;
    for (size_t i = 0; i < slices.count; i++) {
        const struct core_slice *const slice =
            slices.at[i] < job->job->layout.slices ? job->slice[slices.at[i]] : NULL;
        if (slice != NULL)
            floats += assigns ? slice->slice.plan->elements : slice_push_floats(&slice->slice);
    }
    return floats;
}

/* trim: the payload is that much shorter, or above 127 longer. Caller frees. */
static uint8_t *make_payload(size_t floats, enum stepd_dtype dtype, uint8_t fill, uint8_t trim,
                             size_t *ret_bytes)
{
    const size_t right = floats * stepd_dtype_bytes(dtype);
    const size_t less = trim < 128 ? trim : 0;
    const size_t more = trim < 128 ? 0 : trim - 127u;
    uint8_t *const payload = calloc(1, right + more + 1);
    FUZZ_CHECK(payload != NULL);
    for (size_t i = 0; i < floats; i++) {
        const float value = float_of(fill, i);
        stepd_dtype_narrow(dtype, 1, &value, payload + i * stepd_dtype_bytes(dtype));
    }
    *ret_bytes = (less < right ? right - less : right) + more;
    return payload;
}

static struct intruder *whose(struct intruders *intruders, const struct peer *peer)
{
    return &intruders->intruder[(size_t)(peer - intruders->peer) % INTRUDERS];
}

void intruders_send(struct intruders *intruders, struct taker *taker)
{
    struct peer *const peer = intruders_peer(intruders, taker);
    struct intruder *const intruder = whose(intruders, peer);
    struct slices slices = {.count = 0};
    struct stepd_message message;
    struct stepd_arena arena;
    enum stepd_dtype dtype = STEPD_F32;
    size_t bytes = 0;
    const uint8_t fill = take_byte(taker);
    const uint8_t trim = take_byte(taker);
    intruder->requests++;
    const struct known known = know(intruders, peer, intruder, &slices);
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    compose_request(taker, &known, &arena, &message);
    const size_t floats = floats_of(job_of(intruders, peer, intruder), &message, &dtype);
    if (floats * sizeof(float) <= PAYLOAD_MOST_BYTES) {
        uint8_t *const payload = make_payload(floats, dtype, fill, trim, &bytes);
        peer_send(peer, &message, payload, bytes);
        free(payload);
    }
    stepd_arena_deinit(&arena);
}

void intruders_send_bytes(struct intruders *intruders, struct taker *taker)
{
    struct peer *const peer = intruders_peer(intruders, taker);
    peer_send_bytes(peer, taker->at, taker->left);
}

void intruders_write(struct intruders *intruders, struct taker *taker)
{
    struct peer *const peer = intruders_peer(intruders, taker);
    const uint8_t fill = take_byte(taker);
    if (peer->gradients == NULL)
        return;
    float *const floats = (float *)(void *)peer->gradients;
    for (size_t i = 0; i < peer->gradients_bytes / sizeof *floats; i++)
        floats[i] = float_of(fill, i);
}

/* ---- Connections ----------------------------------------------------------------------------- */

struct peer *intruders_peer(struct intruders *intruders, struct taker *taker)
{
    const size_t index = take_byte(taker) % INTRUDER_PEERS;
    struct peer *const peer = &intruders->peer[index];
    if (peer->conn != NULL)
        return peer;
    if (peer->brains != NULL)
        peer_close(peer);
    peer->on_read = on_read;
    peer->owner = &intruders->intruder[index % INTRUDERS];
    peer_open(peer, intruders->brains,
              (uint32_t)((index / INTRUDERS + BRAINS_CONTROL) % BRAINS_HOSTS));
    return peer;
}

void intruders_carry(struct intruders *intruders)
{
    for (size_t i = 0; i < INTRUDER_PEERS; i++)
        peer_carry(&intruders->peer[i], SIZE_MAX);
}

void intruders_read(struct intruders *intruders)
{
    for (size_t i = 0; i < INTRUDER_PEERS; i++)
        peer_read(&intruders->peer[i], SIZE_MAX);
}

void intruders_init(struct intruders *intruders, struct brains *brains)
{
    *intruders = (struct intruders){.brains = brains};
    intruders_admit(intruders, UINT8_MAX);
}

void intruders_deinit(struct intruders *intruders)
{
    for (size_t i = 0; i < INTRUDER_PEERS; i++) {
        if (intruders->peer[i].brains != NULL)
            peer_close(&intruders->peer[i]);
    }
}
