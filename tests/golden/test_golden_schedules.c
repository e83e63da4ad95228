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

#include <cmocka.h>

#include "server/schedule/schedule.h"
#include "tests/golden/reader.h"

#define STEPS_MOST 1000

static void read_schedule(struct reader *reader, struct schedule *schedule, double *ret_lr)
{
    assert_int_equal(schedule_init(reader_word(reader), schedule, NULL), STEPD_OK);
    reader_expect(reader, "lr");
    *ret_lr = reader_double(reader);
    reader_expect(reader, "params");
    const size_t params = reader_count(reader, schedule->kind->params);
    for (size_t i = 0; i < params; i++) {
        const char *const name = reader_word(reader);
        const double value = reader_double(reader);
        assert_int_equal(schedule_set(schedule, name, 1, &value, NULL), STEPD_OK);
    }
    assert_int_equal(schedule_check(schedule, NULL), STEPD_OK);
}

static void compare(struct reader *reader, const char *name, const struct schedule *schedule,
                    double lr)
{
    reader_expect(reader, "rates");
    const size_t steps = reader_count(reader, STEPS_MOST);
    double most = 0.0;
    for (size_t step = 0; step < steps; step++) {
        const double right = reader_double(reader);
        const double got = schedule_lr(schedule, lr, step);
        const double off = fabs(got - right) / lr;
        if (off > 1e-14 * (double)(step + 1))
            fail_msg("%s, step %zu: %.17g, torch has %.17g", name, step, got, right);
        most = fmax(most, off);
    }
    print_message("%s: at most %.1e of the base rate\n", name, most);
}

static void schedules__each_case__are_those_of_torch(void **state)
{
    (void)state;
    struct reader reader;
    reader_init(&reader, GOLDEN_VECTORS "/schedules.txt");
    size_t cases = 0;
    for (; reader_more(&reader); cases++) {
        reader_expect(&reader, "case");
        const char *const name = reader_word(&reader);
        struct schedule schedule;
        double lr = 0.0;
        read_schedule(&reader, &schedule, &lr);
        compare(&reader, name, &schedule, lr);
    }
    reader_deinit(&reader);
    assert_int_equal(cases, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules__each_case__are_those_of_torch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
