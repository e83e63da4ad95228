/* SPDX-License-Identifier: Apache-2.0
 *
 * Who has come of the daemons that serve jobs together, and who may.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/peer/roster.h"

#define NOW_MS INT64_C(1000000)

static const char *const addresses[] = {"a:1", "b:1", "c:1", "d:1", "e:1", "f:1", "g:1"};

/* Of a list as long as the roster's. */
static struct stepd_join join_of(const struct roster *roster, uint32_t place, uint32_t shards)
{
    return (struct stepd_join){
        .daemons = (uint32_t)roster->count,
        .others = roster_sum(roster->count, addresses),
        .protocol = STEPD_PROTOCOL_VERSION,
        .version = "1.2.3",
        .place = place,
        .address = "h:7",
        .shards = shards,
        .clock_ms = (uint64_t)NOW_MS + 250,
    };
}

static void come(struct roster *roster, uint32_t place, uint32_t shards)
{
    const struct stepd_join join = join_of(roster, place, shards);
    struct stepd_error error;
    assert_int_equal(roster_judge(roster, &join, &error), STEPD_OK);
    roster_come(roster, &join, "tls:", NOW_MS);
}

static void roster__all_have_come__has_their_shards_in_the_order_of_the_list(void **state)
{
    (void)state;
    static struct roster roster;
    roster_init(&roster, "1.2.3", 2, 3, addresses);
    assert_false(roster_is_whole(&roster));
    come(&roster, 2, 4);
    assert_non_null(strstr(roster.missing, "the server waits for daemon 1 of its 3"));
    come(&roster, 1, 3);
    assert_true(roster_is_whole(&roster));
    assert_string_equal(roster.missing, "");
    assert_int_equal(roster_shards(&roster), 9);
    assert_int_equal(roster.line[1].first, 2);
    assert_int_equal(roster.line[2].first, 5);
    assert_int_equal(roster.line[2].ahead_ms, 250);
    assert_string_equal(roster.line[2].address, "tls:h:7");
    static const size_t places[] = {0, 0, 1, 1, 1, 2, 2, 2, 2};
    for (uint32_t shard = 0; shard < 9; shard++)
        assert_int_equal(roster_place_of(&roster, shard), places[shard]);
}

static void roster__several_are_missing__names_them_and_not_all_of_many(void **state)
{
    (void)state;
    static struct roster roster;
    roster_init(&roster, "1.2.3", 1, 7, addresses);
    assert_non_null(strstr(roster.missing, "daemons 1, 2, 3 and 3 more of its 7"));
    come(&roster, 2, 1);
    come(&roster, 5, 1);
    assert_non_null(strstr(roster.missing, "daemons 1, 3, 4 and 6 of its 7"));
    come(&roster, 4, 1);
    come(&roster, 6, 1);
    assert_non_null(strstr(roster.missing, "daemons 1 and 3 of its 7"));
    roster_go(&roster, 6);
    roster_go(&roster, 6);
    assert_non_null(strstr(roster.missing, "daemons 1, 3 and 6 of its 7"));
}

static void assert_refused(const struct roster *roster, const struct stepd_join *join,
                           const char *text)
{
    struct stepd_error error;
    assert_int_equal(roster_judge(roster, join, &error), STEPD_FAILED_PRECONDITION);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, error.text);
}

static void judge__another_version__names_both(void **state)
{
    (void)state;
    static struct roster roster;
    roster_init(&roster, "1.2.3", 1, 2, addresses);
    struct stepd_join join = join_of(&roster, 1, 1);
    join.version = "1.2.4";
    assert_refused(&roster, &join, "is stepd 1.2.3, and daemon 1 is stepd 1.2.4");
    join = join_of(&roster, 1, 1);
    join.protocol = 9;
    assert_refused(&roster, &join, "speaks protocol 1, and daemon 1 speaks 9");
}

static void judge__a_place_that_there_is_not__is_refused(void **state)
{
    (void)state;
    static struct roster roster;
    roster_init(&roster, "1.2.3", 1, 2, addresses);
    const struct stepd_join beyond = join_of(&roster, 2, 1);
    const struct stepd_join control = join_of(&roster, 0, 1);
    assert_refused(&roster, &beyond, "has 2 daemons, and no place 2");
    assert_refused(&roster, &control, "no place 0");
}

static void judge__another_list__is_refused_but_for_its_first_and_its_case(void **state)
{
    static const char *const other[] = {"a:1", "b:1", "c:2"};
    static const char *const same[] = {"x:9", "B:1", "c:1"};
    static const char *const moved[] = {"a:1", "b:1c", ":1"};
    (void)state;
    static struct roster roster;
    roster_init(&roster, "1.2.3", 1, 3, addresses);
    struct stepd_join join = join_of(&roster, 1, 1);
    join.daemons = 2;
    assert_refused(&roster, &join, "has 3 daemons, and that of daemon 1 has 2");
    join = join_of(&roster, 1, 1);
    join.daemons = 4;
    assert_refused(&roster, &join, "has 3 daemons, and that of daemon 1 has 4");
    join = join_of(&roster, 1, 1);
    join.others = roster_sum(3, other);
    assert_refused(&roster, &join, "differ behind their first entries");
    join.others = roster_sum(3, moved);
    assert_refused(&roster, &join, "differ behind their first entries");
    join.others = roster_sum(3, same);
    struct stepd_error error;
    assert_int_equal(roster_judge(&roster, &join, &error), STEPD_OK);
}

static void judge__other_shards_than_before__is_refused_until_control_is_another(void **state)
{
    (void)state;
    static struct roster roster;
    roster_init(&roster, "1.2.3", 1, 2, addresses);
    come(&roster, 1, 3);
    roster_go(&roster, 1);
    const struct stepd_join other = join_of(&roster, 1, 2);
    assert_refused(&roster, &other, "has come with 2 shards, and had 3 before");
    come(&roster, 1, 3);
    const struct stepd_join many = join_of(&roster, 1, STEPD_SHARDS_MAX);
    roster_init(&roster, "1.2.3", 1, 2, addresses);
    assert_refused(&roster, &many, "at most 4096 can be in all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roster__all_have_come__has_their_shards_in_the_order_of_the_list),
        cmocka_unit_test(roster__several_are_missing__names_them_and_not_all_of_many),
        cmocka_unit_test(judge__another_version__names_both),
        cmocka_unit_test(judge__a_place_that_there_is_not__is_refused),
        cmocka_unit_test(judge__another_list__is_refused_but_for_its_first_and_its_case),
        cmocka_unit_test(judge__other_shards_than_before__is_refused_until_control_is_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
