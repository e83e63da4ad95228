/* SPDX-License-Identifier: Apache-2.0
 *
 * Which state the time goes to, by a made-up clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/train/meter.h"

static double now;
static double busy;

static double made_up_now(void)
{
    return now;
}

static double made_up_busy(void)
{
    return busy;
}

static const struct pace_clock made_up = {.now = made_up_now, .busy = made_up_busy};

static void meter__each_state__has_its_own_time(void **state)
{
    (void)state;
    now = 100;
    busy = 7;
    struct meter meter = meter_start(&made_up);
    assert_int_equal(meter_enter(&meter, METER_COMPUTING), METER_OTHER);
    for (int i = 0; i < 3; i++) {
        now += 5;
        busy += 4;
        assert_int_equal(meter_enter(&meter, METER_WAITING), METER_COMPUTING);
        now += 2;
        busy += 0.5;
        assert_int_equal(meter_enter(&meter, METER_COMPUTING), METER_WAITING);
    }
    assert_true(meter.seconds[METER_COMPUTING] == 15 && meter.busy[METER_COMPUTING] == 12);
    assert_true(meter.seconds[METER_WAITING] == 6 && meter.busy[METER_WAITING] == 1.5);
    assert_true(meter.seconds[METER_OTHER] == 0 && meter.busy[METER_OTHER] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meter__each_state__has_its_own_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
