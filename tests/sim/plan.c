/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors are small, so that a run is a few hundred kilobytes, and of every kind: some are cut,
 * some are packed, some are assigned by rank 0.
 */
#include "tests/sim/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "tests/lib/random.h"

/* ---- The job --------------------------------------------------------------------------------- */

struct definition {
    char name[PLAN_TENSORS_MAX][32];
    uint64_t shape[PLAN_TENSORS_MAX];
    struct stepd_tensor_def tensor[PLAN_TENSORS_MAX];
    size_t tensors;
};

static struct stepd_init random_init(struct random *random, enum stepd_mode mode)
{
    const double whole = (double)random_below(random, 5);
    const uint64_t seed = random_next(random);
    if (random_once_in(random, 4))
        return (struct stepd_init){.kind = STEPD_INIT_VALUES};
    if (mode == STEPD_ASYNC || random_once_in(random, 4))
        return (struct stepd_init){.kind = STEPD_INIT_CONSTANT, .a = whole};
    return (struct stepd_init){.kind = STEPD_INIT_NORMAL, .b = 0.5, .seed = seed};
}

static void define_tensors(struct definition *def, struct random *random, enum stepd_mode mode)
{
    def->tensors = random_between(random, 1, PLAN_TENSORS_MAX);
    for (size_t i = 0; i < def->tensors; i++) {
        (void)snprintf(def->name[i], sizeof def->name[i], "t%zu.%s", i,
                       random_once_in(random, 2) ? "bias" : "weight");
        def->shape[i] = random_once_in(random, 2) ? random_between(random, 1, 4)
                                                  : random_between(random, 5, 700);
        def->tensor[i] = (struct stepd_tensor_def){
            .name = def->name[i],
            .dims = 1,
            .shape = &def->shape[i],
            .init = random_init(random, mode),
            .group = "",
        };
    }
}

/* Biases take plain SGD; the rest, in sync mode, any optimizer and a schedule. */
static struct job *make_job(const struct definition *def, struct random *random,
                            enum stepd_mode mode, uint32_t shards)
{
    static const char *const optimizers[] = {"sgd", "momentum", "nesterov", "adam", "adamw"};
    static const double one = 1.0;
    static const double two = 2.0;
    static const double half = 0.5;
    static const double slow = 0.0625;
    const bool sync = mode == STEPD_SYNC;
    const struct stepd_setting lr = {.name = "lr", .values = 1, .value = sync ? &slow : &one};
    const struct stepd_setting drop[] = {{.name = "step_size", .values = 1, .value = &two},
                                         {.name = "gamma", .values = 1, .value = &half}};
    const struct stepd_group group[] = {
        {.name = "bias",
         .match = "*.bias",
         .optimizer = "sgd",
         .settings = {.count = 1, .at = &lr},
         .schedule = ""},
        {.name = "rest",
         .match = "*",
         .optimizer = sync ? optimizers[random_below(random, 5)] : "sgd",
         .settings = {.count = 1, .at = &lr},
         .schedule = sync ? "step" : "",
         .schedule_settings = {.count = sync ? 2 : 0, .at = drop}}};
    const struct stepd_define_job job_def = {
        .mode = mode,
        .workers = (uint32_t)random_between(random, 2, PLAN_WORKERS_MAX),
        .groups = 2,
        .group = group,
        .slice_elements = PLAN_SLICE_ELEMENTS,
    };
    const struct stepd_define_tensors page = {
        .tensors = def->tensors, .tensor = def->tensor, .last = true};
    struct job_draft *draft = NULL;
    struct job *job = NULL;
    assert_int_equal(job_draft_create("sim", &job_def, 0, &draft, NULL), STEPD_OK);
    assert_int_equal(job_draft_add(draft, &page, NULL), STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 1, shards, &job, NULL), STEPD_OK);
    (void)job_draft_destroy(draft);
    return job;
}

struct plan plan_init(uint64_t seed, uint32_t shards, bool faults)
{
    struct random random = {.state = seed};
    const enum stepd_mode mode = random_once_in(&random, 3) ? STEPD_ASYNC : STEPD_SYNC;
    const uint32_t shards_of_seed = (uint32_t)random_between(&random, 1, PLAN_SHARDS_MAX);
    struct plan plan = {
        .seed = seed,
        .faults = faults,
        .steps = random_between(&random, 2, 6),
        .push_dtype = (enum stepd_dtype)random_below(&random, 3),
        .pull_dtype = (enum stepd_dtype)random_below(&random, 3),
    };
    struct definition def;
    define_tensors(&def, &random, mode);
    plan.job = make_job(&def, &random, mode, shards == 0 ? shards_of_seed : shards);
    return plan;
}

void plan_deinit(struct plan *plan)
{
    plan->job = job_unref(plan->job);
}

/* ---- What a worker does ---------------------------------------------------------------------- */

uint64_t plan_hash(const struct plan *plan, uint64_t a, uint64_t b, uint64_t c)
{
    struct random random = {.state = plan->seed};
    random.state = random_next(&random) + a;
    random.state = random_next(&random) + b;
    random.state = random_next(&random) + c;
    return random_next(&random);
}

uint64_t plan_examples(const struct plan *plan, uint32_t rank, uint64_t clock)
{
    const uint64_t hash = plan_hash(plan, 1, rank, clock);
    return hash % 4 == 0 ? 0 : 1 + hash / 4 % 64;
}

void plan_round_trip(enum stepd_dtype dtype, size_t n, const float *floats, float *ret_floats)
{
    uint8_t wire[PLAN_SLICE_ELEMENTS * sizeof(float)];
    stepd_dtype_narrow(dtype, n, floats, wire);
    memcpy(stepd_dtype_wire_start(dtype, n, ret_floats), wire, n * stepd_dtype_bytes(dtype));
    stepd_dtype_widen(dtype, n, ret_floats);
}

void plan_grad(const struct plan *plan, uint32_t rank, uint64_t clock, uint32_t slice,
               const float *weights, float *ret_grad)
{
    const size_t n = plan->job->layout.slice[slice].elements;
    const uint64_t hash = plan_hash(plan, 2 + rank, clock, slice);
    float grad[PLAN_SLICE_ELEMENTS];
    struct random random = {.state = hash};
    for (size_t i = 0; i < n; i++) {
        const float noise = (float)random_below(&random, 2001) / 1000.0F - 1.0F;
        grad[i] = plan->job->consistency.mode == STEPD_SYNC ? noise + weights[i] / 8.0F
                                                            : (float)(hash % 7) - 3.0F;
    }
    plan_round_trip(plan->push_dtype, n, grad, ret_grad);
}

bool plan_is_assigned(const struct plan *plan, uint32_t slice)
{
    const struct job *job = plan->job;
    const struct part *first = &job->layout.part[job->layout.slice[slice].first_part];
    return job->tensor[first->tensor].init.kind == STEPD_INIT_VALUES;
}

void plan_values(const struct plan *plan, uint32_t slice, float *ret_values)
{
    struct random random = {.state = plan_hash(plan, 100, slice, 0)};
    const bool sync = plan->job->consistency.mode == STEPD_SYNC;
    for (size_t i = 0; i < plan->job->layout.slice[slice].elements; i++)
        ret_values[i] = sync ? (float)random_below(&random, 1000) / 512.0F : 2.0F;
}

uint32_t plan_wait_max_ms(const struct plan *plan)
{
    return plan->faults ? 3000 : 100000000;
}

uint64_t plan_last_version(const struct plan *plan)
{
    return plan->job->consistency.mode == STEPD_SYNC ? plan->steps
                                                     : plan->steps * plan->job->workers;
}

void plan_fail(const struct plan *plan, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fail_msg("seed %llu, %s, %u workers, %u shards, %s: %s", (unsigned long long)plan->seed,
             plan->job->consistency.mode == STEPD_SYNC ? "sync" : "async", plan->job->workers,
             plan->job->shards, plan->faults ? "with faults" : "without faults", text);
}
