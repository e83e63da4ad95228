/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the shards of several daemons serve the jobs, control has a reign over them: it begins when
 * all have come, and ends when one of them is lost, since what its shards had is gone. Control
 * forgets everything then, as if it had ended itself, and whoever owns it brings the jobs back into
 * the next reign as it does at a start. Workers meet it as a server that was started again.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/control/jobs.h"
#include "server/control/query.h"
#include "server/control/sessions.h"
#include "server/control/snapshot.h"
#include "server/control/waits.h"

void control_gather(struct control *control, const char *missing)
{
    control->missing = missing;
}

void control_stand_aside(struct control *control, uint32_t place, const char *where)
{
    control->place = place;
    control->missing = where;
}

enum stepd_status control_take_shards(struct control *control, uint32_t shards,
                                      const char *const *address)
{
    assert(control->first_job == NULL);
    struct order **const order = calloc(shards, sizeof(struct order *));
    const char **const addresses = calloc(shards, sizeof(const char *));
    if (order == NULL || addresses == NULL) {
        free(order);
        free(addresses);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    for (uint32_t shard = 0; shard < shards; shard++)
        addresses[shard] = address[shard];
    free(control->order);
    free(control->shard_address);
    control->order = order;
    control->shard_address = addresses;
    control->options.shards = shards;
    control->options.memory_max_bytes =
        control->memory_each <= UINT64_MAX / shards ? control->memory_each * shards : UINT64_MAX;
    return STEPD_OK;
}

void control_forget_all(struct control *control)
{
    assert(control->conns == 0 && control->first_wait == NULL);
    control_query_destroy_all(control);
    control_snapshot_destroy_all(control);
    while (control->first_session != NULL)
        control_session_free(control, control->first_session);
    while (control->first_job != NULL) {
        struct control_job *job = control->first_job;
        control->first_job = job->next;
        (void)control_job_destroy(job);
    }
    control->jobs = 0;
    control->ends = false;
}

void control_settled(struct control *control, uint64_t now_ms)
{
    control->now_ms = now_ms;
    control_waits_release(control);
}

struct job *control_sealed_job(const struct control *control, const char *name)
{
    const struct control_job *const job = control_job_find(control, name);
    return job == NULL ? NULL : job->job;
}
