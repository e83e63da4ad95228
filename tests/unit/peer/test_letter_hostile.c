/* SPDX-License-Identifier: Apache-2.0
 *
 * Letters that are cut short, or in which bytes are others: each is refused in words, or is some
 * letter that goes with a job, and none reads or writes where it must not (under ASan).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/utf8.h"
#include "server/peer/fits.h"
#include "tests/unit/peer/letters.h"

enum { SEEDS = 9, FLIPS = 500 };

static struct peer_bytes *draw_letter(uint64_t seed)
{
    struct drawing drawing = letters_drawing(seed);
    struct peer_bytes *bytes = NULL;
    if (seed % 3 == 0) {
        size_t sums = 0;
        struct notice *notice = letters_draw_notice(&drawing, &sums);
        assert_int_equal(peer_notice_pack(notice, sums, NULL, &bytes, NULL), STEPD_OK);
        (void)notice_destroy(notice);
    } else {
        struct order *order = letters_draw_order(&drawing);
        assert_int_equal(peer_order_pack(order, 1, 2, &bytes, NULL), STEPD_OK);
        (void)order_destroy(order);
    }
    stepd_arena_deinit(&drawing.arena);
    return bytes;
}

static void check_text(enum stepd_status status, const struct stepd_error *error)
{
    if (status == STEPD_OK)
        return;
    assert_int_equal(error->code, status);
    assert_true(stepd_utf8_printable((const uint8_t *)error->text, strlen(error->text)));
}

/* A copy of just that size, so that a sanitizer sees a read beyond it. True: it is a letter. */
static bool unpack(const uint8_t *bytes, size_t n)
{
    struct peer_letter letter;
    struct stepd_error error = {.text = ""};
    uint8_t *copy = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    const enum stepd_status status = peer_letter_unpack(copy, n, &letter, &error);
    if (status == STEPD_OK) {
        if (letter.order != NULL)
            check_text(peer_order_fits(letter.order, letter.order->job, &error), &error);
        if (letter.notice != NULL)
            check_text(peer_notice_fits(letter.notice, letter.sums, NULL, &error), &error);
        peer_letter_deinit(&letter);
    } else {
        check_text(status, &error);
        assert_memory_equal(error.text, "a letter of another daemon: ", 28);
    }
    free(copy);
    return status == STEPD_OK;
}

static void letter__that_is_cut_short_anywhere__is_refused(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct peer_bytes *bytes = draw_letter(seed);
        for (size_t n = 0; n < bytes->n; n++)
            assert_false(unpack(bytes->at, n));
        assert_true(unpack(bytes->at, bytes->n));
        (void)peer_bytes_unref(bytes);
    }
}

static void letter__with_bytes_behind_it__is_refused(void **state)
{
    (void)state;
    struct peer_bytes *bytes = draw_letter(1);
    uint8_t *longer = calloc(1, bytes->n + 1);
    struct peer_letter letter;
    struct stepd_error error;
    assert_non_null(longer);
    memcpy(longer, bytes->at, bytes->n);
    assert_int_equal(peer_letter_unpack(longer, bytes->n + 1, &letter, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "a letter of another daemon: letter: 1 bytes too many");
    free(longer);
    (void)peer_bytes_unref(bytes);
}

static void letter__with_other_bytes__is_refused_or_another(void **state)
{
    (void)state;
    size_t refused = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct peer_bytes *bytes = draw_letter(seed);
        struct random random = {.state = seed};
        for (unsigned i = 0; i < FLIPS; i++) {
            const size_t at = (size_t)random_below(&random, bytes->n);
            const uint8_t was = bytes->at[at];
            const uint64_t other = random_once_in(&random, 2)
                                       ? random_next(&random)
                                       : was ^ UINT64_C(1) << random_below(&random, 8);
            bytes->at[at] = (uint8_t)other;
            refused += !unpack(bytes->at, bytes->n);
            bytes->at[at] = was;
        }
        (void)peer_bytes_unref(bytes);
    }
    assert_true(refused > SEEDS * FLIPS / 4);
}

/* Every length that a list or text may begin with. */
static void letter__with_a_length_that_lies__is_refused_without_much_memory(void **state)
{
    (void)state;

    static const uint8_t huge[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01};

    struct peer_bytes *bytes = draw_letter(1);
    uint8_t *longer = malloc(bytes->n + sizeof huge);
    assert_non_null(longer);
    for (size_t at = 0; at < bytes->n; at++) {
        memcpy(longer, bytes->at, at);
        memcpy(longer + at, huge, sizeof huge);
        memcpy(longer + at + sizeof huge, bytes->at + at + 1, bytes->n - at - 1);
        (void)unpack(longer, bytes->n + sizeof huge - 1);
    }
    free(longer);
    (void)peer_bytes_unref(bytes);
}

static void assert_refused(const uint8_t *bytes, size_t n, const char *text)
{
    struct peer_letter letter;
    struct stepd_error error;
    assert_int_equal(peer_letter_unpack(bytes, n, &letter, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
}

#define REFUSED(text, ...)                                                                         \
    assert_refused((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), text)

static void letter__of_what_cannot_be__is_refused_by_name(void **state)
{
    (void)state;
    assert_refused(NULL, 0, "a letter of another daemon: kind of letter: the letter ends in it");
    REFUSED("a letter of another daemon: kind of letter: 0 is none", 0);
    REFUSED("a letter of another daemon: kind of letter: 4, but at most 3 may be", 4);
    REFUSED("a letter of another daemon: kind of letter: a number of more than 64 bits", 0xFF, 0xFF,
            0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02);
    REFUSED("a letter of another daemon: shards: 0, but must be at least 1", PEER_ORDER, 0, 0);
    REFUSED("a letter of another daemon: shards: 2, but at most 1 may be", PEER_ORDER, 0xFF, 0x1F,
            2);
    REFUSED("a letter of another daemon: kind of order: 16, but at most 15 may be", PEER_ORDER, 0,
            1, 16);
    REFUSED("a letter of another daemon: job: missing", PEER_ORDER, 0, 1, ORDER_QUERY, 0);
    REFUSED("a letter of another daemon: job: not UTF-8, or with a NUL or another control "
            "character",
            PEER_ORDER, 0, 1, ORDER_QUERY, 2, '\n');
    REFUSED("a letter of another daemon: kind of notice: 8, but at most 7 may be", PEER_NOTICE, 8);
    REFUSED("a letter of another daemon: kind of note: 6, but at most 5 may be", PEER_NOTE, 6);
    REFUSED("a letter of another daemon: bytes: 9 of them, but the letter ends before", PEER_NOTE,
            1, 0, 1, 0, 9, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letter__that_is_cut_short_anywhere__is_refused),
        cmocka_unit_test(letter__with_bytes_behind_it__is_refused),
        cmocka_unit_test(letter__with_other_bytes__is_refused_or_another),
        cmocka_unit_test(letter__with_a_length_that_lies__is_refused_without_much_memory),
        cmocka_unit_test(letter__of_what_cannot_be__is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
