/* SPDX-License-Identifier: Apache-2.0
 *
 * First weights from a file: floats of every dtype, and files that are none or have none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/disk/init_read.h"
#include "tests/lib/scarcity.h"
#include "tests/unit/disk/scratch.h"
#include "tests/unit/model/drafts.h"

static const struct naming all = {.remove_prefix = "", .add_prefix = ""};
static const char *const globs_a[] = {"a"};
static const atomic_bool running = false;
static const atomic_bool ending = true;

static const char head_f32[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                               "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}";
static const float three[] = {1, -2, 0.5F};

/* A job of a, of 2 elements, and b, of 1. */
static struct job *make_job(void)
{
    static const uint64_t two[] = {2}, one[] = {1};
    const struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", two, 1), draft_tensor("b", one, 1)};
    return draft_job(&def, tensor, 2);
}

/* Writes a file of this head and these bytes. */
static const char *write_file(const struct scratch *scratch, const char *head, const void *bytes,
                              size_t n)
{
    const char *const path = scratch_path(scratch, "file");
    FILE *const file = fopen(path, "wbe");
    assert_non_null(file);
    const uint8_t length[8] = {(uint8_t)strlen(head), (uint8_t)(strlen(head) >> 8)};
    assert_int_equal(fwrite(length, 1, sizeof length, file), sizeof length);
    assert_int_equal(fwrite(head, 1, strlen(head), file), strlen(head));
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return path;
}

static enum stepd_status load(const char *path, const struct naming *naming,
                              const atomic_bool *stop, struct first_weights **ret_first,
                              struct stepd_error *error)
{
    struct job *const job = make_job();
    const struct init_read reading = {.file = path, .naming = naming, .stop = stop};
    *error = (struct stepd_error){.code = STEPD_OK};
    const enum stepd_status status = init_read(&reading, job, ret_first, error);
    (void)job_unref(job);
    return status;
}

static void assert_reads(const char *path, const struct naming *naming, const float a[2],
                         const float *b)
{
    struct first_weights *first = NULL;
    struct stepd_error error;
    if (load(path, naming, &running, &first, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(first->tensors, 2);
    assert_memory_equal(first->values[0], a, 2 * sizeof(float));
    assert_int_equal(first->values[1] != NULL, b != NULL);
    if (b != NULL)
        assert_memory_equal(first->values[1], b, sizeof(float));
    assert_null(first_weights_unref(first));
}

/* ... with words, and never with the path. */
static void assert_fails(const char *path, const struct naming *naming, enum stepd_status code,
                         const char *words)
{
    struct first_weights *first = NULL;
    struct stepd_error error;
    assert_int_equal(load(path, naming, &running, &first, &error), code);
    assert_null(first);
    if (strstr(error.text, words) == NULL || strstr(error.text, "job 'j' cannot begin") == NULL)
        fail_msg("'%s' is not in '%s'", words, error.text);
    assert_null(strstr(error.text, path));
}

static void init_read__of_each_dtype__is_floats(void **state)
{
    static const char mixed[] = "{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
                                "\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[4,6]}}";
    static const uint8_t halves[] = {0x00, 0x3C, 0x00, 0xC0, 0x00, 0x3F};
    static const char wide[] = "{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]},"
                               "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]}}";
    static const uint8_t doubles[] = {0, 0, 0, 0, 0, 0,    0xF0, 0x3F, 0,    0,
                                      0, 0, 0, 0, 0, 0xC0, 0,    0,    0x00, 0x3F};
    assert_reads(write_file(*state, head_f32, three, sizeof three), &all, three, &three[2]);
    assert_reads(write_file(*state, mixed, halves, sizeof halves), &all, three, &three[2]);
    assert_reads(write_file(*state, wide, doubles, sizeof doubles), &all, three, &three[2]);
}

static void init_read__by_a_glob__leaves_the_others_as_defined(void **state)
{
    const struct naming only_a = {.match = {1, globs_a}, .remove_prefix = "", .add_prefix = ""};
    assert_reads(write_file(*state, head_f32, three, sizeof three), &only_a, three, NULL);
}

static void init_read__of_a_tensor_longer_than_a_window__is_whole(void **state)
{
    enum { MANY = (1 << 17) + 5 };

    static const uint64_t shape[] = {MANY};
    static float values[MANY];
    char head[128];
    for (size_t i = 0; i < MANY; i++)
        values[i] = (float)i;
    (void)snprintf(head, sizeof head,
                   "{\"w\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[0,%zu]}}", MANY,
                   sizeof values);
    const char *const path = write_file(*state, head, values, sizeof values);
    struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor = draft_tensor("w", shape, 1);
    struct job *const job = draft_job(&def, &tensor, 1);
    const struct init_read reading = {.file = path, .naming = &all, .stop = &running};
    struct first_weights *first = NULL;
    assert_int_equal(init_read(&reading, job, &first, NULL), STEPD_OK);
    assert_memory_equal(first->values[0], values, sizeof values);
    (void)first_weights_unref(first);
    (void)job_unref(job);
}

static void init_read__of_what_is_not_finite__names_tensor_and_element(void **state)
{
    const float bad[] = {1, NAN, 2};
    const float worse[] = {1, 2, -INFINITY};
    assert_fails(write_file(*state, head_f32, bad, sizeof bad), &all, STEPD_FAILED_PRECONDITION,
                 "tensor 'a' has NaN at element 1");
    assert_fails(write_file(*state, head_f32, worse, sizeof worse), &all, STEPD_FAILED_PRECONDITION,
                 "tensor 'b' has what is infinite as float at element 0");
}

static void init_read__of_no_such_file__says_so_without_the_path(void **state)
{
    const char *const path = scratch_path(*state, "file");
    struct stepd_error error;
    assert_fails(path, &all, STEPD_FAILED_PRECONDITION, "there is no such file");
    assert_int_equal(init_read_check(path, &error), STEPD_NOT_FOUND);
    assert_non_null(strstr(error.text, path)); /* for who wrote it into the config */
}

static void init_read__of_a_file_of_something_else__is_refused(void **state)
{
    scratch_write(*state, "other", "once upon a time");
    const char *const other = scratch_path(*state, "other");
    const char *const link = scratch_path(*state, "link");
    assert_fails(other, &all, STEPD_FAILED_PRECONDITION, "no safetensors file");
    assert_fails(write_file(*state, head_f32, three, 8), &all, STEPD_FAILED_PRECONDITION,
                 "it was not written or copied whole");
    assert_int_equal(symlink(other, link), 0);
    assert_fails(link, &all, STEPD_FAILED_PRECONDITION, "name the file itself");
}

static void init_read__while_the_daemon_ends__gives_up(void **state)
{
    struct first_weights *first = NULL;
    struct stepd_error error;
    assert_int_equal(
        load(write_file(*state, head_f32, three, sizeof three), &all, &ending, &first, &error),
        STEPD_UNAVAILABLE);
    assert_null(first);
}

static void init_read__without_memory__fails_and_leaves_nothing(void **state)
{
    const char *const path = write_file(*state, head_f32, three, sizeof three);
    struct job *const job = make_job();
    const struct init_read reading = {.file = path, .naming = &all, .stop = &running};
    size_t failures = 0;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    for (; status != STEPD_OK; failures++) {
        struct first_weights *first = NULL;
        struct stepd_error error;
        scarcity_after(failures);
        status = init_read(&reading, job, &first, &error);
        if (status != STEPD_OK)
            assert_null(first);
        (void)first_weights_unref(first);
    }
    scarcity_after(SCARCITY_NEVER);
    assert_in_range(failures, 6, 100);
    (void)job_unref(job);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(init_read__of_each_dtype__is_floats),
        TEST(init_read__by_a_glob__leaves_the_others_as_defined),
        TEST(init_read__of_a_tensor_longer_than_a_window__is_whole),
        TEST(init_read__of_what_is_not_finite__names_tensor_and_element),
        TEST(init_read__of_no_such_file__says_so_without_the_path),
        TEST(init_read__of_a_file_of_something_else__is_refused),
        TEST(init_read__while_the_daemon_ends__gives_up),
        TEST(init_read__without_memory__fails_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
