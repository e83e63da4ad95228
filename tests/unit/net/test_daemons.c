/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's daemon and those that have joined it, whose frames the test makes up: reigns begin, go
 * on and end.
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

/* ---- Coming ---------------------------------------------------------------------------------- */

static void join__all_have_come__begins_a_reign_and_says_whose_shards_are_whose(void **state)
{
    (void)state;
    court_open(2);
    struct far_daemon *const far = court_join(court_join_of(1, 0));
    const struct stepd_joined *const joined = &far_expect(far, STEPD_MESSAGE_JOINED)->body.joined;
    assert_int_equal(joined->reign, COURT_REIGN);
    assert_int_equal(joined->first_shard, COURT_SHARDS);
    assert_int_equal(joined->shards, COURT_SHARDS + 3);
    assert_string_equal(joined->probe, "probe-7");
    assert_int_equal(court.begun, 1);
    assert_int_equal(court.shards, COURT_SHARDS + 3);
    assert_string_equal(court.address[0], "");
    assert_string_equal(court.address[1], "there:9");
    assert_true(daemons_reigns(court.daemons));
    assert_string_equal(daemons_missing(court.daemons), "");
}

static void join__others_are_missing__waits_unanswered_and_names_them(void **state)
{
    (void)state;
    court_open(3);
    far_expect_silence(court_join(court_join_of(2, 0)));
    assert_int_equal(court.begun, 0);
    assert_non_null(strstr(daemons_missing(court.daemons), "waits for daemon 1 of its 3"));
    (void)far_expect(court_join(court_join_of(1, 1)), STEPD_MESSAGE_JOINED);
    (void)far_expect(court.far[0], STEPD_MESSAGE_JOINED);
}

static void join__who_waits_goes_away__is_missing_again(void **state)
{
    (void)state;
    court_open(3);
    struct far_daemon *const far = court_join(court_join_of(1, 0));
    assert_non_null(strstr(daemons_missing(court.daemons), "waits for daemon 2 of its 3"));
    assert_int_equal(shutdown(far->fd, SHUT_WR), 0);
    far_turn(&court.uv);
    assert_non_null(strstr(daemons_missing(court.daemons), "daemons 1 and 2 of its 3"));
    kept_log_expect(&court.log, "event=daemon_gone place=1");
}

static void join__the_same_process_comes_again_while_it_waits__takes_its_place(void **state)
{
    (void)state;
    court_open(3);
    struct far_daemon *const before = court_join(court_join_of(1, 0));
    struct far_daemon *const again = court_join(court_join_of(1, 0));
    far_expect_end(before);
    far_expect_silence(again);
}

static void serve__anything_but_a_join__is_refused(void **state)
{
    (void)state;
    court_open(2);
    struct far_daemon *const far = court_come();
    far_say(far, &(struct stepd_message){.kind = STEPD_MESSAGE_HEARTBEAT}, NULL, 0);
    far_expect_refusal(far, STEPD_FAILED_PRECONDITION, "nothing that a daemon says here");
}

/* ---- While it reigns ------------------------------------------------------------------------- */

static void reign__the_link_is_cut_and_comes_back__goes_on(void **state)
{
    (void)state;
    struct far_daemon *const before = court_reign();
    struct stepd_join said = court_join_of(1, 0);
    assert_int_equal(shutdown(before->fd, SHUT_WR), 0);
    far_turn(&court.uv);
    kept_log_expect(&court.log, "event=daemon_away place=1");
    said.reign = COURT_REIGN;
    const struct stepd_message *const message = far_expect(court_join(said), STEPD_MESSAGE_JOINED);
    assert_int_equal(message->body.joined.reign, COURT_REIGN);
    kept_log_expect(&court.log, "event=daemon_back place=1");
    assert_int_equal(court.ended, 0);
}

static void reign__another_process_comes_in_its_place__ends(void **state)
{
    (void)state;
    struct far_daemon *const before = court_reign();
    assert_int_equal(shutdown(before->fd, SHUT_WR), 0);
    far_turn(&court.uv);
    far_expect_refusal(court_join(court_join_of(1, 1)), STEPD_UNAVAILABLE,
                       "another reign is to begin");
    assert_int_equal(court.ended, 1);
    assert_non_null(strstr(court.why.text, "daemon 1 of this server was lost"));
    kept_log_expect(&court.log, "event=daemon_lost place=1");
    far_expect_refusal(court_join(court_join_of(1, 1)), STEPD_UNAVAILABLE, "a reign is ending");
    daemons_gather(court.daemons);
    (void)far_expect(court_join(court_join_of(1, 1)), STEPD_MESSAGE_JOINED);
    assert_int_equal(court.begun, 2);
}

static void reign__nothing_is_heard_for_the_lease__ends(void **state)
{
    (void)state;
    struct far_daemon *const far = court_reign();
    court_tick(COURT_LEASE_MS + 1);
    assert_int_equal(court.ended, 1);
    kept_log_expect(&court.log, "its lease is 60000 ms");
    far_expect_refusal(far, STEPD_UNAVAILABLE, "was lost");
}

static void reign__a_letter_that_is_none__ends_it(void **state)
{
    static const uint8_t nonsense[] = {0xFF, 1, 2, 3};
    (void)state;
    struct far_daemon *const far = court_reign();
    far_say_piece(far, (struct stepd_letter){.sequence = 1}, nonsense, sizeof nonsense);
    court_tick(0);
    assert_int_equal(court.ended, 1);
    (void)far_expect(far, STEPD_MESSAGE_ERROR);
}

static void reign__a_daemon_that_gives_orders__ends_it(void **state)
{
    struct order *const order = order_create(ORDER_JOB_CLOSE, "j");
    struct peer_bytes *bytes = NULL;
    (void)state;
    struct far_daemon *const far = court_reign();
    assert_int_equal(peer_order_pack(order, 2, 3, &bytes, NULL), STEPD_OK);
    (void)order_destroy(order);
    far_say_letter(far, 1, bytes);
    court_tick(0);
    assert_int_equal(court.ended, 1);
    far_expect_refusal(far, STEPD_INVALID_ARGUMENT, "daemon 1 gives orders");
}

static void reign__an_order_is_given__arrives_as_a_letter(void **state)
{
    struct peer_letter letter;
    (void)state;
    struct far_daemon *const far = court_reign();
    daemons_order(court.daemons, 2, order_create(ORDER_JOB_CLOSE, "j"));
    assert_int_equal(far_expect(far, STEPD_MESSAGE_LETTER)->body.letter.sequence, 1);
    assert_int_equal(peer_letter_unpack(far->payload, far->payload_bytes, &letter, NULL), STEPD_OK);
    assert_int_equal(letter.kind, PEER_ORDER);
    assert_int_equal(letter.order->kind, ORDER_JOB_CLOSE);
    assert_int_equal(letter.shard, 2);
    assert_int_equal(letter.shards, 3);
    peer_letter_deinit(&letter);
    assert_int_equal(daemons_ordered(court.daemons), 1);
    assert_int_equal(daemons_arrived(court.daemons), 0);
    far_say_piece(far, (struct stepd_letter){.seen = 1}, NULL, 0);
    assert_int_equal(daemons_arrived(court.daemons), 1);
}

static void reign__a_daemon_says_that_it_leaves__is_not_taken_for_lost(void **state)
{
    const struct peer_note note = {.kind = PEER_NOTE_LEAVING, .text = ""};
    struct peer_bytes *bytes = NULL;
    (void)state;
    struct far_daemon *const far = court_reign();
    assert_int_equal(peer_note_pack(&note, &bytes, NULL), STEPD_OK);
    far_say_letter(far, 1, bytes);
    assert_int_equal(court.notes, 1);
    assert_int_equal(court.note, PEER_NOTE_LEAVING);
    assert_true(daemons_leaves(court.daemons, 1));
    assert_int_equal(shutdown(far->fd, SHUT_WR), 0);
    far_turn(&court.uv);
    assert_int_equal(court.ended, 1);
    assert_non_null(strstr(court.why.text, "has left"));
    kept_log_expect(&court.log, "event=daemon_left place=1");
    assert_int_equal(kept_log_count(&court.log, "daemon_lost"), 0);
}

static void reign__a_daemon_is_rejected__is_refused_until_another_process_comes(void **state)
{
    struct stepd_error why;
    (void)state;
    (void)court_reign();
    (void)stepd_fail(&why, STEPD_FAILED_PRECONDITION, "it sees another folder");
    daemons_reject(court.daemons, 1, &why);
    daemons_gather(court.daemons);
    far_expect_refusal(court_join(court_join_of(1, 0)), STEPD_FAILED_PRECONDITION,
                       "it sees another folder");
    (void)far_expect(court_join(court_join_of(1, 1)), STEPD_MESSAGE_JOINED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, court_set_up, court_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(join__all_have_come__begins_a_reign_and_says_whose_shards_are_whose),
        TEST(join__others_are_missing__waits_unanswered_and_names_them),
        TEST(join__who_waits_goes_away__is_missing_again),
        TEST(join__the_same_process_comes_again_while_it_waits__takes_its_place),
        TEST(serve__anything_but_a_join__is_refused),
        TEST(reign__the_link_is_cut_and_comes_back__goes_on),
        TEST(reign__another_process_comes_in_its_place__ends),
        TEST(reign__nothing_is_heard_for_the_lease__ends),
        TEST(reign__a_letter_that_is_none__ends_it),
        TEST(reign__a_daemon_that_gives_orders__ends_it),
        TEST(reign__an_order_is_given__arrives_as_a_letter),
        TEST(reign__a_daemon_says_that_it_leaves__is_not_taken_for_lost),
        TEST(reign__a_daemon_is_rejected__is_refused_until_another_process_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
