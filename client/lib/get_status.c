/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking what goes on, as JSON text. The answer may come in several frames, and a job whose members
 * fill several of them comes in each, with the next members: so these stand last in a job, and one
 * is ended only when the next begins.
 */
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/client.h"
#include "client/lib/core/json.h"
#include "proto/error.h"
#include "proto/mode.h"

struct answer {
    struct stepd_json json;
    bool begun;
    bool in_job;
    bool jobs_ended;
    char job[STEPD_NAME_MAX_BYTES + 1]; /* the one that is open */
};

/* ---- Members --------------------------------------------------------------------------------- */

static const char *member_state(enum stepd_member_state state)
{
    switch (state) {
    case STEPD_MEMBER_PRESENT: return "present";
    case STEPD_MEMBER_LOST: return "lost";
    case STEPD_MEMBER_LEFT: return "left";
    case STEPD_MEMBER_JOINING: return "joining";
    case STEPD_MEMBER_GIVEN_UP: return "given_up";
    }
    return "unknown";
}

static void write_member(struct stepd_json *json, const struct stepd_member_status *member)
{
    const bool ended = member->state == STEPD_MEMBER_LEFT || member->state == STEPD_MEMBER_GIVEN_UP;
    stepd_json_open(json, NULL, '{');
    stepd_json_integer(json, "rank", member->rank);
    stepd_json_string(json, "worker", member->worker);
    stepd_json_string(json, "state", member_state(member->state));
    stepd_json_integer(json, "clock", member->clock);
    stepd_json_integer(json, "silent_ms", member->silent_ms);
    stepd_json_real(json, "loss", member->loss);
    stepd_json_integer(json, "examples", member->examples);
    stepd_json_integer(json, "from", member->from);
    /* The first version that it is no member for; null as long as it is one. */
    if (ended)
        stepd_json_integer(json, "until", member->until);
    else
        stepd_json_null(json, "until");
    stepd_json_string(json, "barrier", member->barrier);
    stepd_json_close(json, '}');
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static const char *job_state(enum stepd_job_state state)
{
    switch (state) {
    case STEPD_JOB_CREATED: return "created";
    case STEPD_JOB_DEFINED: return "defined";
    case STEPD_JOB_RUNNING: return "running";
    case STEPD_JOB_FINISHED: return "finished";
    case STEPD_JOB_FAILED: return "failed";
    }
    return "unknown";
}

static void write_memory(struct stepd_json *json, const struct stepd_memory_plan *memory)
{
    stepd_json_open(json, "memory", '{');
    stepd_json_integer(json, "weights", memory->weights);
    stepd_json_integer(json, "second_version", memory->second_version);
    stepd_json_integer(json, "views", memory->views);
    stepd_json_integer(json, "slots", memory->slots);
    stepd_json_integer(json, "sums", memory->sums);
    stepd_json_integer(json, "staging", memory->staging);
    stepd_json_integer(json, "backups", memory->backups);
    stepd_json_integer(json, "spare", memory->spare);
    stepd_json_close(json, '}');
}

static void write_checkpoint(struct stepd_json *json, const struct stepd_checkpoint_status *newest)
{
    if (newest->name[0] == '\0') {
        stepd_json_null(json, "checkpoint");
    } else {
        stepd_json_open(json, "checkpoint", '{');
        stepd_json_string(json, "name", newest->name);
        stepd_json_integer(json, "step", newest->step);
        stepd_json_integer(json, "bytes", newest->bytes);
        stepd_json_integer(json, "age_ms", newest->age_ms);
        stepd_json_close(json, '}');
    }
    stepd_json_string(json, "checkpoint_failure", newest->failure);
}

static void write_job(struct stepd_json *json, const struct stepd_job_status *job)
{
    stepd_json_string(json, "name", job->name);
    stepd_json_string(json, "state", job_state(job->state));
    stepd_json_string(json, "failure", job->failure);
    stepd_json_string(json, "mode", stepd_mode_name(job->mode));
    stepd_json_integer(json, "incarnation", job->incarnation);
    stepd_json_integer(json, "workers_min", job->workers_min);
    stepd_json_integer(json, "workers", job->workers);
    stepd_json_integer(json, "tensors", job->tensors);
    stepd_json_integer(json, "elements", job->elements);
    stepd_json_integer(json, "slices", job->slices);
    stepd_json_integer(json, "version_min", job->version_min);
    stepd_json_integer(json, "version_max", job->version_max);
    stepd_json_integer(json, "memory_bytes", job->memory_bytes);
    write_memory(json, &job->memory);
    stepd_json_integer(json, "parked", job->parked);
    stepd_json_open(json, "waited_for", '[');
    for (size_t i = 0; i < job->waited_for.count; i++)
        stepd_json_integer(json, NULL, job->waited_for.at[i]);
    stepd_json_close(json, ']');
    stepd_json_integer(json, "changes", job->changes);
    write_checkpoint(json, &job->checkpoint);
    stepd_json_string(json, "first_weights", job->first_weights);
}

/* ---- Daemons --------------------------------------------------------------------------------- */

static const char *daemon_state(enum stepd_daemon_state state)
{
    switch (state) {
    case STEPD_DAEMON_MISSING: return "missing";
    case STEPD_DAEMON_JOINED: return "joined";
    case STEPD_DAEMON_AWAY: return "away";
    case STEPD_DAEMON_LEAVING: return "leaving";
    }
    return "unknown";
}

static void write_daemon(struct stepd_json *json, const struct stepd_daemon_status *daemon)
{
    stepd_json_open(json, NULL, '{');
    stepd_json_integer(json, "place", daemon->place);
    stepd_json_string(json, "address", daemon->address);
    stepd_json_string(json, "state", daemon_state(daemon->state));
    stepd_json_integer(json, "first_shard", daemon->first_shard);
    stepd_json_integer(json, "shards", daemon->shards);
    stepd_json_integer(json, "silent_ms", daemon->silent_ms);
    stepd_json_real(json, "clock_ahead_ms", daemon->clock_ms);
    stepd_json_close(json, '}');
}

/* ---- The answer ------------------------------------------------------------------------------ */

static void end_job(struct answer *answer)
{
    if (!answer->in_job)
        return;
    stepd_json_close(&answer->json, ']');
    stepd_json_close(&answer->json, '}');
    answer->in_job = false;
}

static void take_job(struct answer *answer, const struct stepd_job_status *job)
{
    if (!answer->in_job || strcmp(answer->job, job->name) != 0) {
        end_job(answer);
        stepd_json_open(&answer->json, NULL, '{');
        write_job(&answer->json, job);
        stepd_json_open(&answer->json, "members", '[');
        answer->in_job = true;
        (void)stepd_format(answer->job, sizeof answer->job, "%s", job->name);
    }
    for (size_t i = 0; i < job->members; i++)
        write_member(&answer->json, &job->member[i]);
}

static void end_jobs(struct answer *answer)
{
    if (answer->jobs_ended)
        return;
    end_job(answer);
    stepd_json_close(&answer->json, ']');
    answer->jobs_ended = true;
}

/* They come with the last frame; an older server tells none. */
static void take_limits(struct answer *answer, const struct stepd_server_status *status)
{
    struct stepd_json *const json = &answer->json;
    if (status->limits == 0)
        return;
    end_jobs(answer);
    stepd_json_open(json, "limits", '[');
    for (size_t i = 0; i < status->limits; i++) {
        const struct stepd_limit_status *const limit = &status->limit[i];
        stepd_json_open(json, NULL, '{');
        stepd_json_string(json, "name", limit->name);
        stepd_json_integer(json, "used", limit->used);
        stepd_json_integer(json, "max", limit->max);
        stepd_json_integer(json, "refused", limit->refused);
        stepd_json_close(json, '}');
    }
    stepd_json_close(json, ']');
}

static enum stepd_status on_reply(void *user, const struct stepd_message *reply,
                                  struct stepd_error *reterr)
{
    struct answer *const answer = user;
    const struct stepd_server_status *const status = &reply->body.status;
    if (!answer->begun) {
        stepd_json_open(&answer->json, NULL, '{');
        stepd_json_string(&answer->json, "server_version", status->server_version);
        stepd_json_integer(&answer->json, "uptime_ms", status->uptime_ms);
        stepd_json_integer(&answer->json, "place", status->place);
        stepd_json_open(&answer->json, "daemons", '[');
        for (size_t i = 0; i < status->daemons; i++)
            write_daemon(&answer->json, &status->daemon[i]);
        stepd_json_close(&answer->json, ']');
        stepd_json_string(&answer->json, "jobs_unknown", status->jobs_unknown);
        stepd_json_open(&answer->json, "jobs", '[');
        answer->begun = true;
    }
    for (size_t i = 0; i < status->jobs; i++)
        take_job(answer, &status->job[i]);
    if (status->last)
        take_limits(answer, status);
    (void)reterr;
    return STEPD_OK;
}

static void on_again(void *user)
{
    struct answer *const answer = user;
    stepd_json_drop(&answer->json);
    *answer = (struct answer){.begun = false};
}

enum stepd_status stepd_get_status(struct stepd_client *client, const char *job,
                                   uint32_t timeout_ms, char **ret_json, struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_GET_STATUS,
        .body.get_status = {.job = job == NULL ? "" : job},
    };
    struct answer answer = {.begun = false};
    const struct stepd_call_options options = {
        .wait_ms = timeout_ms,
        .on_reply = on_reply,
        .on_again = on_again,
        .user = &answer,
    };
    const enum stepd_status status = stepd_call_with(client, &message, &options, reterr);
    if (status != STEPD_OK) {
        stepd_json_drop(&answer.json);
        return status;
    }
    end_jobs(&answer);
    stepd_json_close(&answer.json, '}');
    char *const text = stepd_json_take(&answer.json);
    if (text == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the answer");
    *ret_json = text;
    return STEPD_OK;
}
