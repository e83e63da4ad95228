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
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/disk/load.h"
#include "server/disk/save.h"
#include "server/disk/shelf.h"
#include "tests/lib/settings.h"
#include "tests/unit/disk/scratch.h"
#include "tests/unit/persist/deal.h"
#include "tests/unit/persist/shares.h"

enum { DAEMONS = 3, READERS_MOST = 5, STEP = 7 };

static const atomic_bool go_on;

struct fixture {
    struct scratch *scratch;
    struct shares shares;
    struct store *store; /* control's */
    struct store *guest; /* the others' */
    struct shelf shelf;
    struct job_state *own[DAEMONS]; /* what each daemon holds */
    const struct job_state *share[DAEMONS];
    struct job_snapshot snapshot;
    struct portion_place place;
    struct manifest_sums sums[DAEMONS];
};

static void setup(struct fixture *f, void *scratch, uint64_t rows)
{
    const uint64_t big[] = {rows, 50};
    const uint64_t shape[] = {2, 3};
    const struct stepd_tensor_def tensor[] = {draft_tensor("w", big, 2),
                                              draft_tensor("b", shape, 2)};
    const struct stepd_group group = settings_group("adam", "lr=0.001");
    const struct store_shelf_name name = store_shelf_name("job");
    struct stepd_define_job def = draft_definition();
    struct stepd_error error = {.code = STEPD_OK};
    *f = (struct fixture){.scratch = scratch};
    def.group = &group;
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_LEAST;
    shares_setup_tensors(&f->shares, &def, tensor, 2);
    shares_take(&f->shares);
    const struct job_state *const share[SHARES] = {f->shares.share[0], f->shares.share[1]};
    for (uint32_t i = 0; i < DAEMONS; i++) {
        f->own[i] = deal(share, SHARES, deal_in_turns, i, DAEMONS);
        f->share[i] = f->own[i];
    }
    f->snapshot = (struct job_snapshot){.job = f->shares.job,
                                        .version = JOB_STATE_AS_IT_STANDS,
                                        .incarnation = 3,
                                        .share = f->share,
                                        .shares = DAEMONS};
    assert_int_equal(store_open(scratch_path(scratch, "store"), &f->store, &error), STEPD_OK);
    assert_int_equal(store_open_to_read(scratch_path(scratch, "store"), &f->guest, &error),
                     STEPD_OK);
    assert_int_equal(shelf_open_to_write(f->store, &name, &f->shelf, &error), STEPD_OK);
    assert_int_equal(shelf_write_incarnation(&f->shelf, 3, &error), STEPD_OK);
}

static void forget_sums(struct fixture *f)
{
    for (size_t i = 0; i < DAEMONS; i++)
        manifest_sums_deinit(&f->sums[i]);
}

static void end(struct fixture *f)
{
    forget_sums(f);
    for (size_t i = 0; i < DAEMONS; i++)
        (void)deal_end(f->own[i]);
    shelf_close(&f->shelf);
    (void)store_close(f->guest);
    (void)store_close(f->store);
    shares_teardown(&f->shares);
}

/* ---- What the daemons do --------------------------------------------------------------------- */

static void begin(struct fixture *f)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (save_begin(&f->shelf, STEP, &f->place, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

static struct portion_request request_of(const struct fixture *f, uint32_t index)
{
    return (struct portion_request){
        .number = 1, .step = STEP, .index = index, .portions = DAEMONS, .place = f->place};
}

static enum stepd_status write_as(struct fixture *f, const struct portion_request *request,
                                  struct manifest_sums *ret_sums, struct stepd_error *error)
{
    const struct save_portion portion = {.store = f->guest,
                                         .request = request,
                                         .share = &f->share[request->index],
                                         .shares = 1,
                                         .stop = &go_on};
    return save_portion(&portion, ret_sums, error);
}

static void write_portion(struct fixture *f, uint32_t index)
{
    const struct portion_request request = request_of(f, index);
    struct stepd_error error = {.code = STEPD_OK};
    if (write_as(f, &request, &f->sums[index], &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

static enum stepd_status commit(struct fixture *f, struct stepd_error *error)
{
    const struct save save = {.shelf = &f->shelf,
                              .snapshot = &f->snapshot,
                              .step = STEP,
                              .stepd = "test",
                              .stop = &go_on};
    uint64_t bytes = 0;
    const enum stepd_status status = save_commit(&save, &f->place, f->sums, DAEMONS, &bytes, error);
    assert_true(status != STEPD_OK || bytes > 1000);
    return status;
}

static void save_all(struct fixture *f)
{
    struct stepd_error error = {.code = STEPD_OK};
    begin(f);
    for (uint32_t i = DAEMONS; i > 0; i--)
        write_portion(f, i - 1);
    if (commit(f, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

static int open_saved(const struct fixture *f)
{
    struct stepd_error error;
    const int folder = shelf_open_checkpoint(&f->shelf, "step-00000007", &error);
    assert_true(folder >= 0);
    return folder;
}

/* ---- Whole ----------------------------------------------------------------------------------- */

static void expect_slice(const struct fixture *f, const struct slice_state *read, size_t index)
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
    struct fixture f;
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    setup(&f, *state, 30);
    save_all(&f);
    const int folder = open_saved(&f);
    if (load_checkpoint(folder, UINT64_MAX, &manifest, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(load_check_files(folder, &manifest, &error), STEPD_OK);
    for (size_t i = 0; i < f.shares.job->layout.slices; i++)
        expect_slice(&f, &manifest.state->slice[i], i);
    assert_false(scratch_has(f.scratch, "store/job/step-00000007/model.safetensors"));
    manifest_deinit(&manifest);
    assert_int_equal(close(folder), 0);
    end(&f);
}

/* What daemon `reader` of so many, each with two shards, holds. Returns how many slices it read. */
static size_t read_as(const struct fixture *f, int folder, uint32_t reader, uint32_t readers,
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
    struct fixture f;
    setup(&f, *state, 60);
    save_all(&f);
    const int folder = open_saved(&f);
    for (uint32_t readers = 1; readers <= READERS_MOST; readers++) {
        size_t count = 0;
        for (uint32_t reader = 0; reader < readers; reader++)
            count += read_as(&f, folder, reader, readers, reader > 0);
        assert_int_equal(count, f.shares.job->layout.slices);
    }
    assert_int_equal(close(folder), 0);
    end(&f);
}

static uint32_t larger(void *owner, const char *job)
{
    (void)owner;
    (void)job;
    return 1024;
}

static void checkpoint__by_three__is_read_into_slices_of_another_size(void **state)
{
    struct fixture f;
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    const struct load_cut cut = {.slice_elements = larger};
    const struct load_wanted wanted = {.shards = 1, .count = 1};
    setup(&f, *state, 30);
    save_all(&f);
    const int folder = open_saved(&f);
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
    end(&f);
}

static void load__of_some_slices__is_bounded_by_what_they_take(void **state)
{
    struct fixture f;
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    const struct load_wanted all = {.shards = 4, .count = 4};
    const struct load_wanted one = {.shards = 4, .count = 1};
    const uint64_t bytes = (60 * 50 + 6) * 3 * sizeof(float);
    setup(&f, *state, 60);
    save_all(&f);
    const int folder = open_saved(&f);
    assert_int_equal(load_checkpoint_of(folder, bytes - 1, NULL, &all, &manifest, &error),
                     STEPD_RESOURCE_EXHAUSTED);
    assert_int_equal(load_checkpoint_of(folder, bytes / 3, NULL, &one, &manifest, &error),
                     STEPD_OK);
    manifest_deinit(&manifest);
    assert_int_equal(close(folder), 0);
    end(&f);
}

/* ---- Bytes that have changed ----------------------------------------------------------------- */

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

static void flip_all(int folder, const char *name)
{
    const int file = openat(folder, name, O_RDWR);
    struct stat stat;
    assert_int_equal(fstat(file, &stat), 0);
    assert_true(stat.st_size > 8);
    for (off_t at = 0; at < stat.st_size; at++) {
        struct stepd_error error;
        uint8_t byte = 0;
        assert_int_equal(pread(file, &byte, 1, at), 1);
        const uint8_t other = byte ^ (uint8_t)(1U << (at % 8));
        assert_int_equal(pwrite(file, &other, 1, at), 1);
        if (load(folder, NULL, &error) == STEPD_OK)
            fail_msg("%s: a changed byte %lld is not seen", name, (long long)at);
        assert_int_equal(pwrite(file, &byte, 1, at), 1);
    }
    assert_int_equal(close(file), 0);
}

static void load__of_one_with_any_byte_changed__is_refused(void **state)
{
    struct fixture f;
    struct stepd_error error;
    setup(&f, *state, 7);
    save_all(&f);
    const int folder = open_saved(&f);
    flip_all(folder, MANIFEST_FILE);
    for (uint32_t i = 0; i < DAEMONS; i++) {
        flip_all(folder, portion_file(ARRAYS_MODEL, i, DAEMONS).text);
        flip_all(folder, portion_file(ARRAYS_OPTIMIZER, i, DAEMONS).text);
    }
    assert_int_equal(load(folder, NULL, &error), STEPD_OK);
    assert_int_equal(close(folder), 0);
    end(&f);
}

/* Daemons that share a checkpoint notice together whatever has changed of its floats. */
static void load__of_some_slices_with_any_float_changed__is_refused_by_who_needs_it(void **state)
{
    struct fixture f;
    struct stepd_error error;
    const struct load_wanted wanted[] = {{.shards = 2, .count = 1},
                                         {.shards = 2, .first = 1, .count = 1}};
    setup(&f, *state, 60); /* so that none reads all of a file */
    save_all(&f);
    const int folder = open_saved(&f);
    for (uint32_t i = 0; i < 2 * DAEMONS; i++) {
        const struct portion_file_name name =
            portion_file(i % 2 == 0 ? ARRAYS_MODEL : ARRAYS_OPTIMIZER, i / 2, DAEMONS);
        const int file = openat(folder, name.text, O_RDWR);
        uint64_t head = 0;
        struct stat stat;
        assert_int_equal(fstat(file, &stat), 0);
        assert_int_equal(pread(file, &head, sizeof head, 0), sizeof head);
        for (off_t at = (off_t)head + 8; at < stat.st_size; at += 61) {
            uint8_t byte = 0;
            assert_int_equal(pread(file, &byte, 1, at), 1);
            const uint8_t other = byte ^ 0x10;
            assert_int_equal(pwrite(file, &other, 1, at), 1);
            const bool first = load(folder, &wanted[0], &error) == STEPD_OK;
            const bool second = load(folder, &wanted[1], &error) == STEPD_OK;
            assert_true(!first || !second);
            assert_int_equal(pwrite(file, &byte, 1, at), 1);
        }
        assert_int_equal(close(file), 0);
    }
    assert_int_equal(load(folder, &wanted[0], &error), STEPD_OK);
    assert_int_equal(close(folder), 0);
    end(&f);
}

static void load__without_one_of_the_files__names_it(void **state)
{
    for (uint32_t i = 0; i < 2 * DAEMONS; i++) {
        struct fixture f;
        struct stepd_error error;
        struct manifest manifest;
        const struct portion_file_name name =
            portion_file(i % 2 == 0 ? ARRAYS_MODEL : ARRAYS_OPTIMIZER, i / 2, DAEMONS);
        setup(&f, *state, 7);
        save_all(&f);
        const int folder = open_saved(&f);
        assert_int_equal(unlinkat(folder, name.text, 0), 0);
        assert_int_equal(load(folder, NULL, &error), STEPD_NOT_FOUND);
        assert_non_null(strstr(error.text, name.text));
        assert_int_equal(load_manifest(folder, &manifest, &error), STEPD_OK);
        assert_int_equal(load_check_files(folder, &manifest, &error), STEPD_NOT_FOUND);
        manifest_deinit(&manifest);
        assert_int_equal(close(folder), 0);
        end(&f);
    }
}

/* ---- Attempts that come to nothing ----------------------------------------------------------- */

static void portion__of_one_that_was_given_up__is_not_found(void **state)
{
    struct fixture f;
    struct stepd_error error = {.code = STEPD_OK};
    struct manifest_sums sums;
    setup(&f, *state, 30);
    begin(&f);
    const struct portion_request late = request_of(&f, 1);
    write_portion(&f, 0);
    save_give_up(&f.shelf, &f.place);
    assert_int_equal(write_as(&f, &late, &sums, &error), STEPD_NOT_FOUND);
    begin(&f); /* another attempt at the same step */
    assert_int_equal(write_as(&f, &late, &sums, &error), STEPD_NOT_FOUND);
    assert_string_equal(error.text, "job/step-00000007: the checkpoint was given up");
    save_give_up(&f.shelf, &f.place);
    save_give_up(&f.shelf, &f.place); /* there is none any more */
    end(&f);
}

static void commit__without_a_file__is_refused(void **state)
{
    struct fixture f;
    struct stepd_error error = {.code = STEPD_OK};
    char path[256];
    setup(&f, *state, 30);
    begin(&f);
    for (uint32_t i = 0; i < DAEMONS; i++)
        write_portion(&f, i);
    (void)snprintf(path, sizeof path, "store/job/%s/model-00002-of-00003.safetensors",
                   f.place.folder);
    assert_int_equal(truncate(scratch_path(f.scratch, path), 100), 0);
    assert_int_equal(commit(&f, &error), STEPD_DATA_LOSS);
    assert_non_null(strstr(error.text, "model-00002-of-00003.safetensors"));
    assert_non_null(strstr(error.text, "one folder for all daemons"));
    save_give_up(&f.shelf, &f.place);
    assert_false(scratch_has(f.scratch, "store/job/step-00000007"));
    end(&f);
}

static void folder__of_a_daemon_that_died__is_cleared(void **state)
{
    struct fixture f;
    struct stepd_error error = {.code = STEPD_OK};
    char path[256];
    setup(&f, *state, 30);
    begin(&f);
    write_portion(&f, 2);
    (void)snprintf(path, sizeof path, "store/job/%s", f.place.folder);
    assert_true(scratch_has(f.scratch, path));
    assert_int_equal(shelf_clear(&f.shelf, &error), STEPD_OK); /* as the next one begins */
    assert_false(scratch_has(f.scratch, path));
    end(&f);
}

static void commit__over_an_older_one__takes_its_place(void **state)
{
    struct fixture f;
    struct stepd_error error = {.code = STEPD_OK};
    setup(&f, *state, 30);
    save_all(&f);
    forget_sums(&f);
    save_all(&f);
    const int folder = open_saved(&f);
    assert_int_equal(load(folder, NULL, &error), STEPD_OK);
    assert_int_equal(close(folder), 0);
    struct shelf_checkpoint *list = NULL;
    size_t count = 0;
    assert_int_equal(shelf_list(&f.shelf, &list, &count, &error), STEPD_OK);
    assert_int_equal(count, 1);
    free(list);
    end(&f);
}

static void portion__that_is_told_to_stop__is_given_up(void **state)
{
    struct fixture f;
    struct stepd_error error;
    struct manifest_sums sums;
    const atomic_bool stop = true;
    setup(&f, *state, 30);
    begin(&f);
    const struct portion_request request = request_of(&f, 1);
    const struct save_portion portion = {
        .store = f.guest, .request = &request, .share = &f.share[1], .shares = 1, .stop = &stop};
    assert_int_equal(save_portion(&portion, &sums, &error), STEPD_CANCELLED);
    end(&f);
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
    struct fixture f;
    setup(&f, *state, 30);
    assert_int_equal(mkdir(scratch_path(*state, "store/job/.new-step-00000007"), 0700), 0);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct stepd_error error = {.code = STEPD_OK};
        struct manifest_sums sums;
        struct portion_request request = request_of(&f, 1);
        request.place = places[i];
        if (write_as(&f, &request, &sums, &error) != STEPD_INVALID_ARGUMENT)
            fail_msg("%s/%s: %s", places[i].shelf, places[i].folder, error.text);
    }
    end(&f);
}

static void portion__in_a_place_without_an_end__is_refused(void **state)
{
    struct fixture f;
    struct stepd_error error;
    struct manifest_sums sums;
    setup(&f, *state, 30);
    begin(&f);
    struct portion_request request = request_of(&f, 1);
    memset(request.place.folder, 'a', sizeof request.place.folder);
    assert_int_equal(write_as(&f, &request, &sums, &error), STEPD_INVALID_ARGUMENT);
    request = request_of(&f, 1);
    memset(request.place.shelf, 'a', sizeof request.place.shelf);
    assert_int_equal(write_as(&f, &request, &sums, &error), STEPD_INVALID_ARGUMENT);
    end(&f);
}

static void portion__of_a_folder_that_is_a_link__is_refused(void **state)
{
    struct fixture f;
    struct stepd_error error;
    struct manifest_sums sums;
    setup(&f, *state, 30);
    struct portion_request request = request_of(&f, 1);
    request.place =
        (struct portion_place){.shelf = "job", .folder = ".new-step-00000007~0123456789abcdef"};
    assert_int_equal(mkdir(scratch_path(*state, "elsewhere"), 0700), 0);
    assert_int_equal(symlink("../../elsewhere",
                             scratch_path(*state, "store/job/.new-step-00000007~0123456789abcdef")),
                     0);
    assert_int_equal(write_as(&f, &request, &sums, &error), STEPD_UNAVAILABLE);
    assert_false(scratch_has(*state, "elsewhere/model-00002-of-00003.safetensors"));
    end(&f);
}

static void portion__of_no_number__is_refused(void **state)
{
    static const uint32_t numbers[][2] = {{0, 0}, {0, 1}, {3, 3}, {1, 65}, {UINT32_MAX, 3}};
    struct fixture f;
    setup(&f, *state, 30);
    begin(&f);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct stepd_error error;
        struct manifest_sums sums;
        struct portion_request request = request_of(&f, 1);
        request.index = numbers[i][0];
        request.portions = numbers[i][1];
        const struct save_portion portion = {.store = f.guest,
                                             .request = &request,
                                             .share = &f.share[1],
                                             .shares = 1,
                                             .stop = &go_on};
        assert_int_equal(save_portion(&portion, &sums, &error), STEPD_INVALID_ARGUMENT);
    }
    end(&f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checkpoint__by_three__is_read_whole),
        TEST(checkpoint__by_three__is_read_by_any_number),
        TEST(checkpoint__by_three__is_read_into_slices_of_another_size),
        TEST(load__of_some_slices__is_bounded_by_what_they_take),
        TEST(load__of_one_with_any_byte_changed__is_refused),
        TEST(load__of_some_slices_with_any_float_changed__is_refused_by_who_needs_it),
        TEST(load__without_one_of_the_files__names_it),
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
