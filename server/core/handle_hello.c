/* SPDX-License-Identifier: Apache-2.0
 *
 * Hello on a shard: the connection takes the place of the session's older one, which is closed,
 * and its staging dropped, before the Welcome goes out.
 */
#include <inttypes.h>

#include "proto/error.h"
#include "server/core/core_internal.h"

static enum stepd_status check(const struct core *core, const struct stepd_message *message,
                               struct stepd_error *reterr)
{
    const struct stepd_hello *hello = &message->body.hello;
    if (message->kind != STEPD_MESSAGE_HELLO)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the first message of a connection must be hello, not %s",
                          stepd_message_name(message->kind));
    if (hello->protocol != STEPD_PROTOCOL_VERSION)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "you speak protocol version %u, this server speaks %u", hello->protocol,
                          STEPD_PROTOCOL_VERSION);
    if (hello->shard != core->options.shard + 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "this is shard %u, not %u",
                          core->options.shard + 1, hello->shard);
    if (hello->session.count != STEPD_SESSION_BYTES)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "a shard needs the session of control's Welcome; say Hello with shard 0 "
                          "first");
    if (hello->max_frame_bytes != 0 && hello->max_frame_bytes < STEPD_FRAME_LEAST_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "max_frame_bytes is %u; it must be at least %u, or 0 for the default",
                          hello->max_frame_bytes, STEPD_FRAME_LEAST_BYTES);
    return STEPD_OK;
}

static void welcome(struct core_conn *conn, uint64_t request_id, bool shares_memory)
{
    const struct core *core = conn->core;
    const struct session *session = conn->session;
    struct core_job *job = job_find(core, session->job_name);
    struct stepd_message reply = {
        .request_id = request_id,
        .kind = STEPD_MESSAGE_WELCOME,
        .body.welcome =
            {
                .session = {.count = STEPD_SESSION_BYTES, .at = session->id},
                .epoch = session->epoch,
                .rank = session->rank,
                .world = job == NULL ? 0 : job->job->workers,
                .incarnation = job == NULL ? 0 : job->job->incarnation,
                .clock = job == NULL ? 0 : job_clock(job, session->rank),
                .max_frame_bytes = core->options.frame_max_bytes,
            },
    };
    if (shares_memory)
        shared_lend(conn, job, &reply.body.welcome);
    core->io.reply(core->io.owner, conn->peer, &reply, NULL, 0);
}

enum stepd_status handle_hello(struct core_conn *conn, const struct stepd_message *message,
                               uint64_t payload_bytes, struct stepd_error *reterr)
{
    struct core *core = conn->core;
    const enum stepd_status status = check(core, message, reterr);
    if (status != STEPD_OK)
        return status;
    if (payload_bytes > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a hello has no payload, and this one has %" PRIu64 " bytes",
                          payload_bytes);
    const struct stepd_hello *hello = &message->body.hello;
    struct session *session = session_find(core, hello->session.at);
    if (session == NULL)
        return stepd_fail(reterr, STEPD_NOT_FOUND,
                          "the session is not known; say Hello with shard 0 and no session");
    if (session->conn != NULL)
        conn_hang_up(session->conn);
    session->conn = conn;
    session_heard(core, session);
    conn->session = session;
    session_give_way(session);
    if (hello->max_frame_bytes != 0 && hello->max_frame_bytes < conn->frame_max_bytes)
        conn->frame_max_bytes = hello->max_frame_bytes;
    welcome(conn, message->request_id, hello->shares_memory);
    return STEPD_OK;
}
