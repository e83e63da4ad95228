/* SPDX-License-Identifier: Apache-2.0
 *
 * Letters between threads: all, in order, once; and what happens to those nobody takes. That
 * nothing leaks is for the address sanitizer to say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/net/mailbox.h"
#include "tests/lib/scarcity.h"

enum { LETTERS = 10000, THREADS = 4 };

struct box {
    uv_loop_t uv;
    struct mailbox mailbox;
    size_t delivered;
    uint32_t last[THREADS]; /* number of the newest letter of each thread */
    size_t close_after;     /* close when so many were delivered; 0: never */
    bool in_order;
};

/* A letter's number: the thread in the upper bits, its count in the lower. */
static struct letter numbered(uint32_t thread, uint32_t number)
{
    return (struct letter){.kind = LETTER_ENDED, .shard = thread << 24 | number};
}

static void deliver(void *owner, const struct letter *letter)
{
    struct box *const box = owner;
    const uint32_t thread = letter->shard >> 24;
    const uint32_t number = letter->shard & 0xFFFFFF;
    assert_int_equal(letter->kind, LETTER_ENDED);
    box->in_order = box->in_order && number == box->last[thread] + 1;
    box->last[thread] = number;
    box->delivered++;
    if (box->delivered == box->close_after)
        mailbox_close(&box->mailbox);
}

static int set_up(void **state)
{
    struct box *const box = calloc(1, sizeof *box);
    assert_non_null(box);
    box->in_order = true;
    assert_int_equal(uv_loop_init(&box->uv), 0);
    assert_int_equal(mailbox_init(&box->mailbox, &box->uv, deliver, box), STEPD_OK);
    *state = box;
    return 0;
}

static int tear_down(void **state)
{
    struct box *const box = *state;
    if (!box->mailbox.closed)
        mailbox_close(&box->mailbox);
    assert_int_equal(uv_run(&box->uv, UV_RUN_DEFAULT), 0);
    mailbox_deinit(&box->mailbox);
    assert_int_equal(uv_loop_close(&box->uv), 0);
    free(box);
    return 0;
}

static void mailbox__many_letters__come_in_one_delivery_and_in_order(void **state)
{
    struct box *const box = *state;
    for (uint32_t i = 1; i <= LETTERS; i++)
        mailbox_post(&box->mailbox, numbered(0, i));
    assert_int_equal(box->delivered, 0);
    (void)uv_run(&box->uv, UV_RUN_ONCE);
    assert_int_equal(box->delivered, LETTERS);
    assert_true(box->in_order);
}

static void mailbox__second_batch__comes_too(void **state)
{
    struct box *const box = *state;
    for (uint32_t i = 1; i <= 3 * LETTERS; i++) {
        mailbox_post(&box->mailbox, numbered(0, i));
        if (i % LETTERS == 0)
            (void)uv_run(&box->uv, UV_RUN_ONCE);
    }
    assert_int_equal(box->delivered, 3 * LETTERS);
    assert_true(box->in_order);
}

struct poster {
    struct mailbox *mailbox;
    uint32_t thread;
};

static void post_many(void *argument)
{
    const struct poster *const poster = argument;
    for (uint32_t i = 1; i <= LETTERS; i++)
        mailbox_post(poster->mailbox, numbered(poster->thread, i));
}

static void mailbox__many_threads__each_keep_their_order(void **state)
{
    struct box *const box = *state;
    struct poster poster[THREADS];
    uv_thread_t thread[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        poster[i] = (struct poster){.mailbox = &box->mailbox, .thread = i};
        assert_int_equal(uv_thread_create(&thread[i], post_many, &poster[i]), 0);
    }
    while (box->delivered < (size_t)THREADS * LETTERS)
        (void)uv_run(&box->uv, UV_RUN_ONCE);
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_join(&thread[i]), 0);
    assert_int_equal(box->delivered, (size_t)THREADS * LETTERS);
    assert_true(box->in_order);
}

static void mailbox__closed_by_a_letter__delivers_no_more(void **state)
{
    struct box *const box = *state;
    box->close_after = 2;
    for (uint32_t i = 1; i <= 5; i++)
        mailbox_post(&box->mailbox, numbered(0, i));
    (void)uv_run(&box->uv, UV_RUN_ONCE);
    mailbox_post(&box->mailbox, numbered(0, 6));
    (void)uv_run(&box->uv, UV_RUN_DEFAULT);
    assert_int_equal(box->delivered, 2);
}

/* Posts one letter of every kind that carries something. Returns the peer of the caller's socket.
 */
static int post_belongings(struct mailbox *mailbox)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    mailbox_post(mailbox, (struct letter){.kind = LETTER_CALLER,
                                          .caller = caller_create(pair[0], false, "x", NULL, 0)});
    mailbox_post(mailbox, (struct letter){.kind = LETTER_ORDER,
                                          .order = order_create(ORDER_JOB_START, "job")});
    mailbox_post(mailbox, (struct letter){.kind = LETTER_NOTICE,
                                          .notice = notice_create(NOTICE_ANSWER, "job")});
    return pair[1];
}

static void check_closed(int peer)
{
    char byte;
    assert_int_equal(read(peer, &byte, 1), 0);
    assert_int_equal(close(peer), 0);
}

static void mailbox__closed__throws_away_what_is_posted(void **state)
{
    struct box *const box = *state;
    mailbox_close(&box->mailbox);
    check_closed(post_belongings(&box->mailbox));
}

static void mailbox__deinit__throws_away_what_was_not_delivered(void **state)
{
    struct box *const box = *state;
    const int peer = post_belongings(&box->mailbox);
    mailbox_close(&box->mailbox);
    assert_int_equal(tear_down(state), 0);
    check_closed(peer);
    assert_int_equal(set_up(state), 0);
}

/* Counts what is delivered of each kind. */
static void count_kinds(void *owner, const struct letter *letter)
{
    size_t *const count = owner;
    count[letter->kind]++;
}

static void mailbox__no_memory__loses_a_letter_and_says_so_but_none_of_a_stop(void **state)
{
    (void)state;
    uv_loop_t uv;
    struct mailbox mailbox;
    size_t count[LETTER_LOST + 1] = {0};
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(mailbox_init(&mailbox, &uv, count_kinds, count), STEPD_OK);
    scarcity_from(0);
    for (uint32_t i = 0; i < LETTERS; i++)
        mailbox_post(&mailbox, (struct letter){.kind = LETTER_GONE});
    for (uint32_t i = 0; i < MAILBOX_RESERVED - 2; i++)
        mailbox_post(&mailbox, (struct letter){.kind = LETTER_ENDED, .shard = i});
    mailbox_post(&mailbox, (struct letter){.kind = LETTER_DRAIN});
    mailbox_post(&mailbox, (struct letter){.kind = LETTER_CUT});
    scarcity_from(SCARCITY_NEVER);
    (void)uv_run(&uv, UV_RUN_ONCE);
    assert_in_range(count[LETTER_GONE], 1, LETTERS - 1);
    assert_int_equal(count[LETTER_LOST], 1);
    assert_int_equal(count[LETTER_ENDED], MAILBOX_RESERVED - 2);
    assert_int_equal(count[LETTER_DRAIN], 1);
    assert_int_equal(count[LETTER_CUT], 1);
    mailbox_close(&mailbox);
    assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
    mailbox_deinit(&mailbox);
    assert_int_equal(uv_loop_close(&uv), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mailbox__many_letters__come_in_one_delivery_and_in_order,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(mailbox__second_batch__comes_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mailbox__many_threads__each_keep_their_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mailbox__closed_by_a_letter__delivers_no_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mailbox__closed__throws_away_what_is_posted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mailbox__deinit__throws_away_what_was_not_delivered, set_up,
                                        tear_down),
        cmocka_unit_test(mailbox__no_memory__loses_a_letter_and_says_so_but_none_of_a_stop),
    };
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
