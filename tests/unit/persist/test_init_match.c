/* SPDX-License-Identifier: Apache-2.0
 *
 * Which tensors of a file a job begins with, and what is said where the file is another one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/persist/init_match.h"
#include "tests/lib/scarcity.h"
#include "tests/unit/model/drafts.h"
#include "tests/unit/persist/heads.h"

static const char *const globs_w[] = {"w"};
static const char *const globs_b[] = {"b*"};
static const char *const globs_none[] = {"nothing.*"};

static const struct naming all = {.remove_prefix = "", .add_prefix = ""};

/* w of 2x3, b of 3, b2 of 1, in this order. */
static struct job *make_job(void)
{
    static const uint64_t two_three[] = {2, 3}, three[] = {3}, one[] = {1};
    const struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor[] = {
        draft_tensor("w", two_three, 2), draft_tensor("b", three, 1), draft_tensor("b2", one, 1)};
    return draft_job(&def, tensor, 3);
}

#define W(name)       "\"" name "\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define B(name)       "\"" name "\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[24,30]}"
#define B2(name)      "\"" name "\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[30,32]}"
#define NOTHING(name) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[32,32]}"
#define BYTES         32

/* Of a head of W, B and B2, or what stands for them. The file stays until the match is freed. */
static enum stepd_status match(const char *json, const struct naming *naming,
                               struct safetensors *file, struct init_match *ret_match,
                               struct stepd_error *error)
{
    struct job *const job = make_job();
    *ret_match = (struct init_match){.from = NULL};
    if (heads_decode(json, BYTES, file, error) != STEPD_OK)
        fail_msg("%s", error->text);
    const enum stepd_status status = init_match_create(job, naming, file, ret_match, error);
    (void)job_unref(job);
    return status;
}

static void assert_taken(const char *json, const struct naming *naming, const char *const from[3],
                         const char *kept, const char *left_over)
{
    struct safetensors file;
    struct init_match got;
    struct stepd_error error = {.code = STEPD_OK};
    size_t taken = 0;
    if (match(json, naming, &file, &got, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(got.from[i] != NULL, from[i] != NULL);
        if (from[i] != NULL)
            assert_string_equal(got.from[i]->name, from[i]);
        taken += from[i] != NULL;
    }
    assert_int_equal(got.taken, taken);
    assert_string_equal(got.kept.text, kept);
    assert_string_equal(got.left_over.text, left_over);
    init_match_deinit(&got);
    safetensors_deinit(&file);
}

static void match__of_the_same_names_and_shapes__takes_all(void **state)
{
    (void)state;
    assert_taken("{" W("w") "," B("b") "," B2("b2") "}", &all, (const char *[]){"w", "b", "b2"}, "",
                 "");
}

static void match__by_globs__takes_these_and_leaves_the_rest(void **state)
{
    (void)state;
    const struct naming w = {.match = {1, globs_w}, .remove_prefix = "", .add_prefix = ""};
    const struct naming no_b = {.except = {1, globs_b}, .remove_prefix = "", .add_prefix = ""};
    static const char json[] = "{" W("w") "," B("other") "," B2("b2") "}";
    static const char *const from[3] = {"w"};
    assert_taken(json, &w, from, "\"b\", \"b2\"", "\"other\", \"b2\"");
    assert_taken(json, &no_b, from, "\"b\", \"b2\"", "\"other\", \"b2\"");
}

static void match__with_prefixes__finds_theirs_for_ours(void **state)
{
    (void)state;
    const struct naming naming = {.remove_prefix = "model.", .add_prefix = "b"};
    const struct naming bs = {.match = {1, globs_b}, .remove_prefix = "model.", .add_prefix = "b"};
    static const char json[] = "{" W("w") "," B("model.") "," B2("model.2") "}";
    assert_taken(json, &bs, (const char *[]){NULL, "model.", "model.2"}, "\"w\"", "\"w\"");
    struct safetensors file;
    struct init_match got;
    struct stepd_error error;
    assert_int_equal(match(json, &naming, &file, &got, &error), STEPD_INVALID_ARGUMENT);
    safetensors_deinit(&file);
}

static void match__of_another_file__says_what_is_wrong_and_what_to_do(void **state)
{
    static const struct {
        const char *json;
        const char *text;
    } rows[] = {
        {"{" W("w") "," B("b") "," B2("c") "}", "of 3 tensors to be taken"},
        {"{" W("w") "," B("b") "," B2("c") "}", "1 is not in the file (\"b2\")"},
        {"{" W("w") "," B("b") "," B2("c") "}", "1 is in the file alone (\"c\")"},
        {"{" W("w") "," B("b") "," B2("b2") "," NOTHING("more") "}",
         "and those of the file 1 is in the file alone (\"more\")"},
        {"{" W("x") "," B("y") "," B2("c") "}", "3 are not in the file (\"w\", \"b\", \"b2\")"},
        {"{" W("x") "," B("y") "," B2("c") "}", "which are taken (match, except)"},
        {"{" W("b") "," B("w") "," B2("b2") "}",
         "2 are of another shape (\"w\" is [2, 3], and [3] there)"},
        {"{\"w\":{\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24]}," B("b") "," B2(
             "b2") "}",
         "1 is no numbers that floats are made of (\"w\" of I32)"},
        {"{" W("model.w") "," B("model.b") "," B2("model.b2") "}", "remove_prefix: \"model.\", or"},
        {"{" W("w") "," B("b") "," B2("2") "}", "add_prefix: \"b\", or"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct safetensors file;
        struct init_match got;
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(match(rows[i].json, &all, &file, &got, &error), STEPD_INVALID_ARGUMENT);
        if (strstr(error.text, rows[i].text) == NULL)
            fail_msg("'%s' is not in '%s'", rows[i].text, error.text);
        safetensors_deinit(&file);
    }
}

static void match__of_many_long_names__still_ends_in_the_remedy(void **state)
{
    (void)state;
    static const uint64_t shape[] = {1};

    enum { MANY = 40 };

    char name[MANY][100];
    struct stepd_tensor_def tensor[MANY];
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(name[i], sizeof name[i], "%zu%0*d", i, 90, 0);
        tensor[i] = draft_tensor(name[i], shape, 1);
    }
    const struct stepd_define_job def = draft_definition();
    struct job *const job = draft_job(&def, tensor, MANY);
    struct safetensors file;
    struct init_match got;
    struct stepd_error error;
    assert_int_equal(heads_decode("{" W("w") "," B("b") "," B2(
                                      "a very long name that is longer than is shown") "}",
                                  BYTES, &file, &error),
                     STEPD_OK);
    assert_int_equal(init_match_create(job, &all, &file, &got, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "40 are not in the file ("));
    assert_non_null(strstr(error.text, ", ...)"));
    assert_non_null(strstr(error.text, "(remove_prefix, add_prefix)"));
    safetensors_deinit(&file);
    (void)job_unref(job);
}

static void match__of_globs_that_take_nothing__is_refused(void **state)
{
    (void)state;
    const struct naming none = {
        .match = {1, globs_w}, .except = {1, globs_w}, .remove_prefix = "", .add_prefix = ""};
    struct safetensors file;
    struct init_match got;
    struct stepd_error error;
    assert_int_equal(match("{" W("w") "," B("b") "," B2("b2") "}", &none, &file, &got, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "leave no tensor of the job to be taken (it has \"w\""));
    safetensors_deinit(&file);
}

static void match__of_a_glob_that_matches_nothing__is_refused_by_its_name(void **state)
{
    static const char *const second[] = {"b*", "nothing.*"};

    static const struct {
        struct naming naming;
        const char *says;
    } wrong[] = {
        {{.match = {1, globs_none}, .remove_prefix = "", .add_prefix = ""},
         "match of init_from has \"nothing.*\", which matches none of the job's 3 tensors, whose "
         "first is \"w\""},
        {{.except = {2, second}, .remove_prefix = "", .add_prefix = ""},
         "except of init_from has \"nothing.*\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct safetensors file;
        struct init_match got;
        struct stepd_error error;
        assert_int_equal(
            match("{" W("w") "," B("b") "," B2("b2") "}", &wrong[i].naming, &file, &got, &error),
            STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, wrong[i].says));
        safetensors_deinit(&file);
    }
}

static void match__without_memory__fails_and_leaves_nothing(void **state)
{
    (void)state;
    struct job *const job = make_job();
    struct safetensors file;
    struct init_match got;
    struct stepd_error error;
    assert_int_equal(heads_decode("{" W("w") "," B("b") "," B2("b2") "}", BYTES, &file, &error),
                     STEPD_OK);
    for (size_t n = 0; n < 2; n++) {
        scarcity_after(n);
        assert_int_equal(init_match_create(job, &all, &file, &got, &error),
                         STEPD_RESOURCE_EXHAUSTED);
    }
    scarcity_after(2);
    assert_int_equal(init_match_create(job, &all, &file, &got, &error), STEPD_OK);
    scarcity_after(SCARCITY_NEVER);
    init_match_deinit(&got);
    safetensors_deinit(&file);
    (void)job_unref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match__of_the_same_names_and_shapes__takes_all),
        cmocka_unit_test(match__by_globs__takes_these_and_leaves_the_rest),
        cmocka_unit_test(match__with_prefixes__finds_theirs_for_ours),
        cmocka_unit_test(match__of_another_file__says_what_is_wrong_and_what_to_do),
        cmocka_unit_test(match__of_many_long_names__still_ends_in_the_remedy),
        cmocka_unit_test(match__of_globs_that_take_nothing__is_refused),
        cmocka_unit_test(match__of_a_glob_that_matches_nothing__is_refused_by_its_name),
        cmocka_unit_test(match__without_memory__fails_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
