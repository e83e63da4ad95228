/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that writes checkpoints: each that was asked for is answered once, in turn, and what
 * it says is what is on the disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/disk/shelf.h"
#include "server/disk/writer.h"
#include "tests/unit/disk/training.h"

enum { ANSWERS_MAX = 8, PATIENCE_S = 60 };

struct fixture {
    struct training training;
    struct job_snapshot snapshot;
    struct writer *writer;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t come;
    size_t answers;
    struct control_written answer[ANSWERS_MAX];
    void *token[ANSWERS_MAX];
};

/* On the writer's thread. */
static void on_written(void *owner, void *token, const struct control_written *written)
{
    struct fixture *f = owner;
    (void)pthread_mutex_lock(&f->mutex);
    f->token[f->answers] = token;
    f->answer[f->answers++] = *written;
    (void)pthread_cond_signal(&f->come);
    (void)pthread_mutex_unlock(&f->mutex);
}

static void setup(struct fixture *f, void **state, uint32_t keep)
{
    *f = (struct fixture){.answers = 0};
    assert_int_equal(pthread_mutex_init(&f->mutex, NULL), 0);
    assert_int_equal(pthread_cond_init(&f->come, NULL), 0);
    training_setup(&f->training, *state);
    f->snapshot = training_snapshot(&f->training, 4);
    const struct writer_options options = {.store = f->training.store,
                                           .keep = keep,
                                           .stepd = "test",
                                           .written = on_written,
                                           .owner = f};
    assert_int_equal(writer_start(&options, &f->writer), STEPD_OK);
}

static void teardown(struct fixture *f)
{
    f->writer = writer_end(f->writer);
    training_teardown(&f->training);
    (void)pthread_cond_destroy(&f->come);
    (void)pthread_mutex_destroy(&f->mutex);
}

static void ask(struct fixture *f, uint64_t step)
{
    writer_write(f->writer, &f->snapshot, step, &f->token[step]);
}

static void wait_for(struct fixture *f, size_t answers)
{
    struct timespec until;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec += PATIENCE_S;
    (void)pthread_mutex_lock(&f->mutex);
    while (f->answers < answers && pthread_cond_timedwait(&f->come, &f->mutex, &until) == 0)
        continue;
    const size_t come = f->answers;
    (void)pthread_mutex_unlock(&f->mutex);
    assert_int_equal(come, answers);
}

static bool has(const struct fixture *f, uint64_t step)
{
    return scratch_has(f->training.scratch, training_path(step, "manifest.json"));
}

/* ---------------------------------------------------------------------------------------------- */

static void writer_write__of_several__answers_in_turn_when_they_are_there(void **state)
{
    struct fixture f;
    setup(&f, state, 8);
    for (uint64_t step = 1; step <= 3; step++)
        ask(&f, step);
    wait_for(&f, 3);
    for (uint64_t step = 1; step <= 3; step++) {
        const struct control_written *const answer = &f.answer[step - 1];
        assert_int_equal(answer->error.code, STEPD_OK);
        assert_ptr_equal(f.token[step - 1], &f.token[step]);
        assert_int_equal(answer->step, step);
        assert_string_equal(answer->name, shelf_checkpoint_of(step).name);
        assert_true(answer->bytes > 0);
        assert_true(has(&f, step));
    }
    teardown(&f);
}

static void writer_write__beyond_what_is_kept__removes_the_oldest(void **state)
{
    struct fixture f;
    setup(&f, state, 2);
    for (uint64_t step = 1; step <= 3; step++) {
        ask(&f, step);
        wait_for(&f, (size_t)step);
    }
    assert_false(has(&f, 1));
    assert_true(has(&f, 2));
    assert_true(has(&f, 3));
    teardown(&f);
}

static void writer_write__of_an_incarnation__writes_that_down(void **state)
{
    struct fixture f;
    struct shelf shelf;
    struct stepd_error error;
    uint64_t incarnation = 0;
    setup(&f, state, 2);
    ask(&f, 1);
    wait_for(&f, 1);
    const struct store_shelf_name name = store_shelf_name("j");
    assert_int_equal(shelf_open(f.training.store, &name, &shelf, &error), STEPD_OK);
    assert_int_equal(shelf_read_incarnation(&shelf, &incarnation, &error), STEPD_OK);
    assert_int_equal(incarnation, 4);
    shelf_close(&shelf);
    teardown(&f);
}

static void writer_write__of_a_job_that_began_anew__leaves_the_older_training(void **state)
{
    struct fixture f;
    setup(&f, state, 1);
    training_save(&f.training, 9, 7); /* of a higher incarnation, and so not of this one's past */
    const struct store_shelf_name name = store_shelf_name("j");
    struct shelf shelf;
    struct stepd_error error;
    assert_int_equal(shelf_open_to_write(f.training.store, &name, &shelf, &error), STEPD_OK);
    assert_int_equal(shelf_write_incarnation(&shelf, 9, &error), STEPD_OK);
    shelf_close(&shelf);
    ask(&f, 1);
    wait_for(&f, 1);
    assert_int_equal(f.answer[0].error.code, STEPD_OK);
    assert_true(has(&f, 1));
    assert_false(has(&f, 7));
    assert_true(scratch_has(*state, "store/j~1/step-00000007"));
    teardown(&f);
}

static void writer_write__that_the_disk_refuses__says_so_and_goes_on(void **state)
{
    struct fixture f;
    setup(&f, state, 2);
    scratch_write(*state, "store/j", "a file where the shelf is to be");
    ask(&f, 1);
    wait_for(&f, 1);
    assert_int_not_equal(f.answer[0].error.code, STEPD_OK);
    assert_non_null(strstr(f.answer[0].error.text, "j: "));
    assert_null(strstr(f.answer[0].error.text, f.training.scratch->path));
    assert_int_equal(unlink(scratch_path(*state, "store/j")), 0);
    ask(&f, 2);
    wait_for(&f, 2);
    assert_int_equal(f.answer[1].error.code, STEPD_OK);
    assert_true(has(&f, 2));
    teardown(&f);
}

static void writer_end__with_some_waiting__answers_each_and_leaves_none_half(void **state)
{
    struct fixture f;
    setup(&f, state, 8);
    for (uint64_t step = 1; step <= 5; step++)
        ask(&f, step);
    f.writer = writer_end(f.writer);
    assert_int_equal(f.answers, 5);
    for (uint64_t step = 1; step <= 5; step++) {
        const enum stepd_status code = f.answer[step - 1].error.code;
        assert_true(code == STEPD_OK || code == STEPD_CANCELLED);
        assert_int_equal(has(&f, step), code == STEPD_OK);
    }
    teardown(&f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writer_write__of_several__answers_in_turn_when_they_are_there),
        TEST(writer_write__beyond_what_is_kept__removes_the_oldest),
        TEST(writer_write__of_an_incarnation__writes_that_down),
        TEST(writer_write__of_a_job_that_began_anew__leaves_the_older_training),
        TEST(writer_write__that_the_disk_refuses__says_so_and_goes_on),
        TEST(writer_end__with_some_waiting__answers_each_and_leaves_none_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
