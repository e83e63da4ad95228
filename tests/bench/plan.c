/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/plan.h"

#include "client/lib/call.h"

#define ANSWER_MS 10000u

static enum stepd_status on_status(void *user, const struct stepd_message *reply,
                                   struct stepd_error *reterr)
{
    (void)reterr;
    uint64_t *const planned_bytes = user;
    for (size_t i = 0; i < reply->body.status.jobs; i++)
        *planned_bytes = reply->body.status.job[i].memory_bytes;
    return STEPD_OK;
}

enum stepd_status plan_ask(struct stepd_client *client, const char *job, uint64_t *ret_bytes,
                           struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_GET_STATUS,
        .body.get_status = {.job = job},
    };
    return stepd_call_within(client, &message, ANSWER_MS, on_status, ret_bytes, reterr);
}
