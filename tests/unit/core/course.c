/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers come from a mix of what they belong to, so that no state hides in a generator.
 */
#include "tests/unit/core/course.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/sync/gate.h"
#include "tests/lib/random.h"

static const uint64_t large[] = {20, 18};
static const uint64_t large_of_blocks[] = {90, 100}; /* three slices of up to 4096 */
static const uint64_t small[] = {3, 4};

static uint64_t mix(uint64_t x)
{
    struct random random = {.state = x};
    return random_next(&random);
}

/* In [-1, 1). */
static float number(uint64_t rank, uint64_t clock, uint64_t slice, uint64_t element)
{
    const uint64_t bits = mix(mix(mix(rank * 64 + clock) + slice) + element);
    return (float)(bits >> 40) / (float)(1u << 23) - 1.0F;
}

struct shard_job course_job(const struct course *course)
{
    static struct stepd_tensor_def tensor[2];
    tensor[0] = shard_tensor("large", course->clips ? large_of_blocks : large, 2, 0.5);
    tensor[1] = shard_tensor("small", small, 2, 0.25);
    for (size_t i = 0; i < 2; i++)
        tensor[i].init = (struct stepd_init){.kind = STEPD_INIT_NORMAL, .b = 1.0, .seed = 11};
    return (struct shard_job){
        .mode = course->mode,
        .settings = course->settings,
        .workers = COURSE_WORKERS,
        .groups = 1,
        .group = course->group,
        .slice_elements = course->clips ? 4096 : 256,
        .tensors = 2,
        .tensor = tensor,
    };
}

/* ---- Entries --------------------------------------------------------------------------------- */

/* A gradient of all slices, and behind it what the slice wants: a Hessian near twice the unit. */
static size_t fill(const struct job *job, uint64_t rank, uint64_t clock, float *grad)
{
    size_t at = 0;
    for (size_t s = 0; s < job->layout.slices; s++) {
        const struct slice_plan *plan = &job->layout.slice[s];
        const size_t n = plan->elements;
        for (size_t i = 0; i < n; i++)
            grad[at++] = number(rank, clock, s, i);
        for (size_t k = 0; k < plan->extra; k++)
            grad[at++] = k / n == k % n ? 2.0F : number(rank, clock, k / n * (k % n), 9) / 1024.0F;
    }
    return at;
}

static size_t payload_floats(const struct job *job)
{
    size_t floats = 0;
    for (size_t s = 0; s < job->layout.slices; s++)
        floats += (size_t)job->layout.slice[s].elements + job->layout.slice[s].extra;
    return floats;
}

static void push(struct shard *shard, size_t rank, uint64_t clock, uint64_t base_version)
{
    float *grad = calloc(payload_floats(shard->job), sizeof *grad);
    assert_non_null(grad);
    const struct shard_push request = {
        .id = clock,
        .clock = clock,
        .base_version = base_version,
        .examples = 1 + rank + clock % 3,
        .slices = shard->job->layout.slices,
        .grad = grad,
        .values = fill(shard->job, rank, clock, grad),
        .has_loss = true,
        .loss = 2.0 + (double)number(rank, clock, 99, 0),
    };
    shard_push(shard, rank, &request);
    free(grad);
}

static bool is_sync(const struct course *course)
{
    return course->mode == STEPD_SYNC;
}

size_t course_length(const struct course *course)
{
    return is_sync(course) ? COURSE_STEPS : COURSE_STEPS * 2 * COURSE_WORKERS;
}

/* Both pull, then both push what they have computed at that. */
static void enter_apart(struct shard *shard, size_t entry)
{
    const size_t turn = entry / (2 * COURSE_WORKERS);
    const size_t rank = entry % COURSE_WORKERS;
    const bool pulls = entry / COURSE_WORKERS % 2 == 0;
    if (pulls)
        shard_pull_view(shard, rank, STEPD_TRAINING, shard->job->layout.slices);
    else
        push(shard, rank, turn + 1, turn * COURSE_WORKERS);
}

/* What control does with a step that all slices are ready for. */
static void pass_gate(struct runner *runner)
{
    while (runner->shard.ready != NULL) {
        const bool whole = gate_take(runner->gate, runner->shard.ready);
        runner->shard.ready = notice_destroy(runner->shard.ready);
        struct order decision = {.job_name = runner->shard.job->name};
        assert_true(whole);
        gate_decide(runner->gate, &decision);
        shard_give(&runner->shard, &decision);
    }
}

static void tell_change(struct runner *runner, size_t index)
{
    const struct order order = {.kind = ORDER_CHANGE,
                                .job_name = runner->shard.job->name,
                                .change = ORDER_CHANGE_GROUPS,
                                .version = runner->course->change[index].version,
                                .groups = runner->change[index]};
    shard_give(&runner->shard, &order);
}

static void tell_changes(struct runner *runner, size_t entry)
{
    for (size_t i = 0; i < runner->course->changes; i++) {
        if (runner->course->change[i].entry == entry)
            tell_change(runner, i);
    }
}

void runner_go(struct runner *runner, size_t from, size_t to)
{
    for (size_t entry = from; entry < to; entry++) {
        tell_changes(runner, entry);
        const bool sync = is_sync(runner->course);
        for (size_t rank = 0; sync && rank < COURSE_WORKERS; rank++)
            push(&runner->shard, rank, entry + 1, entry);
        if (!sync)
            enter_apart(&runner->shard, entry);
        pass_gate(runner);
    }
}

void runner_order(struct runner *runner, size_t entries)
{
    shard_snapshot_order(&runner->shard,
                         is_sync(runner->course) ? entries : JOB_STATE_AS_IT_STANDS);
}

/* Each is worked out from what the one before has left. */
static void work_out_changes(struct runner *runner)
{
    const struct course *course = runner->course;
    const struct group *now = &runner->shard.job->group[0];
    for (size_t i = 0; i < course->changes; i++) {
        const struct course_change *change = &course->change[i];
        const struct group_edit edit = {.said = &change->said};
        const struct change_site site = {
            .job = runner->shard.job, .now = now, .point = {change->version, change->version}};
        struct stepd_error error = {.code = STEPD_OK};
        struct group_changes *changes = group_changes_create(1);
        assert_non_null(changes);
        if (group_change_edit(&site, &edit, &changes->change[0], &error) != STEPD_OK)
            fail_msg("%s", error.text);
        changes->number = i + 1;
        changes->version = change->version;
        now = &changes->change[0].group->group;
        runner->change[i] = changes;
    }
}

void runner_open(struct runner *runner, const struct course *course, struct job_state *state,
                 size_t entries)
{
    const struct shard_job job = course_job(course);
    struct shard *shard = &runner->shard;
    runner->course = course;
    if (state == NULL)
        shard_setup(shard, &job);
    else
        shard_restore(shard, &job, state);
    for (uint32_t rank = 0; rank < COURSE_WORKERS; rank++)
        shard_connect(shard, rank, rank);
    work_out_changes(runner);
    for (size_t entry = 0; state != NULL && entry < entries; entry++)
        tell_changes(runner, entry);
    runner->gate = NULL;
    if (!job_is_gated(shard->job))
        return;
    assert_int_equal(gate_create(shard->job, &runner->gate), STEPD_OK);
    if (state != NULL)
        gate_start_at(runner->gate, state->version);
}

void runner_close(struct runner *runner)
{
    runner->gate = gate_destroy(runner->gate);
    for (size_t i = 0; i < runner->course->changes; i++)
        runner->change[i] = group_changes_destroy(runner->change[i]);
    shard_teardown(&runner->shard);
}

/* ---- The same -------------------------------------------------------------------------------- */

static void assert_same_floats(const float *a, const float *b, size_t n, const char *what)
{
    if ((a == NULL) != (b == NULL) || (a != NULL && memcmp(a, b, n * sizeof *a) != 0))
        fail_msg("%s differ", what);
}

static void assert_same_number(uint64_t a, uint64_t b, const char *what)
{
    if (a != b)
        fail_msg("%s: %llu and %llu", what, (unsigned long long)a, (unsigned long long)b);
}

static void assert_same_ranks(const struct slice_state *a, const struct slice_state *b,
                              const char *what)
{
    assert_same_number(a->ranks, b->ranks, what);
    for (size_t i = 0; i < a->ranks; i++) {
        const struct rank_state *one = &a->by_rank[i];
        const struct rank_state *two = &b->by_rank[i];
        assert_same_number(one->record.clock, two->record.clock, what);
        for (size_t e = 0; e < RECORD_DEPTH; e++) {
            assert_same_number(one->record.entry[e].clock, two->record.entry[e].clock, what);
            assert_same_number(one->record.entry[e].version, two->record.entry[e].version, what);
            assert_same_number(one->record.entry[e].outcome, two->record.entry[e].outcome, what);
        }
        assert_same_number(one->backup_version, two->backup_version, what);
        assert_same_floats(one->backup, two->backup, a->elements, what);
    }
}

static void assert_same_schedule(const struct schedule_state *a, const struct schedule_state *b,
                                 const char *what)
{
    assert_same_number(a->seen, b->seen, what);
    assert_same_number(a->rounds, b->rounds, what);
    assert_same_number(a->bad, b->bad, what);
    assert_same_number(a->cooling, b->cooling, what);
    assert_same_number(a->drops, b->drops, what);
    if (memcmp(&a->best, &b->best, sizeof a->best) != 0 ||
        memcmp(&a->sum, &b->sum, sizeof a->sum) != 0)
        fail_msg("%s: losses differ", what);
}

static void assert_same_group(const struct slice_state *a, const struct slice_state *b,
                              const char *what)
{
    struct stepd_error error = {.code = STEPD_OK};
    assert_same_number(a->change, b->change, what);
    assert_same_number(a->changed != NULL, b->changed != NULL, what);
    if (a->changed != NULL &&
        group_same(&a->changed->group, &b->changed->group, &error) != STEPD_OK)
        fail_msg("%s: %s", what, error.text);
}

static void assert_same_slice(const struct slice_state *a, const struct slice_state *b,
                              const char *what)
{
    assert_same_number(a->version, b->version, what);
    assert_same_number(a->t, b->t, what);
    assert_same_number(a->valued, b->valued, what);
    assert_same_number(a->swa_count, b->swa_count, what);
    assert_same_number(a->phase, b->phase, what);
    assert_same_number(a->phase_began, b->phase_began, what);
    assert_same_number(a->scalars, b->scalars, what);
    assert_same_schedule(&a->schedule_state, &b->schedule_state, what);
    assert_same_group(a, b, what);
    for (int v = 0; v < STEPD_VIEWS; v++)
        assert_same_floats(a->view[v], b->view[v], a->elements, what);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        assert_same_number(a->slot_floats[k], b->slot_floats[k], what);
        assert_same_floats(a->slot[k], b->slot[k], (size_t)a->slot_floats[k], what);
    }
    for (size_t i = 0; i < a->scalars; i++) {
        if (memcmp(&a->scalar[i], &b->scalar[i], sizeof a->scalar[i]) != 0)
            fail_msg("%s: scalars differ", what);
    }
    assert_same_ranks(a, b, what);
}

void assert_same_state(const struct job_state *a, const struct job_state *b, const char *what)
{
    assert_same_number(a->job->layout.slices, b->job->layout.slices, what);
    for (size_t i = 0; i < a->job->layout.slices; i++)
        assert_same_slice(&a->slice[i], &b->slice[i], what);
}

/* ---- Going on -------------------------------------------------------------------------------- */

/* Runs the rest of the course, and takes the state at its end. */
static struct job_state *run_to_end(struct runner *runner, size_t from)
{
    runner_go(runner, from, course_length(runner->course));
    runner_order(runner, course_length(runner->course));
    struct job_state *state = shard_state(&runner->shard);
    shard_snapshot_end(&runner->shard);
    return state;
}

/* The state behind an entry, taken of a run that goes on while it is held. */
static struct job_state *cut(const struct course *course, size_t entries,
                             const struct job_state *undisturbed, const char *what)
{
    struct runner runner;
    runner_open(&runner, course, NULL, 0);
    const size_t ordered = is_sync(course) ? 0 : entries;
    runner_go(&runner, 0, ordered);
    runner_order(&runner, entries);
    runner_go(&runner, ordered, course_length(course));
    struct job_state *state = shard_state(&runner.shard);
    shard_snapshot_end(&runner.shard);
    struct job_state *end = run_to_end(&runner, course_length(course));
    assert_same_state(end, undisturbed, what);
    (void)job_state_unref(end);
    runner_close(&runner);
    return state;
}

void assert_course_goes_on(const struct course *course, const char *what)
{
    struct runner runner;
    runner_open(&runner, course, NULL, 0);
    struct job_state *undisturbed = run_to_end(&runner, 0);
    runner_close(&runner);
    for (size_t entries = 0; entries <= course_length(course); entries++) {
        struct job_state *state = cut(course, entries, undisturbed, what);
        runner_open(&runner, course, state, entries);
        struct job_state *end = run_to_end(&runner, entries);
        assert_same_state(end, undisturbed, what);
        runner_close(&runner);
        (void)job_state_unref(end);
        (void)job_state_unref(state);
    }
    (void)job_state_unref(undisturbed);
}
