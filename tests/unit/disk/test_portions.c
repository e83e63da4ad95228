/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint that three daemons write: whole or not there, whatever becomes of each of them, and
 * read by any number of others. Control's daemon has the store; the others have opened its folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/disk/load.h"
#include "server/disk/save.h"
#include "server/disk/shelf.h"
#include "tests/unit/disk/portions.h"

enum { READERS_MOST = 5 };

/* ---- Whole ----------------------------------------------------------------------------------- */

static void expect_slice(const struct portions *f, const struct slice_state *read, size_t index)
{
    const struct slice_state *const saved = shares_slice(&f->shares, index);
    assert_memory_equal(read->view[STEPD_EVALUATION], saved->view[STEPD_EVALUATION],
                        saved->elements * sizeof(float));
    for (size_t k = 0; k < 2; k++)
        assert_memory_equal(read->slot[k], saved->slot[k],
                            (size_t)saved->slot_floats[k] * sizeof(float));
}

static void checkpoint__by_three__is_read_whole(void **state)
{
    struct portions f;
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    portions_setup(&f, *state, 30);
    portions_save(&f);
    const int folder = portions_open(&f);
    if (load_checkpoint(folder, UINT64_MAX, &manifest, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(load_check_files(folder, &manifest, &error), STEPD_OK);
    for (size_t i = 0; i < f.shares.job->layout.slices; i++)
        expect_slice(&f, &manifest.state->slice[i], i);
    assert_false(scratch_has(f.scratch, "store/job/step-00000007/model.safetensors"));
    manifest_deinit(&manifest);
    assert_int_equal(close(folder), 0);
    portions_end(&f);
}

/* What daemon `reader` of so many, each with two shards, holds. Returns how many slices it read. */
static size_t read_as(const struct portions *f, int folder, uint32_t reader, uint32_t readers,
                      bool alone)
{
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    const struct load_wanted wanted = {
        .shards = 2 * readers, .first = 2 * reader, .count = 2, .alone = alone};
    size_t count = 0;
    if (load_checkpoint_of(folder, UINT64_MAX, /* cut= */ NULL, &wanted, &manifest, &error) !=
        STEPD_OK)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < f->shares.job->layout.slices; i++) {
        const struct slice_state *const slice = &manifest.state->slice[i];
        if (slice->view[STEPD_EVALUATION] != NULL) {
            expect_slice(f, slice, i);
            count++;
        } else {
            assert_int_equal(slice->taken, !alone);
            assert_null(slice->memory);
        }
    }
    manifest_deinit(&manifest);
    return count;
}

static void checkpoint__by_three__is_read_by_any_number(void **state)
{
    struct portions f;
    portions_setup(&f, *state, 60);
    portions_save(&f);
    const int folder = portions_open(&f);
    for (uint32_t readers = 1; readers <= READERS_MOST; readers++) {
        size_t count = 0;
        for (uint32_t reader = 0; reader < readers; reader++)
            count += read_as(&f, folder, reader, readers, reader > 0);
        assert_int_equal(count, f.shares.job->layout.slices);
    }
    assert_int_equal(close(folder), 0);
    portions_end(&f);
}

static uint32_t larger(void *owner, const char *job)
{
    (void)owner;
    (void)job;
    return 1024;
}

static void checkpoint__by_three__is_read_into_slices_of_another_size(void **state)
{
    struct portions f;
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    const struct load_cut cut = {.slice_elements = larger};
    const struct load_wanted wanted = {.shards = 1, .count = 1};
    portions_setup(&f, *state, 30);
    portions_save(&f);
    const int folder = portions_open(&f);
    if (load_checkpoint_of(folder, UINT64_MAX, &cut, &wanted, &manifest, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    const struct job *const job = manifest.state->job;
    assert_true(job->layout.slices < f.shares.job->layout.slices);
    const float *at = manifest.state->slice[0].view[STEPD_EVALUATION];
    for (size_t i = 0; i < 2; i++) { /* which stand in the first of the larger ones */
        const struct slice_state *const saved = shares_slice(&f.shares, i);
        assert_memory_equal(at, saved->view[STEPD_EVALUATION], saved->elements * sizeof(float));
        at += saved->elements;
    }
    manifest_deinit(&manifest);
    assert_int_equal(close(folder), 0);
    portions_end(&f);
}

static void load__of_some_slices__is_bounded_by_what_they_take(void **state)
{
    struct portions f;
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    const struct load_wanted all = {.shards = 4, .count = 4};
    const struct load_wanted one = {.shards = 4, .count = 1};
    const uint64_t bytes = (60 * 50 + 6) * 3 * sizeof(float);
    portions_setup(&f, *state, 60);
    portions_save(&f);
    const int folder = portions_open(&f);
    assert_int_equal(load_checkpoint_of(folder, bytes - 1, NULL, &all, &manifest, &error),
                     STEPD_RESOURCE_EXHAUSTED);
    assert_int_equal(load_checkpoint_of(folder, bytes / 3, NULL, &one, &manifest, &error),
                     STEPD_OK);
    manifest_deinit(&manifest);
    assert_int_equal(close(folder), 0);
    portions_end(&f);
}

static enum stepd_status load(int folder, const struct load_wanted *wanted,
                              struct stepd_error *error)
{
    struct manifest manifest;
    const enum stepd_status status =
        load_checkpoint_of(folder, UINT64_MAX, NULL, wanted, &manifest, error);
    if (status == STEPD_OK)
        manifest_deinit(&manifest);
    return status;
}

/* ---- Attempts that come to nothing ----------------------------------------------------------- */

static void portion__of_one_that_was_given_up__is_not_found(void **state)
{
    struct portions f;
    struct stepd_error error = {.code = STEPD_OK};
    struct manifest_sums sums;
    portions_setup(&f, *state, 30);
    portions_begin(&f);
    const struct portion_request late = portions_request(&f, 1);
    portions_write(&f, 0);
    save_give_up(&f.shelf, &f.place);
    assert_int_equal(portions_write_as(&f, &late, &sums, &error), STEPD_NOT_FOUND);
    portions_begin(&f); /* another attempt at the same step */
    assert_int_equal(portions_write_as(&f, &late, &sums, &error), STEPD_NOT_FOUND);
    assert_string_equal(error.text, "job/step-00000007: the checkpoint was given up");
    save_give_up(&f.shelf, &f.place);
    save_give_up(&f.shelf, &f.place); /* there is none any more */
    portions_end(&f);
}

static void commit__without_a_file__is_refused(void **state)
{
    struct portions f;
    struct stepd_error error = {.code = STEPD_OK};
    char path[256];
    portions_setup(&f, *state, 30);
    portions_begin(&f);
    for (uint32_t i = 0; i < PORTIONS_DAEMONS; i++)
        portions_write(&f, i);
    (void)snprintf(path, sizeof path, "store/job/%s/model-00002-of-00003.safetensors",
                   f.place.folder);
    assert_int_equal(truncate(scratch_path(f.scratch, path), 100), 0);
    assert_int_equal(portions_commit(&f, &error), STEPD_DATA_LOSS);
    assert_non_null(strstr(error.text, "model-00002-of-00003.safetensors"));
    assert_non_null(strstr(error.text, "one folder for all daemons"));
    save_give_up(&f.shelf, &f.place);
    assert_false(scratch_has(f.scratch, "store/job/step-00000007"));
    portions_end(&f);
}

static void folder__of_a_daemon_that_died__is_cleared(void **state)
{
    struct portions f;
    struct stepd_error error = {.code = STEPD_OK};
    char path[256];
    portions_setup(&f, *state, 30);
    portions_begin(&f);
    portions_write(&f, 2);
    (void)snprintf(path, sizeof path, "store/job/%s", f.place.folder);
    assert_true(scratch_has(f.scratch, path));
    assert_int_equal(shelf_clear(&f.shelf, &error), STEPD_OK); /* as the next one begins */
    assert_false(scratch_has(f.scratch, path));
    portions_end(&f);
}

static void commit__over_an_older_one__takes_its_place(void **state)
{
    struct portions f;
    struct stepd_error error = {.code = STEPD_OK};
    portions_setup(&f, *state, 30);
    portions_save(&f);
    portions_forget_sums(&f);
    portions_save(&f);
    const int folder = portions_open(&f);
    assert_int_equal(load(folder, NULL, &error), STEPD_OK);
    assert_int_equal(close(folder), 0);
    struct shelf_checkpoint *list = NULL;
    size_t count = 0;
    assert_int_equal(shelf_list(&f.shelf, &list, &count, &error), STEPD_OK);
    assert_int_equal(count, 1);
    free(list);
    portions_end(&f);
}

static void portion__that_is_told_to_stop__is_given_up(void **state)
{
    struct portions f;
    struct stepd_error error;
    struct manifest_sums sums;
    const atomic_bool stop = true;
    portions_setup(&f, *state, 30);
    portions_begin(&f);
    const struct portion_request request = portions_request(&f, 1);
    const struct save_portion portion = {
        .store = f.guest, .request = &request, .share = &f.share[1], .shares = 1, .stop = &stop};
    assert_int_equal(save_portion(&portion, &sums, &error), STEPD_CANCELLED);
    portions_end(&f);
}

/* ---- What a peer may ask for ----------------------------------------------------------------- */

static void portion__of_a_place_that_leads_elsewhere__is_refused(void **state)
{
    static const struct portion_place places[] = {
        {.shelf = "..", .folder = ".new-step-00000007~0123456789abcdef"},
        {.shelf = "../store/job", .folder = ".new-step-00000007~0123456789abcdef"},
        {.shelf = "/etc", .folder = ".new-step-00000007~0123456789abcdef"},
        {.shelf = "", .folder = ".new-step-00000007~0123456789abcdef"},
        {.shelf = ".new-step-00000007", .folder = ".new-step-00000007~0123456789abcdef"},
        {.shelf = "job", .folder = ""},
        {.shelf = "job", .folder = ".."},
        {.shelf = "job", .folder = "."},
        {.shelf = "job", .folder = "step-00000007"},
        {.shelf = "job", .folder = ".new-step-00000007"},
        {.shelf = "job", .folder = ".new-step-00000007~"},
        {.shelf = "job", .folder = ".new-step-00000007~0123456789abcdeg"},
        {.shelf = "job", .folder = ".new-step-00000007~0123456789abcdef0"},
        {.shelf = "job", .folder = ".new-step-7~0123456789abcdef"},
        {.shelf = "job", .folder = ".old-step-00000007~0123456789abcdef"},
        {.shelf = "job", .folder = ".new-../../x~0123456789abcdef"},
        {.shelf = "job", .folder = ".new-step-00000007/~0123456789abcdef"},
    };
    struct portions f;
    portions_setup(&f, *state, 30);
    assert_int_equal(mkdir(scratch_path(*state, "store/job/.new-step-00000007"), 0700), 0);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct stepd_error error = {.code = STEPD_OK};
        struct manifest_sums sums;
        struct portion_request request = portions_request(&f, 1);
        request.place = places[i];
        if (portions_write_as(&f, &request, &sums, &error) != STEPD_INVALID_ARGUMENT)
            fail_msg("%s/%s: %s", places[i].shelf, places[i].folder, error.text);
    }
    portions_end(&f);
}

static void portion__in_a_place_without_an_end__is_refused(void **state)
{
    struct portions f;
    struct stepd_error error;
    struct manifest_sums sums;
    portions_setup(&f, *state, 30);
    portions_begin(&f);
    struct portion_request request = portions_request(&f, 1);
    memset(request.place.folder, 'a', sizeof request.place.folder);
    assert_int_equal(portions_write_as(&f, &request, &sums, &error), STEPD_INVALID_ARGUMENT);
    request = portions_request(&f, 1);
    memset(request.place.shelf, 'a', sizeof request.place.shelf);
    assert_int_equal(portions_write_as(&f, &request, &sums, &error), STEPD_INVALID_ARGUMENT);
    portions_end(&f);
}

static void portion__of_a_folder_that_is_a_link__is_refused(void **state)
{
    struct portions f;
    struct stepd_error error;
    struct manifest_sums sums;
    portions_setup(&f, *state, 30);
    struct portion_request request = portions_request(&f, 1);
    request.place =
        (struct portion_place){.shelf = "job", .folder = ".new-step-00000007~0123456789abcdef"};
    assert_int_equal(mkdir(scratch_path(*state, "elsewhere"), 0700), 0);
    assert_int_equal(symlink("../../elsewhere",
                             scratch_path(*state, "store/job/.new-step-00000007~0123456789abcdef")),
                     0);
    assert_int_equal(portions_write_as(&f, &request, &sums, &error), STEPD_UNAVAILABLE);
    assert_false(scratch_has(*state, "elsewhere/model-00002-of-00003.safetensors"));
    portions_end(&f);
}

static void portion__of_no_number__is_refused(void **state)
{
    static const uint32_t numbers[][2] = {{0, 0}, {0, 1}, {3, 3}, {1, 65}, {UINT32_MAX, 3}};
    struct portions f;
    portions_setup(&f, *state, 30);
    portions_begin(&f);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct stepd_error error;
        struct manifest_sums sums;
        struct portion_request request = portions_request(&f, 1);
        request.index = numbers[i][0];
        request.portions = numbers[i][1];
        const struct save_portion portion = {.store = f.guest,
                                             .request = &request,
                                             .share = &f.share[1],
                                             .shares = 1,
                                             .stop = &portions_go_on};
        assert_int_equal(save_portion(&portion, &sums, &error), STEPD_INVALID_ARGUMENT);
    }
    portions_end(&f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checkpoint__by_three__is_read_whole),
        TEST(checkpoint__by_three__is_read_by_any_number),
        TEST(checkpoint__by_three__is_read_into_slices_of_another_size),
        TEST(load__of_some_slices__is_bounded_by_what_they_take),
        TEST(portion__of_one_that_was_given_up__is_not_found),
        TEST(commit__without_a_file__is_refused),
        TEST(folder__of_a_daemon_that_died__is_cleared),
        TEST(commit__over_an_older_one__takes_its_place),
        TEST(portion__that_is_told_to_stop__is_given_up),
        TEST(portion__of_a_place_that_leads_elsewhere__is_refused),
        TEST(portion__in_a_place_without_an_end__is_refused),
        TEST(portion__of_a_folder_that_is_a_link__is_refused),
        TEST(portion__of_no_number__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
