/* SPDX-License-Identifier: Apache-2.0
 *
 * Recipes in words: what is read is what is written again, and every mistake is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/recipe.h"

static struct train_recipe recipe;
static struct stepd_error error;

static int setup(void **state)
{
    (void)state;
    recipe = (struct train_recipe){.phases = 0};
    return 0;
}

static void expect_recipe(const char *text, const char *expected)
{
    char written[RECIPE_TEXT_BYTES];
    if (recipe_read(text, &recipe, &error) != STEPD_OK)
        fail_msg("'%s' is refused: %s", text, error.text);
    recipe_format(&recipe, written, sizeof written);
    assert_string_equal(written, expected);
}

static void recipe_read__optimizer_alone__has_no_settings(void **state)
{
    (void)state;
    expect_recipe("sgd", "sgd");
    assert_int_equal(recipe.hyper.count, 0);
}

static void recipe_read__settings__are_its_own(void **state)
{
    (void)state;
    expect_recipe("  adam\tlr=0.001   betas=0.8,0.95 eps_mode=inside ",
                  "adam lr=0.001 betas=0.8,0.95 eps_mode=inside");
}

static void recipe_read__phases__have_settings_and_steps_of_their_own(void **state)
{
    (void)state;
    expect_recipe("adam lr=0.1 then sgd lr=0.5 from=300 then lion from=1e3",
                  "adam lr=0.1 then sgd from=300 lr=0.5 then lion from=1000");
    assert_int_equal(recipe.phases, 2);
    assert_int_equal(recipe.phase[1].from, 1000);
    assert_true(params_number(&recipe.hyper, "lr", 0) == 0.1);
}

static void recipe_read__what_stood_there__stays_unless_it_is_set_anew(void **state)
{
    (void)state;
    assert_int_equal(params_set("lr", 0.5, &recipe.hyper, &error), STEPD_OK);
    assert_int_equal(params_set("weight_decay", 0.1, &recipe.hyper, &error), STEPD_OK);
    expect_recipe("adam lr=0.001", "adam lr=0.001 weight_decay=0.1");
}

static void recipe_read__mistake__is_refused_and_named(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "expected an optimizer"},
        {" ", "expected an optimizer"},
        {"then sgd from=3", "expected an optimizer"},
        {"adam then", "expected an optimizer"},
        {"adam then then", "expected an optimizer"},
        {"lr=0.1 adam", "'lr=0.1' is not the name of an optimizer"},
        {"an_optimizer_whose_name_is_too_long", "is not the name of an optimizer"},
        {"adam lr", "'lr': expected NAME=VALUE"},
        {"adam lr=0.1 lr=0.2", "'lr=0.2': it is set twice; keep one"},
        {"adam then sgd from=3 lr=0.1 LR=0.1", "'LR=0.1': it is set twice; keep one"},
        {"adam then sgd lr=0.1", "when does 'sgd' take over? Say it as in 'sgd from=300'"},
        {"adam then sgd from=5 then adam from=5",
         "'adam' takes over at step 5, and 'sgd' before it at 5"},
        {"adam then sgd from=0", "'from=0': expected a number of steps"},
        {"adam then sgd from=1.5", "'from=1.5': expected a number of steps"},
        {"adam then sgd from=1e300", "'from=1e300': expected a number of steps"},
        {"adam then sgd from=1e18", "'from=1e18': expected a number of steps"},
        {"adam then sgd from=soon", "'from=soon': expected a number of steps"},
        {"a then b from=1 then c from=2 then d from=3 then e from=4 then f from=5",
         "more than 4 phases"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        recipe = (struct train_recipe){.phases = 0};
        if (recipe_read(cases[i].text, &recipe, &error) != STEPD_INVALID_ARGUMENT)
            fail_msg("'%s' is taken", cases[i].text);
        if (strstr(error.text, cases[i].says) == NULL)
            fail_msg("'%s' says: %s", cases[i].text, error.text);
    }
}

static void recipe_add_phase__two_at_once__are_refused(void **state)
{
    (void)state;
    assert_int_equal(recipe_add_phase("sgd from=3", &recipe, &error), STEPD_OK);
    assert_int_equal(recipe_add_phase("sgd from=4 then lion from=5", &recipe, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "one phase at a time"));
}

static void recipe_format__little_room__is_cut(void **state)
{
    char text[16];
    (void)state;
    assert_int_equal(recipe_read("adam lr=1 then sgd from=300", &recipe, &error), STEPD_OK);
    recipe_format(&recipe, text, sizeof text);
    assert_string_equal(text, "adam lr=1 then ");
    recipe_format(&recipe, text, 3);
    assert_string_equal(text, "ad");
}

#define FRESH(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(recipe_read__optimizer_alone__has_no_settings),
        FRESH(recipe_read__settings__are_its_own),
        FRESH(recipe_read__phases__have_settings_and_steps_of_their_own),
        FRESH(recipe_read__what_stood_there__stays_unless_it_is_set_anew),
        FRESH(recipe_read__mistake__is_refused_and_named),
        FRESH(recipe_add_phase__two_at_once__are_refused),
        FRESH(recipe_format__little_room__is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
