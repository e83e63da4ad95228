/* SPDX-License-Identifier: Apache-2.0 */
#include "server/base/log_limit.h"

#include <inttypes.h>

bool log_limit_allows(struct log_limit *limit, uint64_t now_ms)
{
    if (limit->until_ms == 0)
        limit->until_ms = now_ms + LOG_LIMIT_MS;
    if (limit->lines < LOG_LIMIT_LINES) {
        limit->lines++;
        return true;
    }
    limit->left_out++;
    return false;
}

void log_limit_tick(struct log_limit *limit, const struct log *log, uint64_t now_ms)
{
    if (limit->until_ms == 0 || now_ms < limit->until_ms)
        return;
    if (limit->left_out > 0)
        log_event(log, LOG_WARN, "lines_left_out", "of=%s count=%" PRIu64 " seconds=%u",
                  limit->event, limit->left_out, LOG_LIMIT_MS / 1000);
    limit->until_ms = 0;
    limit->lines = 0;
    limit->left_out = 0;
}
