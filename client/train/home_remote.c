/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights behind a server. Each part of a step is one operation of libstepd: started when the
 * backward pass has its gradients, waited for when the next forward pass needs its weights. In
 * between, libstepd's own thread moves the bytes.
 */
#include "client/train/home.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/lib/client.h"
#include "client/lib/token_file.h"
#include "client/train/interrupt.h"
#include "client/train/patience.h"
#include "proto/error.h"

#define PATIENCE_MS 3000u

struct home_remote {
    struct home home;            /* first */
    struct stepd_client *client; /* owned */
    const char *server;          /* borrowed from the options */
    struct stepd_options connection;
    uint64_t clock; /* of the newest pull */
    struct stepd_op
        *op[HOME_PARTS_MAX]; /* until waited for; NULL: nothing under way for this part */
};

static struct home_remote *remote_of(struct home *home)
{
    return (struct home_remote *)home;
}

static uint32_t remote_rank(const struct home *home)
{
    return stepd_rank(((const struct home_remote *)home)->client);
}

/* The layout says it, which is not public: C programs know their job's mode. */
static enum stepd_mode remote_mode(const struct home *home)
{
    const struct home_remote *const remote = (const struct home_remote *)home;
    return stepd_client_layout(remote->client)->mode;
}

/* Likewise. */
static bool remote_packed(const struct home *home, size_t tensor)
{
    const struct stepd_layout_table *const layout =
        stepd_client_layout(((const struct home_remote *)home)->client);
    const struct stepd_tensor_place *const place = &layout->tensor[tensor];
    for (size_t p = 0; p < place->parts; p++) {
        const struct stepd_part *const part = layout->by_tensor[place->first_part + p];
        if (layout->slice[part->slice].parts > 1)
            return true;
    }
    return false;
}

/* One line when a connection is lost, and one when all is well again; how it ends otherwise is said
 * by whoever waited. In the client's thread. */
static void on_event(void *user, const struct stepd_event *event)
{
    const struct stepd_options *const options = user;
    const char *const begin = isatty(STDERR_FILENO) == 1 ? "\r\x1b[K" : ""; /* over the progress */
    if (event->kind == STEPD_EVENT_LOST)
        (void)fprintf(stderr, "%sstepd-train: %s; connecting again, for at most %u s\n", begin,
                      event->text, options->reconnect_timeout_ms / 1000);
    else if (event->kind == STEPD_EVENT_BACK)
        (void)fprintf(stderr, "%sstepd-train: connected again after %.1f s and %u attempt%s\n",
                      begin, (double)event->down_ms / 1000, event->attempts,
                      event->attempts == 1 ? "" : "s");
    else if (event->kind == STEPD_EVENT_UNSHARED)
        (void)fprintf(stderr, "%sstepd-train: %s; everything goes by the socket\n", begin,
                      event->text);
}

/* What is said when the server lets us wait; it is given up at timeout_ms. */
static void describe_wait(char *text, size_t size, const char *server, uint32_t timeout_ms)
{
    (void)stepd_format(text, size,
                       "stepd-train: waiting for stepd at %s to answer; giving up after %u s",
                       server, timeout_ms / 1000);
}

/* An operation that is given up for a signal goes on, and ends with its client. */
static enum stepd_status wait_for(struct stepd_op *op, struct stepd_outcome_counts *ret_counts,
                                  struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_DEADLINE_EXCEEDED;
    while (status == STEPD_DEADLINE_EXCEEDED)
        status = stepd_wait_for(op, INT32_MAX);
    return status == STEPD_CANCELLED ? stepd_fail(reterr, status, "interrupted")
                                     : stepd_wait(op, ret_counts, reterr);
}

static enum stepd_status remote_define(struct home *home, const struct stepd_job_options *job,
                                       const struct stepd_tensor *tensors, size_t count,
                                       struct stepd_error *reterr)
{
    struct home_remote *const remote = remote_of(home);
    struct patience patience;
    char text[STEPD_ERROR_TEXT_BYTES];
    (void)stepd_format(text, sizeof text, "stepd-train: waiting for stepd at %s to set the job up",
                       remote->server);
    patience_begin(&patience, stderr, text, PATIENCE_MS);
    const enum stepd_status status = stepd_define(remote->client, job, tensors, count, reterr);
    patience_end(&patience);
    return status;
}

static uint64_t remote_clock(const struct home *home)
{
    return ((const struct home_remote *)home)->clock;
}

static enum stepd_status remote_pull(struct home *home, enum stepd_view view,
                                     const struct stepd_array *arrays, size_t count,
                                     uint64_t *ret_version, struct stepd_error *reterr)
{
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.view = view;
    struct stepd_op *op;
    enum stepd_status status =
        stepd_pull_start(remote_of(home)->client, arrays, count, &options, &op, reterr);
    if (status != STEPD_OK)
        return status;
    struct stepd_outcome_counts counts;
    status = wait_for(op, &counts, reterr);
    if (status != STEPD_OK)
        return status;
    *ret_version = counts.version_min;
    remote_of(home)->clock = counts.clock;
    return STEPD_OK;
}

static enum stepd_status remote_step_start(struct home *home, size_t part,
                                           const struct stepd_array *arrays, size_t count,
                                           const struct home_step *step, struct stepd_error *reterr)
{
    struct home_remote *const remote = remote_of(home);
    assert(part < HOME_PARTS_MAX && remote->op[part] == NULL);
    if (interrupt_came(NULL))
        return stepd_fail(reterr, STEPD_CANCELLED, "interrupted");
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.examples = step->examples;
    options.has_loss = step->has_loss;
    options.loss = step->loss;
    options.priority = -(int32_t)part; /* what is needed first goes first */
    return stepd_step_start(remote->client, arrays, count, &options, &remote->op[part], reterr);
}

static enum stepd_status remote_step_wait(struct home *home, size_t part, uint64_t *ret_version,
                                          struct stepd_error *reterr)
{
    struct home_remote *const remote = remote_of(home);
    assert(part < HOME_PARTS_MAX && remote->op[part] != NULL);
    struct stepd_op *const op = remote->op[part];
    remote->op[part] = NULL;
    struct stepd_outcome_counts counts;
    const enum stepd_status status = wait_for(op, &counts, reterr);
    if (status == STEPD_OK)
        *ret_version = counts.version_max;
    return status;
}

static enum stepd_status remote_report(struct home *home, uint64_t step, double loss,
                                       uint64_t examples, struct stepd_error *reterr)
{
    return stepd_report(remote_of(home)->client, step, loss, examples, reterr);
}

static enum stepd_status remote_leave(struct home *home, struct stepd_error *reterr)
{
    return stepd_leave(remote_of(home)->client, reterr);
}

/* What is under way belongs to the client once it is closed, and is not touched again. */
static struct home *remote_destroy(struct home *home)
{
    struct home_remote *const remote = remote_of(home);
    stepd_close(remote->client);
    free(remote);
    return NULL;
}

static const struct home_kind remote_kind = {
    .rank = remote_rank,
    .mode = remote_mode,
    .packed = remote_packed,
    .define = remote_define,
    .clock = remote_clock,
    .pull = remote_pull,
    .step_start = remote_step_start,
    .step_wait = remote_step_wait,
    .report = remote_report,
    .leave = remote_leave,
    .destroy = remote_destroy,
};

/* Connects with the token that was given, or that a file has. */
static enum stepd_status connect_remote(struct home_remote *remote,
                                        const struct train_options *options,
                                        struct stepd_error *reterr)
{
    struct stepd_options *const connection = &remote->connection;
    struct patience patience;
    char text[STEPD_ERROR_TEXT_BYTES];
    char *token = NULL;
    enum stepd_status status = STEPD_OK;
    if (options->token_file != NULL)
        status = stepd_token_file_read(options->token_file, &token, reterr);
    if (status != STEPD_OK)
        return status;
    connection->token = token != NULL ? token : options->token;
    connection->tls_ca = options->tls_ca;
    connection->tls_cert = options->tls_cert;
    connection->tls_key = options->tls_key;
    connection->tls_name = options->tls_name;
    describe_wait(text, sizeof text, options->server, connection->connect_timeout_ms);
    patience_begin(&patience, stderr, text, PATIENCE_MS);
    status = stepd_connect(connection, &remote->client, reterr);
    patience_end(&patience);
    connection->token = NULL; /* the client has its own */
    free(token);
    return status;
}

enum stepd_status home_remote_create(const struct train_options *options, struct home **ret_home,
                                     struct stepd_error *reterr)
{
    struct home_remote *const remote = calloc(1, sizeof *remote);
    if (remote == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    remote->home.kind = &remote_kind;
    struct stepd_options *const connection = &remote->connection;
    *connection = (struct stepd_options)STEPD_OPTIONS_INIT;
    connection->address = options->server;
    connection->insecure = options->insecure;
    connection->job = options->job;
    connection->rank = options->rank;
    connection->push_dtype = options->push_dtype;
    connection->pull_dtype = options->pull_dtype;
    connection->busy_poll_us = (uint32_t)options->busy_poll_us;
    connection->on_event = on_event;
    connection->event_user = connection;
    connection->interrupted = interrupt_came;
    remote->server = options->server;
    const enum stepd_status status = connect_remote(remote, options, reterr);
    if (status != STEPD_OK) {
        free(remote);
        return status;
    }
    *ret_home = &remote->home;
    return STEPD_OK;
}
