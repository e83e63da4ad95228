/* SPDX-License-Identifier: Apache-2.0
 *
 * Which names are looked for in another list, and what they are called there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/base/naming.h"

static const char *const layers[] = {"fc1.*", "fc2.*"};
static const char *const biases[] = {"*.bias"};

static bool takes(const struct naming *naming, const char *name)
{
    uint64_t steps = 0;
    return naming_takes(naming, name, &steps);
}

static void takes__without_globs__is_all(void **state)
{
    (void)state;
    const struct naming naming = {.remove_prefix = "", .add_prefix = ""};
    assert_true(takes(&naming, "fc1.weight"));
}

static void takes__with_globs__is_what_one_of_them_matches(void **state)
{
    (void)state;
    const struct naming naming = {.match = {.count = 2, .at = layers}};
    assert_true(takes(&naming, "fc1.weight"));
    assert_true(takes(&naming, "fc2.bias"));
    assert_false(takes(&naming, "fc3.bias"));
}

static void takes__with_exceptions__is_less_these(void **state)
{
    (void)state;
    const struct naming all = {.except = {.count = 1, .at = biases}};
    const struct naming some = {.match = {.count = 2, .at = layers}, .except = all.except};
    assert_true(takes(&all, "fc3.weight"));
    assert_false(takes(&all, "fc3.bias"));
    assert_true(takes(&some, "fc1.weight"));
    assert_false(takes(&some, "fc1.bias"));
    assert_false(takes(&some, "fc3.weight"));
}

static void there__with_prefixes__is_theirs_for_ours(void **state)
{
    (void)state;

    static const struct {
        const char *remove;
        const char *add;
        const char *ours;
        const char *theirs; /* NULL: there is none */
    } rows[] = {
        {"", "", "fc1.weight", "fc1.weight"},
        {"model.", "", "fc1.weight", "model.fc1.weight"},
        {"", "encoder.", "encoder.fc1.weight", "fc1.weight"},
        {"bert.", "encoder.", "encoder.fc1.weight", "bert.fc1.weight"},
        {"", "encoder.", "head.weight", NULL},
        {"twelve bytes", "", "and too many", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct naming naming = {.remove_prefix = rows[i].remove, .add_prefix = rows[i].add};
        char there[24];
        assert_int_equal(naming_there(&naming, rows[i].ours, there, sizeof there),
                         rows[i].theirs != NULL);
        if (rows[i].theirs != NULL)
            assert_string_equal(there, rows[i].theirs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes__without_globs__is_all),
        cmocka_unit_test(takes__with_globs__is_what_one_of_them_matches),
        cmocka_unit_test(takes__with_exceptions__is_less_these),
        cmocka_unit_test(there__with_prefixes__is_theirs_for_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
