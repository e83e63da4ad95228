/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors are small, so that a run is a few hundred kilobytes, and of every kind: some are cut,
 * some are packed, some are assigned by rank 0.
 */
#include "tests/sim/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "proto/mode.h"
#include "tests/lib/random.h"

enum { DRAWING_MAX_BYTES = 256 << 20 };

/* What a hash is for. */
enum purpose {
    FOR_EXAMPLES,
    FOR_LOSS,
    FOR_LOSS_SCALE,
    FOR_VALUES,
    FOR_HESSIAN,
    FOR_SPOILING,
    FOR_GRADIENT, /* and behind it, one for each rank */
};

/* ---- The job --------------------------------------------------------------------------------- */

static struct job *make_job(const struct plan *plan, uint32_t shards)
{
    struct job_draft *draft = NULL;
    struct job *job = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    enum stepd_status status = job_draft_create("sim", &plan->def.job, 0, &draft, &error);
    if (status == STEPD_OK)
        status = job_draft_add(draft, &plan->def.page, &error);
    if (status == STEPD_OK)
        status = job_draft_seal(draft, 1, shards, &job, &error);
    if (status != STEPD_OK)
        fail_msg("seed %llu: the job is refused: %s", (unsigned long long)plan->seed, error.text);
    (void)job_draft_destroy(draft);
    return job;
}

/* One worker at least takes all steps; the others may have fewer batches. */
static void draw_steps(struct plan *plan)
{
    struct random *random = &plan->drawing.random;
    const uint64_t longest = random_below(random, plan->job->workers);
    const bool uneven = random_once_in(random, 4);
    for (uint32_t rank = 0; rank < plan->job->workers; rank++) {
        const bool fewer = uneven && rank != longest;
        plan->steps_of[rank] = fewer ? random_between(random, 1, plan->steps) : plan->steps;
        coverage_count(plan->coverage, COVERAGE_UNEVEN, plan->steps_of[rank] < plan->steps);
    }
}

void plan_init(struct plan *plan, uint64_t seed, uint32_t shards, bool faults,
               struct course *course)
{
    *plan = (struct plan){
        .seed = seed,
        .faults = faults,
        .drawing.random.state = seed,
        .course = course,
        .coverage = &course->coverage,
    };
    stepd_arena_init(&plan->drawing.arena, DRAWING_MAX_BYTES);
    struct random *random = &plan->drawing.random;

    static const enum stepd_mode modes[] = {STEPD_SYNC, STEPD_SYNC, STEPD_ASYNC, STEPD_BOUNDED};
    const enum stepd_mode mode = modes[random_below(random, 4)];
    const uint32_t shards_of_seed = (uint32_t)random_between(random, 1, PLAN_SHARDS_MAX);
    const uint32_t most_workers =
        mode != STEPD_SYNC && random_once_in(random, 4) ? 1 : PLAN_WORKERS_MAX;
    plan->steps = random_between(random, 2, PLAN_STEPS_MAX);
    plan->push_dtype = (enum stepd_dtype)random_below(random, 3);
    plan->pull_dtype = (enum stepd_dtype)(random_once_in(random, 2) ? random_below(random, 3) : 0);
    plan->steady = random_once_in(random, 4);
    plan->def =
        definition_draw(&plan->drawing, mode, (uint32_t)random_between(random, 1, most_workers));
    plan->losses = definition_names_losses(&plan->def.job) || random_once_in(random, 2);
    plan->spoils = random_once_in(random, 4);
    plan->job = make_job(plan, shards == 0 ? shards_of_seed : shards);
    const struct consistency *consistency = &plan->job->consistency;
    plan->spoils = plan->spoils || consistency->nonfinite != CONSISTENCY_REFUSE;
    const bool alone = plan->job->workers == 1;
    const bool all = consistency->mode == STEPD_SYNC && consistency->backup == 0.0 &&
                     consistency->close_examples == 0.0;
    plan->exact = alone || all;
    plan->same_bits = plan->exact && !plan_may_halt(plan) &&
                      (alone || consistency->reduction == CONSISTENCY_RANK);
    draw_steps(plan);
}

void plan_deinit(struct plan *plan)
{
    plan->job = job_unref(plan->job);
    stepd_arena_deinit(&plan->drawing.arena);
}

void plan_calm(struct plan *plan)
{
    plan->spoils = false;
    plan->steady = true;
    plan->calm = true;
}

uint64_t plan_hash(const struct plan *plan, uint64_t a, uint64_t b, uint64_t c)
{
    struct random random = {.state = plan->seed};
    random.state = random_next(&random) + a;
    random.state = random_next(&random) + b;
    random.state = random_next(&random) + c;
    return random_next(&random);
}

/* ---- What a worker says of its push ---------------------------------------------------------- */

uint64_t plan_examples(const struct plan *plan, uint32_t rank, uint64_t clock)
{
    const uint64_t hash = plan_hash(plan, FOR_EXAMPLES, rank, plan->steady ? 0 : clock);
    return hash % 4 == 0 && !plan->steady ? 0 : 1 + hash / 4 % 64;
}

bool plan_loss(const struct plan *plan, uint32_t rank, uint64_t clock, double *ret_loss)
{
    const uint64_t hash = plan_hash(plan, FOR_LOSS, rank, plan->steady ? 0 : clock);
    *ret_loss = 0.5 + (double)(hash >> 11) * 0x1p-53;
    if (plan->losses && plan_examples(plan, rank, clock) > 0)
        return true;
    return hash % 2 == 0;
}

double plan_loss_scale(const struct plan *plan, uint32_t rank, uint64_t clock)
{
    static const double scales[] = {1.0, 1.0, 256.0, 0.5, 3.0, 1000.0};
    const uint64_t hash = plan_hash(plan, FOR_LOSS_SCALE, rank, plan->calm ? 0 : clock);
    return scales[hash % 6];
}

/* ---- What it pushes -------------------------------------------------------------------------- */

void plan_round_trip(enum stepd_dtype dtype, size_t n, const float *floats, float *ret_floats)
{
    uint8_t wire[PLAN_FLOATS_MAX * sizeof(float)];
    stepd_dtype_narrow(dtype, n, floats, wire);
    memcpy(stepd_dtype_wire_start(dtype, n, ret_floats), wire, n * stepd_dtype_bytes(dtype));
    stepd_dtype_widen(dtype, n, ret_floats);
}

/* A number in [-1, 1]. */
static float noise(struct random *random)
{
    return (float)random_below(random, 2001) / 1000.0F - 1.0F;
}

/* Finite whatever the weights are: what is not is refused. */
static float slope(float weight)
{
    const float slope = weight / 8.0F;
    return fabsf(slope) <= 1.0F ? slope : 0.0F;
}

static void fill_gradient(uint64_t hash, size_t n, const float *weights, float *ret_grad)
{
    struct random random = {.state = hash};
    for (size_t i = 0; i < n; i++)
        ret_grad[i] = noise(&random) + slope(weights[i]);
}

/* Not quite symmetric, as nothing that is summed in floats is; at times of no use: not positive
 * definite, or all workers' zeros, of which no update can be made. */
static void fill_hessian(const struct plan *plan, uint64_t hash, uint64_t clock, size_t n,
                         float *ret_hessian)
{
    struct random random = {.state = hash};
    const uint64_t kind = plan_hash(plan, FOR_HESSIAN, clock, 0) % 8;
    const float diagonal = kind == 1 ? -1.0F : 2.0F;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            const float drawn = noise(&random) / 4.0F;
            ret_hessian[i * n + j] = kind == 0 ? 0.0F : drawn + (i == j ? diagonal : 0.0F);
        }
    }
}

size_t plan_push_floats(const struct plan *plan, uint32_t slice)
{
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    return (size_t)of_slice->elements + of_slice->extra;
}

void plan_push(const struct plan *plan, uint32_t rank, uint64_t clock, uint32_t slice,
               const float *weights, float *ret_floats)
{
    const size_t n = plan->job->layout.slice[slice].elements;
    const size_t floats = plan_push_floats(plan, slice);
    const uint64_t hash = plan_hash(plan, FOR_GRADIENT + rank, clock, slice);
    const float scale = (float)plan_loss_scale(plan, rank, clock);
    float all[PLAN_FLOATS_MAX] = {0.0F};
    assert_true(floats <= PLAN_FLOATS_MAX && (floats == n || floats == n + n * n));
    fill_gradient(hash, n, weights, all);
    if (floats > n)
        fill_hessian(plan, hash + 1, clock, n, all + n);
    for (size_t i = 0; i < floats; i++)
        all[i] *= scale;
    plan_round_trip(plan->push_dtype, floats, all, ret_floats);
}

void plan_spoil(const struct plan *plan, uint32_t rank, uint64_t clock, uint32_t slice,
                float *floats)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const uint64_t hash = plan_hash(plan, FOR_SPOILING, rank * UINT64_C(64) + clock, slice);
    const uint64_t seldom = plan_refuses_spoilt(plan) ? 16 : 128; /* where one is enough for all */
    if (plan->spoils && hash % seldom == 0)
        floats[hash / 16 % plan_push_floats(plan, slice)] = bad[hash / 1024 % 3];
}

bool plan_refuses_spoilt(const struct plan *plan)
{
    return plan->job->consistency.nonfinite == CONSISTENCY_REFUSE;
}

/* ---- First weights --------------------------------------------------------------------------- */

bool plan_is_assigned(const struct plan *plan, uint32_t slice)
{
    const struct layout *layout = &plan->job->layout;
    const struct part *first = &layout->part[layout->slice[slice].first_part];
    return plan->def.page.tensor[first->tensor].init.kind == STEPD_INIT_VALUES;
}

void plan_values(const struct plan *plan, uint32_t slice, float *ret_values)
{
    struct random random = {.state = plan_hash(plan, FOR_VALUES, slice, 0)};
    for (size_t i = 0; i < plan->job->layout.slice[slice].elements; i++)
        ret_values[i] = (float)random_below(&random, 1000) / 512.0F;
}

/* ---- The end --------------------------------------------------------------------------------- */

bool plan_may_be_late(const struct plan *plan)
{
    const struct consistency *consistency = &plan->job->consistency;
    return consistency->backup > 0.0 || consistency->close_examples > 0.0;
}

bool plan_may_halt(const struct plan *plan)
{
    return plan->job->consistency.nonfinite == CONSISTENCY_HALT;
}

bool plan_may_wait_for_ever(const struct plan *plan)
{
    return plan_may_halt(plan) || plan->job->consistency.late == CONSISTENCY_LATE_APPLY ||
           (plan_may_be_late(plan) && (plan->faults || job_is_gated(plan->job)));
}

uint32_t plan_wait_max_ms(const struct plan *plan)
{
    if (!plan->faults && !plan_may_wait_for_ever(plan))
        return 100000000;
    return plan->calm ? 10000 : 3000;
}

/* Behind the pushes that have a clock. */
static uint64_t examples_of_clock(const struct plan *plan, const uint64_t *last_clock,
                                  uint64_t clock)
{
    uint64_t examples = 0;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++)
        examples += clock <= plan->steps_of[rank] && clock <= last_clock[rank]
                        ? plan_examples(plan, rank, clock)
                        : 0;
    return examples;
}

uint64_t plan_version_until(const struct plan *plan, const uint64_t *last_clock, uint64_t clock)
{
    const struct consistency *consistency = &plan->job->consistency;
    uint64_t version = 0;
    uint64_t examples = 0;
    if (consistency->accumulate_examples == 0.0)
        return clock / (uint64_t)consistency->accumulate;
    for (uint64_t turn = 1; turn <= clock; turn++) {
        const uint64_t of_turn = examples_of_clock(plan, last_clock, turn);
        examples += of_turn;
        if (of_turn > 0 && (double)examples < consistency->accumulate_examples)
            continue;
        version++;
        examples = 0;
    }
    return version;
}

uint64_t plan_version_after(const struct plan *plan, uint64_t clock)
{
    return plan_version_until(plan, plan->steps_of, clock);
}

uint64_t plan_last_version(const struct plan *plan)
{
    if (plan->job->consistency.mode != STEPD_SYNC)
        return plan->steps * plan->job->workers;
    const uint64_t whole = plan_version_after(plan, plan->steps);
    const bool rest = whole == plan_version_after(plan, plan->steps - 1);
    return whole + rest;
}

static const char *mode_of(const struct plan *plan)
{
    return stepd_mode_name(plan->job->consistency.mode);
}

void plan_trace(const struct plan *plan, const char *fmt, ...)
{
    char text[256];
    va_list args;
    if (!plan->course->trace)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    print_message("%8llu %6llu ms  %s\n", (unsigned long long)plan->course->event,
                  (unsigned long long)plan->course->now_ms, text);
}

void plan_fail(const struct plan *plan, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fail_msg("seed %llu, %s, %u workers, %u shards, %s, event %llu: %s\n"
             "         again, with all events: STEPD_SIM_SEED=%llu STEPD_SIM_TRACE=1 %s",
             (unsigned long long)plan->seed, mode_of(plan), plan->job->workers, plan->job->shards,
             plan->faults ? "with faults" : "without faults",
             (unsigned long long)plan->course->event, text, (unsigned long long)plan->seed,
             plan->course->program);
}
