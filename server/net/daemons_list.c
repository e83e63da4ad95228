/* SPDX-License-Identifier: Apache-2.0
 *
 * What is said of the daemons to who asks: who is there, and who is missing.
 */
#include "server/net/daemons_internal.h"

const char *daemons_missing(const struct daemons *daemons)
{
    return daemons->roster.missing;
}

bool daemons_waits(const struct daemons *daemons, char *text, size_t size)
{
    roster_list_missing(&daemons->roster, text, size);
    return daemons->state == DAEMONS_GATHERING && !roster_is_whole(&daemons->roster);
}

static enum stepd_daemon_state state_of(const struct daemons *daemons, size_t place)
{
    const struct roster_line *const line = &daemons->roster.line[place];
    if (!line->present)
        return STEPD_DAEMON_MISSING;
    if (line->leaving)
        return STEPD_DAEMON_LEAVING;
    const bool away = place > 0 && daemons->link[place].conn == NULL;
    return away ? STEPD_DAEMON_AWAY : STEPD_DAEMON_JOINED;
}

size_t daemons_list(const struct daemons *daemons, struct stepd_daemon_status *daemon, size_t room)
{
    const size_t count = daemons->options.count < room ? daemons->options.count : room;
    const bool reigns = daemons_reigns(daemons);
    for (size_t i = 0; i < count; i++) {
        const struct roster_line *const line = &daemons->roster.line[i];
        const enum stepd_daemon_state state = state_of(daemons, i);
        daemon[i] = (struct stepd_daemon_status){
            .place = (uint32_t)i,
            .address = line->address,
            .state = state,
            .first_shard = reigns || i == 0 ? line->first + 1 : 0,
            .shards = line->shards,
            .silent_ms = state == STEPD_DAEMON_AWAY
                             ? uv_now(daemons->options.uv) - daemons->link[i].away_ms
                             : 0,
            .clock_ms = (double)line->ahead_ms,
        };
    }
    return daemons->options.count;
}
