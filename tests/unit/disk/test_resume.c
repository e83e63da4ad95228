/* SPDX-License-Identifier: Apache-2.0
 *
 * Which checkpoint a job goes on from, under which incarnation, and what is said of the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/disk/resume.h"
#include "server/disk/shelf.h"
#include "tests/unit/disk/training.h"

struct fixture {
    struct training training;
    size_t restored;          /* times */
    uint64_t step;            /* of the last that was */
    uint64_t incarnation;     /* that it came with */
    enum stepd_status answer; /* to who restores */
    char *said;               /* owned; the log */
    size_t said_bytes;
    struct stepd_error error;
};

static void setup(struct fixture *f, void **state)
{
    *f = (struct fixture){.answer = STEPD_OK};
    training_setup(&f->training, *state);
}

static void teardown(struct fixture *f)
{
    free(f->said);
    training_teardown(&f->training);
}

/* In control's place. */
static enum stepd_status restore(void *owner, struct job_snapshot *snapshot,
                                 struct job_state *state, struct stepd_error *reterr)
{
    struct fixture *f = owner;
    assert_non_null(state->slice[0].view[STEPD_EVALUATION]);
    f->restored++;
    f->step = snapshot->origin.step;
    f->incarnation = snapshot->incarnation;
    snapshot->incarnation++;
    return f->answer == STEPD_OK ? STEPD_OK : stepd_fail(reterr, f->answer, "for a test");
}

/* What goes to the log is what f has been said. The caller closes the stream. */
static FILE *open_log(struct fixture *f, struct log *log)
{
    free(f->said);
    f->said = NULL;
    FILE *const stream = open_memstream(&f->said, &f->said_bytes);
    assert_non_null(stream);
    log_init(log, stream, LOG_INFO);
    return stream;
}

static enum stepd_status resume(struct fixture *f)
{
    struct log log;
    FILE *const stream = open_log(f, &log);
    const struct resume resume = {.store = f->training.store,
                                  .bytes_max = UINT64_MAX,
                                  .log = &log,
                                  .restore = restore,
                                  .owner = f};
    const enum stepd_status status = resume_jobs(&resume, &f->error);
    assert_int_equal(fclose(stream), 0);
    return status;
}

static void cut_short(const struct fixture *f, uint64_t step, const char *file)
{
    const char *const path = scratch_path(f->training.scratch, training_path(step, file));
    struct stat stat_of;
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(truncate(path, stat_of.st_size - 1), 0);
}

static uint64_t written_incarnation(const struct fixture *f)
{
    const struct store_shelf_name name = store_shelf_name("j");
    struct shelf shelf;
    struct stepd_error error;
    uint64_t incarnation = 0;
    assert_int_equal(shelf_open(f->training.store, &name, &shelf, &error), STEPD_OK);
    assert_int_equal(shelf_read_incarnation(&shelf, &incarnation, &error), STEPD_OK);
    shelf_close(&shelf);
    return incarnation;
}

static void assert_said(const struct fixture *f, const char *words)
{
    if (strstr(f->said, words) == NULL)
        fail_msg("'%s' is not in: %s", words, f->said);
}

/* ---- Which ----------------------------------------------------------------------------------- */

static void resume_jobs__of_several__takes_the_last_step_of_the_highest_incarnation(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 3, 9);
    training_save(&f.training, 4, 5);
    training_save(&f.training, 4, 7);
    assert_int_equal(resume(&f), STEPD_OK);
    assert_int_equal(f.restored, 1);
    assert_int_equal(f.step, 7);
    assert_said(&f, "resumed job=j checkpoint=step-00000007 incarnation=5");
    teardown(&f);
}

static void
resume_jobs__of_a_newest_that_is_no_good__takes_the_one_before_and_says_why(void **state)
{
    static const char *const files[] = {"manifest.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        setup(&f, state);
        training_save(&f.training, 4, 5);
        training_save(&f.training, 4, 7);
        cut_short(&f, 7, files[i]);
        assert_int_equal(resume(&f), STEPD_OK);
        assert_int_equal(f.step, 5);
        assert_said(&f, "checkpoint_skipped job=j name=step-00000007");
        assert_said(&f, files[i]);
        teardown(&f);
    }
}

static void resume_jobs__of_none_that_is_good__is_refused_with_the_remedy(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    cut_short(&f, 5, "model.safetensors");
    assert_int_equal(resume(&f), STEPD_DATA_LOSS);
    assert_int_equal(f.restored, 0);
    assert_non_null(strstr(f.error.text, "no checkpoint of job 'j' is good (model.safetensors"));
    assert_non_null(strstr(f.error.text, "move the folder j out of the checkpoint folder"));
    assert_non_null(strstr(f.error.text, "--resume never sets those of ALL jobs aside"));
    teardown(&f);
}

static void resume_jobs__of_a_shelf_without_any__restores_nothing(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    const struct store_shelf_name name = store_shelf_name("j");
    struct shelf shelf;
    assert_int_equal(shelf_open_to_write(f.training.store, &name, &shelf, &f.error), STEPD_OK);
    assert_int_equal(shelf_remove(&shelf, "step-00000005", &f.error), STEPD_OK);
    shelf_close(&shelf);
    assert_int_equal(resume(&f), STEPD_OK);
    assert_int_equal(f.restored, 0);
    teardown(&f);
}

static void resume_jobs__of_a_store_with_folders_of_others__lets_them_alone(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    assert_int_equal(mkdir(scratch_path(*state, "store/project"), 0700), 0);
    assert_int_equal(mkdir(scratch_path(*state, "store/project/.old-step-00000004"), 0700), 0);
    scratch_write(*state, "store/project/.old-step-00000004/thesis", "text");
    scratch_write(*state, "store/project/incarnation", "a novel");
    assert_int_equal(resume(&f), STEPD_OK);
    assert_int_equal(f.restored, 1);
    assert_true(scratch_has(*state, "store/project/.old-step-00000004/thesis"));
    teardown(&f);
}

static void resume_jobs__of_a_linked_shelf__begins_nothing(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    assert_int_equal(rename(scratch_path(*state, "store/j"), scratch_path(*state, "moved")), 0);
    assert_int_equal(symlink("../moved", scratch_path(*state, "store/j")), 0);
    assert_int_equal(resume(&f), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(f.error.text, "j in the checkpoint folder is a symbolic link"));
    assert_int_equal(resume_none(f.training.store, /* log= */ NULL, &f.error),
                     STEPD_FAILED_PRECONDITION);
    teardown(&f);
}

static void resume_jobs__of_a_checkpoint_of_another_job__does_not_take_it(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    assert_int_equal(rename(scratch_path(*state, "store/j"), scratch_path(*state, "store/twin")),
                     0);
    assert_int_equal(resume(&f), STEPD_DATA_LOSS);
    assert_int_equal(f.restored, 0);
    assert_non_null(strstr(f.error.text, "it is of job 'j'"));
    teardown(&f);
}

/* ---- Under which incarnation ----------------------------------------------------------------- */

static void resume_jobs__from_an_older_checkpoint__is_above_the_newer_ones_incarnation(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    training_save(&f.training, 8, 7);
    cut_short(&f, 7, "model.safetensors");
    assert_int_equal(resume(&f), STEPD_OK);
    assert_int_equal(f.step, 5);
    assert_int_equal(f.incarnation, 8);
    assert_int_equal(written_incarnation(&f), 9);
    teardown(&f);
}

static void resume_jobs__twice__never_comes_to_the_same_incarnation(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    for (uint64_t incarnation = 4; incarnation < 7; incarnation++) {
        assert_int_equal(resume(&f), STEPD_OK);
        assert_int_equal(f.incarnation, incarnation);
        assert_int_equal(written_incarnation(&f), incarnation + 1);
    }
    teardown(&f);
}

static void resume_jobs__that_cannot_be_restored__says_why(void **state)
{
    struct fixture f;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    f.answer = STEPD_RESOURCE_EXHAUSTED;
    assert_int_equal(resume(&f), STEPD_RESOURCE_EXHAUSTED);
    assert_string_equal(f.error.text, "for a test");
    assert_int_equal(written_incarnation(&f), 0);
    teardown(&f);
}

/* ---- Not at all ------------------------------------------------------------------------------ */

static void resume_none__of_a_store__sets_its_shelves_aside_and_says_so(void **state)
{
    struct fixture f;
    struct log log;
    setup(&f, state);
    training_save(&f.training, 4, 5);
    FILE *const stream = open_log(&f, &log);
    assert_int_equal(resume_none(f.training.store, &log, &f.error), STEPD_OK);
    assert_int_equal(fclose(stream), 0);
    assert_said(&f, "checkpoints_set_aside from=j to=j~1");
    assert_false(scratch_has(*state, "store/j"));
    assert_true(scratch_has(*state, "store/j~1/step-00000005"));
    assert_int_equal(resume(&f), STEPD_OK);
    assert_int_equal(f.restored, 0);
    teardown(&f);
}

static void resume_none__of_a_store_with_folders_of_others__lets_them_alone(void **state)
{
    struct fixture f;
    struct log log;
    setup(&f, state);
    assert_int_equal(mkdir(scratch_path(*state, "store/Documents"), 0700), 0);
    scratch_write(*state, "store/Documents/incarnation", "a novel");
    FILE *const stream = open_log(&f, &log);
    assert_int_equal(resume_none(f.training.store, &log, &f.error), STEPD_OK);
    assert_int_equal(fclose(stream), 0);
    assert_true(scratch_has(*state, "store/Documents/incarnation"));
    assert_string_equal(f.said, "");
    teardown(&f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(resume_jobs__of_several__takes_the_last_step_of_the_highest_incarnation),
        TEST(resume_jobs__of_a_newest_that_is_no_good__takes_the_one_before_and_says_why),
        TEST(resume_jobs__of_none_that_is_good__is_refused_with_the_remedy),
        TEST(resume_jobs__of_a_shelf_without_any__restores_nothing),
        TEST(resume_jobs__of_a_store_with_folders_of_others__lets_them_alone),
        TEST(resume_jobs__of_a_linked_shelf__begins_nothing),
        TEST(resume_jobs__of_a_checkpoint_of_another_job__does_not_take_it),
        TEST(resume_jobs__from_an_older_checkpoint__is_above_the_newer_ones_incarnation),
        TEST(resume_jobs__twice__never_comes_to_the_same_incarnation),
        TEST(resume_jobs__that_cannot_be_restored__says_why),
        TEST(resume_none__of_a_store__sets_its_shelves_aside_and_says_so),
        TEST(resume_none__of_a_store_with_folders_of_others__lets_them_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
