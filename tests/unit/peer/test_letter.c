/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever control and shards say to each other arrives at another daemon as it was said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/first_weights.h"
#include "server/model/job_state.h"
#include "tests/unit/peer/letters.h"

enum { SEEDS = 1500 };

static void order__with_anything_in_it__arrives_as_it_was(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct drawing drawing = letters_drawing(seed);
        struct order *order = letters_draw_order(&drawing);
        struct peer_bytes *bytes = NULL;
        struct stepd_error error = {.code = STEPD_OK};
        if (peer_order_pack(order, 7, 3, &bytes, &error) != STEPD_OK)
            fail_msg("seed %d: %s", (int)seed, error.text);
        struct peer_letter letter = letters_go_round(bytes);
        assert_int_equal(letter.kind, PEER_ORDER);
        assert_int_equal(letter.shard, 7);
        assert_int_equal(letter.shards, 3);
        assert_null(letter.order->state);
        assert_null(letter.order->first);
        letters_assert_same_order(order, letter.order);
        struct order *copy = order_copy(letter.order);
        letters_assert_same_order(order, copy);
        (void)order_destroy(copy);
        peer_letter_deinit(&letter);
        (void)peer_bytes_unref(bytes);
        (void)order_destroy(order);
        stepd_arena_deinit(&drawing.arena);
    }
}

static void notice__with_anything_in_it__arrives_as_it_was(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct drawing drawing = letters_drawing(seed);
        size_t sums = 0;
        struct notice *notice = letters_draw_notice(&drawing, &sums);
        struct peer_bytes *bytes = NULL;
        assert_int_equal(peer_notice_pack(notice, sums, NULL, &bytes, NULL), STEPD_OK);
        struct peer_letter letter = letters_go_round(bytes);
        assert_int_equal(letter.kind, PEER_NOTICE);
        assert_int_equal(letter.sums, sums);
        assert_int_equal(letter.share.n, 0);
        letters_assert_same_notice(notice, letter.notice, sums);
        peer_letter_deinit(&letter);
        (void)peer_bytes_unref(bytes);
        (void)notice_destroy(notice);
        stepd_arena_deinit(&drawing.arena);
    }
}

static void job__of_any_kind__is_laid_out_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct drawing drawing = letters_drawing(seed);
        struct job *job =
            letters_draw_job(&drawing, (enum stepd_mode)(seed % 3), (uint32_t)(1 + seed % 7));
        const struct order order = {.kind = ORDER_JOB_OPEN, .job_name = job->name, .job = job};
        struct peer_bytes *bytes = NULL;
        assert_int_equal(peer_order_pack(&order, 0, 1, &bytes, NULL), STEPD_OK);
        struct peer_letter letter = letters_go_round(bytes);
        letters_assert_same_job(job, letter.order->job);
        peer_letter_deinit(&letter);
        (void)peer_bytes_unref(bytes);
        (void)job_unref(job);
        stepd_arena_deinit(&drawing.arena);
    }
}

static void snapshot__with_a_share__carries_its_bytes(void **state)
{
    (void)state;

    static const uint8_t share[] = {0, 1, 255, 0};

    struct notice *notice = notice_create(NOTICE_SNAPSHOT, "j");
    const struct job_state taken = {.version = 3};
    struct peer_bytes *bytes = NULL;
    struct stepd_error error;
    notice->state = &taken;
    assert_int_equal(peer_notice_pack(notice, 0, NULL, &bytes, &error), STEPD_FAILED_PRECONDITION);
    assert_string_equal(error.text, "a snapshot of job 'j' on shard 1 was not packed");
    assert_int_equal(peer_notice_pack(notice, 0,
                                      &(struct peer_opaque){.n = sizeof share, .at = share}, &bytes,
                                      NULL),
                     STEPD_OK);
    struct peer_letter letter = letters_go_round(bytes);
    assert_null(letter.notice->state);
    assert_int_equal(letter.share.n, sizeof share);
    assert_memory_equal(letter.share.at, share, sizeof share);
    peer_letter_deinit(&letter);
    (void)peer_bytes_unref(bytes);
    (void)notice_destroy(notice);
}

static char job_name[] = "j";
static char checkpoint[] = "j/step-00000003";

static void order__with_a_state_of_no_checkpoint__is_refused(void **state)
{
    (void)state;
    struct job_state whole = {.version = 3};
    struct order order = {.kind = ORDER_JOB_OPEN, .job_name = job_name, .state = &whole};
    struct peer_bytes *bytes = NULL;
    struct stepd_error error;
    assert_int_equal(peer_order_pack(&order, 0, 1, &bytes, &error), STEPD_FAILED_PRECONDITION);
    assert_string_equal(error.text, "job 'j' goes on from a state that is in no checkpoint, which "
                                    "shards of other daemons cannot read");
    order.checkpoint = checkpoint;
    assert_int_equal(peer_order_pack(&order, 0, 1, &bytes, NULL), STEPD_OK);
    struct peer_letter letter = letters_go_round(bytes);
    assert_string_equal(letter.order->checkpoint, "j/step-00000003");
    peer_letter_deinit(&letter);
    (void)peer_bytes_unref(bytes);
}

static void order__with_first_weights_from_nowhere__is_refused(void **state)
{
    (void)state;
    struct first_weights *first = first_weights_create(1);
    struct order order = {.kind = ORDER_JOB_OPEN, .job_name = job_name, .first = first};
    struct peer_bytes *bytes = NULL;
    assert_int_equal(peer_order_pack(&order, 0, 1, &bytes, NULL), STEPD_FAILED_PRECONDITION);
    order.first_elsewhere = true;
    assert_int_equal(peer_order_pack(&order, 0, 1, &bytes, NULL), STEPD_OK);
    (void)peer_bytes_unref(bytes);
    (void)first_weights_unref(first);
}

static void note__arrives_as_it_was(void **state)
{
    (void)state;

    static const uint8_t inside[] = {7, 0, 9};

    const struct peer_note note = {
        .kind = PEER_NOTE_WRITE,
        .number = UINT64_MAX,
        .text = "j/step-00000003",
        .bytes = {.n = sizeof inside, .at = inside},
        .error = {.code = STEPD_ABORTED, .text = "too late"},
    };
    struct peer_bytes *bytes = NULL;
    assert_int_equal(peer_note_pack(&note, &bytes, NULL), STEPD_OK);
    struct peer_letter letter = letters_go_round(bytes);
    assert_int_equal(letter.kind, PEER_NOTE);
    assert_int_equal(letter.note.kind, note.kind);
    assert_int_equal(letter.note.number, note.number);
    assert_string_equal(letter.note.text, note.text);
    assert_int_equal(letter.note.bytes.n, sizeof inside);
    assert_memory_equal(letter.note.bytes.at, inside, sizeof inside);
    assert_int_equal(letter.note.error.code, STEPD_ABORTED);
    assert_string_equal(letter.note.error.text, "too late");
    peer_letter_deinit(&letter);
    (void)peer_bytes_unref(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order__with_anything_in_it__arrives_as_it_was),
        cmocka_unit_test(notice__with_anything_in_it__arrives_as_it_was),
        cmocka_unit_test(job__of_any_kind__is_laid_out_the_same),
        cmocka_unit_test(snapshot__with_a_share__carries_its_bytes),
        cmocka_unit_test(order__with_a_state_of_no_checkpoint__is_refused),
        cmocka_unit_test(order__with_first_weights_from_nowhere__is_refused),
        cmocka_unit_test(note__arrives_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
