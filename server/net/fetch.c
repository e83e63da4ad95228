/* SPDX-License-Identifier: Apache-2.0
 *
 * First weights that come from elsewhere than a job's definition, brought by one of libuv's own
 * threads: control has other jobs, and must not wait for a disk.
 *
 *     server_fetch   on the loop's thread: control asks
 *     bring          on another one
 *     on_brought     on the loop's again: control is told, unless the server ends
 *
 * Such work keeps the loop running until it is done or has seen that the server ends.
 */
#include <stdlib.h>

#include "server/model/first_weights.h"
#include "server/model/job.h"
#include "server/net/server_internal.h"

struct fetch {
    uv_work_t work;
    struct server *server; /* borrowed */
    struct job *job;       /* a reference */
    uint64_t attempt;
    struct first_weights *first; /* a reference; NULL: see error */
    struct stepd_error error;
};

static void bring(uv_work_t *work)
{
    struct fetch *const fetch = work->data;
    const struct server_options *const options = &fetch->server->options;
    fetch->error.code = options->fetch(options->owner, fetch->job, &fetch->server->ending,
                                       &fetch->first, &fetch->error);
}

static void on_brought(uv_work_t *work, int status)
{
    struct fetch *const fetch = work->data;
    struct server *const server = fetch->server;
    (void)status; /* nothing is cancelled */
    const struct control_fetched got = {
        .job_name = fetch->job->name,
        .attempt = fetch->attempt,
        .error = fetch->error,
        .first = fetch->first,
    };
    if (!atomic_load(&server->ending))
        control_fetched(control_host_control(server->control), &got, uv_now(&server->uv));
    (void)first_weights_unref(fetch->first);
    (void)job_unref(fetch->job);
    free(fetch);
}

enum stepd_status server_fetch(void *owner, struct job *job, uint64_t attempt, bool *ret_fetching)
{
    struct server *const server = owner;
    if (!server->options.is_initialized(server->options.owner, job->name))
        return STEPD_OK;
    struct fetch *const fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    *fetch = (struct fetch){.server = server, .job = job_ref(job), .attempt = attempt};
    fetch->work.data = fetch;
    (void)uv_queue_work(&server->uv, &fetch->work, bring, on_brought); /* fails without a work_cb */
    *ret_fetching = true;
    return STEPD_OK;
}
