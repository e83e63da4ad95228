/* SPDX-License-Identifier: Apache-2.0
 *
 * Two clocks are read at each change of state, a dozen times in a step: some microseconds.
 */
#include "client/train/meter.h"

struct meter meter_start(const struct pace_clock *clock)
{
    return (struct meter){
        .clock = clock,
        .state = METER_OTHER,
        .since = clock->now(),
        .since_busy = clock->busy(),
    };
}

enum meter_state meter_enter(struct meter *meter, enum meter_state state)
{
    const enum meter_state before = meter->state;
    const double now = meter->clock->now();
    const double busy = meter->clock->busy();
    meter->seconds[before] += now - meter->since;
    meter->busy[before] += busy - meter->since_busy;
    meter->state = state;
    meter->since = now;
    meter->since_busy = busy;
    return before;
}
