/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings as the command line has them: numbers, words and lists are told apart, and reach
 * libstepd's form whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/params.h"

static struct train_params params;
static struct stepd_error error;

static int setup(void **state)
{
    (void)state;
    params = (struct train_params){.count = 0};
    return 0;
}

static void expect_taken(const char *text)
{
    if (params_read(text, strlen(text), &params, &error) != STEPD_OK)
        fail_msg("'%s' is refused: %s", text, error.text);
}

static void params_read__number_word_and_list__are_told_apart(void **state)
{
    (void)state;
    expect_taken("lr=-1e-3");
    expect_taken("eps_mode=inside");
    expect_taken("betas=0.8,0.95,+.5");
    assert_int_equal(params.count, 3);
    assert_int_equal(params.param[0].kind, TRAIN_PARAM_NUMBER);
    assert_true(params.param[0].value == -1e-3);
    assert_int_equal(params.param[1].kind, TRAIN_PARAM_WORD);
    assert_int_equal(params.param[2].kind, TRAIN_PARAM_LIST);
}

static void params_read__bytes_behind_the_length__are_not_its_own(void **state)
{
    (void)state;
    assert_int_equal(params_read("a=1,2 b", 5, &params, &error), STEPD_OK);
    assert_int_equal(params_read("b=12", 3, &params, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(params.count, 1);
}

static void params_read__same_name__the_last_counts_whatever_its_case(void **state)
{
    (void)state;
    expect_taken("T_max=10");
    expect_taken("warmup=1");
    expect_taken("t_max=20");
    assert_int_equal(params.count, 2);
    assert_true(params_number(&params, "T_MAX", 0) == 20);
}

static void params_read__anything_else__is_refused_and_quoted(void **state)
{
    static const char *const bad[] = {
        "",         "lr",        "=1",
        "lr=",      "lr=,",      "lr=1,",
        "lr=,1",    "lr=1,x",    "lr=x,1",
        "lr=1e999", "lr=+inf",   "lr=1x",
        "lr= 1",    "w=a b",     "w=a,b",
        "w=a/b",    "lr=1,,2",   "lr=0x10",
        "lr=1,0x2", "lr=0x1p-3", "a_name_of_32_letters_is_too_long=1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char quoted[64];
        (void)snprintf(quoted, sizeof quoted, "'%s': expected", bad[i]);
        if (params_read(bad[i], strlen(bad[i]), &params, &error) != STEPD_INVALID_ARGUMENT)
            fail_msg("'%s' is taken", bad[i]);
        if (strncmp(error.text, quoted, strlen(quoted)) != 0)
            fail_msg("'%s' says: %s", bad[i], error.text);
    }
    assert_int_equal(params.count, 0);
}

static void params_read__too_many__are_refused(void **state)
{
    char text[16];
    (void)state;
    for (size_t i = 0; i < TRAIN_PARAMS_MAX; i++) {
        (void)snprintf(text, sizeof text, "p%zu=1", i);
        expect_taken(text);
    }
    assert_int_equal(params_read("one=1", 5, &params, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "more than 16 parameters"));
    expect_taken("p3=2"); /* it has its place */
}

static void params_publish__all_kinds__reach_the_public_form(void **state)
{
    struct stepd_arena arena;
    struct stepd_param *public = NULL;
    (void)state;
    expect_taken("lr=0.5");
    assert_int_equal(params_read("mode=max more", 8, &params, &error), STEPD_OK);
    stepd_arena_init(&arena, 1u << 16);
    expect_taken("milestones=100,200.5");
    assert_int_equal(params_publish(&params, &arena, &public, &error), STEPD_OK);
    memset(&params, 0, sizeof params); /* copies of their own */
    assert_string_equal(public[0].name, "lr");
    assert_true(public[0].value == 0.5 && public[0].word == NULL && public[0].list == NULL);
    assert_string_equal(public[1].word, "max");
    assert_int_equal(public[2].count, 2);
    assert_true(public[2].list[0] == 100 && public[2].list[1] == 200.5);
    assert_null(public[2].word);
    stepd_arena_deinit(&arena);
}

static void params_publish__no_memory__is_an_error_wherever_it_ends(void **state)
{
    (void)state;
    expect_taken("mode=max");
    expect_taken("milestones=100,200");
    enum stepd_status status = STEPD_UNKNOWN;
    size_t cap = 1;
    for (; status != STEPD_OK && cap < 4096; cap++) {
        struct stepd_arena arena;
        struct stepd_param *public = NULL;
        stepd_arena_init(&arena, cap);
        status = params_publish(&params, &arena, &public, &error);
        if (status == STEPD_OK)
            assert_true(public[0].word != NULL && public[1].list != NULL);
        stepd_arena_deinit(&arena);
        assert_true(status == STEPD_OK || status == STEPD_RESOURCE_EXHAUSTED);
    }
    assert_int_equal(status, STEPD_OK);
    assert_true(cap > 64);
}

static void params_format__any__reads_as_it_was_given_and_is_cut_to_its_room(void **state)
{
    char text[64];
    (void)state;
    params_format(&params, text, sizeof text);
    assert_string_equal(text, "");
    expect_taken("lr=1e-3");
    expect_taken("betas=0.80,0.95");
    params_format(&params, text, sizeof text);
    assert_string_equal(text, "lr=0.001 betas=0.80,0.95");
    params_format(&params, text, 10);
    assert_string_equal(text, "lr=0.001 ");
}

#define FRESH(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(params_read__number_word_and_list__are_told_apart),
        FRESH(params_read__bytes_behind_the_length__are_not_its_own),
        FRESH(params_read__same_name__the_last_counts_whatever_its_case),
        FRESH(params_read__anything_else__is_refused_and_quoted),
        FRESH(params_read__too_many__are_refused),
        FRESH(params_publish__all_kinds__reach_the_public_form),
        FRESH(params_publish__no_memory__is_an_error_wherever_it_ends),
        FRESH(params_format__any__reads_as_it_was_given_and_is_cut_to_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
