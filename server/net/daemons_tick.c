/* SPDX-License-Identifier: Apache-2.0
 *
 * What time does to daemons that have joined: a link that is silent for too long is lost, and so is
 * a daemon that would not be let in any more, because its line was taken off the list of who may
 * come in or has had its time. It is told so, and its Joins are refused from then on.
 */
#include "proto/error.h"
#include "server/net/daemons_internal.h"

/* Daemons that are started together are not started at once. */
#define WAITS_FIRST_MS 5000u
#define WAITS_AGAIN_MS 60000u

/* The link of one daemon. */
static void tick_link(struct daemons *daemons, size_t place, uint64_t now_ms)
{
    struct daemon_link *const at = &daemons->link[place];
    struct stepd_error why = {.code = STEPD_OK};
    const enum peer_due due = peer_link_on_tick(at->link, now_ms, &why);
    if (due == PEER_DUE_CLOSE && at->conn != NULL) {
        struct peer_conn *const conn = at->conn;
        daemons_closed(daemons, conn, &why);
        peer_conn_end(conn, NULL);
    } else if (due == PEER_DUE_LOST || at->broken || peer_link_state(at->link) == PEER_LINK_LOST) {
        if (why.code == STEPD_OK)
            (void)stepd_fail(&why, STEPD_UNAVAILABLE, "its link is broken");
        daemons_lose(daemons, place, &why);
    }
}

/* May it still be there? */
static void tick_login(struct daemons *daemons, size_t place)
{
    const struct daemons_options *const to = &daemons->options;
    struct stepd_error why;
    if (!daemons->roster.line[place].present || to->io.keeps(to->io.owner, place, &why) == STEPD_OK)
        return;
    if (daemons->state == DAEMONS_REIGNING) {
        daemons_lose(daemons, place, &why);
        return;
    }
    log_event(to->log, LOG_INFO, "daemon_gone", "place=%zu", place);
    daemons_drop(daemons, place, &why);
}

/* Who waits for others is told so, or would take control for dead. */
static void say_waits(struct daemons *daemons, uint64_t now_ms)
{
    const struct stepd_message message = {.kind = STEPD_MESSAGE_LETTER, .body.letter = {.seen = 0}};
    if (daemons->state != DAEMONS_GATHERING || now_ms < daemons->say_ms)
        return;
    daemons->say_ms = now_ms + PEER_PING_MS_DEFAULT;
    for (size_t i = 1; i < daemons->options.count; i++) {
        if (daemons->link[i].conn != NULL)
            peer_conn_say(daemons->link[i].conn, &message);
    }
}

/* The log is told as well, again and again: nothing else says why nothing happens. */
static void log_waits(struct daemons *daemons, uint64_t now_ms)
{
    char missing[64];
    if (!daemons_waits(daemons, missing, sizeof missing)) {
        daemons->log_ms = 0;
    } else if (daemons->log_ms == 0) {
        daemons->log_ms = now_ms + WAITS_FIRST_MS;
    } else if (now_ms >= daemons->log_ms) {
        daemons->log_ms = now_ms + WAITS_AGAIN_MS;
        log_event(daemons->options.log, LOG_WARN, "waits_for_daemons",
                  "missing=%s daemons=%zu remedy=%s", missing, daemons->options.count,
                  "start them, all with the same list in the same order: each is one entry of it, "
                  "and the first runs control");
    }
}

void daemons_tick(struct daemons *daemons, uint64_t now_ms)
{
    for (size_t i = 1; i < daemons->options.count && daemons->state == DAEMONS_REIGNING; i++)
        tick_link(daemons, i, now_ms);
    for (size_t i = 1; i < daemons->options.count && daemons->state <= DAEMONS_REIGNING; i++)
        tick_login(daemons, i);
    daemons_begin_if_whole(daemons);
    say_waits(daemons, now_ms);
    log_waits(daemons, now_ms);
    log_limit_tick(&daemons->refused, daemons->options.log, now_ms);
    peer_conns_tick(daemons->conns, now_ms);
}
