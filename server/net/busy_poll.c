/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/busy_poll.h"

#include <stdbool.h>

#define NS_PER_US 1000u

/* Looks until it has been idle for so long. False: nothing is open on the loop any more. */
static bool look_for_work(uv_loop_t *loop, uint32_t idle_us, const uint64_t *events)
{
    const uint64_t idle_ns = (uint64_t)idle_us * NS_PER_US;
    uint64_t seen = *events;
    uint64_t since_ns = uv_hrtime();
    while (uv_run(loop, UV_RUN_NOWAIT) != 0) {
        const uint64_t now_ns = uv_hrtime();
        if (*events != seen) {
            seen = *events;
            since_ns = now_ns;
        } else if (now_ns - since_ns >= idle_ns) {
            return true;
        }
    }
    return false;
}

void busy_poll_run(uv_loop_t *loop, uint32_t idle_us, const uint64_t *events)
{
    if (idle_us == 0) {
        (void)uv_run(loop, UV_RUN_DEFAULT);
        return;
    }
    while (uv_run(loop, UV_RUN_ONCE) != 0 && look_for_work(loop, idle_us, events))
        continue;
}
