/* SPDX-License-Identifier: Apache-2.0
 *
 * Daemons that do not fit, and those whose clocks are others, whose Joins the test makes up. What
 * each is told is compared, and what the operator finds in the log.
 */
#include "server/net/daemons.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "court.h"
#include "proto/error.h"
#include "server/base/log_limit.h"

/* ---- Who does not fit ------------------------------------------------------------------------ */

/* Is told why, and so is the operator. */
static void assert_refused(struct stepd_join said, enum stepd_status code, const char *words)
{
    far_expect_refusal(court_join(said), code, words);
    kept_log_expect(&court.log, "event=daemon_refused");
    kept_log_expect(&court.log, words);
    assert_int_equal(court.begun, 0);
}

static void join__another_version__is_refused_with_both_and_the_remedy(void **state)
{
    struct stepd_join said = court_join_of(1, 0);
    (void)state;
    court_open(2);
    said.version = "0.9.1";
    assert_refused(said, STEPD_FAILED_PRECONDITION,
                   "the first of peers is stepd 1.0.0, and daemon 1 is stepd 0.9.1; install one "
                   "version on all");
    assert_non_null(strstr(daemons_missing(court.daemons), "daemon 1"));
}

static void join__another_protocol__is_refused_with_both_and_the_remedy(void **state)
{
    struct stepd_join said = court_join_of(1, 0);
    (void)state;
    court_open(2);
    said.protocol = 7;
    assert_refused(said, STEPD_FAILED_PRECONDITION,
                   "daemon 1 speaks 7; install one version of stepd on all");
}

static void join__another_list_of_daemons__is_refused_with_the_remedy(void **state)
{
    (void)state;
    court_open(2);
    assert_refused(court_join_of(2, 0), STEPD_FAILED_PRECONDITION,
                   "the list of the first of peers has 2 daemons, and no place 2 for another one: "
                   "all must be started with the same list");
}

static void join__a_token_that_is_not_good__is_refused_in_controls_words(void **state)
{
    (void)state;
    court_open(2);
    court.admits = STEPD_UNAUTHENTICATED;
    assert_refused(court_join_of(1, 0), STEPD_UNAUTHENTICATED, "show a token that is good");
}

static void join__a_place_whose_daemon_waits__is_refused_and_the_first_one_stays(void **state)
{
    (void)state;
    court_open(3);
    struct far_daemon *const first = court_join(court_join_of(1, 0));
    assert_refused(court_join_of(1, 1), STEPD_ALREADY_EXISTS,
                   "place 1 of the list is taken by a daemon whose link stands; start no two with "
                   "the same place (--peer, --advertise)");
    far_expect_silence(first);
}

static void join__a_place_whose_daemon_reigns__is_refused_and_the_reign_goes_on(void **state)
{
    (void)state;
    struct far_daemon *const first = court_reign();
    far_expect_refusal(court_join(court_join_of(1, 1)), STEPD_ALREADY_EXISTS,
                       "place 1 of the list is taken");
    far_expect_silence(first);
    assert_int_equal(court.ended, 0);
}

static void join__refused_without_end__fills_no_log(void **state)
{
    (void)state;
    court_open(2);
    for (size_t i = 0; i < 20; i++)
        (void)court_join(court_join_of(2, 0));
    assert_int_equal(kept_log_count(&court.log, "event=daemon_refused"), LOG_LIMIT_LINES);
    court_tick(LOG_LIMIT_MS + 1);
    assert_int_equal(kept_log_count(&court.log, "event=lines_left_out of=daemon_refused count=10"),
                     1);
}

/* ---- Clocks ---------------------------------------------------------------------------------- */

static void join__a_clock_that_is_an_hour_ahead__is_warned_of_and_taken(void **state)
{
    struct stepd_join said = court_join_of(1, 0);
    struct stepd_daemon_status status[2];
    (void)state;
    court_open(2);
    said.clock_ms += 3600000;
    (void)far_expect(court_join(said), STEPD_MESSAGE_JOINED);
    kept_log_expect(&court.log, "level=warn event=clock_differs place=1 ahead_ms=3");
    kept_log_expect(&court.log, "times in the logs of the daemons cannot be compared");
    assert_int_equal(daemons_list(court.daemons, status, 2), 2);
    assert_true(status[1].clock_ms > 3590000 && status[1].clock_ms <= 3600000);
}

static void join__a_clock_that_is_behind__is_warned_of_once(void **state)
{
    struct stepd_join said = court_join_of(1, 0);
    (void)state;
    court_open(3);
    said.clock_ms -= 6000;
    far_expect_silence(court_join(said));
    far_expect_silence(court_join(said));
    assert_int_equal(kept_log_count(&court.log, "event=clock_differs place=1 ahead_ms=-6"), 1);
}

static void join__another_process_with_such_a_clock__is_warned_of_too(void **state)
{
    struct stepd_join said = court_join_of(1, 0);
    (void)state;
    court_open(3);
    said.clock_ms -= 6000;
    struct far_daemon *const far = court_join(said);
    assert_int_equal(shutdown(far->fd, SHUT_WR), 0);
    far_turn(&court.uv);
    said.instance = court_join_of(1, 1).instance;
    far_expect_silence(court_join(said));
    assert_int_equal(kept_log_count(&court.log, "event=clock_differs place=1 ahead_ms=-6"), 2);
}

static void join__a_clock_within_five_seconds__is_not_spoken_of(void **state)
{
    struct stepd_join said = court_join_of(1, 0);
    (void)state;
    court_open(2);
    said.clock_ms += 4900;
    (void)far_expect(court_join(said), STEPD_MESSAGE_JOINED);
    assert_int_equal(kept_log_count(&court.log, "clock_differs"), 0);
}

static void join__clocks_of_no_sense__are_bounded(void **state)
{
    static const uint64_t clock_ms[] = {0, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    (void)state;
    court_open(3);
    for (size_t i = 0; i < sizeof clock_ms / sizeof clock_ms[0]; i++) {
        struct stepd_join said = court_join_of(1, 0);
        struct stepd_daemon_status status[3];
        said.clock_ms = clock_ms[i];
        far_expect_silence(court_join(said));
        (void)daemons_list(court.daemons, status, 3);
        assert_true(i == 0 ? status[1].clock_ms < 0 : status[1].clock_ms > 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, court_set_up, court_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(join__another_version__is_refused_with_both_and_the_remedy),
        TEST(join__another_protocol__is_refused_with_both_and_the_remedy),
        TEST(join__another_list_of_daemons__is_refused_with_the_remedy),
        TEST(join__a_token_that_is_not_good__is_refused_in_controls_words),
        TEST(join__a_place_whose_daemon_waits__is_refused_and_the_first_one_stays),
        TEST(join__a_place_whose_daemon_reigns__is_refused_and_the_reign_goes_on),
        TEST(join__refused_without_end__fills_no_log),
        TEST(join__a_clock_that_is_an_hour_ahead__is_warned_of_and_taken),
        TEST(join__a_clock_that_is_behind__is_warned_of_once),
        TEST(join__another_process_with_such_a_clock__is_warned_of_too),
        TEST(join__a_clock_within_five_seconds__is_not_spoken_of),
        TEST(join__clocks_of_no_sense__are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
