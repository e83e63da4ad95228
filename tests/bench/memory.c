/* SPDX-License-Identifier: Apache-2.0
 *
 * Does a daemon take the memory that it planned? For some optimizers, with gradients reduced in
 * rank order and as they arrive, one worker and eight define a job, which the daemon plans when it
 * opens it (JobStatus.memory_bytes), and take a few steps, so that all that is taken lazily has
 * been. Reported are the plan, and by how much the daemon has grown from before its first
 * connection; so connections, records and whatever else is not planned are in what it grew by.
 * Each job has a daemon of its own.
 */
#include "tests/bench/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <stepd/client.h>

#include "proto/error.h"
#include "tests/bench/daemon.h"
#include "tests/bench/plan.h"
#include "tests/bench/rss.h"

#define ELEMENTS       10000000u
#define ELEMENTS_QUICK 100000u
#define STEPS          3u
#define WORKERS_MAX    8u
#define JOB            "memory"

static const char *const optimizers[] = {"sgd", "momentum", "adamw", "amsgrad"};
static const char *const optimizers_quick[] = {"adamw"};
static const char *const reductions[] = {"rank", "arrival"};
static const uint32_t workers[] = {1, WORKERS_MAX};

struct course {
    const char *optimizer;
    const char *reduction;
    uint32_t workers;
    size_t elements;
    struct daemon daemon;
    float *grad;                              /* (elements,), owned; the same of all workers */
    struct stepd_client *client[WORKERS_MAX]; /* (workers,), owned */
    float *weights[WORKERS_MAX];              /* (workers, elements), owned */
};

/* ---- Setting up ------------------------------------------------------------------------------ */

static enum stepd_status define(const struct course *course, struct stepd_client *client,
                                struct stepd_error *reterr)
{
    const struct stepd_param_group group = {.match = "*", .optimizer = course->optimizer};
    const struct stepd_param reduction = {.name = "reduction", .word = course->reduction};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.workers = course->workers;
    job.groups = &group;
    job.groups_count = 1;
    job.params = &reduction;
    job.params_count = 1;
    const uint64_t shape[] = {course->elements};
    const struct stepd_tensor tensor = {.name = "w", .shape = shape, .dims = 1};
    return stepd_define(client, &job, &tensor, 1, reterr);
}

static enum stepd_status join(struct course *course, uint32_t rank, struct stepd_error *reterr)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    options.address = course->daemon.tcp_address;
    options.job = JOB;
    options.rank = (int)rank;
    const enum stepd_status status = stepd_connect(&options, &course->client[rank], reterr);
    return status == STEPD_OK ? define(course, course->client[rank], reterr) : status;
}

static enum stepd_status make_arrays(struct course *course, struct stepd_error *reterr)
{
    bool made = (course->grad = calloc(course->elements, sizeof(float))) != NULL;
    for (uint32_t rank = 0; rank < course->workers; rank++)
        made &= (course->weights[rank] = calloc(course->elements, sizeof(float))) != NULL;
    return made ? STEPD_OK
                : stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %u workers' arrays",
                             course->workers);
}

static enum stepd_status close_course(struct course *course, enum stepd_status status,
                                      struct stepd_error *reterr)
{
    for (uint32_t rank = 0; rank < course->workers; rank++) {
        stepd_close(course->client[rank]);
        free(course->weights[rank]);
    }
    free(course->grad);
    if (course->daemon.pid == 0)
        return status;
    const enum stepd_status ended =
        daemon_stop(&course->daemon, status == STEPD_OK ? reterr : NULL);
    return status == STEPD_OK ? ended : status;
}

/* ---- Measuring ------------------------------------------------------------------------------- */

/* One step of all workers at once. */
static enum stepd_status take_step(const struct course *course, struct stepd_error *reterr)
{
    struct stepd_op *op[WORKERS_MAX];
    enum stepd_status status = STEPD_OK;
    uint32_t started = 0;
    for (; started < course->workers && status == STEPD_OK; started++) {
        const struct stepd_array array = {
            .grad = course->grad,
            .weights = course->weights[started],
        };
        status = stepd_step_start(course->client[started], &array, 1, /* options= */ NULL,
                                  &op[started], reterr);
        if (status != STEPD_OK)
            break;
    }
    for (uint32_t rank = 0; rank < started; rank++) {
        const bool first = status == STEPD_OK;
        const enum stepd_status ended = stepd_wait(op[rank], NULL, first ? reterr : NULL);
        status = first ? ended : status;
    }
    return status;
}

static enum stepd_status run_course(struct course *course, uint64_t *ret_planned,
                                    int64_t *ret_grown, struct stepd_error *reterr)
{
    int64_t before = 0;
    int64_t after = 0;
    enum stepd_status status = rss_read(course->daemon.pid, &before, reterr);
    for (uint32_t rank = 0; rank < course->workers && status == STEPD_OK; rank++)
        status = join(course, rank, reterr);
    for (unsigned i = 0; i < STEPS && status == STEPD_OK; i++)
        status = take_step(course, reterr);
    if (status == STEPD_OK)
        status = rss_read(course->daemon.pid, &after, reterr);
    if (status == STEPD_OK)
        status = plan_ask(course->client[0], JOB, ret_planned, reterr);
    *ret_grown = after - before;
    return status;
}

static enum stepd_status measure(const struct step_settings *settings, struct course *course,
                                 struct report *report, struct stepd_error *reterr)
{
    uint64_t planned = 0;
    int64_t grown = 0;
    const struct report_subject subject = {
        .optimizer = course->optimizer,
        .kind_name = "reduction",
        .kind = course->reduction,
        .size_name = "workers",
        .size = course->workers,
    };
    course->elements = settings->quick ? ELEMENTS_QUICK : ELEMENTS;
    report_progress(report, &subject);
    enum stepd_status status = make_arrays(course, reterr);
    if (status == STEPD_OK)
        status = daemon_start(settings->daemon, &course->daemon, reterr);
    if (status == STEPD_OK)
        status = run_course(course, &planned, &grown, reterr);
    if (status == STEPD_OK)
        report_memory(report, &subject, planned, grown);
    return close_course(course, status, reterr);
}

static enum stepd_status measure_optimizer(const struct step_settings *settings,
                                           const char *optimizer, struct report *report,
                                           struct stepd_error *reterr)
{
    enum { REDUCTIONS = sizeof reductions / sizeof reductions[0] };

    enum { COURSES = REDUCTIONS * sizeof workers / sizeof workers[0] };

    for (size_t i = 0; i < COURSES; i++) {
        struct course course = {
            .optimizer = optimizer,
            .reduction = reductions[i % REDUCTIONS],
            .workers = workers[i / REDUCTIONS],
        };
        const enum stepd_status status = measure(settings, &course, report, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

enum stepd_status memory_measure(const struct step_settings *settings, struct report *report,
                                 struct stepd_error *reterr)
{
    const char *const *optimizer = settings->quick ? optimizers_quick : optimizers;
    size_t count = settings->quick ? sizeof optimizers_quick / sizeof optimizers_quick[0]
                                   : sizeof optimizers / sizeof optimizers[0];
    if (settings->optimizer[0] != '\0') {
        optimizer = &settings->optimizer;
        count = 1;
    }
    report_memory_section(report, "memory",
                          "Memory of a job of one tensor by number of workers: planned, and what "
                          "the daemon grew by");
    for (size_t i = 0; i < count; i++) {
        const enum stepd_status status = measure_optimizer(settings, optimizer[i], report, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}
