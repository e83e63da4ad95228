/* SPDX-License-Identifier: Apache-2.0
 *
 * How three daemons write one checkpoint: all of it or nothing, whatever they say to each other,
 * and in a folder that is the same for all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "server/disk/shelf.h"
#include "tests/unit/keeping/daemons.h"

enum { STEP = 7 };

static void checkpoint__of_three_daemons__is_written(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    daemons_write(f, STEP);
    assert_string_equal(f->outcome.name, "step-00000007");
    assert_int_equal(f->outcome.step, STEP);
    assert_true(f->outcome.bytes > 3000 * 3 * sizeof(float));
    assert_int_equal(keeping_writing(&f->daemon[0].keeping), 0);
    daemons_expect_there(f, "step-00000007");
    assert_true(scratch_has(*state, "store/j/step-00000007/model-00003-of-00003.safetensors"));
    daemons_teardown(f);
}

static void checkpoints__beyond_what_is_kept__are_removed(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    f->daemon[0].config.checkpoint_keep = 1;
    daemons_write(f, STEP);
    daemons_write(f, STEP + 1);
    daemons_expect_there(f, "step-00000008");
    daemons_teardown(f);
}

static void checkpoint__of_which_a_portion_fails__is_given_up(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    daemons_stop(&f->daemon[2]);
    daemons_start(f, 2, "elsewhere"); /* where there is nothing */
    daemons_ask(f, STEP);
    DAEMONS_UNTIL(f, f->written == 1);
    assert_int_equal(f->outcome.error.code, STEPD_UNAVAILABLE);
    assert_memory_equal(f->outcome.error.text, "daemon 2: ", 10);
    assert_null(strstr(f->outcome.error.text, "elsewhere"));
    daemons_expect_there(f, "");
    daemons_stop(&f->daemon[2]);
    daemons_start(f, 2, "store");
    daemons_write(f, STEP); /* the same step, in another folder */
    daemons_expect_there(f, "step-00000007");
    daemons_teardown(f);
}

static void checkpoint__that_a_daemon_does_not_answer_for__waits_and_can_be_given_up(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    daemons_ask_and_hold(f, STEP, 1);
    assert_int_equal(f->written, 0);
    assert_int_equal(keeping_writing(&f->daemon[0].keeping), 1);
    keeping_give_up(&f->daemon[0].keeping);
    DAEMONS_UNTIL(f, f->written == 1);
    assert_int_equal(f->outcome.error.code, STEPD_CANCELLED);
    daemons_expect_there(f, "");
    keeping_answered(&f->daemon[0].keeping, &f->held); /* too late */
    f->held = (struct portion_answer){.sums = NULL};
    f->holds = 0;
    daemons_write(f, STEP);
    daemons_teardown(f);
}

static void answers__that_nobody_has_asked_for__are_ignored(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    daemons_ask_and_hold(f, STEP, 2);
    struct portion_answer strange[] = {
        {.number = f->held.number + 1, .index = 1, .error = {.code = STEPD_UNAVAILABLE}},
        {.number = f->held.number, .index = 0, .error = {.code = STEPD_UNAVAILABLE}},
        {.number = f->held.number, .index = DAEMONS, .error = {.code = STEPD_UNAVAILABLE}},
        {.number = f->held.number, .index = UINT32_MAX, .error = {.code = STEPD_UNAVAILABLE}},
    };
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++)
        keeping_answered(&f->daemon[0].keeping, &strange[i]);
    assert_int_equal(f->written, 0);
    keeping_answered(&f->daemon[0].keeping, &f->held);
    f->held = (struct portion_answer){.sums = NULL};
    DAEMONS_UNTIL(f, f->written == 1);
    assert_int_equal(f->outcome.error.code, STEPD_OK);
    daemons_teardown(f);
}

static void answer__with_sums_of_other_files__fails_the_checkpoint(void **state)
{
    static const char lie[] = "{\"files\": [], \"arrays\": {}}";
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    f->mute = 1;
    f->holds = 2;
    daemons_ask(f, STEP);
    DAEMONS_UNTIL(f, f->held.number != 0);
    struct portion_answer answer = {
        .number = f->held.number, .index = 1, .sums = strdup(lie), .sums_bytes = sizeof lie - 1};
    keeping_answered(&f->daemon[0].keeping, &answer);
    keeping_answered(&f->daemon[0].keeping, &f->held);
    f->held = (struct portion_answer){.sums = NULL};
    DAEMONS_UNTIL(f, f->written == 1);
    assert_int_equal(f->outcome.error.code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(f->outcome.error.text, "what daemon 1 has written"));
    daemons_expect_there(f, "");
    daemons_teardown(f);
}

static void keeping_end__while_one_is_written__says_so_and_leaves_what_the_next_clears(void **state)
{
    struct daemons fixture, *const f = &fixture;
    daemons_setup(f, *state);
    daemons_ask_and_hold(f, STEP, 1);
    daemons_stop(&f->daemon[0]);
    assert_int_equal(f->written, 1);
    assert_int_equal(f->outcome.error.code, STEPD_CANCELLED);
    daemons_start(f, 0, "store"); /* the next daemon */
    f->holds = 0;
    daemons_write(f, STEP + 1);
    daemons_expect_there(f, "step-00000008");
    daemons_teardown(f);
}

/* ---- One folder ------------------------------------------------------------------------------ */

static void probe__is_seen_by_those_who_have_the_folder(void **state)
{
    struct daemons fixture, *const f = &fixture;
    struct stepd_error error = {.code = STEPD_OK};
    const char *name = NULL;
    daemons_setup(f, *state);
    assert_int_equal(keeping_probe(&f->daemon[0].keeping, &name, &error), STEPD_OK);
    assert_int_equal(keeping_see(&f->daemon[1].keeping, name, &error), STEPD_OK);
    assert_int_equal(keeping_see(&f->daemon[1].keeping, "", &error), STEPD_OK);
    daemons_stop(&f->daemon[2]);
    daemons_start(f, 2, "elsewhere");
    assert_int_equal(keeping_see(&f->daemon[2].keeping, name, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "checkpoint_dir is not the folder of control's daemon"));
    assert_null(strstr(error.text, "elsewhere"));
    const char *const path = f->daemon[2].config.checkpoint_dir;
    f->daemon[2].config.checkpoint_dir = "";
    assert_int_equal(keeping_see(&f->daemon[2].keeping, name, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "has no checkpoint_dir"));
    f->daemon[2].config.checkpoint_dir = path;
    daemons_teardown(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checkpoint__of_three_daemons__is_written),
        TEST(checkpoints__beyond_what_is_kept__are_removed),
        TEST(checkpoint__of_which_a_portion_fails__is_given_up),
        TEST(checkpoint__that_a_daemon_does_not_answer_for__waits_and_can_be_given_up),
        TEST(answers__that_nobody_has_asked_for__are_ignored),
        TEST(answer__with_sums_of_other_files__fails_the_checkpoint),
        TEST(keeping_end__while_one_is_written__says_so_and_leaves_what_the_next_clears),
        TEST(probe__is_seen_by_those_who_have_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
