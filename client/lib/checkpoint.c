/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking for a checkpoint: one call, which is answered when it is on the disk.
 */
#include "client/lib/call.h"
#include "client/lib/client.h"
#include "proto/error.h"

static enum stepd_status on_written(void *user, const struct stepd_message *reply,
                                    struct stepd_error *reterr)
{
    (void)reterr;
    struct stepd_checkpoint_result *const result = user;
    const struct stepd_checkpoint_written *const written = &reply->body.checkpoint_written;
    result->step = written->step;
    result->bytes = written->bytes;
    (void)stepd_format(result->name, sizeof result->name, "%s", written->name);
    return STEPD_OK;
}

enum stepd_status stepd_checkpoint(struct stepd_client *client, const char *job,
                                   uint32_t deadline_ms, struct stepd_checkpoint_result *ret_result,
                                   struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_CHECKPOINT,
        .body.checkpoint = {.job = job == NULL ? "" : job, .deadline_ms = deadline_ms},
    };
    struct stepd_checkpoint_result result = {.step = 0};
    const enum stepd_status status = stepd_call(client, &message, on_written, &result, reterr);
    if (status == STEPD_OK && ret_result != NULL)
        *ret_result = result;
    return status;
}
