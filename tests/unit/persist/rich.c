/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers are drawn from those that are hard to write down: near the ends of their range, doubles
 * of any bits.
 */
#include "rich.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/lib/settings.h"
#include "tests/sim/definition.h"

enum { ARENA_MAX_BYTES = 64 << 20, SHARDS = 2, INCARNATION_BYTES = 6 };

/* A place for each array: nobody looks at what stands there, except for how long it is. */
static float *make_floats(uint64_t floats)
{
    float *const at = calloc((size_t)floats + 1, sizeof *at);
    assert_non_null(at);
    return at;
}

static double any_double(struct random *random)
{
    const uint64_t bits = random_next(random);
    double number;
    if (random_once_in(random, 2))
        return (double)random_below(random, 1000) / 8.0 - 20.0;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Any that a peer may have said. */
static uint64_t any_u64(struct random *random)
{
    const uint64_t number = random_next(random);
    return random_once_in(random, 2) ? number : number % 1000;
}

/* Any that can be counted to. */
static uint64_t any_count(struct random *random)
{
    return random_once_in(random, 4) ? random_next(random) >> 1 : random_below(random, 1000);
}

static void any_bytes(struct random *random, uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)random_next(random);
}

static struct stepd_error any_error(struct random *random)
{
    struct stepd_error error;
    (void)stepd_fail(&error, (enum stepd_status)random_between(random, 1, STEPD_ROLLED_BACK),
                     "why: \"quoted\" \xc3\xa4\xe2\x82\xac %u", (unsigned)random_below(random, 9));
    return error;
}

/* ---- The job --------------------------------------------------------------------------------- */

static struct job *seal(const struct stepd_define_job *def, const struct stepd_define_tensors *page,
                        uint64_t incarnation)
{
    struct job_draft *draft = NULL;
    struct job *job = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    enum stepd_status status = job_draft_create("r\xc3\xaf"
                                                "ch job",
                                                def, 256, &draft, &error);
    if (status == STEPD_OK)
        status = job_draft_add(draft, page, &error);
    if (status == STEPD_OK)
        status = job_draft_seal(draft, incarnation, SHARDS, &job, &error);
    if (status != STEPD_OK)
        fail_msg("%s", error.text);
    (void)job_draft_destroy(draft);
    return job;
}

/* What may become of one of its groups; NULL of a frozen one. */
static struct shared_group *change(struct random *random, const struct job *job, uint32_t index)
{
    if (job->group[index].frozen)
        return NULL;
    struct shared_group *const shared = calloc(1, sizeof *shared);
    assert_non_null(shared);
    assert_int_equal(group_copy(&job->group[index], &shared->group), STEPD_OK);
    shared->refs = 1;
    shared->group.phase[0].hyper.lr *= 0.37;
    if (shared->group.phases == 1)
        shared->group.phase[0].from = random_below(random, 100);
    return shared;
}

/* ---- History --------------------------------------------------------------------------------- */

static struct shared_group *ref(struct shared_group *shared)
{
    return shared == NULL ? NULL : shared_group_ref(shared);
}

static struct group_changes *any_changes(struct random *random, const struct job *job,
                                         struct control_history *history)
{
    const uint32_t index = (uint32_t)random_below(random, job->groups);
    if (job->group[index].frozen)
        return NULL;
    struct group_changes *const changes = group_changes_create(1);
    assert_non_null(changes);
    changes->number = ++history->numbered;
    changes->version = any_count(random);
    changes->change[0] = (struct group_change){
        .index = index,
        .fresh = random_once_in(random, 2),
        .new_schedule = random_once_in(random, 2),
        .group = change(random, job, index),
    };
    (void)shared_group_unref(history->group[index].now);
    history->group[index].now = ref(changes->change[0].group);
    history->group[index].number = changes->number;
    history->group[index].version = changes->version;
    return changes;
}

static void add_record(struct random *random, const struct job *job, struct control_trail *trail)
{
    struct difference difference[3];
    const size_t differences = random_below(random, 4);
    for (size_t i = 0; i < differences; i++) {
        (void)snprintf(difference[i].name, sizeof difference[i].name, "phase %zu", i);
        (void)snprintf(difference[i].from, sizeof difference[i].from, "%g", any_double(random));
        (void)snprintf(difference[i].to, sizeof difference[i].to, "-");
    }
    struct control_record *const record = control_record_create(
        (uint32_t)random_below(random, job->groups), "somebody", difference, differences);
    assert_non_null(record);
    record->number = any_u64(random);
    record->at_ms = any_u64(random);
    record->version = random_once_in(random, 3) ? UINT64_MAX : any_count(random);
    record->version_last = random_once_in(random, 3) ? UINT64_MAX : any_count(random);
    control_trail_add(trail, record);
}

static void make_history(struct random *random, const struct job *job,
                         struct control_history *history)
{
    if (random_once_in(random, 3))
        return;
    assert_int_equal(control_history_begin(history, job->groups), STEPD_OK);
    history->made = any_count(random);
    for (uint32_t i = 0; i < job->groups; i++) {
        struct control_group *const group = &history->group[i];
        group->past = random_once_in(random, 2) ? change(random, job, i) : NULL;
        group->now = ref(group->past);
        group->number = any_count(random);
    }
    struct group_changes **end = &history->coming;
    for (size_t i = random_below(random, 6); i > 0; i--) {
        *end = any_changes(random, job, history);
        end = *end == NULL ? end : &(*end)->next;
    }
    for (size_t i = random_below(random, 5); i > 0; i--)
        add_record(random, job, &history->trail);
    history->trail.forgotten = any_count(random);
}

/* ---- Members --------------------------------------------------------------------------------- */

static void make_member(struct random *random, uint32_t rank, struct member_snapshot *member)
{
    char worker[32];
    (void)snprintf(worker, sizeof worker, "w%urk\xc3\xa9r", (unsigned)rank);
    *member = (struct member_snapshot){
        .rank = rank,
        .left = random_once_in(random, 3),
        .until = any_count(random),
        .from = any_count(random),
        .from_clock = any_count(random),
        .last_clock = UINT64_MAX,
        .reported_clock = any_u64(random),
        .loss = any_double(random),
        .examples = any_u64(random),
        .epoch = any_u64(random),
        .lease_ms = (uint32_t)random_between(random, 1000, 3600000),
        .has_client = random_once_in(random, 2),
        .worker = strdup(random_once_in(random, 4) ? "" : worker),
        .former = {.known = random_once_in(random, 3)},
    };
    assert_non_null(member->worker);
    any_bytes(random, member->session, sizeof member->session);
    if (member->left)
        member->last_clock = any_u64(random);
    else if (random_once_in(random, 3))
        member->given_up = any_error(random);
    if (member->has_client)
        any_bytes(random, member->client, sizeof member->client);
    if (!member->former.known)
        return;
    any_bytes(random, member->former.session, sizeof member->former.session);
    member->former.why = any_error(random);
}

static void make_members(struct random *random, struct job_snapshot *snapshot)
{
    snapshot->member = calloc(snapshot->job->workers, sizeof *snapshot->member);
    assert_non_null(snapshot->member);
    for (uint32_t rank = 0; rank < snapshot->job->workers; rank++) {
        if (!random_once_in(random, 5))
            make_member(random, rank, &snapshot->member[snapshot->members++]);
    }
}

/* ---- Slices ---------------------------------------------------------------------------------- */

static void make_ranks(struct random *random, const struct job *job, struct slice_state *state,
                       bool backups)
{
    state->by_rank = calloc(job->workers, sizeof *state->by_rank);
    assert_non_null(state->by_rank);
    state->ranks = job->workers;
    for (size_t i = 0; i < state->ranks; i++) {
        struct rank_state *const rank = &state->by_rank[i];
        const uint64_t pushes = random_below(random, 12);
        for (uint64_t clock = any_count(random) / 2 + 1; rank->record.clock == 0; clock++) {
            for (uint64_t n = 0; n < pushes; n++)
                record_note(&rank->record, clock + n,
                            (enum stepd_outcome)random_below(random, STEPD_ACCUMULATED + 1),
                            any_u64(random));
            if (pushes == 0)
                break;
        }
        rank->backup_version = random_once_in(random, 2) ? UINT64_MAX : any_count(random);
        rank->backup = backups ? make_floats(state->elements) : NULL;
    }
}

/* Arrays of the phase that it is in. */
static void make_arrays(struct random *random, const struct job *job, const struct slice_plan *plan,
                        struct slice_state *state)
{
    const struct group *const group =
        state->changed != NULL ? &state->changed->group : &job->group[plan->group];
    const struct phase *const phase = &group->phase[state->phase];
    const size_t slots = group->frozen ? 0 : optimizer_slots(phase->optimizer);
    uint64_t most = plan->elements;
    for (size_t k = 0; k < slots; k++) {
        state->slot_floats[k] = job_slot_floats(job, plan, phase, k);
        most = state->slot_floats[k] > most ? state->slot_floats[k] : most;
    }
    state->memory = make_floats(most);
    for (size_t k = 0; k < slots; k++)
        state->slot[k] = state->slot_floats[k] > 0 ? state->memory : NULL;
    for (size_t v = 0; v < STEPD_VIEWS && state->valued; v++)
        state->view[v] = v == STEPD_EVALUATION || random_once_in(random, 2) ? state->memory : NULL;
    state->scalars = random_below(random, 4);
    state->scalars_memory = calloc(state->scalars + 1, sizeof *state->scalars_memory);
    assert_non_null(state->scalars_memory);
    state->scalar = state->scalars_memory;
    for (size_t i = 0; i < state->scalars; i++)
        state->scalars_memory[i] = any_double(random);
}

static void make_slice(struct random *random, const struct rich *rich, size_t index, bool backups)
{
    const struct job *const job = rich->snapshot.job;
    const struct control_history *const history = &rich->snapshot.history;
    const struct slice_plan *const plan = &job->layout.slice[index];
    struct slice_state *const state = &rich->state->slice[index];
    struct shared_group *const past = history->groups > 0 ? history->group[plan->group].past : NULL;
    *state = (struct slice_state){
        .taken = true,
        .elements = plan->elements,
        .version = any_count(random),
        .t = any_count(random),
        .valued = !random_once_in(random, 5),
        .swa_count = any_count(random),
        .changed = random_once_in(random, 5) ? change(random, job, plan->group) : ref(past),
        .change = any_count(random),
        .phase = random_below(random, job->group[plan->group].phases),
        .phase_began = any_count(random),
    };
    if (random_once_in(random, 3))
        state->schedule_state = (struct schedule_state){
            .seen = random_once_in(random, 2),
            .best = any_double(random),
            .sum = any_double(random),
            .rounds = any_count(random),
            .bad = any_count(random),
            .cooling = any_count(random),
            .drops = any_count(random),
        };
    make_arrays(random, job, plan, state);
    make_ranks(random, job, state, backups);
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void make_sum(struct random *random, char checksum[CHECKSUM_TEXT_BYTES])
{
    for (size_t i = 0; i < CHECKSUM_TEXT_BYTES - 1; i++)
        checksum[i] = "0123456789abcdef"[random_below(random, 16)];
    checksum[CHECKSUM_TEXT_BYTES - 1] = '\0';
}

/* Arrays in an order of their own. */
static void make_sums(struct random *random, const struct job *job, struct manifest_sums *sums)
{
    static const char *const names[] = {"model.safetensors", "optimizer.safetensors"};
    sums->file = calloc(2, sizeof *sums->file);
    sums->array = calloc(job->tensors, sizeof *sums->array);
    assert_true(sums->file != NULL && sums->array != NULL);
    for (; sums->files < 2; sums->files++) {
        sums->file[sums->files].name = strdup(names[sums->files]);
        sums->file[sums->files].bytes = any_u64(random);
        make_sum(random, sums->file[sums->files].checksum);
    }
    for (; sums->arrays < job->tensors; sums->arrays++) {
        char name[2 * STEPD_NAME_MAX_BYTES];
        (void)snprintf(name, sizeof name, "model.safetensors/%s",
                       job->tensor[job->tensors - 1 - sums->arrays].name);
        sums->array[sums->arrays].name = strdup(name);
        make_sum(random, sums->array[sums->arrays].checksum);
    }
}

/* Nobody has joined for a version that the job is far from. */
static void cut_intervals(struct rich *rich)
{
    uint64_t highest = 0;
    for (size_t i = 0; i < rich->state->job->layout.slices; i++) {
        const uint64_t version = rich->state->slice[i].version;
        highest = version > highest ? version : highest;
    }
    for (size_t i = 0; i < rich->snapshot.members; i++) {
        struct member_snapshot *const member = &rich->snapshot.member[i];
        member->from %= highest + 1;
        member->until %= highest + 1;
    }
}

static void make_rest(struct random *random, struct job *job, struct rich *ret_rich)
{
    const uint64_t version =
        job->consistency.mode == STEPD_SYNC ? any_count(random) : JOB_STATE_AS_IT_STANDS;
    *ret_rich = (struct rich){.snapshot = {.job = job,
                                           .version = version,
                                           .incarnation = job->incarnation,
                                           .started = random_once_in(random, 2),
                                           .taken_ms = any_u64(random)}};
    make_members(random, &ret_rich->snapshot);
    make_history(random, job, &ret_rich->snapshot.history);
    assert_int_equal(job_state_create(job, version, &ret_rich->state), STEPD_OK);
    if (random_once_in(random, 3))
        ret_rich->state->halted = any_error(random);
    const bool backups = random_once_in(random, 2);
    for (size_t i = 0; i < job->layout.slices; i++)
        make_slice(random, ret_rich, i, backups);
    cut_intervals(ret_rich);
    make_sums(random, job, &ret_rich->sums);
}

struct rich rich_make(uint64_t seed, enum stepd_mode mode)
{
    struct rich rich;
    struct drawing drawing = {.random = {.state = seed}};
    stepd_arena_init(&drawing.arena, ARENA_MAX_BYTES);
    const struct definition drawn = definition_draw(&drawing, mode, 3);
    struct job *const job = seal(&drawn.job, &drawn.page, any_u64(&drawing.random) >> 2);
    make_rest(&drawing.random, job, &rich);
    stepd_arena_deinit(&drawing.arena);
    return rich;
}

struct rich rich_make_small(void)
{
    static const uint64_t shape[] = {20, 30};
    static const struct stepd_tensor_def tensor[] = {
        {.name = "fc.weight",
         .dims = 2,
         .shape = shape,
         .init = {.kind = STEPD_INIT_NORMAL, .b = 1}},
        {.name = "fc.bias", .dims = 1, .shape = shape},
        {.name = "scale", .dims = 0, .shape = shape, .init = {.kind = STEPD_INIT_VALUES}},
    };
    const struct stepd_group group = settings_group("adam", "lr=0.1");
    const struct stepd_define_job def = {
        .workers = 2, .groups = 1, .group = &group, .defaults = {.name = ""}};
    const struct stepd_define_tensors page = {.tensors = 3, .tensor = tensor, .last = true};
    struct random random = {.state = 13};
    struct rich rich;
    make_rest(&random, seal(&def, &page, 77), &rich);
    return rich;
}

void rich_free(struct rich *rich)
{
    for (size_t i = 0; i < rich->sums.files; i++)
        free(rich->sums.file[i].name);
    for (size_t i = 0; i < rich->sums.arrays; i++)
        free(rich->sums.array[i].name);
    free(rich->sums.file);
    free(rich->sums.array);
    rich->state = job_state_unref(rich->state);
    job_snapshot_deinit(&rich->snapshot);
}
