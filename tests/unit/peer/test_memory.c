/* SPDX-License-Identifier: Apache-2.0
 *
 * Letters and links when the n-th allocation fails, for n = 1, 2, ..., until all succeed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/peer/link.h"
#include "tests/lib/scarcity.h"
#include "tests/unit/peer/letters.h"

enum { SEEDS = 6 };

static void order_pack__without_memory__says_so(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct drawing drawing = letters_drawing(seed);
        struct order *order = letters_draw_order(&drawing);
        struct peer_bytes *bytes = NULL;
        enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
        for (size_t n = 0; status != STEPD_OK; n++) {
            struct stepd_error error;
            scarcity_after(n);
            status = peer_order_pack(order, 0, 1, &bytes, &error);
            scarcity_after(SCARCITY_NEVER);
            if (status != STEPD_OK && status != STEPD_RESOURCE_EXHAUSTED)
                fail_msg("allocation %zu: %s", n, error.text);
        }
        (void)peer_bytes_unref(bytes);
        (void)order_destroy(order);
        stepd_arena_deinit(&drawing.arena);
    }
}

static void assert_unpacks(const struct peer_bytes *bytes, size_t least)
{
    struct peer_letter letter;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t n = 0;
    for (; status != STEPD_OK; n++) {
        struct stepd_error error;
        scarcity_after(n);
        status = peer_letter_unpack(bytes->at, bytes->n, &letter, &error);
        scarcity_after(SCARCITY_NEVER);
        if (status != STEPD_OK && status != STEPD_RESOURCE_EXHAUSTED)
            fail_msg("allocation %zu: %s", n, error.text);
    }
    assert_true(n > least);
    peer_letter_deinit(&letter);
}

static void letter_unpack__without_memory__says_so_and_keeps_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct drawing drawing = letters_drawing(seed);
        size_t sums = 0;
        struct order *order = letters_draw_order(&drawing);
        struct notice *notice = letters_draw_notice(&drawing, &sums);
        struct peer_bytes *bytes = NULL;
        assert_int_equal(peer_order_pack(order, 0, 1, &bytes, NULL), STEPD_OK);
        assert_unpacks(bytes, order->job == NULL ? 2 : 50);
        (void)peer_bytes_unref(bytes);
        assert_int_equal(peer_notice_pack(notice, sums, NULL, &bytes, NULL), STEPD_OK);
        assert_unpacks(bytes, 2);
        (void)peer_bytes_unref(bytes);
        (void)notice_destroy(notice);
        (void)order_destroy(order);
        stepd_arena_deinit(&drawing.arena);
    }
}

static void note_pack__without_memory__says_so(void **state)
{
    (void)state;
    const struct peer_note note = {.kind = PEER_NOTE_LEAVING};
    struct peer_bytes *bytes = NULL;
    struct stepd_error error;
    scarcity_after(0);
    assert_int_equal(peer_note_pack(&note, &bytes, &error), STEPD_RESOURCE_EXHAUSTED);
    scarcity_after(1);
    assert_int_equal(peer_note_pack(&note, &bytes, &error), STEPD_RESOURCE_EXHAUSTED);
    scarcity_after(SCARCITY_NEVER);
    assert_string_equal(error.text, "no memory to tell another daemon of a note");
    assert_null(bytes);
}

/* A link that cannot keep a letter, or put one together, knows no more what the other end does. */
static void link__without_memory__is_lost(void **state)
{
    (void)state;

    static const uint8_t instance[PEER_INSTANCE_BYTES] = {1};
    static const struct peer_link_options options = {
        .ping_ms = 1, .lease_ms = 9, .kept_max_bytes = 9999, .letter_max_bytes = 9999};

    const struct peer_note note = {.kind = PEER_NOTE_LEAVING};
    const struct stepd_letter piece = {.sequence = 1, .more = true};
    struct peer_bytes *bytes = NULL;
    struct peer_received received;
    scarcity_after(0);
    assert_null(peer_link_create(&options));
    scarcity_after(SCARCITY_NEVER);
    struct peer_link *link = peer_link_create(&options);
    assert_non_null(link);
    peer_link_begin(link, instance, 1, 0);
    assert_int_equal(peer_note_pack(&note, &bytes, NULL), STEPD_OK);
    scarcity_after(0);
    assert_int_equal(peer_link_post(link, bytes, NULL), STEPD_RESOURCE_EXHAUSTED);
    assert_int_equal(peer_link_state(link), PEER_LINK_LOST);
    for (size_t n = 0; n < 2; n++) {
        peer_link_begin(link, instance, 1, 0);
        scarcity_after(n);
        assert_int_equal(peer_link_receive(link, &piece,
                                           &(struct peer_opaque){.n = 1, .at = instance}, 0,
                                           &received, NULL),
                         STEPD_RESOURCE_EXHAUSTED);
        assert_int_equal(peer_link_state(link), PEER_LINK_LOST);
    }
    scarcity_after(SCARCITY_NEVER);
    (void)peer_link_destroy(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_pack__without_memory__says_so),
        cmocka_unit_test(letter_unpack__without_memory__says_so_and_keeps_nothing),
        cmocka_unit_test(note_pack__without_memory__says_so),
        cmocka_unit_test(link__without_memory__is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
