/* SPDX-License-Identifier: Apache-2.0
 *
 * An act is half a push: each rank's to each shard comes in two pieces.
 */
#include "tests/fuzz/victim.h"

#include <stdio.h>
#include <string.h>

#include "server/core/core_internal.h"
#include "tests/fuzz/fuzz.h"

enum {
    HALVES = 2,
    ACTS_OF_STEP = VICTIM_RANKS * BRAINS_SHARDS * HALVES,
    ACTS = VICTIM_STEPS * ACTS_OF_STEP,
    SLICES_MAX = 8,
};

#define LEASE_MS 60000u

/* ---- Its jobs -------------------------------------------------------------------------------- */

static const double rate[] = {0.125};
static const struct stepd_setting fast[] = {{.name = "lr", .values = 1, .value = rate, .word = ""}};
static const struct stepd_setting whole[] = {
    {.name = "atomic", .word = "job"},
    {.name = "nonfinite", .word = "halt"},
};
static const struct stepd_setting arrival[] = {{.name = "reduction", .word = "arrival"}};

static const struct course {
    enum stepd_mode mode;
    const char *optimizer;
    struct stepd_settings settings;
} courses[VICTIM_COURSES] = {
    {STEPD_SYNC, "adam", {.count = 0}},
    {STEPD_SYNC, "momentum", {.count = 2, .at = whole}},
    {STEPD_ASYNC, "adamw", {.count = 0}},
    {STEPD_SYNC, "sgd", {.count = 1, .at = arrival}},
};

static void define(const struct victim *victim)
{
    const struct course *const course = &courses[victim->course];
    const struct stepd_group group = {
        .name = "g",
        .match = "*",
        .optimizer = course->optimizer,
        .settings = {.count = 1, .at = fast},
        .schedule = "",
    };
    const struct stepd_define_job def = {
        .mode = course->mode,
        .workers = VICTIM_RANKS,
        .groups = 1,
        .group = &group,
        .settings = course->settings,
        .defaults = {.name = "", .match = "", .optimizer = "", .schedule = ""},
    };
    FUZZ_CHECK(control_define(victim->brains->control, VICTIM_JOB, &def, NULL) == STEPD_OK);
}

static const struct core_job *job_on(const struct victim *victim, uint32_t shard)
{
    const struct core_job *const job = job_find(victim->brains->core[shard], VICTIM_JOB);
    FUZZ_CHECK(job != NULL && job->job->layout.slices <= SLICES_MAX);
    return job;
}

/* Its slices on a shard, and the floats in them. */
static size_t slices_on(const struct victim *victim, uint32_t shard, uint32_t slice[SLICES_MAX],
                        size_t *ret_floats)
{
    const struct layout *const layout = &job_on(victim, shard)->job->layout;
    size_t count = 0;
    *ret_floats = 0;
    for (uint32_t i = 0; i < layout->slices; i++) {
        if (layout->slice[i].shard != shard)
            continue;
        slice[count++] = i;
        *ret_floats += layout->slice[i].elements;
    }
    FUZZ_CHECK(count > 0 && *ret_floats <= VICTIM_WEIGHTS);
    return count;
}

/* ---- What it is told ------------------------------------------------------------------------- */

static void on_result(struct victim *victim, const struct stepd_result *result,
                      const uint8_t *payload, size_t payload_bytes)
{
    for (size_t i = 0; i < result->slices.count; i++)
        victim->applied += result->outcomes.at[i] == STEPD_APPLIED;
    FUZZ_CHECK(victim->floats + payload_bytes / sizeof(float) <= VICTIM_WEIGHTS);
    if (payload_bytes > 0)
        memcpy(victim->weights + victim->floats, payload, payload_bytes);
    victim->floats += payload_bytes / sizeof(float);
}

static void on_read(void *owner, const struct stepd_message *message, const uint8_t *payload,
                    size_t payload_bytes)
{
    struct victim_worker *const worker = owner;
    if (message->kind == STEPD_MESSAGE_ERROR)
        (void)fprintf(stderr, "the victim is told: %s\n", message->body.error.text);
    FUZZ_CHECK(message->kind != STEPD_MESSAGE_ERROR);
    if (message->kind == STEPD_MESSAGE_RESULT)
        on_result(worker->victim, &message->body.result, payload, payload_bytes);
    if (message->kind != STEPD_MESSAGE_WELCOME)
        return;
    FUZZ_CHECK(message->body.welcome.session.count == STEPD_SESSION_BYTES);
    memcpy(worker->session, message->body.welcome.session.at, STEPD_SESSION_BYTES);
    worker->welcome = true;
}

/* ---- What it says ---------------------------------------------------------------------------- */

static void say(struct victim_worker *worker, uint32_t host, struct stepd_message *message)
{
    message->request_id = ++worker->requests;
    peer_send(&worker->peer[host], message, NULL, 0);
    peer_carry(&worker->peer[host], SIZE_MAX);
}

static void hear(struct victim *victim)
{
    brains_rest(victim->brains);
    for (uint32_t rank = 0; rank < VICTIM_RANKS; rank++) {
        for (uint32_t host = 0; host < BRAINS_HOSTS; host++) {
            struct peer *const peer = &victim->worker[rank].peer[host];
            FUZZ_CHECK(peer->conn != NULL);
            peer_read(peer, SIZE_MAX);
        }
    }
}

static void say_hello(struct victim_worker *worker, uint32_t host)
{
    const char *const token = VICTIM_TOKEN;
    const bool to_shard = host != BRAINS_CONTROL;
    struct stepd_message hello = {
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = STEPD_PROTOCOL_VERSION,
                       .job = VICTIM_JOB,
                       .worker = "honest",
                       .rank = (int32_t)worker->rank,
                       .lease_ms = LEASE_MS,
                       .token = {.count = strlen(token), .at = (const uint8_t *)token},
                       .session = {.count = to_shard ? STEPD_SESSION_BYTES : 0,
                                   .at = worker->session},
                       .shard = to_shard ? host + 1 : 0},
    };
    say(worker, host, &hello);
}

static void define_tensors(struct victim_worker *worker)
{
    static const uint64_t square[] = {4, 4}, row[] = {6};
    const struct stepd_init init = {.kind = STEPD_INIT_UNIFORM, .a = -1.0, .b = 1.0, .seed = 7};
    const struct stepd_tensor_def tensor[] = {
        {.name = "w", .dims = 2, .shape = square, .init = init, .group = ""},
        {.name = "b", .dims = 1, .shape = row, .init = init, .group = ""},
    };
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.tensors = 2, .tensor = tensor, .last = true},
    };
    say(worker, BRAINS_CONTROL, &message);
}

void victim_init(struct victim *victim, struct brains *brains, unsigned course)
{
    *victim = (struct victim){.brains = brains, .course = course % VICTIM_COURSES};
    define(victim);
    for (uint32_t rank = 0; rank < VICTIM_RANKS; rank++) {
        struct victim_worker *const worker = &victim->worker[rank];
        worker->victim = victim;
        worker->rank = rank;
        for (uint32_t host = 0; host < BRAINS_HOSTS; host++) {
            worker->peer[host] = (struct peer){.on_read = on_read, .owner = worker};
            peer_open(&worker->peer[host], brains, host);
        }
    }
    for (uint32_t rank = 0; rank < VICTIM_RANKS; rank++)
        say_hello(&victim->worker[rank], BRAINS_CONTROL);
    hear(victim);
    define_tensors(&victim->worker[0]);
    hear(victim);
    for (uint32_t rank = 0; rank < VICTIM_RANKS; rank++) {
        FUZZ_CHECK(victim->worker[rank].welcome);
        for (uint32_t shard = 0; shard < BRAINS_SHARDS; shard++)
            say_hello(&victim->worker[rank], shard);
    }
    hear(victim);
}

void victim_deinit(struct victim *victim)
{
    for (uint32_t rank = 0; rank < VICTIM_RANKS; rank++) {
        for (uint32_t host = 0; host < BRAINS_HOSTS; host++)
            peer_close(&victim->worker[rank].peer[host]);
    }
}

void victim_beat(struct victim *victim)
{
    for (uint32_t rank = 0; rank < VICTIM_RANKS; rank++) {
        struct stepd_message beat = {.kind = STEPD_MESSAGE_HEARTBEAT};
        say(&victim->worker[rank], BRAINS_CONTROL, &beat);
    }
    hear(victim);
}

/* ---- Its work -------------------------------------------------------------------------------- */

/* The head and half of the payload; the rest follows with the next act. */
static void push(struct victim *victim, uint64_t step, uint32_t rank, uint32_t shard)
{
    uint32_t slice[SLICES_MAX];
    float gradient[VICTIM_WEIGHTS];
    size_t floats = 0;
    const size_t count = slices_on(victim, shard, slice, &floats);
    const uint64_t base = courses[victim->course].mode == STEPD_SYNC ? step : 0;
    struct victim_worker *const worker = &victim->worker[rank];
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_PUSH,
        .request_id = ++worker->requests,
        .body.push = {.incarnation = job_on(victim, shard)->job->incarnation,
                      .clock = step + 1,
                      .slices = {.count = count, .at = slice},
                      .base_versions = {.count = 1, .at = &base},
                      .examples = 1 + rank,
                      .loss_scale = 1.0},
    };
    for (size_t i = 0; i < floats; i++)
        gradient[i] = (float)((i * 7 + step * 3 + rank * 5) % 11) / 4.0f - 1.0f;
    peer_send(&worker->peer[shard], &message, gradient, floats * sizeof *gradient);
    peer_carry(&worker->peer[shard],
               worker->peer[shard].up.count - worker->peer[shard].arrived - floats * 2);
}

bool victim_act(struct victim *victim)
{
    const size_t act = victim->act;
    if (act == ACTS)
        return false;
    const uint32_t rank = (uint32_t)(act / HALVES / BRAINS_SHARDS % VICTIM_RANKS);
    const uint32_t shard = (uint32_t)(act / HALVES % BRAINS_SHARDS);
    hear(victim);
    if (act % HALVES == 0)
        push(victim, act / ACTS_OF_STEP, rank, shard);
    else
        peer_carry(&victim->worker[rank].peer[shard], SIZE_MAX);
    victim->act++;
    return true;
}

void victim_rest(struct victim *victim)
{
    while (victim->act % ACTS_OF_STEP != 0)
        (void)victim_act(victim);
    hear(victim);
}

static void pull(struct victim *victim, uint32_t shard)
{
    uint32_t slice[SLICES_MAX];
    size_t floats = 0;
    const size_t count = slices_on(victim, shard, slice, &floats);
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = job_on(victim, shard)->job->incarnation,
                      .slices = {.count = count, .at = slice},
                      .view = STEPD_EVALUATION},
    };
    say(&victim->worker[0], shard, &message);
    hear(victim);
}

void victim_end(struct victim *victim)
{
    size_t slices = 0;
    while (victim_act(victim))
        continue;
    hear(victim);
    for (uint32_t shard = 0; shard < BRAINS_SHARDS; shard++) {
        uint32_t slice[SLICES_MAX];
        size_t floats = 0;
        slices += slices_on(victim, shard, slice, &floats);
        pull(victim, shard);
    }
    FUZZ_CHECK(victim->applied == slices * VICTIM_RANKS * VICTIM_STEPS);
    FUZZ_CHECK(victim->floats == VICTIM_WEIGHTS);
}
