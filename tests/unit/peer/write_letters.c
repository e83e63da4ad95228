/* SPDX-License-Identifier: Apache-2.0
 *
 * write_letters FOLDER: letters with something in every field, as the fuzzer's seeds
 * (tests/fuzz/corpus/letter).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/peer/letters.h"

static const char *folder;

static void write_one(struct peer_bytes *bytes, const char *what, unsigned number)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s_%u", folder, what, number);
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes->at, 1, bytes->n, file), bytes->n);
    assert_int_equal(fclose(file), 0);
    (void)peer_bytes_unref(bytes);
}

static void write_all(void **state)
{
    (void)state;

    static const uint8_t inside[] = {1, 2, 3};

    struct peer_bytes *bytes = NULL;
    for (unsigned seed = 1; seed <= 8; seed++) {
        struct drawing drawing = letters_drawing(seed);
        size_t sums = 0;
        struct order *order = letters_draw_order(&drawing);
        struct notice *notice = letters_draw_notice(&drawing, &sums);
        const struct peer_note note = {.kind = (enum peer_note_kind)(seed % 6),
                                       .number = seed,
                                       .text = "j/step-00000003",
                                       .bytes = {.n = sizeof inside, .at = inside}};
        assert_int_equal(peer_order_pack(order, 0, seed, &bytes, NULL), STEPD_OK);
        write_one(bytes, "order", seed);
        assert_int_equal(peer_notice_pack(notice, sums, &note.bytes, &bytes, NULL), STEPD_OK);
        write_one(bytes, "notice", seed);
        assert_int_equal(peer_note_pack(&note, &bytes, NULL), STEPD_OK);
        write_one(bytes, "note", seed);
        (void)notice_destroy(notice);
        (void)order_destroy(order);
        stepd_arena_deinit(&drawing.arena);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(write_all)};
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
