/* SPDX-License-Identifier: Apache-2.0
 *
 * A libstepd client of rank 0 defines the job and stays; the workers are bare sockets (raw.h), the
 * one to the shard watched by epoll. A step's time includes the steps of the others that stand in
 * line before it, at the daemon and here.
 */
#include "tests/bench/busy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <stepd/client.h>

#include "proto/error.h"
#include "tests/bench/raw.h"

#define JOB          "busy"
#define ELEMENTS     16u
#define SAMPLE_EVERY 37u   /* steps: the samples shall last for seconds, and meet every worker */
#define ANSWER_MS    30000 /* then the daemon is taken for dead */
#define EVENTS       64

struct worker {
    struct raw_worker raw;
    uint64_t clock;
    uint64_t version; /* of the weights that came last */
    double sent_at;
};

struct busy {
    struct stepd_client *definer; /* owned */
    struct stepd_arena arena;
    int epoll;
    size_t steps; /* answered so far */
    size_t workers;
    struct worker *worker; /* (workers,), owned */
};

/* ---- Joining --------------------------------------------------------------------------------- */

static enum stepd_status define(struct busy *busy, const char *address, const char *optimizer,
                                struct stepd_error *reterr)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    options.address = address;
    options.job = JOB;
    options.rank = 0;
    const enum stepd_status status = stepd_connect(&options, &busy->definer, reterr);
    if (status != STEPD_OK)
        return status;
    const struct stepd_param_group group = {.match = "*", .optimizer = optimizer};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.mode = STEPD_ASYNC;
    job.workers = (uint32_t)busy->workers + 1;
    job.groups = &group;
    job.groups_count = 1;
    const uint64_t shape[] = {ELEMENTS};
    const struct stepd_tensor tensor = {.name = "w", .shape = shape, .dims = 1};
    return stepd_define(busy->definer, &job, &tensor, 1, reterr);
}

static enum stepd_status watch(struct busy *busy, struct worker *worker, struct stepd_error *reterr)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = worker};
    if (epoll_ctl(busy->epoll, EPOLL_CTL_ADD, worker->raw.shard.fd, &event) != 0)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "cannot watch a socket: %s",
                          strerror(errno));
    return STEPD_OK;
}

enum stepd_status busy_open(const char *address, const char *optimizer, size_t workers,
                            struct busy **ret_busy, struct stepd_error *reterr)
{
    struct busy *busy = calloc(1, sizeof *busy);
    if (busy == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for workers");
    stepd_arena_init(&busy->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    busy->workers = workers;
    busy->worker = calloc(workers, sizeof *busy->worker);
    busy->epoll = epoll_create1(EPOLL_CLOEXEC);
    enum stepd_status status =
        busy->worker != NULL && busy->epoll >= 0
            ? define(busy, address, optimizer, reterr)
            : stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no room for %zu workers", workers);
    for (size_t i = 0; i < workers && status == STEPD_OK; i++) {
        status = raw_join(address, JOB, &busy->arena, &busy->worker[i].raw, reterr);
        if (status == STEPD_OK)
            status = watch(busy, &busy->worker[i], reterr);
    }
    if (status == STEPD_OK)
        *ret_busy = busy;
    else
        (void)busy_close(busy);
    return status;
}

struct busy *busy_close(struct busy *busy)
{
    if (busy == NULL)
        return NULL;
    stepd_close(busy->definer);
    for (size_t i = 0; i < busy->workers && busy->worker != NULL; i++)
        raw_leave(&busy->worker[i].raw);
    if (busy->epoll >= 0)
        (void)close(busy->epoll);
    stepd_arena_deinit(&busy->arena);
    free(busy->worker);
    free(busy);
    return NULL;
}

/* ---- Stepping -------------------------------------------------------------------------------- */

static enum stepd_status send_step(struct worker *worker, struct stepd_error *reterr)
{
    static const float grad[ELEMENTS] = {1e-3f};
    static const uint32_t slice[] = {0};
    const struct stepd_message message = {
        .request_id = RAW_HELLO_ID + ++worker->clock,
        .kind = STEPD_MESSAGE_STEP,
        .body.step.push =
            {
                .incarnation = worker->raw.incarnation,
                .clock = worker->clock,
                .slices = {.count = 1, .at = slice},
                .base_versions = {.count = 1, .at = &worker->version},
                .examples = 1,
                .loss_scale = 1.0,
            },
    };
    worker->sent_at = samples_now();
    return raw_send(&worker->raw.shard, &message, grad, sizeof grad, reterr);
}

static enum stepd_status take_answer(struct busy *busy, struct worker *worker,
                                     struct samples *samples, struct stepd_error *reterr)
{
    struct stepd_message reply;
    const enum stepd_status status =
        raw_receive(&worker->raw.shard, STEPD_MESSAGE_RESULT, &busy->arena, &reply, reterr);
    if (status != STEPD_OK)
        return status;
    const struct stepd_result *const result = &reply.body.result;
    if (result->slices.count != 1 || result->outcomes.at[0] != STEPD_APPLIED)
        return stepd_fail(reterr, STEPD_INTERNAL, "a step of one slice was not applied");
    worker->version = result->versions.at[0];
    if (busy->steps++ % SAMPLE_EVERY == 0 && samples != NULL)
        samples_add(samples, samples_now() - worker->sent_at);
    return STEPD_OK;
}

enum stepd_status busy_run(struct busy *busy, double seconds, struct samples *samples,
                           struct stepd_error *reterr)
{
    const double until = samples_now() + seconds;
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < busy->workers && status == STEPD_OK; i++)
        status = send_step(&busy->worker[i], reterr);
    size_t under_way = busy->workers;
    while (under_way > 0 && status == STEPD_OK) {
        struct epoll_event events[EVENTS];
        const int ready = epoll_wait(busy->epoll, events, EVENTS, ANSWER_MS);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED, "stepd does not answer a step");
        for (int i = 0; i < ready && status == STEPD_OK; i++) {
            struct worker *const worker = events[i].data.ptr;
            status = take_answer(busy, worker, samples, reterr);
            if (status == STEPD_OK && samples_now() < until)
                status = send_step(worker, reterr);
            else
                under_way--;
        }
    }
    return status;
}
