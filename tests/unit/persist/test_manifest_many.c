/* SPDX-License-Identifier: Apache-2.0
 *
 * A job of a hundred thousand slices: in sync mode they all say the same, and then its manifest is
 * not much longer than the list of what stands in each of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/manifests.h"
#include "tests/lib/settings.h"

enum { SLICES = 100000, SLICE_ELEMENTS = 256, WORKERS = 4, STEPS = 20, BYTES_PER_SLICE = 64 };

static struct job *make_job(void)
{
    static const uint64_t shape[] = {SLICES, SLICE_ELEMENTS};
    const struct stepd_tensor_def tensor = {.name = "embedding.weight", .dims = 2, .shape = shape};
    const struct stepd_group group = settings_group("adam", "lr=0.001");
    const struct stepd_define_job def = {.workers = WORKERS,
                                         .groups = 1,
                                         .group = &group,
                                         .slice_elements = SLICE_ELEMENTS,
                                         .defaults = {.name = ""}};
    const struct stepd_define_tensors page = {.tensors = 1, .tensor = &tensor, .last = true};
    struct job_draft *draft = NULL;
    struct job *job = NULL;
    assert_int_equal(job_draft_create("large", &def, 0, &draft, NULL), STEPD_OK);
    assert_int_equal(job_draft_add(draft, &page, NULL), STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 1, 1, &job, NULL), STEPD_OK);
    (void)job_draft_destroy(draft);
    assert_int_equal(job->layout.slices, SLICES);
    return job;
}

/* After so many steps of all workers. */
static void step(struct slice_state *slice)
{
    static float array[SLICE_ELEMENTS];
    static const double scalar[] = {0.12157665459056929, 0.98017951519752455};
    *slice = (struct slice_state){.taken = true,
                                  .elements = SLICE_ELEMENTS,
                                  .version = STEPS,
                                  .t = STEPS,
                                  .valued = true,
                                  .view = {[STEPD_EVALUATION] = array},
                                  .slot = {array, array},
                                  .slot_floats = {SLICE_ELEMENTS, SLICE_ELEMENTS},
                                  .scalars = 2,
                                  .scalar = scalar,
                                  .by_rank = calloc(WORKERS, sizeof *slice->by_rank),
                                  .ranks = WORKERS};
    assert_non_null(slice->by_rank);
    for (size_t rank = 0; rank < WORKERS; rank++) {
        for (uint64_t clock = 1; clock <= STEPS; clock++)
            record_note(&slice->by_rank[rank].record, clock, STEPD_APPLIED, clock);
        slice->by_rank[rank].backup_version = UINT64_MAX;
    }
}

static void manifest__of_many_slices_that_say_the_same__says_it_once(void **state)
{
    (void)state;
    struct job_state *all = NULL;
    struct job *job = make_job();
    const struct job_snapshot snapshot = {.job = job, .version = STEPS, .incarnation = 1};
    assert_int_equal(job_state_create(job, STEPS, &all), STEPD_OK);
    for (size_t i = 0; i < SLICES; i++)
        step(&all->slice[i]);
    all->slice[SLICES / 2].t = STEPS - 1;
    all->slice[SLICES / 4].by_rank[1].record.entry[STEPS % RECORD_DEPTH].version = STEPS - 1;
    size_t length = 0;
    char *const text = manifests_write(&snapshot, all, NULL, &length);
    if (length > (size_t)SLICES * BYTES_PER_SLICE)
        fail_msg("%zu bytes for %d slices", length, SLICES);
    struct manifest manifest = manifests_read(text, length);
    assert_int_equal(manifest.state->slice[SLICES - 1].t, STEPS);
    assert_int_equal(manifest.state->slice[SLICES / 2].t, STEPS - 1);
    assert_int_equal(manifest.state->slice[SLICES / 2 + 1].t, STEPS);
    assert_memory_equal(&manifest.state->slice[SLICES / 4].by_rank[1].record,
                        &all->slice[SLICES / 4].by_rank[1].record, sizeof(struct record));
    assert_memory_equal(&manifest.state->slice[SLICES - 1].by_rank[WORKERS - 1].record,
                        &all->slice[0].by_rank[0].record, sizeof(struct record));
    manifest_deinit(&manifest);
    free(text);
    (void)job_state_unref(all);
    (void)job_unref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest__of_many_slices_that_say_the_same__says_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
