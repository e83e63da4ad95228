/* SPDX-License-Identifier: Apache-2.0
 *
 * A member daemon between its Join and Joined. Control's daemon says each second that it waits for
 * others; one that says nothing at all is given up, and dialled again.
 */
#include "proto/error.h"
#include "server/net/deputy_internal.h"

/* Control's daemon waits for others. */
void deputy_on_waits(void *owner, struct peer_conn *conn)
{
    struct deputy *const deputy = owner;
    if (deputy->conn != conn)
        return;
    const uint64_t now_ms = uv_now(deputy->options.uv);
    deputy->heard_ms = now_ms;
    if (deputy->waits && now_ms < deputy->log_ms)
        return;
    deputy->waits = true;
    deputy->trouble.code = STEPD_OK;
    deputy->log_ms = now_ms + DEPUTY_LOG_AGAIN_MS;
    log_event(deputy->options.log, LOG_INFO, "waits_for_daemons", "control=%s",
              deputy->options.control);
}

bool deputy_waits(const struct deputy *deputy, char *text, size_t size)
{
    const char *const control = deputy->options.control;
    if (deputy->state == DEPUTY_JOINED)
        return false;
    if (deputy->waits)
        (void)stepd_format(text, size, "waits with %s for other daemons", control);
    else if (deputy->trouble.code != STEPD_OK)
        (void)stepd_format(text, size, "has not joined %s: %s", control, deputy->trouble.text);
    else
        (void)stepd_format(text, size, "joins %s", control);
    return true;
}

size_t deputy_list(const struct deputy *deputy, struct stepd_daemon_status *daemon, size_t room)
{
    const struct deputy_options *const options = &deputy->options;
    const bool joined = deputy->state == DEPUTY_JOINED;
    const bool heard = joined || deputy->waits; /* of the first, which waits for others */
    const enum stepd_daemon_state state = heard ? STEPD_DAEMON_JOINED : STEPD_DAEMON_MISSING;
    const struct stepd_daemon_status known[] = {
        {.place = 0, .address = options->control, .state = state},
        {.place = options->place,
         .address = options->address,
         .state = state,
         .first_shard = joined ? deputy->first + 1 : 0,
         .shards = options->shards},
    };
    const size_t count = sizeof known / sizeof known[0];
    for (size_t i = 0; i < count && i < room; i++)
        daemon[i] = known[i];
    return count;
}

/* It says nothing at all. */
void deputy_tick_joining(struct deputy *deputy, uint64_t now_ms)
{
    struct peer_conn *const conn = deputy->conn;
    struct stepd_error why;
    if (deputy->state != DEPUTY_JOINING || conn == NULL ||
        now_ms - deputy->heard_ms < PEER_SILENT_MS_DEFAULT)
        return;
    (void)stepd_fail(&why, STEPD_DEADLINE_EXCEEDED,
                     "it accepts the connection and has not answered for %u ms: it hangs, is no "
                     "stepd, or has no room (connections_max)",
                     PEER_SILENT_MS_DEFAULT);
    deputy_note_trouble(deputy, &why);
    peer_conn_end(conn, NULL);
    deputy_rest(deputy);
}

void deputy_show(struct deputy *deputy)
{
    struct peer_conn *const conn = deputy->conn;
    deputy->rest_ms = DEPUTY_REST_FIRST_MS;
    if (deputy->state == DEPUTY_RESTING)
        deputy->next_ms = uv_now(deputy->options.uv);
    if (conn == NULL || (deputy->state != DEPUTY_JOINING && deputy->state != DEPUTY_JOINED))
        return;
    deputy_rest(deputy);
    peer_conn_end(conn, NULL);
}
