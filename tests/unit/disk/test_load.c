/* SPDX-License-Identifier: Apache-2.0
 *
 * What was saved is loaded, and nothing else: whichever byte of it has changed, whichever file is
 * missing, cut or no file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/disk/load.h"
#include "server/disk/save.h"
#include "server/disk/shelf.h"
#include "tests/lib/settings.h"
#include "tests/unit/disk/scratch.h"
#include "tests/unit/persist/shares.h"

static const char *const files[] = {"manifest.json", SAVE_MODEL_FILE, SAVE_OPTIMIZER_FILE};

enum { FILES = sizeof files / sizeof files[0] };

struct fixture {
    struct shares shares;
    struct store *store;
    struct shelf shelf;
    int folder; /* of the checkpoint */
};

/* A small one, so that each of its bytes can be looked at. */
static void save_small(struct fixture *f, const struct scratch *scratch)
{
    static const uint64_t shape[] = {2, 3};
    const struct stepd_tensor_def tensor[] = {draft_tensor("w", shape, 2),
                                              draft_tensor("b", shape, 1)};
    const struct stepd_group group = settings_group("adam", "lr=0.001");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    shares_setup_tensors(&f->shares, &def, tensor, 2);
    shares_take(&f->shares);
    const struct job_state *share[SHARES] = {f->shares.share[0], f->shares.share[1]};
    const struct job_snapshot snapshot = {
        .job = f->shares.job,
        .version = JOB_STATE_AS_IT_STANDS,
        .incarnation = 3,
        .share = share,
        .shares = SHARES,
    };
    struct stepd_error error = {.code = STEPD_OK};
    const struct store_shelf_name name = store_shelf_name("job");
    assert_int_equal(store_open(scratch_path(scratch, "store"), &f->store, &error), STEPD_OK);
    assert_int_equal(shelf_open_to_write(f->store, &name, &f->shelf, &error), STEPD_OK);
    const atomic_bool stop = false;
    const struct save save = {
        .shelf = &f->shelf, .snapshot = &snapshot, .step = 7, .stepd = "test", .stop = &stop};
    uint64_t bytes = 0;
    if (save_checkpoint(&save, &bytes, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    f->folder = shelf_open_checkpoint(&f->shelf, "step-00000007", &error);
    assert_true(f->folder >= 0);
}

static void end(struct fixture *f)
{
    assert_int_equal(close(f->folder), 0);
    shelf_close(&f->shelf);
    (void)store_close(f->store);
    shares_teardown(&f->shares);
}

static enum stepd_status load(const struct fixture *f, struct stepd_error *error)
{
    struct manifest manifest;
    const enum stepd_status status = load_checkpoint(f->folder, UINT64_MAX, &manifest, error);
    if (status == STEPD_OK)
        manifest_deinit(&manifest);
    return status;
}

static void load_checkpoint__of_one_that_was_saved__has_the_same_floats(void **state)
{
    struct fixture f;
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    save_small(&f, *state);
    if (load_checkpoint(f.folder, UINT64_MAX, &manifest, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(manifest.snapshot.incarnation, 3);
    for (size_t i = 0; i < f.shares.job->layout.slices; i++) {
        const struct slice_state *const saved = shares_slice(&f.shares, i);
        const struct slice_state *const loaded = &manifest.state->slice[i];
        assert_memory_equal(loaded->view[STEPD_EVALUATION], saved->view[STEPD_EVALUATION],
                            saved->elements * sizeof(float));
        for (size_t k = 0; k < 2; k++)
            assert_memory_equal(loaded->slot[k], saved->slot[k],
                                (size_t)saved->slot_floats[k] * sizeof(float));
    }
    manifest_deinit(&manifest);
    end(&f);
}

static void load_checkpoint__of_one_with_any_byte_changed__is_refused(void **state)
{
    struct fixture f;
    struct stepd_error error;
    save_small(&f, *state);
    for (size_t i = 0; i < FILES; i++) {
        const int file = openat(f.folder, files[i], O_RDWR);
        struct stat stat;
        assert_int_equal(fstat(file, &stat), 0);
        assert_true(stat.st_size > 50);
        for (off_t at = 0; at < stat.st_size; at++) {
            uint8_t byte = 0;
            assert_int_equal(pread(file, &byte, 1, at), 1);
            const uint8_t other = byte ^ (uint8_t)(1U << (at % 8));
            assert_int_equal(pwrite(file, &other, 1, at), 1);
            if (load(&f, &error) == STEPD_OK)
                fail_msg("%s: a changed byte %lld is not seen", files[i], (long long)at);
            assert_int_equal(pwrite(file, &byte, 1, at), 1);
        }
        assert_int_equal(close(file), 0);
    }
    assert_int_equal(load(&f, &error), STEPD_OK);
    end(&f);
}

static void load_checkpoint__without_one_of_its_files__names_it(void **state)
{
    for (size_t i = 0; i < FILES; i++) {
        struct fixture f;
        struct stepd_error error;
        save_small(&f, *state);
        assert_int_equal(unlinkat(f.folder, files[i], 0), 0);
        assert_int_equal(load(&f, &error), STEPD_NOT_FOUND);
        assert_non_null(strstr(error.text, files[i]));
        assert_int_equal(symlinkat("/etc/hostname", f.folder, files[i]), 0);
        assert_int_not_equal(load(&f, &error), STEPD_OK);
        end(&f);
    }
}

static void load_checkpoint__of_a_file_that_was_cut__is_refused(void **state)
{
    for (size_t i = 0; i < FILES; i++) {
        struct fixture f;
        struct stepd_error error;
        save_small(&f, *state);
        const int file = openat(f.folder, files[i], O_RDWR);
        struct stat stat;
        assert_int_equal(fstat(file, &stat), 0);
        assert_int_equal(ftruncate(file, stat.st_size - 1), 0);
        assert_int_equal(close(file), 0);
        assert_int_equal(load(&f, &error), STEPD_DATA_LOSS);
        end(&f);
    }
}

static void load_checkpoint__of_more_than_there_may_be__is_refused(void **state)
{
    struct fixture f;
    struct manifest manifest;
    struct stepd_error error;
    save_small(&f, *state);
    assert_int_equal(load_checkpoint(f.folder, 16, &manifest, &error), STEPD_RESOURCE_EXHAUSTED);
    end(&f);
}

static uint32_t smallest(void *owner, const char *job)
{
    *(char *)owner = job[0];
    return LAYOUT_SLICE_ELEMENTS_LEAST;
}

static void load_checkpoint__into_slices_of_another_size__has_the_same_floats(void **state)
{
    struct fixture f;
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    char asked = '-';
    const struct load_cut cut = {.slice_elements = smallest, .owner = &asked};
    save_small(&f, *state);
    assert_int_equal(f.shares.job->layout.slices, 1); /* which packs both tensors */
    if (load_checkpoint_cut(f.folder, UINT64_MAX, &cut, &manifest, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(asked, f.shares.job->name[0]);
    assert_int_equal(manifest.snapshot.job->slice_elements, LAYOUT_SLICE_ELEMENTS_LEAST);
    assert_int_equal(manifest.state->job->layout.slices, 2);
    const float *const saved = shares_slice(&f.shares, 0)->view[STEPD_EVALUATION];
    assert_memory_equal(manifest.state->slice[0].view[STEPD_EVALUATION], saved, 6 * sizeof(float));
    assert_memory_equal(manifest.state->slice[1].view[STEPD_EVALUATION], saved + 6,
                        2 * sizeof(float));
    manifest_deinit(&manifest);
    end(&f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(load_checkpoint__of_one_that_was_saved__has_the_same_floats),
        TEST(load_checkpoint__of_one_with_any_byte_changed__is_refused),
        TEST(load_checkpoint__without_one_of_its_files__names_it),
        TEST(load_checkpoint__of_a_file_that_was_cut__is_refused),
        TEST(load_checkpoint__into_slices_of_another_size__has_the_same_floats),
        TEST(load_checkpoint__of_more_than_there_may_be__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
