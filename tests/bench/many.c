/* SPDX-License-Identifier: Apache-2.0
 *
 * What does a model's number of tensors cost? The same elements are one tensor in one job and n
 * equal tensors in another one of the same daemon; one worker steps both, taking turns. The lanes
 * are the many tensors (stepd), the one tensor (one), and the definition of the many (define), of
 * which there are a few: each in a job of its own, the last of which is the one that is stepped.
 * For n = 1 the two jobs are the same, so their ratio is the noise of the run.
 */
#include "tests/bench/many.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <stepd/client.h>

#include "proto/error.h"
#include "tests/bench/daemon.h"
#include "tests/bench/samples.h"

#define ELEMENTS       10000000u
#define ELEMENTS_QUICK 100000u
#define DEFINITIONS    3u
#define ROUNDS_LEAST   5u
#define ROUNDS_WARM    2u /* not counted */
#define SECONDS        3.0
#define SECONDS_QUICK  0.05
#define NAME_BYTES     24u

static const size_t counts[] = {1, 100, 1000, 10000, 100000};
static const size_t counts_quick[] = {1, 100, 1000};

/* A job, and its worker. */
struct model {
    struct stepd_client *client; /* owned */
    struct stepd_array *array;   /* (tensors,), owned */
    struct stepd_tensor *tensor; /* (tensors,), owned */
    char (*name)[NAME_BYTES];    /* (tensors,), owned */
    size_t tensors;
    uint64_t shape[1]; /* of each tensor */
    struct samples steps;
};

/* One number of tensors over one transport. */
struct course {
    const struct step_settings *settings;
    struct daemon daemon;
    const char *address;
    size_t elements; /* of each model */
    float *grad;     /* (elements,), owned */
    float *weights;  /* (elements,), owned; one model's after the other */
    struct model many;
    struct model one;
    struct samples definitions;
};

/* ---- Setting up ------------------------------------------------------------------------------ */

static enum stepd_status make_model(const struct course *course, size_t tensors,
                                    struct model *model, struct stepd_error *reterr)
{
    model->tensors = tensors;
    model->shape[0] = course->elements / tensors;
    model->array = calloc(tensors, sizeof *model->array);
    model->tensor = calloc(tensors, sizeof *model->tensor);
    model->name = calloc(tensors, sizeof *model->name);
    if (model->array == NULL || model->tensor == NULL || model->name == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu tensors", tensors);
    for (size_t i = 0; i < tensors; i++) {
        (void)snprintf(model->name[i], NAME_BYTES, "w%zu", i);
        model->tensor[i] = (struct stepd_tensor){
            .name = model->name[i],
            .shape = model->shape,
            .dims = 1,
        };
        model->array[i] = (struct stepd_array){
            .tensor = i,
            .grad = course->grad + i * model->shape[0],
            .weights = course->weights + i * model->shape[0],
        };
    }
    return STEPD_OK;
}

static void drop_model(struct model *model)
{
    stepd_close(model->client);
    free(model->array);
    free(model->tensor);
    free(model->name);
}

static enum stepd_status define(const struct course *course, const struct model *model,
                                struct stepd_client *client, struct stepd_error *reterr)
{
    const struct stepd_param_group group = {
        .match = "*",
        .optimizer = course->settings->optimizer,
    };
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.groups = &group;
    job.groups_count = 1;
    return stepd_define(client, &job, model->tensor, model->tensors, reterr);
}

/* Makes a job of the model, and notes how long its definition took where there is a place for it.
 * After a failure there may be a client, too. */
static enum stepd_status join(const struct course *course, const char *job, struct model *model,
                              struct samples *definitions, struct stepd_error *reterr)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    options.address = course->address;
    options.job = job;
    enum stepd_status status = stepd_connect(&options, &model->client, reterr);
    if (status != STEPD_OK)
        return status;
    const double began = samples_now();
    status = define(course, model, model->client, reterr);
    if (status == STEPD_OK && definitions != NULL)
        samples_add(definitions, samples_now() - began);
    return status;
}

/* The last one stays. */
static enum stepd_status define_many(struct course *course, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (unsigned i = 0; i < DEFINITIONS && status == STEPD_OK; i++) {
        char job[NAME_BYTES];
        (void)snprintf(job, sizeof job, "many-%u", i);
        status = join(course, job, &course->many, &course->definitions, reterr);
        if (status != STEPD_OK || i + 1 == DEFINITIONS)
            break;
        status = stepd_leave(course->many.client, reterr);
        course->many.client = stepd_close(course->many.client);
    }
    return status;
}

static enum stepd_status open_course(struct course *course, size_t tensors, bool over_unix,
                                     struct stepd_error *reterr)
{
    course->grad = calloc(course->elements, sizeof(float));
    course->weights = calloc(course->elements, sizeof(float));
    if (course->grad == NULL || course->weights == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu elements",
                          course->elements);
    for (size_t i = 0; i < course->elements; i++)
        course->grad[i] = 1e-3f * (float)(i % 7);
    enum stepd_status status = make_model(course, tensors, &course->many, reterr);
    if (status == STEPD_OK)
        status = make_model(course, 1, &course->one, reterr);
    if (status == STEPD_OK)
        status = daemon_start(course->settings->daemon, &course->daemon, reterr);
    if (status != STEPD_OK)
        return status;
    course->address = over_unix ? course->daemon.unix_address : course->daemon.tcp_address;
    status = define_many(course, reterr);
    return status == STEPD_OK ? join(course, "one", &course->one, NULL, reterr) : status;
}

/* Ends everything, whatever has been opened; an error of the measurement is not overwritten. */
static enum stepd_status close_course(struct course *course, enum stepd_status status,
                                      struct stepd_error *reterr)
{
    drop_model(&course->many);
    drop_model(&course->one);
    if (course->daemon.pid > 0) {
        const enum stepd_status ended =
            daemon_stop(&course->daemon, status == STEPD_OK ? reterr : NULL);
        status = status == STEPD_OK ? ended : status;
    }
    free(course->grad);
    free(course->weights);
    free(course);
    return status;
}

/* ---- Measuring ------------------------------------------------------------------------------- */

static enum stepd_status take_step(struct model *model, bool counted, struct stepd_error *reterr)
{
    const double began = samples_now();
    const enum stepd_status status =
        stepd_step(model->client, model->array, model->tensors, /* options= */ NULL, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "%zu tensors", model->tensors);
    if (counted)
        samples_add(&model->steps, samples_now() - began);
    return STEPD_OK;
}

static enum stepd_status run_course(struct course *course, struct stepd_error *reterr)
{
    const double until = samples_now() + (course->settings->quick ? SECONDS_QUICK : SECONDS);
    for (size_t round = 0; round < SAMPLES_MAX; round++) {
        const bool counted = round >= ROUNDS_WARM;
        if (round >= ROUNDS_WARM + ROUNDS_LEAST && samples_now() >= until)
            break;
        enum stepd_status status = take_step(&course->many, counted, reterr);
        if (status == STEPD_OK)
            status = take_step(&course->one, counted, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

static enum stepd_status measure(const struct step_settings *settings, size_t tensors,
                                 bool over_unix, struct report *report, struct stepd_error *reterr)
{
    struct course *const course = calloc(1, sizeof *course); /* samples: too large for a stack */
    if (course == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for samples");
    course->settings = settings;
    course->elements = settings->quick ? ELEMENTS_QUICK : ELEMENTS;
    const struct report_subject subject = {
        .optimizer = settings->optimizer,
        .kind_name = "transport",
        .kind = over_unix ? "unix" : "tcp",
        .size_name = "tensors",
        .size = tensors,
        .bytes = course->elements * sizeof(float),
    };
    const struct report_lane lanes[] = {
        {"stepd", &course->many.steps},
        {"one", &course->one.steps},
        {"define", &course->definitions},
    };
    report_progress(report, &subject);
    enum stepd_status status = open_course(course, tensors, over_unix, reterr);
    if (status == STEPD_OK)
        status = run_course(course, reterr);
    if (status == STEPD_OK)
        report_comparison(report, &subject, lanes, sizeof lanes / sizeof lanes[0]);
    return close_course(course, status, reterr);
}

enum stepd_status many_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr)
{
    const size_t *const count = settings->quick ? counts_quick : counts;
    const size_t courses = settings->quick ? sizeof counts_quick / sizeof counts_quick[0]
                                           : sizeof counts / sizeof counts[0];
    report_section(report, "many",
                   "One step of the same elements in so many tensors, and in one, GB/s each way");
    for (size_t i = 0; i < 2 * courses; i++) {
        const enum stepd_status status =
            measure(settings, count[i % courses], i >= courses, report, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}
