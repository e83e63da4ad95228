/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions are made and removed by control's orders only. A session that is resumed comes again
 * with a higher epoch: its older connection is dropped here and now, with whatever it was in the
 * middle of sending, so nothing old can arrive after something that is resent.
 */
#include <stdlib.h>
#include <string.h>

#include "server/core/core_internal.h"

struct session *session_find(const struct core *core, const uint8_t *id)
{
    struct session *session = core->sessions;
    while (session != NULL && memcmp(session->id, id, STEPD_SESSION_BYTES) != 0)
        session = session->next;
    return session;
}

struct session *session_of_rank(const struct core *core, const char *job_name, uint32_t rank)
{
    struct session *session = core->sessions;
    while (session != NULL &&
           (session->observer || session->rank != rank || strcmp(session->job_name, job_name) != 0))
        session = session->next;
    return session;
}

void session_heard(const struct core *core, struct session *session)
{
    if (session == NULL)
        return;
    session->heard_ms = core->now_ms;
    session->heard = true;
}

static struct session *session_add(struct core *core, struct order *order)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    *session = (struct session){
        .next = core->sessions,
        .job_name = order->job_name,
        .worker = order->worker,
        .rank = order->rank,
        .observer = order->observer,
        .heard_ms = core->now_ms,
    };
    memcpy(session->id, order->session, STEPD_SESSION_BYTES);
    order->job_name = NULL;
    order->worker = NULL;
    core->sessions = session;
    return session;
}

enum stepd_status session_update(struct core *core, struct order *order)
{
    struct session *session = session_find(core, order->session);
    if (session == NULL)
        session = session_add(core, order);
    if (session == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    if (session->conn != NULL)
        conn_hang_up(session->conn);
    session->epoch = order->epoch;
    return STEPD_OK;
}

void session_remove(struct core *core, struct session *session, const struct stepd_error *why)
{
    if (session == NULL)
        return;
    if (session->conn != NULL && why->code != STEPD_OK)
        dispatch_error(session->conn, /* request_id= */ 0, why, (struct stepd_u32s){.count = 0});
    if (session->conn != NULL)
        conn_hang_up(session->conn);
    struct session **at = &core->sessions;
    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    free(session->job_name);
    free(session->worker);
    free(session);
}

void session_fence(struct session *session, const struct stepd_error *why)
{
    session->fenced = *why;
    if (session->conn == NULL)
        return;
    session_give_way(session);
    requests_fail(session->conn, /* job= */ NULL, why);
}

void session_give_way(const struct session *session)
{
    const struct core_io *io = &session->conn->core->io;
    const bool awaited = !session->observer && session->fenced.code == STEPD_OK;
    if (!awaited && io->give_way != NULL)
        io->give_way(io->owner, session->conn->peer);
}
