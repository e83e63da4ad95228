/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory that a job is planned to take is the memory that its slices take, whatever their
 * optimizers, phases, views and scopes; and where there is none, whoever wanted it says so and
 * leaves nothing behind (which the leak checker sees to).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/slice.h"
#include "server/model/staging.h"
#include "tests/lib/scarcity.h"
#include "tests/lib/settings.h"
#include "tests/unit/model/drafts.h"

/* ---- As planned ------------------------------------------------------------------------------ */

static const uint64_t large[] = {2, 700}; /* three slices where it may be cut */
static const uint64_t huge[] = {2, 5000}; /* the same, of whole blocks that norms are summed over */
static const uint64_t small[] = {3, 3};   /* packed where slices may hold 640 */
static const uint64_t middle[] = {30, 5};

enum { TENSORS = 4, BLOCK = 4096 };

/* All of them matrices, for muon. */
static void define_tensors(const struct stepd_define_job *def,
                           struct stepd_tensor_def tensor[TENSORS])
{
    tensor[0] = draft_tensor("large", def->slice_elements == BLOCK ? huge : large, 2);
    tensor[1] = draft_tensor("small", small, 2);
    tensor[2] = draft_tensor("other", small, 2);
    tensor[3] = draft_tensor("middle", middle, 2);
}

/* The slots of every phase lie in the slice's memory. */
static void assert_room(struct slice *slice)
{
    const struct group *group = slice->group;
    for (size_t p = 0; p < group->phases && !group->frozen; p++) {
        const struct phase *phase = &group->phase[p];
        slice_enter(slice, phase->from);
        for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
            if (slice->slot[k] == NULL)
                continue;
            const uint64_t floats = job_slot_floats(slice->job, slice->plan, phase, k);
            assert_true(slice->slot[k] + floats <= slice->slots + slice->slots_floats);
        }
        const bool by_part = phase->optimizer->scope == OPTIM_SCOPE_TENSOR;
        assert_true(phase->optimizer->scalars * (by_part ? slice->plan->parts : 1) <=
                    slice->scalars);
    }
}

/* Bytes that staging and the arrays of all slices take. */
static uint64_t taken(const struct job *job)
{
    uint64_t scalars = 0;
    struct staging staging;
    const uint64_t before = scarcity_had_aligned();
    assert_int_equal(staging_init(&staging, job, 0), STEPD_OK);
    staging_deinit(&staging);
    for (uint32_t i = 0; i < job->layout.slices; i++) {
        struct slice slice;
        struct block block;
        assert_int_equal(draft_slice_init(&slice, job, i, &block), STEPD_OK);
        assert_room(&slice);
        scalars += slice.scalars;
        draft_slice_deinit(&slice, &block);
    }
    return scarcity_had_aligned() - before + scalars * sizeof(double);
}

static void assert_job_as_planned(const struct stepd_define_job *def, const char *what)
{
    struct stepd_tensor_def tensor[TENSORS];
    define_tensors(def, tensor);
    struct job *job = draft_job(def, tensor, TENSORS);
    const uint64_t planned = job_memory_bytes(job);
    const uint64_t real = taken(job);
    (void)job_unref(job);
    if (planned != real)
        fail_msg("%s: %llu bytes are planned, %llu taken", what, (unsigned long long)planned,
                 (unsigned long long)real);
}

static void assert_as_planned(const struct stepd_group *group, const char *what)
{
    struct stepd_define_job def = draft_definition();
    def.group = group;
    def.workers = 3;
    assert_job_as_planned(&def, what);
}

/* Newton would refuse the tensors for their size; its own test is below. */
static bool takes_tensors(const struct optimizer *optimizer)
{
    return strcmp(optimizer->name, "newton") != 0;
}

static void job_memory_bytes__of_every_optimizer__is_what_its_slices_take(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const char *const name = optimizer_at(i)->name;
        const struct stepd_group group = settings_group(name, "");
        if (takes_tensors(optimizer_at(i)))
            assert_as_planned(&group, name);
    }
}

static void job_memory_bytes__of_what_settings_ask_for__is_what_slices_take(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"adam", "amsgrad=1"},
        {"adam", "ema_decay=0.5"},
        {"adam", "swa_start=5"},
        {"nesterov", "form=interim"},
        {"rmsprop", "centered=1 momentum=0.5"},
        {"rmsprop_nesterov", "ema_decay=0.5 swa_every=3"},
        {"nesterov", "form=interim ema_decay=0.5 swa_start=1"},
        {"lbfgs", "history_size=3"},
        {"lbfgs", "line_search=backtracking swa_start=1"},
        {"muon", "ema_decay=0.5"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct stepd_group group = settings_group(rows[i][0], rows[i][1]);
        assert_as_planned(&group, rows[i][1]);
    }
}

/* Every pair of a first and a later optimizer, with every view that can be kept. */
static void job_memory_bytes__of_phases__is_what_the_largest_takes(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        for (size_t k = 0; k < optimizer_count(); k++) {
            if (!takes_tensors(optimizer_at(i)) || !takes_tensors(optimizer_at(k)))
                continue;
            const struct stepd_phase phase = settings_phase(5, optimizer_at(k)->name, "");
            struct stepd_group group =
                settings_group(optimizer_at(i)->name, "preset=lecture ema_decay=0.5 swa_start=2");
            group.phases = 1;
            group.phase = &phase;
            char what[64];
            (void)snprintf(what, sizeof what, "%s, then %s", group.optimizer, phase.optimizer);
            assert_as_planned(&group, what);
        }
    }
}

static void job_memory_bytes__of_what_stands_beside_the_mode__is_what_slices_take(void **state)
{
    (void)state;

    static const struct {
        enum stepd_mode mode;
        const char *settings;
        bool sum;
        bool staging;
        bool gathered;
        bool backup;
        const char *clips; /* a setting of the group; NULL: slices need hold no whole blocks */
    } rows[] = {
        {STEPD_SYNC, "", .staging = true},
        {STEPD_SYNC, "reduction=arrival", .sum = true},
        {STEPD_SYNC, "atomic=job", .sum = true, .staging = true},
        {STEPD_SYNC, "nonfinite=skip", .sum = true, .staging = true},
        {STEPD_SYNC, "clip_global_norm=1", .sum = true, .staging = true, .clips = ""},
        {STEPD_SYNC, "atomic=slice", .sum = true, .staging = true, .clips = "clip_norm=1"},
        {STEPD_SYNC, "clip_global_norm=1 reduction=arrival", .sum = true, .clips = ""},
        {STEPD_SYNC, "clip_global_norm=1 accumulate=2", .sum = true, .staging = true,
         .gathered = true, .clips = ""},
        {STEPD_SYNC, "reduction=arrival nonfinite=skip", .sum = true},
        {STEPD_SYNC, "accumulate=1", .staging = true},
        {STEPD_SYNC, "accumulate=3", .staging = true, .gathered = true},
        {STEPD_SYNC, "accumulate_examples=9", .staging = true, .gathered = true},
        {STEPD_SYNC, "accumulate=3 reduction=arrival", .sum = true},
        {STEPD_ASYNC, "delay_compensation=0.5", .staging = true, .backup = true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stepd_group group[] = {draft_group("frozen", "other", "adam"),
                                      draft_group("rest", "*", "adam")};
        group[0].frozen = true;
        struct stepd_define_job def = draft_definition();
        if (rows[i].clips != NULL) {
            def.slice_elements = BLOCK;
            group[1].settings = settings_of(rows[i].clips);
        }
        def.mode = rows[i].mode;
        def.settings = settings_of(rows[i].settings);
        def.workers = 3;
        def.groups = 2;
        def.group = group;
        assert_job_as_planned(&def, rows[i].settings);
        const struct stepd_tensor_def tensor = draft_tensor("w", middle, 2);
        struct job *job = draft_job(&def, &tensor, 1);
        const struct slice_size size = job_slice_size(job, &job->layout.slice[0]);
        assert_int_equal(size.sum, rows[i].sum ? 160 : 0);
        assert_int_equal(size.staging, rows[i].staging ? 160 : 0);
        assert_int_equal(size.gathered, rows[i].gathered ? 160 : 0);
        assert_int_equal(size.backup, rows[i].backup ? 160 : 0);
        (void)job_unref(job);
    }
}

static void job_memory_plan__of_a_job__says_each_part(void **state)
{
    (void)state;

    static const struct {
        const char *settings;
        struct job_memory floats;
    } rows[] = {
        {"", {.staging = 3 * 160}},
        {"reduction=arrival", {.sums = 160, .staging = JOB_LANDINGS * 160}},
        {"atomic=job", {.sums = 160, .staging = 3 * 160}},
        {"accumulate=2", {.sums = 3 * 160, .staging = 3 * 160}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct stepd_group group = settings_group("adam", "ema_decay=0.5");
        struct stepd_define_job def = draft_definition();
        def.settings = settings_of(rows[i].settings);
        def.workers = 3;
        def.group = &group;
        const struct stepd_tensor_def tensor = draft_tensor("w", middle, 2);
        struct job *job = draft_job(&def, &tensor, 1);
        const struct job_memory memory = job_memory_plan(job);
        assert_int_equal(memory.weights, 160 * sizeof(float));
        assert_int_equal(memory.second_version, 160 * sizeof(float));
        assert_int_equal(memory.views, 2 * 160 * sizeof(float));
        assert_int_equal(memory.slots, 2 * 160 * sizeof(float));
        assert_int_equal(memory.sums, rows[i].floats.sums * sizeof(float));
        assert_int_equal(memory.staging, rows[i].floats.staging * sizeof(float));
        assert_int_equal(memory.backups, 0);
        (void)job_unref(job);
    }
}

static void job_memory_bytes__of_a_frozen_group__is_one_version_of_its_weights(void **state)
{
    (void)state;
    struct stepd_group group = settings_group("nesterov", "form=interim ema_decay=0.5 swa_start=2");
    group.frozen = true;
    assert_as_planned(&group, "frozen");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    const struct stepd_tensor_def tensor = draft_tensor("w", middle, 2);
    struct job *job = draft_job(&def, &tensor, 1);
    assert_int_equal(job_memory_bytes(job), 160 * sizeof(float)); /* 150, in whole lines */
    (void)job_unref(job);
}

static void job_memory_bytes__of_newton__counts_a_hessian_for_each_worker(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("newton", "");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.workers = 3;
    const struct stepd_tensor_def tensor = draft_tensor("w", small, 2);
    struct job *job = draft_job(&def, &tensor, 1);
    assert_int_equal(job_memory_bytes(job), taken(job));
    /* 9 weights in 16 floats, twice; 9 + 81 for each worker in 96. */
    assert_int_equal(job_memory_bytes(job), (2 * 16 + 3 * 96) * sizeof(float));
    (void)job_unref(job);
}

/* ---- No memory ------------------------------------------------------------------------------- */

/* A group that takes every allocation that there is: names, phases, a schedule of parts. */
static struct stepd_group rich_group(void)
{
    static struct stepd_phase phase;
    static struct stepd_schedule_part part[2];
    phase = settings_phase(5, "momentum", "lr=0.5");
    part[0] = (struct stepd_schedule_part){.kind = "multistep",
                                           .settings = settings_of("milestones=2,4")};
    part[1] = (struct stepd_schedule_part){.kind = "constant"};
    struct stepd_group group = settings_group("nesterov", "preset=lecture ema_decay=0.5");
    group.phases = 1;
    group.phase = &phase;
    group.schedule = "sequential";
    group.schedule_settings = settings_of("milestones=7");
    group.schedule_parts = 2;
    group.schedule_part = part;
    return group;
}

static void group_init__without_memory__says_so(void **state)
{
    (void)state;
    const struct stepd_group nothing = {.name = ""};
    const struct stepd_group def = rich_group();
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct group group = {.name = NULL};
        struct stepd_error error = {.code = STEPD_OK};
        scarcity_after(allowed);
        status = group_init(&nothing, &def, &group, &error);
        scarcity_after(SCARCITY_NEVER);
        assert_int_equal(error.code, status);
        if (status != STEPD_OK)
            assert_null(group.name);
        group_deinit(&group);
    }
    assert_int_equal(status, STEPD_OK);
    assert_true(allowed > 5);
}

static void group_copy__without_memory__says_so(void **state)
{
    (void)state;
    const struct stepd_group nothing = {.name = ""};
    const struct stepd_group def = rich_group();
    struct group group;
    assert_int_equal(group_init(&nothing, &def, &group, NULL), STEPD_OK);
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct group copy = {.name = NULL};
        scarcity_after(allowed);
        status = group_copy(&group, &copy);
        scarcity_after(SCARCITY_NEVER);
        if (status != STEPD_OK)
            assert_null(copy.name);
        group_deinit(&copy);
    }
    assert_int_equal(status, STEPD_OK);
    assert_true(allowed > 5);
    group_deinit(&group);
}

static void job_draft_seal__without_memory__says_so_and_can_be_done_again(void **state)
{
    (void)state;
    const struct stepd_group group = rich_group();
    struct stepd_tensor_def tensor[TENSORS];
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    define_tensors(&def, tensor);
    struct job_draft *draft = draft_create(&def);
    assert_int_equal(draft_add_last(draft, 0, tensor, TENSORS, NULL), STEPD_OK);
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct job *job = NULL;
        scarcity_after(allowed);
        status = job_draft_seal(draft, 1, 2, &job, NULL);
        scarcity_after(SCARCITY_NEVER);
        assert_int_equal(job != NULL, status == STEPD_OK);
        (void)job_unref(job);
    }
    assert_int_equal(status, STEPD_OK);
    assert_true(allowed > 10);
    (void)job_draft_destroy(draft);
}

static void job_padded__of_a_small_array__is_whole_lines(void **state)
{
    (void)state;
    assert_int_equal(job_padded(0), 0);
    assert_int_equal(job_padded(1), 16);
    assert_int_equal(job_padded(16), 16);
    assert_int_equal(job_padded(4096), 4096); /* four pages: a skew would be a loss that counts */
}

/* Of up to 64 arrays in a row no two begin at the same place in their pages of 1024 floats. */
static void job_padded__of_large_arrays__parts_them_in_their_pages(void **state)
{
    (void)state;
    for (uint64_t n = 16384; n < 20000; n += 13) {
        bool taken[64] = {false};
        assert_true(job_padded(n) >= n && job_padded(n) < n + 1024 + 16);
        for (uint64_t i = 0; i < 64; i++) {
            const uint64_t line = i * job_padded(n) % 1024 / 16;
            assert_false(taken[line]);
            taken[line] = true;
        }
    }
}

static void slice_init__without_memory__says_so(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("swats", "ema_decay=0.5");
    struct stepd_define_job def = draft_definition();
    def.mode = STEPD_ASYNC;
    def.settings = settings_of("delay_compensation=0.5");
    def.group = &group;
    def.workers = 2;
    const struct stepd_tensor_def tensor = draft_tensor("w", middle, 2);
    struct job *job = draft_job(&def, &tensor, 1);
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct slice slice;
        struct block block;
        scarcity_after(allowed);
        status = draft_slice_init(&slice, job, 0, &block);
        scarcity_after(SCARCITY_NEVER);
        draft_slice_deinit(&slice, &block);
    }
    assert_int_equal(status, STEPD_OK);
    /* Shapes, scalars, arrays, ranks, backups of two workers; and one more. */
    assert_int_equal(allowed, 7);
    (void)job_unref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_memory_bytes__of_every_optimizer__is_what_its_slices_take),
        cmocka_unit_test(job_memory_bytes__of_what_settings_ask_for__is_what_slices_take),
        cmocka_unit_test(job_memory_bytes__of_phases__is_what_the_largest_takes),
        cmocka_unit_test(job_memory_bytes__of_what_stands_beside_the_mode__is_what_slices_take),
        cmocka_unit_test(job_memory_plan__of_a_job__says_each_part),
        cmocka_unit_test(job_memory_bytes__of_a_frozen_group__is_one_version_of_its_weights),
        cmocka_unit_test(job_memory_bytes__of_newton__counts_a_hessian_for_each_worker),
        cmocka_unit_test(group_init__without_memory__says_so),
        cmocka_unit_test(group_copy__without_memory__says_so),
        cmocka_unit_test(job_draft_seal__without_memory__says_so_and_can_be_done_again),
        cmocka_unit_test(job_padded__of_a_small_array__is_whole_lines),
        cmocka_unit_test(job_padded__of_large_arrays__parts_them_in_their_pages),
        cmocka_unit_test(slice_init__without_memory__says_so),
    };
    return cmocka_run_group_tests_name("model/memory", tests, NULL, NULL);
}
