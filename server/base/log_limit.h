/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines that strangers can make the log write: of each kind the first few in a stretch of time, and
 * at its end one line that says how many were left out. So a flood costs the log a few lines a
 * second, and none of its kinds is hidden by another one.
 *
 * A log_limit is used by one thread. The counters (limit.h) count all of them.
 */
#ifndef BASE_LOG_LIMIT_H
#define BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/log.h"

#define LOG_LIMIT_LINES 10u    /* of a kind ... */
#define LOG_LIMIT_MS    10000u /* ... in so much time */

struct log_limit {
    const char *event; /* borrowed; the kind */
    uint64_t until_ms; /* of the stretch that has begun; 0: none has */
    uint32_t lines;    /* in it */
    uint64_t left_out;
};

/* May a line of this kind be written now? Counts it. */
bool log_limit_allows(struct log_limit *limit, uint64_t now_ms);

/* Says what was left out, when the stretch is over. Every 100 ms or so. log may be NULL. */
void log_limit_tick(struct log_limit *limit, const struct log *log, uint64_t now_ms);

#endif
