/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a slowed worker sleeps, by a clock that is made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/train/pace.h"

static double seconds;  /* what the clock shows */
static double busy;     /* what the processor's shows */
static double slept;    /* what was asked for, in all */
static double too_long; /* every sleep takes so much longer */
static unsigned looks;  /* at a clock */

static double now(void)
{
    looks++;
    return seconds;
}

static double busy_now(void)
{
    looks++;
    return busy;
}

static void sleep_for(double duration)
{
    assert_true(duration > 0);
    slept += duration;
    seconds += duration + too_long;
}

static const struct pace_clock made_up = {.now = now, .busy = busy_now, .sleep = sleep_for};

static int setup(void **state)
{
    (void)state;
    seconds = 100;
    busy = 10;
    slept = 0;
    too_long = 0;
    looks = 0;
    return 0;
}

static void work(struct pace *pace, double duration)
{
    pace_begin(pace);
    busy += duration;
    seconds += 3 * duration; /* others were at work as well */
    pace_end(pace);
}

static void pace__five_times_slower__sleeps_four_times_as_long_as_it_worked(void **state)
{
    struct pace pace = {.clock = &made_up, .factor = 5};
    (void)state;
    work(&pace, 2);
    assert_true(slept == 8);
    busy += 1000; /* between the pieces */
    work(&pace, 0.5);
    assert_true(slept == 10);
}

static void pace__sleep_that_takes_too_long__is_taken_off_the_next(void **state)
{
    struct pace pace = {.clock = &made_up, .factor = 3};
    (void)state;
    too_long = 1;
    work(&pace, 2);
    assert_true(slept == 4);
    work(&pace, 2);
    assert_true(slept == 4 + 3);
    work(&pace, 0.25); /* not as much as it has slept too long */
    assert_true(slept == 4 + 3);
    assert_true(pace.owed == -0.5);
}

static void pace__no_slowness__leaves_the_clock_alone(void **state)
{
    (void)state;
    for (uint32_t factor = 0; factor <= 1; factor++) {
        struct pace pace = {.clock = &made_up, .factor = factor};
        work(&pace, 2);
    }
    assert_true(slept == 0);
    assert_int_equal(looks, 0);
}

static void pace_clock_real__sleep__takes_as_long_as_it_was_told(void **state)
{
    (void)state;
    const double began = pace_clock_real.now();
    pace_clock_real.sleep(0.002);
    assert_true(pace_clock_real.now() - began >= 0.002);
}

static void pace_clock_real__work__keeps_the_processor_busy(void **state)
{
    (void)state;
    const double began = pace_clock_real.busy();
    while (pace_clock_real.busy() - began < 0.001)
        ;
    const double worked = pace_clock_real.busy();
    pace_clock_real.sleep(0.01);
    assert_true(pace_clock_real.busy() - worked < 0.009); /* a sleep does not */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(pace__five_times_slower__sleeps_four_times_as_long_as_it_worked,
                               setup),
        cmocka_unit_test_setup(pace__sleep_that_takes_too_long__is_taken_off_the_next, setup),
        cmocka_unit_test_setup(pace__no_slowness__leaves_the_clock_alone, setup),
        cmocka_unit_test(pace_clock_real__sleep__takes_as_long_as_it_was_told),
        cmocka_unit_test(pace_clock_real__work__keeps_the_processor_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
