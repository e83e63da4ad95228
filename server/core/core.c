/* SPDX-License-Identifier: Apache-2.0
 *
 * Birth and death of a core and its connections, and the passing of time. What a message does is
 * in dispatch.c and the handlers; what control says is in orders.c.
 */
#include "server/core/core.h"

#include <assert.h>
#include <stdlib.h>

#include "server/core/core_internal.h"
#include "server/core/snapshot.h"

enum stepd_status core_create(const struct core_options *options, const struct core_io *io,
                              struct core **ret_core)
{
    struct core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    core->options = *options;
    if (options->requests_max == 0)
        core->options.requests_max = CORE_REQUESTS_MAX;
    core->io = *io;
    *ret_core = core;
    return STEPD_OK;
}

struct core *core_destroy(struct core *core)
{
    if (core == NULL)
        return NULL;
    const struct stepd_error none = {.code = STEPD_OK};
    while (core->sessions != NULL)
        session_remove(core, core->sessions, &none);
    while (core->jobs != NULL)
        job_free(core, core->jobs);
    free(core->sum.floats);
    free(core->scratch.floats);
    free(core->room.slice);
    free(core->room.outcome);
    free(core->room.version);
    free(core->room.place);
    free(core->room.piece);
    free(core);
    return NULL;
}

struct core_conn *core_open(struct core *core, void *peer, uint64_t now_ms)
{
    core->now_ms = now_ms;
    struct core_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return NULL;
    *conn = (struct core_conn){
        .core = core,
        .peer = peer,
        .frame_max_bytes = core->options.frame_max_bytes,
        .next = core->conns,
    };
    if (core->conns != NULL)
        core->conns->prev = conn;
    core->conns = conn;
    return conn;
}

/* A member that has left and hangs up sends nothing more: rounds need not wait for what it owed. */
static void end_membership(struct core *core, const struct session *session)
{
    struct core_job *job = job_find(core, session->job_name);
    if (job == NULL || session->observer)
        return;
    members_gone(&job->members, session->rank);
    job_try(core, job);
}

/* Everything that hangs on a connection goes with it; what had counted stays. */
static void conn_forget(struct core_conn *conn)
{
    receive_abort(conn);
    shared_forget(conn);
    while (conn->requests != NULL)
        request_destroy(conn->requests);
    if (conn->session != NULL) {
        conn->session->conn = NULL;
        end_membership(conn->core, conn->session);
    }
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        conn->core->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    free(conn);
}

void core_close(struct core_conn *conn, uint64_t now_ms)
{
    struct core *core = conn->core;
    core->now_ms = now_ms;
    conn_forget(conn);
    dispatch_flush(core);
}

void conn_hang_up(struct core_conn *conn)
{
    const struct core_io *io = &conn->core->io;
    void *peer = conn->peer;
    if (io->give_way != NULL)
        io->give_way(io->owner, peer); /* before conn_forget, which tries rounds again */
    conn_forget(conn);
    io->hang_up(io->owner, peer);
}

void core_release(struct core *core, struct weights *weights, uint64_t now_ms)
{
    core->now_ms = now_ms;
    static_assert(offsetof(struct core_slice, slice) == 0, "weights know the core's slice by it");
    struct core_slice *slice = weights->slice;
    struct core_job *job = slice->job;
    weights_unref(weights);
    room_trim(core, slice);
    job->pieces--;
    if (job->closing) {
        if (job->pieces == 0)
            job_free(core, job);
        return;
    }
    if (slice->blocked) {
        update_try(core, slice);
        dispatch_flush(core);
    }
}

bool core_owes(const struct core *core)
{
    return snapshot_owes(core);
}

bool core_on_idle(struct core *core)
{
    return snapshot_on_idle(core);
}
