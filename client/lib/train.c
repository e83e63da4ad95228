/* SPDX-License-Identifier: Apache-2.0
 *
 * push, pull and step. The caller's thread checks the arrays and makes an operation; the
 * thread that runs the loop works it off, which is the caller's own where it waits at once; then
 * its result is taken.
 */
#include <assert.h>
#include <stdlib.h>

#include "client/lib/client.h"
#include "client/lib/net/clock.h"
#include "client/lib/wait.h"
#include "proto/error.h"

static struct stepd_op *op_of(struct stepd_operation *operation)
{
    return (struct stepd_op *)((char *)operation - offsetof(struct stepd_op, operation));
}

/* In the thread that runs the loop: the operation is over, and the one who waits may free it at
 * once. */
static void on_done(struct stepd_operation *operation)
{
    struct stepd_op *const op = op_of(operation);
    stepd_mailbox_raise(stepd_loop_mailbox(op->client->loop), &op->done);
}

static void deliver(struct stepd_loop *loop, struct stepd_mail *letter)
{
    stepd_brain_start(stepd_loop_brain(loop), &((struct stepd_op *)letter)->operation,
                      stepd_clock_ms());
}

static_assert(offsetof(struct stepd_op, letter) == 0, "a letter is its operation's beginning");

static void enlist(struct stepd_op *op)
{
    struct stepd_client *const client = op->client;
    (void)pthread_mutex_lock(&client->ops_mutex);
    op->next = client->ops;
    if (op->next != NULL)
        op->next->prev = op;
    client->ops = op;
    (void)pthread_mutex_unlock(&client->ops_mutex);
}

static void strike_off(struct stepd_op *op)
{
    struct stepd_client *const client = op->client;
    (void)pthread_mutex_lock(&client->ops_mutex);
    if (op->prev == NULL)
        client->ops = op->next;
    else
        op->prev->next = op->next;
    if (op->next != NULL)
        op->next->prev = op->prev;
    (void)pthread_mutex_unlock(&client->ops_mutex);
}

/* What all the calls of this file take. */
struct request {
    enum stepd_operation_kind kind;
    const struct stepd_array *arrays;
    size_t count;
    const struct stepd_step_options *options;
};

static struct request request_of(enum stepd_operation_kind kind, const struct stepd_array *arrays,
                                 size_t count, const struct stepd_step_options *options)
{
    return (struct request){.kind = kind, .arrays = arrays, .count = count, .options = options};
}

static enum stepd_status make(struct stepd_client *client, const struct request *request,
                              struct stepd_op **ret_op, struct stepd_error *reterr)
{
    const struct stepd_layout_table *const layout = stepd_client_layout(client);
    if (client->brain.self.observer && request->kind != STEPD_OPERATION_PULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "an observer cannot push");
    struct stepd_op *const op = malloc(sizeof *op);
    if (op == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for an operation");
    *op = (struct stepd_op){.letter.deliver = deliver, .client = client};
    enum stepd_status status =
        stepd_operation_init(&op->operation, request->kind, layout, request->options, reterr);
    if (status == STEPD_OK)
        status =
            stepd_operation_fill(&op->operation, layout, request->arrays, request->count, reterr);
    if (status == STEPD_OK)
        status = stepd_operation_fill_hessians(&op->operation, layout, request->options, reterr);
    if (status != STEPD_OK) {
        stepd_operation_deinit(&op->operation);
        free(op);
        return status;
    }
    op->operation.on_done = on_done;
    enlist(op);
    *ret_op = op;
    return STEPD_OK;
}

static enum stepd_status start(struct stepd_client *client, const struct request *request,
                               struct stepd_op **ret_op, struct stepd_error *reterr)
{
    const enum stepd_status status = make(client, request, ret_op, reterr);
    if (status != STEPD_OK)
        return status;
    if ((*ret_op)->operation.awaited)
        stepd_loop_leave(client->loop, &(*ret_op)->letter);
    else
        stepd_loop_post(client->loop, &(*ret_op)->letter);
    return STEPD_OK;
}

bool stepd_done(const struct stepd_op *op)
{
    return atomic_load(&op->done);
}

/* Of an operation that is over. Frees it. */
static enum stepd_status take_result(struct stepd_op *op, struct stepd_outcome_counts *ret_counts,
                                     struct stepd_error *reterr)
{
    strike_off(op);
    const struct stepd_error error = op->operation.error;
    if (error.code == STEPD_OK && ret_counts != NULL)
        *ret_counts = op->operation.counts;
    stepd_operation_deinit(&op->operation);
    free(op);
    if (error.code == STEPD_OK)
        return STEPD_OK;
    return stepd_fail(reterr, error.code, "%s", error.text);
}

enum stepd_status stepd_wait_for(struct stepd_op *op, uint32_t timeout_ms)
{
    if (timeout_ms == 0) /* who only looks leaves the loop to who drives it */
        return stepd_done(op) ? STEPD_OK : STEPD_DEADLINE_EXCEEDED;
    switch (stepd_wait_while(op->client, NULL, &op->done, stepd_clock_ms() + timeout_ms)) {
    case STEPD_WAIT_OVER: return STEPD_OK;
    case STEPD_WAIT_LATE: return STEPD_DEADLINE_EXCEEDED;
    case STEPD_WAIT_INTERRUPTED: break;
    }
    return STEPD_CANCELLED;
}

enum stepd_status stepd_wait(struct stepd_op *op, struct stepd_outcome_counts *ret_counts,
                             struct stepd_error *reterr)
{
    (void)stepd_loop_await(op->client->loop, &op->done, 0);
    return take_result(op, ret_counts, reterr);
}

static enum stepd_status start_and_wait(struct stepd_client *client, const struct request *request,
                                        struct stepd_error *reterr)
{
    struct stepd_op *op = NULL;
    const enum stepd_status status = make(client, request, &op, reterr);
    if (status != STEPD_OK)
        return status;
    (void)stepd_loop_ask(client->loop, &op->letter, &op->done, 0);
    return take_result(op, NULL, reterr);
}

enum stepd_status stepd_push(struct stepd_client *client, const struct stepd_array *arrays,
                             size_t count, const struct stepd_step_options *options,
                             struct stepd_error *reterr)
{
    const struct request request = request_of(STEPD_OPERATION_PUSH, arrays, count, options);
    return start_and_wait(client, &request, reterr);
}

enum stepd_status stepd_pull(struct stepd_client *client, const struct stepd_array *arrays,
                             size_t count, const struct stepd_step_options *options,
                             struct stepd_error *reterr)
{
    const struct request request = request_of(STEPD_OPERATION_PULL, arrays, count, options);
    return start_and_wait(client, &request, reterr);
}

enum stepd_status stepd_step(struct stepd_client *client, const struct stepd_array *arrays,
                             size_t count, const struct stepd_step_options *options,
                             struct stepd_error *reterr)
{
    const struct request request = request_of(STEPD_OPERATION_STEP, arrays, count, options);
    return start_and_wait(client, &request, reterr);
}

enum stepd_status stepd_push_start(struct stepd_client *client, const struct stepd_array *arrays,
                                   size_t count, const struct stepd_step_options *options,
                                   struct stepd_op **ret_op, struct stepd_error *reterr)
{
    const struct request request = request_of(STEPD_OPERATION_PUSH, arrays, count, options);
    return start(client, &request, ret_op, reterr);
}

enum stepd_status stepd_pull_start(struct stepd_client *client, const struct stepd_array *arrays,
                                   size_t count, const struct stepd_step_options *options,
                                   struct stepd_op **ret_op, struct stepd_error *reterr)
{
    const struct request request = request_of(STEPD_OPERATION_PULL, arrays, count, options);
    return start(client, &request, ret_op, reterr);
}

enum stepd_status stepd_step_start(struct stepd_client *client, const struct stepd_array *arrays,
                                   size_t count, const struct stepd_step_options *options,
                                   struct stepd_op **ret_op, struct stepd_error *reterr)
{
    const struct request request = request_of(STEPD_OPERATION_STEP, arrays, count, options);
    return start(client, &request, ret_op, reterr);
}
