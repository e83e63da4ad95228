/* SPDX-License-Identifier: Apache-2.0
 *
 * Busy polling: a loop that looks for work a little longer before it sleeps. What a small step over
 * loopback costs is mostly the waking up of both sides; who owns the core can have it cheaper.
 */
#ifndef NET_BUSY_POLL_H
#define NET_BUSY_POLL_H

#include <stdint.h>
#include <uv.h>

/*
 * Runs a loop until nothing is open on it. Whenever it has woken up it goes on looking, without
 * sleep, until for `idle_us` microseconds *events has not changed, which the loop's callbacks count
 * up with each thing that was worth waking for. idle_us 0: it sleeps at once, as uv_run does. On
 * the loop's thread.
 */
void busy_poll_run(uv_loop_t *loop, uint32_t idle_us, const uint64_t *events);

#endif
