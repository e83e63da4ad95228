/* SPDX-License-Identifier: Apache-2.0
 *
 * Every schedule against torch.optim.lr_scheduler. PyTorch computes a learning rate from the one
 * before, so roundings add up there: each value may be off by one more of 2^-53, and by a few
 * times that near the bottom of a cosine, where the factor between neighbours is large. The
 * tolerance is 1e-14 of the base rate for each step so far.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/schedule/schedule.h"
#include "tests/golden/reader.h"

#define STEPS_MOST  1000
#define LOSSES_MOST 64

struct golden {
    const char *name;
    double lr;
    struct schedule schedule;
    size_t losses; /* 0: it needs none */
    double loss[LOSSES_MOST];
};

static void read_params(struct reader *reader, struct schedule *schedule)
{
    reader_expect(reader, "params");
    const size_t params = reader_count(reader, schedule->kind->params);
    for (size_t i = 0; i < params; i++) {
        const char *const name = reader_word(reader);
        if (strcmp(reader_word(reader), "word") == 0) {
            assert_int_equal(schedule_set_word(schedule, name, reader_word(reader), NULL),
                             STEPD_OK);
            continue;
        }
        double value[SCHEDULE_LIST_MAX];
        const size_t values = reader_count(reader, SCHEDULE_LIST_MAX);
        for (size_t k = 0; k < values; k++)
            value[k] = reader_double(reader);
        assert_int_equal(schedule_set(schedule, name, values, value, NULL), STEPD_OK);
    }
}

static void read_parts(struct reader *reader, struct schedule *schedule)
{
    reader_expect(reader, "parts");
    const size_t parts = reader_count(reader, SCHEDULE_PARTS_MAX);
    for (size_t i = 0; i < parts; i++) {
        struct schedule part;
        assert_int_equal(schedule_init(reader_word(reader), &part, NULL), STEPD_OK);
        read_params(reader, &part);
        assert_int_equal(schedule_add(schedule, &part, NULL), STEPD_OK);
    }
}

static void read_case(struct reader *reader, struct golden *golden)
{
    reader_expect(reader, "case");
    golden->name = reader_word(reader);
    assert_int_equal(schedule_init(reader_word(reader), &golden->schedule, NULL), STEPD_OK);
    reader_expect(reader, "lr");
    golden->lr = reader_double(reader);
    read_params(reader, &golden->schedule);
    read_parts(reader, &golden->schedule);
    assert_int_equal(schedule_check(&golden->schedule, NULL), STEPD_OK);
    reader_expect(reader, "losses");
    golden->losses = reader_count(reader, LOSSES_MOST);
    for (size_t i = 0; i < golden->losses; i++)
        golden->loss[i] = reader_double(reader);
}

/* The values at all steps, each after the losses of those before it. */
static size_t run(const struct golden *golden, size_t steps, struct schedule_value *ret_value)
{
    const struct schedule_value base = {.lr = golden->lr, .momentum = 0.5};
    struct schedule_state state = {.seen = false};
    for (size_t step = 0; step < steps; step++) {
        ret_value[step] = schedule_at(&golden->schedule, base, step, &state);
        if (golden->losses > 0)
            schedule_observe(&golden->schedule, &state, golden->loss[step]);
    }
    return steps;
}

static double compare(struct reader *reader, const struct golden *golden, size_t steps,
                      const struct schedule_value *value)
{
    double most = 0.0;
    for (size_t step = 0; step < steps; step++) {
        const double right = reader_double(reader);
        const double off = fabs(value[step].lr - right) / golden->lr;
        if (off > 1e-14 * (double)(step + 1))
            fail_msg("%s, step %zu: %.17g, torch has %.17g", golden->name, step, value[step].lr,
                     right);
        most = fmax(most, off);
    }
    return most;
}

/* Torch's optimizer has a momentum of 0.5, which only some schedules cycle. */
static void compare_momenta(struct reader *reader, const struct golden *golden,
                            const struct schedule_value *value)
{
    reader_expect(reader, "momenta");
    const size_t steps = reader_count(reader, STEPS_MOST);
    for (size_t step = 0; step < steps; step++) {
        const double right = reader_double(reader);
        const double got = value[step].cycled ? value[step].momentum : 0.5;
        if (fabs(got - right) > 1e-14)
            fail_msg("%s, step %zu: momentum %.17g, torch has %.17g", golden->name, step, got,
                     right);
    }
}

static void schedules__each_case__are_those_of_torch(void **state)
{
    (void)state;
    static struct schedule_value value[STEPS_MOST];
    struct reader reader;
    reader_init(&reader, GOLDEN_VECTORS "/schedules.txt");
    size_t cases = 0;
    for (; reader_more(&reader); cases++) {
        struct golden golden;
        read_case(&reader, &golden);
        reader_expect(&reader, "rates");
        const size_t steps = run(&golden, reader_count(&reader, STEPS_MOST), value);
        print_message("%s: at most %.1e of the base rate\n", golden.name,
                      compare(&reader, &golden, steps, value));
        compare_momenta(&reader, &golden, value);
        schedule_deinit(&golden.schedule);
    }
    reader_deinit(&reader);
    assert_int_equal(cases, 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules__each_case__are_those_of_torch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
