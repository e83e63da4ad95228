/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be set beside the mode: defaults, ranges, and what is refused.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/model/consistency.h"

/* Settings of up to two numbers or words. */
struct given {
    const char *name;
    double value;
    const char *word;
};

static enum stepd_status init(enum stepd_mode mode, const struct given *given, size_t count,
                              struct consistency *ret, struct stepd_error *error)
{
    struct stepd_setting setting[4];
    for (size_t i = 0; i < count; i++)
        setting[i] = (struct stepd_setting){.name = given[i].name,
                                            .values = given[i].word == NULL,
                                            .value = &given[i].value,
                                            .word = given[i].word == NULL ? "" : given[i].word};
    const struct stepd_settings settings = {.count = count, .at = setting};
    return consistency_init(mode, &settings, ret, error);
}

static void assert_refused(enum stepd_mode mode, const struct given *given, size_t count,
                           const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    struct consistency consistency = {.backup = 77};
    assert_int_equal(init(mode, given, count, &consistency, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_true(consistency.backup == 77); /* untouched */
}

#define NUMBER(setting, number) (const struct given[]){{.name = (setting), .value = (number)}}, 1
#define WORD(setting, text)     (const struct given[]){{.name = (setting), .word = (text)}}, 1

static void init__of_nothing__is_the_plain_mode(void **state)
{
    (void)state;
    struct consistency c;
    assert_int_equal(init(STEPD_SYNC, NULL, 0, &c, NULL), STEPD_OK);
    assert_int_equal(c.mode, STEPD_SYNC);
    assert_true(c.backup == 0 && c.close_examples == 0 && c.late == CONSISTENCY_LATE_DROP);
    assert_true(c.reduction == CONSISTENCY_RANK && c.staleness_max == CONSISTENCY_NONE);
    assert_true(c.lr_by_staleness == 0 && c.delay_compensation == 0);
}

static void init__of_numbers_and_words__takes_them(void **state)
{
    (void)state;
    const struct given given[] = {{.name = "backup", .value = 2},
                                  {.name = "late", .word = "apply"}};
    struct consistency c;
    assert_int_equal(init(STEPD_SYNC, given, 2, &c, NULL), STEPD_OK);
    assert_true(c.backup == 2 && c.late == CONSISTENCY_LATE_APPLY);
    assert_int_equal(init(STEPD_SYNC, WORD("reduction", "arrival"), &c, NULL), STEPD_OK);
    assert_true(c.reduction == CONSISTENCY_ARRIVAL);
    assert_int_equal(init(STEPD_ASYNC, NUMBER("delay_compensation", 0.04), &c, NULL), STEPD_OK);
    assert_true(c.delay_compensation == 0.04);
}

static void init__of_an_unknown_setting__names_the_nearest(void **state)
{
    (void)state;
    assert_refused(STEPD_SYNC, NUMBER("bakup", 1),
                   "a job has no setting 'bakup': did you mean 'backup'?");
}

static void init__of_another_modes_setting__names_its_modes(void **state)
{
    (void)state;
    assert_refused(STEPD_SYNC, NUMBER("staleness", 1),
                   "staleness belongs to mode bounded, and the job's is sync");
    assert_refused(STEPD_SYNC, NUMBER("lr_by_staleness", 1),
                   "lr_by_staleness belongs to mode async or bounded, and the job's is sync");
    assert_refused(STEPD_ASYNC, NUMBER("backup", 1),
                   "backup belongs to mode sync, and the job's is async");
}

static void init__of_a_value_out_of_range__states_the_range(void **state)
{
    (void)state;
    assert_refused(STEPD_SYNC, NUMBER("backup", 1.5),
                   "backup must be a whole number in [0, 4095], and 1.5 is not");
    assert_refused(STEPD_ASYNC, NUMBER("staleness_max", -1),
                   "staleness_max must be a whole number in [0, 1e+09], and -1 is not");
    assert_refused(STEPD_ASYNC, NUMBER("delay_compensation", NAN),
                   "delay_compensation must be in [0, 1e+09], and nan is not");
}

static void init__of_a_word_for_a_number_or_the_reverse__is_refused(void **state)
{
    (void)state;
    assert_refused(STEPD_SYNC, WORD("backup", "two"), "backup takes a number, not 'two'");
    assert_refused(STEPD_SYNC, NUMBER("late", 1), "late takes a word such as drop");
    assert_refused(STEPD_SYNC, WORD("late", "aply"),
                   "late cannot be 'aply': did you mean 'apply'?");
}

static void init__of_a_list__is_refused(void **state)
{
    (void)state;
    static const double two[] = {1, 2};
    const struct stepd_setting setting = {.name = "backup", .values = 2, .value = two, .word = ""};
    const struct stepd_settings settings = {.count = 1, .at = &setting};
    struct consistency c;
    struct stepd_error error;
    assert_int_equal(consistency_init(STEPD_SYNC, &settings, &c, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "backup takes one number, not 2");
}

static void init__of_a_setting_twice__is_refused(void **state)
{
    (void)state;
    const struct given given[] = {{.name = "backup", .value = 2}, {.name = "backup", .value = 2}};
    assert_refused(STEPD_SYNC, given, 2, "backup is set twice");
}

static void init__of_what_does_not_go_together__is_refused(void **state)
{
    (void)state;
    const struct given both[] = {{.name = "backup", .value = 2},
                                 {.name = "close_examples", .value = 64}};
    assert_refused(STEPD_SYNC, both, 2,
                   "backup and close_examples are both set: a round closes on members or on "
                   "examples; keep one");
    assert_refused(STEPD_SYNC, WORD("late", "apply"),
                   "late is apply, and no gradient can be late in a round that waits for all "
                   "members; set backup or close_examples with it");
    assert_refused(STEPD_SYNC, NUMBER("staleness_max", 3),
                   "staleness_max is set, and no stale gradient is applied in mode sync unless "
                   "late is apply");
    assert_refused(STEPD_BOUNDED, NULL, 0,
                   "mode bounded needs staleness: how many clocks the slowest worker may be behind "
                   "the fastest");
}

static void check_workers__of_as_many_backups__is_refused(void **state)
{
    (void)state;
    struct consistency c;
    struct stepd_error error;
    assert_int_equal(init(STEPD_SYNC, NUMBER("backup", 2), &c, NULL), STEPD_OK);
    assert_int_equal(consistency_check_workers(&c, 3, NULL), STEPD_OK);
    assert_int_equal(consistency_check_workers(&c, 2, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "backup is 2, and the job has 2 workers: a round must wait for "
                                    "one of them at least");
}

static void assert_differ(const struct consistency *a, const struct consistency *b,
                          const char *text)
{
    struct stepd_error error;
    assert_int_equal(consistency_same(a, a, &error), STEPD_OK);
    assert_int_equal(consistency_same(a, b, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
}

static void same__of_two_that_differ__names_the_first_difference(void **state)
{
    (void)state;
    struct consistency plain;
    struct consistency backup;
    struct consistency arrival;
    struct consistency async;
    assert_int_equal(init(STEPD_SYNC, NULL, 0, &plain, NULL), STEPD_OK);
    assert_int_equal(init(STEPD_SYNC, NUMBER("backup", 1), &backup, NULL), STEPD_OK);
    assert_int_equal(init(STEPD_SYNC, WORD("reduction", "arrival"), &arrival, NULL), STEPD_OK);
    assert_int_equal(init(STEPD_ASYNC, NULL, 0, &async, NULL), STEPD_OK);
    assert_differ(&plain, &backup, "backup is defined as 0, not 1");
    assert_differ(&plain, &arrival, "reduction is defined as 'rank', not 'arrival'");
    assert_differ(&plain, &async, "mode is defined as 'sync', not 'async'");
}

static void check_workers__of_more_at_least_than_at_most__is_refused(void **state)
{
    (void)state;
    struct consistency c;
    struct stepd_error error;
    assert_int_equal(init(STEPD_ASYNC, NUMBER("workers_min", 3), &c, NULL), STEPD_OK);
    assert_int_equal(consistency_check_workers(&c, 3, NULL), STEPD_OK);
    assert_int_equal(consistency_check_workers(&c, 2, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "workers_min is 3, and the job has at most 2 workers");
}

static void check_workers__of_backups_that_the_least_do_not_have__is_refused(void **state)
{
    (void)state;
    struct consistency c;
    struct stepd_error error;
    const struct given both[] = {{.name = "backup", .value = 2},
                                 {.name = "workers_min", .value = 2}};
    assert_int_equal(init(STEPD_SYNC, both, 2, &c, NULL), STEPD_OK);
    assert_int_equal(consistency_check_workers(&c, 8, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "backup is 2, and the job may have 2 workers: a round must "
                                    "wait for one of them at least");
}

static void start__without_a_least_number__is_all_workers(void **state)
{
    (void)state;
    struct consistency c;
    assert_int_equal(init(STEPD_SYNC, NULL, 0, &c, NULL), STEPD_OK);
    assert_int_equal(consistency_start(&c, 8), 8);
    assert_int_equal(consistency_least(&c), 1);
    assert_int_equal(init(STEPD_SYNC, NUMBER("workers_min", 2), &c, NULL), STEPD_OK);
    assert_int_equal(consistency_start(&c, 8), 2);
    assert_int_equal(consistency_least(&c), 2);
}

static void on_loss__by_its_words__is_of_every_mode(void **state)
{
    (void)state;
    struct consistency c;
    assert_int_equal(init(STEPD_ASYNC, NULL, 0, &c, NULL), STEPD_OK);
    assert_true(c.on_loss == CONSISTENCY_LOSS_WAIT);
    assert_int_equal(init(STEPD_SYNC, WORD("on_loss", "shrink"), &c, NULL), STEPD_OK);
    assert_true(c.on_loss == CONSISTENCY_LOSS_SHRINK);
    assert_int_equal(init(STEPD_ASYNC, WORD("on_loss", "fail"), &c, NULL), STEPD_OK);
    assert_true(c.on_loss == CONSISTENCY_LOSS_FAIL);
}

static void init__of_accumulation_that_cannot_be_honoured__says_why(void **state)
{
    (void)state;

    static const struct {
        struct given given[2];
        const char *text;
    } rows[] = {
        {{{.name = "accumulate", .value = 4}, {.name = "accumulate_examples", .value = 64}},
         "accumulate and accumulate_examples are both set: a step is made of so many pushes or of "
         "so many examples; keep one"},
        {{{.name = "accumulate", .value = 4}, {.name = "backup", .value = 1}},
         "accumulate is set, and backup closes rounds without some members, whose pushes have been "
         "counted towards the step; keep one"},
        {{{.name = "accumulate_examples", .value = 64}, {.name = "close_examples", .value = 8}},
         "accumulate_examples is set, and close_examples closes rounds without some members, whose "
         "pushes have been counted towards the step; keep one"},
        {{{.name = "accumulate", .value = 4}, {.name = "atomic", .word = "job"}},
         "atomic is job, and with accumulate most pushes of a step have been answered before it is "
         "made: they cannot be taken back; keep one"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_refused(STEPD_SYNC, rows[i].given, 2, rows[i].text);
    assert_refused(STEPD_ASYNC, NUMBER("accumulate", 2),
                   "accumulate belongs to mode sync, and the job's is async");
    assert_refused(STEPD_SYNC, NUMBER("accumulate", 0),
                   "accumulate must be a whole number in [1, 1.04858e+06], and 0 is not");
}

static void accumulates__of_one_push_a_step__does_not(void **state)
{
    (void)state;
    struct consistency c;
    assert_int_equal(init(STEPD_SYNC, NUMBER("accumulate", 1), &c, NULL), STEPD_OK);
    assert_false(consistency_accumulates(&c));
    assert_int_equal(init(STEPD_SYNC, NUMBER("accumulate", 2), &c, NULL), STEPD_OK);
    assert_true(consistency_accumulates(&c));
    assert_int_equal(init(STEPD_SYNC, NUMBER("accumulate_examples", 1), &c, NULL), STEPD_OK);
    assert_true(consistency_accumulates(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init__of_accumulation_that_cannot_be_honoured__says_why),
        cmocka_unit_test(accumulates__of_one_push_a_step__does_not),
        cmocka_unit_test(init__of_nothing__is_the_plain_mode),
        cmocka_unit_test(init__of_numbers_and_words__takes_them),
        cmocka_unit_test(init__of_an_unknown_setting__names_the_nearest),
        cmocka_unit_test(init__of_another_modes_setting__names_its_modes),
        cmocka_unit_test(init__of_a_value_out_of_range__states_the_range),
        cmocka_unit_test(init__of_a_word_for_a_number_or_the_reverse__is_refused),
        cmocka_unit_test(init__of_a_list__is_refused),
        cmocka_unit_test(init__of_a_setting_twice__is_refused),
        cmocka_unit_test(init__of_what_does_not_go_together__is_refused),
        cmocka_unit_test(check_workers__of_as_many_backups__is_refused),
        cmocka_unit_test(same__of_two_that_differ__names_the_first_difference),
        cmocka_unit_test(check_workers__of_more_at_least_than_at_most__is_refused),
        cmocka_unit_test(check_workers__of_backups_that_the_least_do_not_have__is_refused),
        cmocka_unit_test(start__without_a_least_number__is_all_workers),
        cmocka_unit_test(on_loss__by_its_words__is_of_every_mode),
    };
    return cmocka_run_group_tests_name("model/consistency", tests, NULL, NULL);
}
