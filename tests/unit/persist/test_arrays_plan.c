/* SPDX-License-Identifier: Apache-2.0
 *
 * What any number of daemons have written any number of others read, each what its own slices need,
 * with the same bits; and files that do not have it, or have it twice, are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/persist/arrays_plan.h"
#include "tests/lib/scarcity.h"
#include "tests/lib/settings.h"
#include "tests/unit/persist/deal.h"
#include "tests/unit/persist/shares.h"

enum { DAEMONS_MOST = 5, FILES_MOST = DAEMONS_MOST * ARRAYS_FILES };

/* ---- Files ----------------------------------------------------------------------------------- */

struct file {
    enum arrays_file which;
    uint8_t *bytes; /* owned */
    struct safetensors head;
};

struct files {
    size_t count;
    struct file file[FILES_MOST];
};

static void add_files(struct files *files, const struct arrays *arrays)
{
    for (int which = 0; which < (int)ARRAYS_FILES; which++) {
        struct file *const file = &files->file[files->count++];
        size_t n = 0;
        size_t json = 0;
        file->which = (enum arrays_file)which;
        file->bytes = shares_write(arrays, file->which, &n);
        assert_int_equal(safetensors_json_bytes(file->bytes, n, &json, NULL), STEPD_OK);
        assert_int_equal(safetensors_decode(file->bytes + 8, json, n, &file->head, NULL), STEPD_OK);
    }
}

/* As so many daemons write it. */
static struct files write_files(const struct shares *shares, uint32_t daemons)
{
    const struct job_state *const share[SHARES] = {shares->share[0], shares->share[1]};
    struct files files = {.count = 0};
    for (uint32_t i = 0; i < daemons; i++) {
        struct job_state *const own = deal(share, SHARES, deal_in_turns, i, daemons);
        const struct job_state *const portion = own;
        struct arrays *arrays = NULL;
        struct stepd_error error = {.code = STEPD_OK};
        const enum stepd_status status = daemons == 1
                                             ? arrays_create(&portion, 1, &arrays, &error)
                                             : arrays_create_portion(&portion, 1, &arrays, &error);
        if (status != STEPD_OK)
            fail_msg("%s", error.text);
        add_files(&files, arrays);
        (void)arrays_destroy(arrays);
        (void)deal_end(own);
    }
    return files;
}

static void free_files(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        safetensors_deinit(&files->file[i].head);
        free(files->file[i].bytes);
    }
}

/* ---- Reading --------------------------------------------------------------------------------- */

static enum stepd_status make_plan(const struct files *files, const struct arrays *arrays,
                                   uint32_t daemons, bool all, struct arrays_plan **ret_plan,
                                   struct stepd_error *error)
{
    enum stepd_status status = arrays_plan_create(arrays, daemons, all, ret_plan, error);
    for (size_t i = 0; i < files->count && status == STEPD_OK; i++)
        status = arrays_plan_add(*ret_plan, files->file[i].which, &files->file[i].head, error);
    return status == STEPD_OK ? arrays_plan_check(*ret_plan, error) : status;
}

/* In windows of an odd size. */
static void read_found(const struct arrays_plan *plan, const struct arrays_found *found,
                       const uint8_t *bytes)
{
    const uint64_t most = 37;
    for (uint64_t at = 0; at < found->floats; at += most) {
        const uint64_t left = found->floats - at;
        arrays_plan_put(plan, found, at, left < most ? left : most, bytes + found->begin + 4 * at);
    }
}

static void read_files(const struct files *files, struct job_state *state, uint32_t daemons,
                       bool all)
{
    const struct job_state *const whole = state;
    struct arrays *arrays = NULL;
    struct arrays_plan *plan = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(arrays_create(&whole, 1, &arrays, NULL), STEPD_OK);
    if (make_plan(files, arrays, daemons, all, &plan, &error) != STEPD_OK)
        fail_msg("by %u: %s", daemons, error.text);
    for (size_t i = 0; i < plan->files; i++) {
        assert_true(plan->file[i].whole || !all);
        for (size_t k = 0; k < plan->file[i].count; k++)
            read_found(plan, &plan->file[i].found[k],
                       files->file[i].bytes + plan->file[i].begins_at);
    }
    (void)arrays_plan_destroy(plan);
    (void)arrays_destroy(arrays);
}

static void expect_floats(const float *a, const float *b, uint64_t n)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL)
        assert_memory_equal(a, b, n * sizeof *a);
}

static void expect_slice(const struct slice_state *read, const struct slice_state *written)
{
    for (int v = 0; v < STEPD_VIEWS; v++)
        expect_floats(read->view[v], written->view[v], written->elements);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        expect_floats(read->slot[k], written->slot[k], written->slot_floats[k]);
    for (size_t r = 0; r < written->ranks; r++) {
        if (written->by_rank[r].backup_version != UINT64_MAX)
            expect_floats(read->by_rank[r].backup, written->by_rank[r].backup, written->elements);
    }
}

static void expect_nothing(const struct slice_state *slice)
{
    for (int v = 0; v < STEPD_VIEWS; v++)
        assert_null(slice->view[v]);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        assert_null(slice->slot[k]);
}

static void expect_reader(const struct shares *shares, const struct files *files, uint32_t daemons,
                          uint32_t reader, uint32_t readers)
{
    struct job_state *const state = shares_blank(shares);
    const size_t slices = shares->job->layout.slices;
    bool *const asked = calloc(slices, sizeof *asked);
    struct stepd_error error = {.code = STEPD_OK};
    assert_non_null(asked);
    for (size_t i = 0; i < slices; i++) {
        asked[i] = deal_in_turns(shares->job, i, reader, readers);
        for (int v = 0; v < STEPD_VIEWS; v++)
            shares->made[i][v] = shares_slice(shares, i)->view[v] != NULL;
    }
    if (arrays_allocate(state, (const bool(*)[STEPD_VIEWS])shares->made, asked, UINT64_MAX,
                        &error) != STEPD_OK)
        fail_msg("%s", error.text);
    read_files(files, state, daemons, readers == 1);
    for (size_t i = 0; i < slices; i++) {
        if (asked[i])
            expect_slice(&state->slice[i], shares_slice(shares, i));
        else
            expect_nothing(&state->slice[i]);
    }
    free(asked);
    (void)job_state_unref(state);
}

static void expect_any_daemons(struct shares *shares)
{
    shares_take(shares);
    for (uint32_t daemons = 1; daemons <= DAEMONS_MOST; daemons++) {
        struct files files = write_files(shares, daemons);
        for (uint32_t readers = 1; readers <= DAEMONS_MOST; readers++) {
            for (uint32_t reader = 0; reader < readers; reader++)
                expect_reader(shares, &files, daemons, reader, readers);
        }
        free_files(&files);
    }
}

/* ---- There and back -------------------------------------------------------------------------- */

/* Slices of 256 elements: "big" has six of them. */
static void setup(struct shares *shares, const struct stepd_group *group, enum stepd_mode mode,
                  const char *settings)
{
    struct stepd_define_job def = draft_definition();
    def.group = group;
    def.workers = 3;
    def.mode = mode;
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_LEAST;
    if (settings[0] != '\0')
        def.settings = settings_of(settings);
    shares_setup(shares, &def);
    assert_true(shares->job->layout.slices > DAEMONS_MOST);
}

static void state__by_any_number_of_daemons__is_read_by_any_number(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_group group = settings_group("adam", "");
    setup(&shares, &group, STEPD_SYNC, "");
    expect_any_daemons(&shares);
    shares_teardown(&shares);
}

static void state__with_slots_of_every_shape__is_read_by_any_number(void **state)
{
    (void)state;
    static const char *const optimizers[] = {"adafactor", "lbfgs", "sgd"};
    for (size_t i = 0; i < sizeof optimizers / sizeof optimizers[0]; i++) {
        struct shares shares;
        const struct stepd_group group = settings_group(optimizers[i], "");
        struct stepd_define_job def = draft_definition();
        def.group = &group;
        def.workers = 2;
        shares_setup(&shares, &def);
        expect_any_daemons(&shares);
        shares_teardown(&shares);
    }
}

static void state__whose_slices_are_at_different_points__is_read_by_any_number(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_phase phase[] = {settings_phase(5, "adagrad", ""),
                                        settings_phase(9, "adamax", "")};
    struct stepd_group group = settings_group("adam", "ema_decay=0.25 swa_start=3");
    group.phases = 2;
    group.phase = phase;
    setup(&shares, &group, STEPD_SYNC, "");
    for (size_t i = 0; i < shares.job->layout.slices; i++) {
        shares.made[i][STEPD_EMA] = true;
        shares.made[i][STEPD_SWA] = i == 1 || i == 2;
    }
    slice_enter(&shares.slice[3], 9);
    shares.slice[4].valued = false;
    expect_any_daemons(&shares);
    shares_teardown(&shares);
}

static void state__with_backups__is_read_by_any_number(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_group group = settings_group("adam", "");
    setup(&shares, &group, STEPD_ASYNC, "delay_compensation=0.5");
    for (size_t i = 0; i < shares.job->layout.slices; i++)
        slice_back_up(&shares.slice[i], (uint32_t)i % 2);
    expect_any_daemons(&shares);
    shares_teardown(&shares);
}

/* "w" of which a stretch begins at 256 has the name of another tensor then, in the file of weights,
 * and of a stretch of that one. */
static void tensors__that_are_called_like_stretches__are_told_apart(void **state)
{
    (void)state;
    static const uint64_t shape[] = {2, 384};
    const struct stepd_tensor_def tensor[] = {
        draft_tensor("w", shape, 2),         draft_tensor("w@256", shape, 2),
        draft_tensor("w@256@256", shape, 1), draft_tensor("w/exp_avg", shape, 1),
        draft_tensor("w@0", shape, 1),       draft_tensor("w/evaluation@256", shape, 2)};
    struct shares shares;
    const struct stepd_group group = settings_group("adam", "");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_LEAST;
    shares_setup_tensors(&shares, &def, tensor, sizeof tensor / sizeof tensor[0]);
    expect_any_daemons(&shares);
    shares_teardown(&shares);
}

/* ---- Files that are not right ---------------------------------------------------------------- */

struct fixture {
    struct shares shares;
    struct files files;
    struct arrays *arrays; /* of all of it */
};

static void begin(struct fixture *f, uint32_t daemons)
{
    const struct stepd_group group = settings_group("sgd", "");
    setup(&f->shares, &group, STEPD_SYNC, "");
    shares_take(&f->shares);
    f->files = write_files(&f->shares, daemons);
    f->arrays = shares_map(&f->shares);
}

static void end(struct fixture *f)
{
    (void)arrays_destroy(f->arrays);
    free_files(&f->files);
    shares_teardown(&f->shares);
}

/* The one of this name in any of the files. */
static struct safetensors_tensor *find(const struct files *files, const char *name)
{
    for (size_t i = 0; i < files->count; i++) {
        for (size_t k = 0; k < files->file[i].head.tensors; k++) {
            if (strcmp(files->file[i].head.tensor[k].name, name) == 0)
                return &files->file[i].head.tensor[k];
        }
    }
    fail_msg("no array %s", name);
    return NULL;
}

static void names__of_a_portion__say_where_a_stretch_begins(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_group group = settings_group("adam", "");
    setup(&shares, &group, STEPD_SYNC, "");
    shares_take(&shares);
    struct files files = write_files(&shares, 2);
    const struct safetensors *const model = &files.file[2].head; /* the second daemon's */
    const struct safetensors *const optimizer = &files.file[3].head;
    const struct safetensors_tensor *const stretch = safetensors_find(model, "big@250");
    assert_non_null(stretch);
    assert_int_equal(stretch->dims, 1);
    assert_int_equal(stretch->shape[0], 250);
    assert_non_null(safetensors_find(optimizer, "big/exp_avg@250"));
    const struct safetensors_tensor *const whole = find(&files, "two");
    assert_int_equal(whole->dims, 2);
    free_files(&files);
    shares_teardown(&shares);
}

static void expect_refused(struct fixture *f, uint32_t daemons, const char *text)
{
    struct arrays_plan *plan = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(make_plan(&f->files, f->arrays, daemons, true, &plan, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    (void)arrays_plan_destroy(plan);
    end(f);
}

static void files__without_a_stretch__are_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 3);
    find(&f.files, "big@500")->name = "big@1000"; /* which another one has */
    expect_refused(&f, 3, "arrays 'big@1000' and 'big@1000' have the same elements");
    begin(&f, 3);
    f.files.file[2].head.tensors = 0; /* the second daemon's weights */
    expect_refused(&f, 3, "the files have not all of array 'big', which the job's state needs");
}

static void files__with_stretches_that_overlap__are_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 3);
    find(&f.files, "big@500")->name = "big@499";
    expect_refused(&f, 3, "arrays 'big@250' and 'big@499' have the same elements");
}

static void files__with_a_stretch_beyond_the_tensor__are_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 3);
    find(&f.files, "big@1250")->name = "big@1251";
    expect_refused(&f, 3,
                   "the file has an array \"big@1251\", for which the job's state has no place");
    begin(&f, 3);
    find(&f.files, "big@1250")->name = "big@18446744073709551615";
    expect_refused(&f, 3,
                   "the file has an array \"big@18446744073709551615\", for which the job's state "
                   "has no place");
}

static void files__with_a_name_that_marks_nothing__are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"big@",
                                        "big@x",
                                        "big@01250",
                                        "big@1250 ",
                                        "big@18446744073709551616",
                                        "@1250",
                                        "big/evaluation@1250"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct fixture f;
        char text[160];
        begin(&f, 3);
        find(&f.files, "big@1250")->name = names[i];
        (void)snprintf(text, sizeof text,
                       "the file has an array \"%s\", for which the job's state has no place",
                       names[i]);
        expect_refused(&f, 3, text);
    }
}

static void files__with_a_stretch_of_another_dtype_or_shape__are_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 3);
    find(&f.files, "big@250")->dtype = SAFETENSORS_I32;
    expect_refused(&f, 3, "array 'big@250' is of I32, and a job's state is of F32");
    begin(&f, 3);
    struct safetensors_tensor *const tensor = find(&f.files, "big@250");
    tensor->dims = 2;
    tensor->shape[0] = 25;
    tensor->shape[1] = 10;
    expect_refused(&f, 3, "array 'big@250' is of shape [25, 10], and in the job of [250]");
    begin(&f, 3);
    struct safetensors_tensor *const whole = find(&f.files, "two");
    whole->shape[0] = 3;
    whole->shape[1] = 2;
    expect_refused(&f, 3, "array 'two' is of shape [3, 2], and in the job of [2, 3]");
}

static void files__of_one_daemon__are_held_to_what_they_were(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1);
    find(&f.files, "big")->name = "small";
    expect_refused(&f, 1,
                   "the file has an array \"small\", for which the job's state has no place");
    begin(&f, 1);
    f.files.file[0].head.tensors = 1; /* of which the first is "big" */
    expect_refused(&f, 1, "the file has no array 'scalar', which the job's state needs");
}

static void plan__without_memory__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct arrays_plan *plan = NULL;
    size_t failures = 0;
    begin(&f, 3);
    scarcity_after(failures);
    while (make_plan(&f.files, f.arrays, 3, true, &plan, NULL) != STEPD_OK) {
        plan = arrays_plan_destroy(plan);
        scarcity_after(++failures);
    }
    scarcity_after(SCARCITY_NEVER);
    assert_true(failures > 8);
    (void)arrays_plan_destroy(plan);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state__by_any_number_of_daemons__is_read_by_any_number),
        cmocka_unit_test(state__with_slots_of_every_shape__is_read_by_any_number),
        cmocka_unit_test(state__whose_slices_are_at_different_points__is_read_by_any_number),
        cmocka_unit_test(state__with_backups__is_read_by_any_number),
        cmocka_unit_test(tensors__that_are_called_like_stretches__are_told_apart),
        cmocka_unit_test(names__of_a_portion__say_where_a_stretch_begins),
        cmocka_unit_test(files__without_a_stretch__are_refused),
        cmocka_unit_test(files__with_stretches_that_overlap__are_refused),
        cmocka_unit_test(files__with_a_stretch_beyond_the_tensor__are_refused),
        cmocka_unit_test(files__with_a_name_that_marks_nothing__are_refused),
        cmocka_unit_test(files__with_a_stretch_of_another_dtype_or_shape__are_refused),
        cmocka_unit_test(files__of_one_daemon__are_held_to_what_they_were),
        cmocka_unit_test(plan__without_memory__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
