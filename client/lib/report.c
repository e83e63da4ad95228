/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker says to control while it trains, and what it may ask about its tensors.
 */
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/client.h"
#include "proto/error.h"

enum stepd_status stepd_report(struct stepd_client *client, uint64_t step, double loss,
                               uint64_t examples, struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_REPORT,
        .body.report = {.clock = step, .loss = loss, .examples = examples},
    };
    return stepd_call(client, &message, NULL, NULL, reterr);
}

/* The sequence of a barrier: of the one of this name that was left, else the next. */
static uint64_t take_sequence(struct stepd_client *client, const char *name)
{
    struct stepd_left_barrier *const left = &client->left_barrier;
    (void)pthread_mutex_lock(&client->ops_mutex);
    const bool again = left->sequence != 0 && strcmp(left->name, name) == 0;
    const uint64_t sequence = again ? left->sequence : 0;
    if (again)
        left->sequence = 0;
    (void)pthread_mutex_unlock(&client->ops_mutex);
    return again ? sequence : atomic_fetch_add(&client->barriers, 1) + 1;
}

static void leave_barrier(struct stepd_client *client, const struct stepd_barrier_at *barrier)
{
    (void)pthread_mutex_lock(&client->ops_mutex);
    client->left_barrier.sequence = barrier->sequence;
    (void)stepd_format(client->left_barrier.name, sizeof client->left_barrier.name, "%s",
                       barrier->name);
    (void)pthread_mutex_unlock(&client->ops_mutex);
}

/* The incarnation is filled in where it is sent: see question.c. */
enum stepd_status stepd_barrier(struct stepd_client *client, const char *name, uint32_t deadline_ms,
                                struct stepd_error *reterr)
{
    if (!client->brain.self.observer && stepd_client_layout(client) == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the job's tensors are not defined yet; call stepd_define before a "
                          "barrier");
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_BARRIER,
        .body.barrier = {.name = name,
                         .sequence = take_sequence(client, name),
                         .deadline_ms = deadline_ms},
    };
    const enum stepd_status status = stepd_call(client, &message, NULL, NULL, reterr);
    if (status == STEPD_CANCELLED)
        leave_barrier(client, &message.body.barrier);
    return status;
}

/* The clock is filled in by the brain: see question.c. A server that has forgotten the worker
 * (it was acknowledged, and the job is gone) waits for it no more, which is all that Leave is for.
 */
enum stepd_status stepd_leave(struct stepd_client *client, struct stepd_error *reterr)
{
    const struct stepd_message message = {.kind = STEPD_MESSAGE_LEAVE};
    struct stepd_error error;
    const enum stepd_status status = stepd_call(client, &message, NULL, NULL, &error);
    if (status == STEPD_OK || status == STEPD_NOT_FOUND)
        return STEPD_OK;
    return stepd_fail(reterr, status, "%s", error.text);
}

size_t stepd_tensor_count(const struct stepd_client *client)
{
    const struct stepd_layout_table *const layout = stepd_client_layout(client);
    return layout == NULL ? 0 : layout->tensors;
}

enum stepd_status stepd_tensor_at(const struct stepd_client *client, size_t index,
                                  struct stepd_tensor_view *ret_view)
{
    const struct stepd_layout_table *const layout = stepd_client_layout(client);
    if (layout == NULL || index >= layout->tensors)
        return STEPD_OUT_OF_RANGE;
    const struct stepd_tensor_place *const tensor = &layout->tensor[index];
    *ret_view = (struct stepd_tensor_view){
        .name = tensor->name,
        .group = tensor->group,
        .shape = tensor->shape,
        .dims = tensor->dims,
        .elements = tensor->elements,
    };
    return STEPD_OK;
}

enum stepd_status stepd_tensor_find(const struct stepd_client *client, const char *name,
                                    size_t *ret_index)
{
    const struct stepd_layout_table *const layout = stepd_client_layout(client);
    const struct stepd_tensor_place *const tensor =
        layout == NULL ? NULL : stepd_layout_find(layout, name);
    if (tensor == NULL)
        return STEPD_NOT_FOUND;
    *ret_index = (size_t)(tensor - layout->tensor);
    return STEPD_OK;
}
