/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing a job that runs: one call, whose answer says what came of it.
 */
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/client.h"
#include "client/lib/core/definition.h"
#include "proto/error.h"

static enum stepd_status on_changes(void *user, const struct stepd_message *reply,
                                    struct stepd_error *reterr)
{
    (void)reterr;
    struct stepd_change_result *const result = user;
    const struct stepd_change_list *const changes = &reply->body.changes;
    for (size_t i = 0; i < changes->records; i++) {
        result->number = changes->record[i].number;
        result->version = changes->record[i].version;
        result->groups++;
    }
    return STEPD_OK;
}

enum stepd_status stepd_change(struct stepd_client *client,
                               const struct stepd_change_options *options,
                               struct stepd_change_result *ret_result, struct stepd_error *reterr)
{
    struct stepd_change_options chosen = STEPD_CHANGE_OPTIONS_INIT;
    memcpy(&chosen, options, options->size < sizeof chosen ? options->size : sizeof chosen);
    struct stepd_message message = {.kind = STEPD_MESSAGE_CHANGE_JOB};
    struct stepd_change_result result = {.number = 0};
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_DEFINITION_MAX_BYTES);
    enum stepd_status status =
        stepd_definition_of_change(&chosen, &arena, &message.body.change_job, reterr);
    if (status == STEPD_OK)
        status = stepd_call(client, &message, on_changes, &result, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK && ret_result != NULL)
        *ret_result = result;
    return status;
}
