/* SPDX-License-Identifier: Apache-2.0
 *
 * Do two groups say the same? Compared is what their settings came to, and what differs is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/model/groups.h"

static enum stepd_status compare(const struct stepd_group *a, const struct stepd_group *b,
                                 struct stepd_error *reterr)
{
    struct group first = groups_make(a);
    struct group second = groups_make(b);
    const enum stepd_status status = group_same(&first, &second, reterr);
    group_deinit(&first);
    group_deinit(&second);
    return status;
}

static void assert_differs(const struct stepd_group *a, const struct stepd_group *b,
                           const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(compare(a, b, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
}

static void assert_settings_differ(const char *optimizer, const char *a, const char *b,
                                   const char *text)
{
    const struct stepd_group first = settings_group(optimizer, a);
    const struct stepd_group second = settings_group(optimizer, b);
    assert_differs(&first, &second, text);
}

static void assert_settings_same(const char *optimizer, const char *a, const char *b)
{
    const struct stepd_group first = settings_group(optimizer, a);
    const struct stepd_group second = settings_group(optimizer, b);
    assert_int_equal(compare(&first, &second, NULL), STEPD_OK);
}

static void group_same__of_what_comes_to_the_same__is_ok(void **state)
{
    (void)state;
    assert_settings_same("adam", "betas=0.5,0.75", "beta2=0.75 beta1=0.5");
    assert_settings_same("adam", "lr=0.001", "");
    assert_settings_same("adam", "lr_mult=1", "preset=torch");
    assert_settings_same("adam", "eps_mode=outside", "");
}

static void group_same__of_other_tensors__names_the_difference(void **state)
{
    (void)state;
    static const uint32_t two[] = {2}, two_one[] = {2, 1}, one_two[] = {1, 2};
    const struct stepd_group a = settings_group("sgd", "");
    struct stepd_group b = a;
    b.name = "h";
    assert_differs(&a, &b, "name is defined as 'g', not 'h'");
    b = a;
    b.match = "fc*";
    assert_differs(&a, &b, "match is defined as '*', not 'fc*'");
    b = a;
    b.frozen = true;
    assert_differs(&a, &b, "frozen is defined as 'false', not 'true'");
    b = a;
    b.ndim = (struct stepd_u32s){.count = 1, .at = two};
    assert_differs(&a, &b, "ndim is defined with other numbers, or in another order");
    struct stepd_group c = b;
    b.ndim = (struct stepd_u32s){.count = 2, .at = two_one};
    c.ndim = (struct stepd_u32s){.count = 2, .at = one_two};
    assert_differs(&b, &c, "ndim is defined with other numbers, or in another order");
}

static void group_same__of_another_optimizer_or_number_or_word__names_both(void **state)
{
    (void)state;
    const struct stepd_group a = settings_group("sgd", "");
    const struct stepd_group b = settings_group("adam", "");
    assert_differs(&a, &b, "optimizer is defined as 'sgd', not 'adam'");
    assert_settings_differ("sgd", "lr=0.5", "lr=0.25", "lr is defined as 0.5, not 0.25");
    assert_settings_differ("adam", "eps_mode=hat", "",
                           "eps_mode is defined as 'hat', not 'outside'");
}

static void group_same__of_numbers_that_are_close__tells_them_apart(void **state)
{
    (void)state;
    assert_settings_differ("sgd", "lr=0.1", "lr=0.10000001",
                           "lr is defined as 0.1, not 0.10000001");
    assert_settings_differ("sgd", "lr=0.1", "lr=0.10000000000000002",
                           "lr is defined as 0.10000000000000001, not 0.10000000000000002");
}

static void group_same__of_another_treatment__names_it(void **state)
{
    (void)state;
    assert_settings_differ("sgd", "maximize=1", "", "maximize is defined as 1, not 0");
    assert_settings_differ("sgd", "clip_value=1", "clip_value=2",
                           "clip_value is defined as 1, not 2");
    assert_settings_differ("sgd", "clip_norm=1", "", "clip_norm is defined as 1, not 0");
    assert_settings_differ("sgd", "ema_decay=0.5", "", "ema_decay is defined as 0.5, not 0");
    assert_settings_differ("sgd", "swa_every=1", "", "swa is defined as 1, not 0");
    assert_settings_differ("sgd", "swa_start=5", "swa_start=6", "swa_start is defined as 5, not 6");
    assert_settings_differ("sgd", "swa_every=5", "swa_every=6", "swa_every is defined as 5, not 6");
}

static void group_same__of_other_phases__names_which(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {
        settings_phase(5, "sgd", "lr=0.5"), settings_phase(6, "sgd", "lr=0.5"),
        settings_phase(5, "lion", "lr=0.5"), settings_phase(5, "sgd", "lr=0.25")};
    const struct stepd_group none = settings_group("adam", "");
    struct stepd_group a = none;
    a.phases = 1;
    a.phase = &phase[0];
    assert_differs(&none, &a, "the number of phases is defined as 0, not 1");
    struct stepd_group b = a;
    b.phase = &phase[1];
    assert_differs(&a, &b, "phase 1: from is defined as 5, not 6");
    b.phase = &phase[2];
    assert_differs(&a, &b, "phase 1: optimizer is defined as 'sgd', not 'lion'");
    b.phase = &phase[3];
    assert_differs(&a, &b, "phase 1: lr is defined as 0.5, not 0.25");
}

static void group_same__of_another_schedule__names_the_difference(void **state)
{
    (void)state;
    struct stepd_group a = settings_group("sgd", "");
    struct stepd_group b = a;
    b.schedule = "exponential";
    b.schedule_settings = settings_of("gamma=0.5");
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(compare(&a, &b, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "schedule"));
    a.schedule = b.schedule;
    a.schedule_settings = settings_of("gamma=0.25");
    assert_int_equal(compare(&a, &b, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "gamma"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_same__of_what_comes_to_the_same__is_ok),
        cmocka_unit_test(group_same__of_other_tensors__names_the_difference),
        cmocka_unit_test(group_same__of_another_optimizer_or_number_or_word__names_both),
        cmocka_unit_test(group_same__of_numbers_that_are_close__tells_them_apart),
        cmocka_unit_test(group_same__of_another_treatment__names_it),
        cmocka_unit_test(group_same__of_other_phases__names_which),
        cmocka_unit_test(group_same__of_another_schedule__names_the_difference),
    };
    return cmocka_run_group_tests_name("model/group_same", tests, NULL, NULL);
}
