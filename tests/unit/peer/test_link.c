/* SPDX-License-Identifier: Apache-2.0
 *
 * The link one question at a time: what terms mean, what is kept and for how long, and what of the
 * other end is not believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/peer/link.h"

enum { PIECE = PEER_PIECE_MAX_BYTES, LEASE_MS = 1000, PING_MS = 10, SILENT_MS = 100 };

static const uint8_t one[PEER_INSTANCE_BYTES] = {1};
static const uint8_t two[PEER_INSTANCE_BYTES] = {2};

static struct peer_link *make(bool dials)
{
    struct peer_link *const link = peer_link_create(&(struct peer_link_options){
        .dials = dials,
        .lease_ms = LEASE_MS,
        .ping_ms = PING_MS,
        .silent_ms = SILENT_MS,
        .kept_max_bytes = 4 * PIECE,
        .letter_max_bytes = 9 * PIECE + 1,
    });
    assert_non_null(link);
    return link;
}

/* Control's, in reign 7 with daemon one, at time 0. */
static struct peer_link *make_up(void)
{
    struct peer_link *const link = make(/* dials= */ false);
    peer_link_begin(link, one, 7, 0);
    return link;
}

static struct peer_terms terms_of(const uint8_t *instance, uint64_t reign, uint64_t expects)
{
    struct peer_terms terms = {.reign = reign, .expects = expects};
    memcpy(terms.instance, instance, sizeof terms.instance);
    return terms;
}

static enum peer_meet meet(const struct peer_link *link, const uint8_t *instance, uint64_t reign,
                           uint64_t expects)
{
    const struct peer_terms terms = terms_of(instance, reign, expects);
    struct stepd_error error;
    return peer_link_meet(link, &terms, &error);
}

static struct peer_bytes *letter_of(size_t n)
{
    struct peer_bytes *const letter = malloc(sizeof *letter);
    assert_non_null(letter);
    *letter = (struct peer_bytes){.refs = 1, .n = n, .at = calloc(1, n + 1)};
    assert_non_null(letter->at);
    return letter;
}

static void post(struct peer_link *link, size_t n)
{
    assert_int_equal(peer_link_post(link, letter_of(n), NULL), STEPD_OK);
}

/* Writes all that is due; how many frames. */
static unsigned write_all(struct peer_link *link, uint64_t now_ms)
{
    struct peer_frame frame;
    unsigned frames = 0;
    while (peer_link_next(link, now_ms, &frame)) {
        (void)peer_bytes_unref(frame.letter);
        frames++;
    }
    return frames;
}

static enum stepd_status receive(struct peer_link *link, struct stepd_letter head, size_t n,
                                 struct stepd_error *reterr)
{
    static const uint8_t payload[PIECE + 1];
    struct peer_received received;
    const enum stepd_status status = peer_link_receive(
        link, &head, &(struct peer_opaque){.n = n, .at = payload}, 1, &received, reterr);
    (void)peer_bytes_unref(received.letter);
    return status;
}

/* ---- Meeting --------------------------------------------------------------------------------- */

static void meet__of_an_empty_link__is_the_first(void **state)
{
    (void)state;
    struct peer_link *link = make(/* dials= */ false);
    assert_int_equal(peer_link_reign(link), 0);
    assert_int_equal(peer_link_expects(link), 1);
    assert_int_equal(meet(link, one, 3, 9), PEER_MEET_FIRST);
    (void)peer_link_destroy(link);
}

static void meet__of_the_same_instance_and_reign__goes_on(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    assert_int_equal(meet(link, one, 7, 1), PEER_MEET_ON);
    peer_link_down(link, 0);
    assert_int_equal(meet(link, one, 7, 1), PEER_MEET_ON);
    (void)peer_link_destroy(link);
}

static void meet__of_another_process__is_another_or_finds_the_place_taken(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    struct stepd_error error;
    const struct peer_terms terms = terms_of(two, 7, 1);
    assert_int_equal(peer_link_meet(link, &terms, &error), PEER_MEET_TAKEN);
    assert_string_equal(error.text,
                        "another daemon has joined in its place and is connected; give each its "
                        "own place in peers, or end that one first");
    peer_link_down(link, 0);
    assert_int_equal(meet(link, two, 7, 1), PEER_MEET_OTHER);
    (void)peer_link_destroy(link);
}

static void meet__of_a_member_that_has_forgotten_the_reign__is_another(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    assert_int_equal(receive(link, (struct stepd_letter){.sequence = 1}, 1, NULL), STEPD_OK);
    assert_int_equal(meet(link, one, 0, 1), PEER_MEET_OTHER);
    assert_int_equal(meet(link, one, 6, 1), PEER_MEET_OTHER);
    (void)peer_link_destroy(link);
}

static void
meet__of_a_member_that_never_heard_of_the_reign__goes_on_from_the_first_letter(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    const struct peer_terms terms = terms_of(one, 6, 44);
    post(link, 5);
    assert_int_equal(write_all(link, 0), 1);
    assert_int_equal(peer_link_meet(link, &terms, NULL), PEER_MEET_ON);
    peer_link_go_on(link, &terms, 1);
    assert_int_equal(write_all(link, 1), 1);
    (void)peer_link_destroy(link);
}

/* The member's end has heard of its reign in Joined. */
static void meet__of_control_in_another_reign__is_another(void **state)
{
    (void)state;
    struct peer_link *link = make(/* dials= */ true);
    peer_link_begin(link, one, 7, 0);
    assert_int_equal(meet(link, one, 8, 1), PEER_MEET_OTHER);
    (void)peer_link_destroy(link);
}

static void meet__with_letters_that_are_kept_no_more__is_broken(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    struct stepd_error error;
    post(link, 1);
    post(link, 1);
    assert_int_equal(write_all(link, 0), 2);
    assert_int_equal(receive(link, (struct stepd_letter){.seen = 2}, 0, NULL), STEPD_OK);
    const struct peer_terms terms = terms_of(one, 7, 2);
    assert_int_equal(peer_link_meet(link, &terms, &error), PEER_MEET_BROKEN);
    assert_string_equal(error.text, "it expects piece 2 of our letters, but has seen 2 of the 2 "
                                    "that were sent");
    assert_int_equal(meet(link, one, 7, 3), PEER_MEET_ON);
    assert_int_equal(meet(link, one, 7, 4), PEER_MEET_BROKEN);
    (void)peer_link_destroy(link);
}

/* ---- Letters --------------------------------------------------------------------------------- */

static void post__to_nobody__is_unavailable(void **state)
{
    (void)state;
    struct peer_link *link = make(/* dials= */ false);
    assert_int_equal(peer_link_post(link, letter_of(3), NULL), STEPD_UNAVAILABLE);
    assert_int_equal(peer_link_kept(link), 0);
    (void)peer_link_destroy(link);
}

static void letters__until_they_are_seen__are_kept(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    post(link, PIECE + 1); /* pieces 1 and 2 */
    post(link, 5);         /* 3 */
    const size_t both = peer_link_kept(link);
    assert_int_equal(write_all(link, 0), 3);
    assert_int_equal(peer_link_kept(link), both);
    assert_int_equal(receive(link, (struct stepd_letter){.seen = 1}, 0, NULL), STEPD_OK);
    assert_int_equal(peer_link_kept(link), both);
    assert_int_equal(receive(link, (struct stepd_letter){.seen = 2}, 0, NULL), STEPD_OK);
    assert_true(peer_link_kept(link) < both - PIECE);
    assert_int_equal(receive(link, (struct stepd_letter){.seen = 3}, 0, NULL), STEPD_OK);
    assert_int_equal(peer_link_kept(link), 0);
    (void)peer_link_destroy(link);
}

static void frame__that_is_being_written__outlives_the_letter(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    struct peer_frame frame;
    post(link, 5);
    assert_true(peer_link_next(link, 0, &frame));
    peer_link_clear(link);
    assert_int_equal(frame.n, 5);
    assert_int_equal(frame.at[4], 0);
    (void)peer_bytes_unref(frame.letter);
    (void)peer_link_destroy(link);
}

static void post__beyond_what_may_be_kept__loses_the_link(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    struct stepd_error error;
    post(link, 3 * PIECE);
    assert_int_equal(peer_link_post(link, letter_of(PIECE), &error), STEPD_RESOURCE_EXHAUSTED);
    assert_string_equal(error.text, "it has not taken 0 MiB of letters, and at most 0 MiB are kept "
                                    "for it");
    assert_int_equal(peer_link_state(link), PEER_LINK_LOST);
    assert_int_equal(peer_link_reign(link), 0);
    assert_int_equal(peer_link_kept(link), 0);
    (void)peer_link_destroy(link);
}

static void next__after_a_while__says_that_we_live(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    struct peer_frame frame;
    assert_int_equal(receive(link, (struct stepd_letter){.sequence = 1}, 1, NULL), STEPD_OK);
    assert_false(peer_link_next(link, PING_MS - 1, &frame));
    assert_true(peer_link_next(link, PING_MS, &frame));
    assert_int_equal(frame.head.sequence, 0);
    assert_int_equal(frame.head.seen, 1);
    assert_null(frame.letter);
    assert_false(peer_link_next(link, PING_MS, &frame));
    (void)peer_link_destroy(link);
}

static void next__after_many_pieces__says_what_was_seen(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    for (uint64_t i = 1; i < 16; i++)
        assert_int_equal(receive(link, (struct stepd_letter){.sequence = i}, 1, NULL), STEPD_OK);
    assert_int_equal(write_all(link, 0), 0);
    assert_int_equal(receive(link, (struct stepd_letter){.sequence = 16}, 1, NULL), STEPD_OK);
    assert_int_equal(write_all(link, 0), 1);
    (void)peer_link_destroy(link);
}

/* ---- What is not believed -------------------------------------------------------------------- */

static void assert_loses(struct stepd_letter head, size_t n, const char *text)
{
    struct peer_link *link = make_up();
    struct stepd_error error = {.code = STEPD_OK};
    post(link, 1);
    assert_int_equal(write_all(link, 0), 1);
    assert_int_equal(receive(link, head, n, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_int_equal(peer_link_state(link), PEER_LINK_LOST);
    assert_int_equal(receive(link, head, n, &error), STEPD_INVALID_ARGUMENT);
    (void)peer_link_destroy(link);
}

static void receive__of_what_cannot_be__loses_the_link(void **state)
{
    (void)state;
    assert_loses((struct stepd_letter){.sequence = 2}, 1, "piece 2 came where 1 was expected");
    assert_loses((struct stepd_letter){.seen = 2}, 0, "it has seen 2 pieces, but 1 were sent");
    assert_loses((struct stepd_letter){.sequence = 0}, 1,
                 "piece 0 has 1 bytes, and may have at most 65472");
    assert_loses((struct stepd_letter){.sequence = 1}, 0,
                 "piece 1 has 0 bytes, and may have at most 65472");
    assert_loses((struct stepd_letter){.sequence = 1}, PIECE + 1,
                 "piece 1 has 65473 bytes, and may have at most 65472");
}

static void receive__of_what_came_before__drops_it(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    assert_int_equal(receive(link, (struct stepd_letter){.sequence = 1}, 1, NULL), STEPD_OK);
    assert_int_equal(peer_link_expects(link), 2);
    assert_int_equal(receive(link, (struct stepd_letter){.sequence = 1}, 1, NULL), STEPD_OK);
    assert_int_equal(peer_link_expects(link), 2);
    (void)peer_link_destroy(link);
}

static void receive__of_a_letter_without_end__loses_the_link(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    struct stepd_error error;
    enum stepd_status status = STEPD_OK;
    uint64_t pieces = 0;
    while (status == STEPD_OK && pieces < 100)
        status =
            receive(link, (struct stepd_letter){.sequence = ++pieces, .more = true}, PIECE, &error);
    assert_int_equal(status, STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "a letter of more than 589249 bytes");
    assert_int_equal(pieces, 10);
    (void)peer_link_destroy(link);
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void on_tick__of_a_silent_connection__closes_it(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    struct stepd_error error;
    assert_int_equal(peer_link_on_tick(link, SILENT_MS - 1, NULL), PEER_DUE_NOTHING);
    peer_link_heard(link, SILENT_MS - 1);
    assert_int_equal(peer_link_on_tick(link, SILENT_MS, NULL), PEER_DUE_NOTHING);
    assert_int_equal(peer_link_on_tick(link, 2 * SILENT_MS, &error), PEER_DUE_CLOSE);
    assert_string_equal(error.text, "nothing came over its connection for 101 ms");
    assert_int_equal(peer_link_state(link), PEER_LINK_DOWN);
    assert_int_equal(peer_link_on_tick(link, 2 * SILENT_MS, NULL), PEER_DUE_NOTHING);
    (void)peer_link_destroy(link);
}

static void on_tick__at_the_end_of_the_lease__loses_the_link_once(void **state)
{
    (void)state;
    struct peer_link *link = make_up();
    struct stepd_error error;
    post(link, 1);
    peer_link_down(link, 0);
    assert_int_equal(peer_link_on_tick(link, LEASE_MS - 1, NULL), PEER_DUE_NOTHING);
    assert_int_equal(peer_link_on_tick(link, LEASE_MS, &error), PEER_DUE_LOST);
    assert_string_equal(error.text,
                        "nothing was heard of it for 1000 ms, and its lease is 1000 ms");
    assert_int_equal(peer_link_state(link), PEER_LINK_LOST);
    assert_int_equal(peer_link_kept(link), 0);
    assert_int_equal(peer_link_on_tick(link, 2 * LEASE_MS, NULL), PEER_DUE_NOTHING);
    assert_int_equal(meet(link, one, 7, 1), PEER_MEET_FIRST);
    (void)peer_link_destroy(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meet__of_an_empty_link__is_the_first),
        cmocka_unit_test(meet__of_the_same_instance_and_reign__goes_on),
        cmocka_unit_test(meet__of_another_process__is_another_or_finds_the_place_taken),
        cmocka_unit_test(meet__of_a_member_that_has_forgotten_the_reign__is_another),
        cmocka_unit_test(
            meet__of_a_member_that_never_heard_of_the_reign__goes_on_from_the_first_letter),
        cmocka_unit_test(meet__of_control_in_another_reign__is_another),
        cmocka_unit_test(meet__with_letters_that_are_kept_no_more__is_broken),
        cmocka_unit_test(post__to_nobody__is_unavailable),
        cmocka_unit_test(letters__until_they_are_seen__are_kept),
        cmocka_unit_test(frame__that_is_being_written__outlives_the_letter),
        cmocka_unit_test(post__beyond_what_may_be_kept__loses_the_link),
        cmocka_unit_test(next__after_a_while__says_that_we_live),
        cmocka_unit_test(next__after_many_pieces__says_what_was_seen),
        cmocka_unit_test(receive__of_what_cannot_be__loses_the_link),
        cmocka_unit_test(receive__of_what_came_before__drops_it),
        cmocka_unit_test(receive__of_a_letter_without_end__loses_the_link),
        cmocka_unit_test(on_tick__of_a_silent_connection__closes_it),
        cmocka_unit_test(on_tick__at_the_end_of_the_lease__loses_the_link_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
