/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint of one size of slices that is read into another one: the same arrays, byte for byte,
 * and of each slice what the saved ones that it is made of have said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/manifests.h"
#include "tests/lib/scarcity.h"
#include "tests/lib/settings.h"
#include "tests/unit/persist/shares.h"

enum { FINER = 256, COARSER = 65536, VERSION = 9 };

/* A job whose slices are all at one point, with something to say. */
static void setup(struct shares *shares, const char *optimizer, const char *job_settings)
{
    const struct stepd_group group = settings_group(optimizer, "lr=0.01 ema_decay=0.9");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.workers = 2;
    def.settings = settings_of(job_settings);
    if (job_settings[0] != '\0')
        def.mode = STEPD_ASYNC;
    shares_setup(shares, &def);
    double scalar = 0.5;
    for (size_t i = 0; i < shares->job->layout.slices; i++) {
        struct slice *const slice = &shares->slice[i];
        slice->version = VERSION;
        slice->t = VERSION - 1;
        shares->made[i][STEPD_EMA] = true;
        const bool by_tensor = slice->phase->optimizer->scope == OPTIM_SCOPE_TENSOR;
        for (size_t k = 0; k < slice->scalars; k++)
            slice->scalar[k] = by_tensor ? scalar++ : (double)k + 0.25;
        for (size_t rank = 0; rank < slice->ranks; rank++) {
            for (uint64_t clock = 1; clock <= VERSION; clock++)
                record_note(&slice->by_rank[rank].record, clock, STEPD_APPLIED, clock);
            slice->by_rank[rank].backup_version =
                slice->by_rank[rank].backup != NULL ? 7 : UINT64_MAX;
        }
    }
    shares_take(shares);
}

/* What the shares have become, read from their manifest; its arrays are not read. */
static struct manifest read_manifest(const struct shares *shares)
{
    const struct job_state *const share[SHARES] = {shares->share[0], shares->share[1]};
    struct job_state *whole = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    const struct job_snapshot snapshot = {
        .job = shares->job, .version = JOB_STATE_AS_IT_STANDS, .incarnation = 3};
    if (job_state_gather(share, SHARES, &whole, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    size_t length = 0;
    char *const text = manifests_write(&snapshot, whole, NULL, &length);
    struct manifest manifest = manifests_read(text, length);
    free(text);
    (void)job_state_unref(whole);
    return manifest;
}

static void must_recut(struct manifest *manifest, uint32_t slice_elements)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (manifest_recut(manifest, slice_elements, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(manifest->state->job->slice_elements, slice_elements);
    assert_ptr_equal(manifest->state->job, manifest->snapshot.job);
}

/* Reads the files of the shares into a manifest of any cut. */
static void read_arrays(struct manifest *manifest, const struct shares *shares)
{
    struct stepd_error error = {.code = STEPD_OK};
    bool made[64][STEPD_VIEWS];
    const size_t slices = manifest->state->job->layout.slices;
    assert_in_range(slices, 1, 64);
    for (size_t i = 0; i < slices; i++)
        memcpy(made[i], manifest->slice[i].view, sizeof made[i]);
    if (arrays_allocate(manifest->state, (const bool(*)[STEPD_VIEWS])made, NULL, UINT64_MAX,
                        &error) != STEPD_OK)
        fail_msg("%s", error.text);
    shares_read(manifest->state, shares);
}

static void assert_same_files(const struct manifest *manifest, const struct shares *shares)
{
    const struct job_state *const state = manifest->state;
    struct arrays *ours = NULL;
    struct arrays *const theirs = shares_map(shares);
    assert_int_equal(arrays_create(&state, 1, &ours, NULL), STEPD_OK);
    for (size_t f = 0; f < ARRAYS_FILES; f++) {
        size_t bytes = 0, wanted_bytes = 0;
        uint8_t *const written = shares_write(ours, (enum arrays_file)f, &bytes);
        uint8_t *const wanted = shares_write(theirs, (enum arrays_file)f, &wanted_bytes);
        assert_int_equal(bytes, wanted_bytes);
        assert_memory_equal(written, wanted, bytes);
        free(written);
        free(wanted);
    }
    (void)arrays_destroy(ours);
    (void)arrays_destroy(theirs);
}

/* Slices of the other cut are what slice_restore takes. */
static void assert_restores(const struct manifest *manifest)
{
    const struct job *const job = manifest->state->job;
    for (uint32_t i = 0; i < job->layout.slices; i++) {
        struct slice slice;
        struct block block;
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(draft_slice_init(&slice, job, i, &block), STEPD_OK);
        if (slice_restore(&slice, &manifest->state->slice[i], &error) != STEPD_OK)
            fail_msg("%s", error.text);
        assert_int_equal(slice.version, VERSION);
        assert_int_equal(slice.t, VERSION - 1);
        struct record_entry entry = {.clock = 0};
        assert_true(record_find(&slice.by_rank[1].record, VERSION - 2, &entry));
        assert_int_equal(entry.version, VERSION - 2);
        draft_slice_deinit(&slice, &block);
    }
}

static const struct {
    const char *optimizer;
    const char *job; /* settings; "": sync */
} kinds[] = {
    {"sgd", ""},   {"adam", ""},      {"nadam", ""},
    {"lars", ""},  {"adafactor", ""}, {"lamb", ""},
    {"lbfgs", ""}, {"swats", ""},     {"momentum", "delay_compensation=0.1"},
};

static void recut__to_any_size__has_the_same_arrays(void **state)
{
    static const uint32_t sizes[] = {FINER, 1000, COARSER};
    (void)state;
    size_t cuts = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct shares shares;
        setup(&shares, kinds[k].optimizer, kinds[k].job);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct manifest manifest = read_manifest(&shares);
            must_recut(&manifest, sizes[i]);
            cuts += manifest.state->job->layout.slices != shares.job->layout.slices;
            read_arrays(&manifest, &shares);
            assert_same_files(&manifest, &shares);
            assert_restores(&manifest);
            manifest_deinit(&manifest);
        }
        shares_teardown(&shares);
    }
    assert_in_range(cuts, 10, 100);
}

static void recut__there_and_back__is_what_it_was(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct shares shares;
        setup(&shares, kinds[k].optimizer, kinds[k].job);
        struct manifest as_it_was = read_manifest(&shares);
        struct manifest manifest = read_manifest(&shares);
        must_recut(&manifest, COARSER);
        must_recut(&manifest, FINER);
        must_recut(&manifest, DRAFT_SLICE_ELEMENTS);
        read_arrays(&as_it_was, &shares);
        read_arrays(&manifest, &shares);
        manifests_assert_same(&manifest.snapshot, manifest.state, &as_it_was.snapshot,
                              as_it_was.state);
        manifest_deinit(&manifest);
        manifest_deinit(&as_it_was);
        shares_teardown(&shares);
    }
}

/* Changes one thing of the second slice of "big", and wants the saved slices to stay. */
static void assert_stays(void (*change)(struct slice_state *slice, struct manifest_slice *has))
{
    struct shares shares;
    struct stepd_error error = {.code = STEPD_OK};
    setup(&shares, "adam", "");
    struct manifest manifest = read_manifest(&shares);
    struct job *const job = manifest.state->job;
    change(&manifest.state->slice[1], &manifest.slice[1]);
    assert_int_equal(manifest_recut(&manifest, COARSER, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "are at different points"));
    assert_non_null(strstr(error.text, "big["));
    assert_ptr_equal(manifest.state->job, job);
    assert_ptr_equal(manifest.snapshot.job, job);
    must_recut(&manifest, 500 / 2 + 6); /* 256: none of these is of two of the saved ones */
    manifest_deinit(&manifest);
    shares_teardown(&shares);
}

static void change_version(struct slice_state *slice, struct manifest_slice *has)
{
    (void)has;
    slice->version++;
}

static void change_t(struct slice_state *slice, struct manifest_slice *has)
{
    (void)has;
    slice->t--;
}

static void change_record(struct slice_state *slice, struct manifest_slice *has)
{
    (void)has;
    slice->by_rank[1].record.entry[3].outcome = STEPD_LATE_DROPPED;
}

static void change_views(struct slice_state *slice, struct manifest_slice *has)
{
    (void)slice;
    has->view[STEPD_EMA] = false;
}

static void recut__of_slices_at_different_points__is_refused(void **state)
{
    (void)state;
    assert_stays(change_version);
    assert_stays(change_t);
    assert_stays(change_record);
    assert_stays(change_views);
}

static void recut__to_what_no_job_can_have__changes_nothing(void **state)
{
    (void)state;
    struct shares shares;
    struct stepd_error error;
    setup(&shares, "lars", "");
    struct manifest manifest = read_manifest(&shares);
    struct job *const job = manifest.state->job;
    manifest.state->slice[1].phase = 5;
    assert_int_equal(manifest_recut(&manifest, COARSER, &error), STEPD_INVALID_ARGUMENT);
    assert_ptr_equal(manifest.state->job, job);
    manifest_deinit(&manifest);
    shares_teardown(&shares);
}

static void recut__without_memory__changes_nothing(void **state)
{
    (void)state;
    struct shares shares;
    struct stepd_error error;
    setup(&shares, "nadam", "");
    struct manifest manifest = read_manifest(&shares);
    struct job *const job = manifest.state->job;
    size_t failures = 0;
    scarcity_after(0);
    while (manifest_recut(&manifest, FINER, &error) != STEPD_OK) {
        assert_int_equal(error.code, STEPD_RESOURCE_EXHAUSTED);
        assert_ptr_equal(manifest.state->job, job);
        scarcity_after(++failures);
    }
    scarcity_after(SCARCITY_NEVER);
    assert_in_range(failures, 20, 1000);
    manifest_deinit(&manifest);
    shares_teardown(&shares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recut__to_any_size__has_the_same_arrays),
        cmocka_unit_test(recut__there_and_back__is_what_it_was),
        cmocka_unit_test(recut__of_slices_at_different_points__is_refused),
        cmocka_unit_test(recut__to_what_no_job_can_have__changes_nothing),
        cmocka_unit_test(recut__without_memory__changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
