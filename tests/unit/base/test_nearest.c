/* SPDX-License-Identifier: Apache-2.0
 *
 * Suggestions for misspelt names: what counts as near, and what the hint says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/base/nearest.h"

static const char *const known[] = {"sgd", "momentum", "weight_decay", "adam", "adamw"};

#define KNOWN (sizeof known / sizeof known[0])

static const char *known_at(size_t index)
{
    return known[index];
}

/* Something to offer n letters of. */
static const char letters[] =
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

static void name__one_slip__is_found(void **state)
{
    (void)state;

    static const struct {
        const char *wanted;
        const char *nearest;
    } rows[] = {
        {"sdg", "sgd"},                   /* swapped */
        {"momentun", "momentum"},         /* changed */
        {"weigt_decay", "weight_decay"},  /* dropped */
        {"addam", "adam"},                /* inserted */
        {"AdamW", "adamw"},               /* case */
        {"weight-decay", "weight_decay"}, /* other character */
        {"adam", "adam"},                 /* none */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const nearest = nearest_name(rows[i].wanted, known_at, KNOWN);
        assert_non_null(nearest);
        assert_string_equal(nearest, rows[i].nearest);
    }
}

static void name__nothing_in_common__is_null(void **state)
{
    (void)state;
    assert_null(nearest_name("lbfgs_line_search", known_at, KNOWN));
    assert_null(nearest_name("rmsprop", known_at, KNOWN));
    assert_null(nearest_name("xyz", known_at, KNOWN));
    assert_null(nearest_name("", known_at, KNOWN));
    assert_null(nearest_name("x", known_at, KNOWN));
}

static void name__no_names_known__is_null(void **state)
{
    (void)state;
    assert_null(nearest_name("sgd", known_at, 0));
}

static void name__longest_compared__is_found(void **state)
{
    (void)state;
    char longest[NEAREST_NAME_MAX_BYTES + 1] = "";
    memcpy(longest, letters, NEAREST_NAME_MAX_BYTES);
    struct nearest nearest;
    nearest_init(&nearest, longest);
    nearest_offer(&nearest, longest);
    assert_ptr_equal(nearest.name, longest);
    assert_int_equal(nearest.distance, 0);
}

static void name__too_long__is_near_to_nothing(void **state)
{
    (void)state;
    char too_long[NEAREST_NAME_MAX_BYTES + 2] = "";
    memcpy(too_long, letters, NEAREST_NAME_MAX_BYTES + 1);
    struct nearest nearest;
    nearest_init(&nearest, too_long);
    nearest_offer(&nearest, too_long);
    assert_null(nearest.name);
}

static void offer__equally_near__keeps_the_first(void **state)
{
    (void)state;
    struct nearest nearest;
    nearest_init(&nearest, "adamx");
    nearest_offer(&nearest, "adamw");
    nearest_offer(&nearest, "adamy");
    assert_string_equal(nearest.name, "adamw");
    assert_int_equal(nearest.distance, 1);
}

static void offer__two_neighbours_swapped__is_one_edit(void **state)
{
    (void)state;
    struct nearest nearest;
    nearest_init(&nearest, "momnetum");
    nearest_offer(&nearest, "momentum");
    assert_int_equal(nearest.distance, 1);
}

static void hint__near_name__asks(void **state)
{
    (void)state;
    struct nearest nearest;
    nearest_init(&nearest, "adma");
    for (size_t i = 0; i < KNOWN; i++)
        nearest_offer(&nearest, known[i]);
    assert_string_equal(nearest_hint(&nearest), "did you mean 'adam'?");
}

static void hint__nothing_near__lists_what_is_known(void **state)
{
    (void)state;
    struct nearest nearest;
    nearest_init(&nearest, "lbfgs_line_search");
    for (size_t i = 0; i < KNOWN; i++)
        nearest_offer(&nearest, known[i]);
    assert_string_equal(nearest_hint(&nearest),
                        "known are sgd, momentum, weight_decay, adam, adamw");
}

/* Every number and length of names: the list ends in whole names, or in "..." within its room. */
static void hint__more_than_fits__ends_in_dots(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= 70; bytes++) {
        char name[80] = "";
        memcpy(name, letters, bytes);
        struct nearest nearest;
        nearest_init(&nearest, "0123456789");
        for (size_t i = 0; i < 100; i++)
            nearest_offer(&nearest, name);
        const char *const hint = nearest_hint(&nearest);
        const size_t hint_bytes = strlen(hint);
        assert_true(hint_bytes < NEAREST_HINT_BYTES);
        assert_string_equal(hint + hint_bytes - 5, ", ...");
        assert_memory_equal(hint + hint_bytes - 5 - bytes, name, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name__one_slip__is_found),
        cmocka_unit_test(name__nothing_in_common__is_null),
        cmocka_unit_test(name__no_names_known__is_null),
        cmocka_unit_test(name__longest_compared__is_found),
        cmocka_unit_test(name__too_long__is_near_to_nothing),
        cmocka_unit_test(offer__equally_near__keeps_the_first),
        cmocka_unit_test(offer__two_neighbours_swapped__is_one_edit),
        cmocka_unit_test(hint__near_name__asks),
        cmocka_unit_test(hint__nothing_near__lists_what_is_known),
        cmocka_unit_test(hint__more_than_fits__ends_in_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
