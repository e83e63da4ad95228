/* SPDX-License-Identifier: Apache-2.0
 *
 * One worker steps a job without a pause, over TCP, in four phases that follow each other again and
 * again:
 *
 *     alone    nothing beside it, for as long as the last checkpoint took
 *     stepd    from the asking for a checkpoint until its bytes are on the disk
 *     alone    as above
 *     bare     a plain program writes as many bytes to the same disk, and syncs them
 *
 * A step is of the phase that it begins in. The section `checkpoint` has the steps of each;
 * `checkpoint_disk` has how long the writing took: of the plain program (bare), and of a checkpoint
 * from its first file on (stepd) and from the asking on (asked), when the steps to the version that
 * it is to be of were still to be made. What the daemon grew by is in `checkpoint_memory`: without
 * checkpoints (alone), and at most with them (spare), each with what was planned.
 */
#include "tests/bench/checkpoint.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <stepd/client.h>

#include "proto/error.h"
#include "tests/bench/daemon.h"
#include "tests/bench/disk.h"
#include "tests/bench/plan.h"
#include "tests/bench/rss.h"
#include "tests/bench/samples.h"

#define JOB            "checkpoint"
#define ELEMENTS       100000000u
#define ELEMENTS_QUICK 300000u
#define TURNS          12u
#define TURNS_QUICK    3u
#define STEPS_LEAST    3u /* of a phase alone */
#define STEPS_WARM     3u

/* What the daemon grows by, and what it said that it would. */
struct memory {
    int64_t grown_bytes;
    uint64_t planned_bytes;
};

struct course {
    const struct step_settings *settings;
    enum stepd_mode mode;
    size_t elements;
    struct disk_folder folder;
    struct daemon daemon;
    struct stepd_client *client; /* owned */
    float *grad;                 /* (elements,), owned */
    float *weights;              /* (elements,), owned */

    /* Steps by phase. */
    struct samples writing;
    struct samples alone;
    struct samples beside_bare;

    struct samples saved; /* a checkpoint from its first file on */
    struct samples asked; /* from the asking on */
    struct samples bare;
    uint64_t bytes; /* of a checkpoint */
    double lasted;  /* the last checkpoint, from the asking on */

    struct memory without; /* checkpoints */
    struct memory with;
};

/* ---- Setting up ------------------------------------------------------------------------------ */

static enum stepd_status define(const struct course *course, struct stepd_error *reterr)
{
    const struct stepd_param_group group = {.match = "*", .optimizer = course->settings->optimizer};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.mode = course->mode;
    job.groups = &group;
    job.groups_count = 1;
    const uint64_t shape[] = {course->elements};
    const struct stepd_tensor tensor = {.name = "w", .shape = shape, .dims = 1};
    return stepd_define(course->client, &job, &tensor, 1, reterr);
}

static enum stepd_status take_step(const struct course *course, struct stepd_error *reterr)
{
    const struct stepd_array array = {.grad = course->grad, .weights = course->weights};
    return stepd_step(course->client, &array, 1, /* options= */ NULL, reterr);
}

/* A daemon with these flags, a job in it, and its first steps. */
static enum stepd_status open_job(struct course *course, const char *const *flags,
                                  struct memory *memory, struct stepd_error *reterr)
{
    int64_t before = 0;
    enum stepd_status status =
        daemon_start_with(course->settings->daemon, flags, &course->daemon, reterr);
    if (status == STEPD_OK)
        status = rss_read(course->daemon.pid, &before, reterr);
    struct stepd_options options = STEPD_OPTIONS_INIT;
    options.address = course->daemon.tcp_address;
    options.job = JOB;
    if (status == STEPD_OK)
        status = stepd_connect(&options, &course->client, reterr);
    if (status == STEPD_OK)
        status = define(course, reterr);
    for (unsigned i = 0; i < STEPS_WARM && status == STEPD_OK; i++)
        status = take_step(course, reterr);
    if (status == STEPD_OK)
        status = plan_ask(course->client, JOB, &memory->planned_bytes, reterr);
    memory->grown_bytes = -before;
    return status;
}

/* Notes what the daemon has grown by at most, and ends it. */
static enum stepd_status close_job(struct course *course, struct memory *memory,
                                   enum stepd_status status, struct stepd_error *reterr)
{
    int64_t peak = 0;
    if (status == STEPD_OK)
        status = rss_read_peak(course->daemon.pid, &peak, reterr);
    memory->grown_bytes += peak;
    course->client = stepd_close(course->client);
    if (course->daemon.pid == 0)
        return status;
    const enum stepd_status ended =
        daemon_stop(&course->daemon, status == STEPD_OK ? reterr : NULL);
    return status == STEPD_OK ? ended : status;
}

static enum stepd_status make(struct course *course, struct stepd_error *reterr)
{
    course->grad = calloc(course->elements, sizeof(float));
    course->weights = calloc(course->elements, sizeof(float));
    if (course->grad == NULL || course->weights == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu elements",
                          course->elements);
    for (size_t i = 0; i < course->elements; i++)
        course->grad[i] = 1e-3f * (float)(i % 7);
    return disk_make_folder(course->settings->folder, &course->folder, reterr);
}

static void unmake(struct course *course)
{
    disk_remove_folder(&course->folder);
    free(course->grad);
    free(course->weights);
    free(course);
}

/* ---- What is written beside the steps -------------------------------------------------------- */

struct writing {
    struct course *course;
    enum stepd_status (*write)(struct course *course, struct stepd_error *reterr);
    pthread_t thread;
    atomic_bool ended;
    enum stepd_status status;
    struct stepd_error error;
};

static enum stepd_status write_checkpoint(struct course *course, struct stepd_error *reterr)
{
    struct stepd_checkpoint_result result;
    char path[DISK_PATH_BYTES + sizeof JOB + sizeof result.name];
    const double began = samples_now();
    const enum stepd_status status =
        stepd_checkpoint(course->client, /* job= */ NULL, /* deadline_ms= */ 0, &result, reterr);
    if (status != STEPD_OK)
        return status;
    course->lasted = samples_now() - began;
    (void)snprintf(path, sizeof path, "%s/" JOB "/%s", course->folder.path, result.name);
    const double age = disk_age(path);
    samples_add(&course->asked, course->lasted);
    samples_add(&course->saved, age > 0 && age < course->lasted ? age : course->lasted);
    course->bytes = result.bytes;
    return STEPD_OK;
}

static enum stepd_status write_plain(struct course *course, struct stepd_error *reterr)
{
    double seconds = 0;
    const enum stepd_status status =
        disk_write(course->folder.path, course->bytes, &seconds, reterr);
    if (status == STEPD_OK)
        samples_add(&course->bare, seconds);
    return status;
}

static void *run_writing(void *argument)
{
    struct writing *const writing = argument;
    writing->status = writing->write(writing->course, &writing->error);
    atomic_store(&writing->ended, true);
    return NULL;
}

/* ---- The phases ------------------------------------------------------------------------------ */

static enum stepd_status take_sample(struct course *course, struct samples *samples,
                                     struct stepd_error *reterr)
{
    const double began = samples_now();
    const enum stepd_status status = take_step(course, reterr);
    samples_add(samples, samples_now() - began);
    return status;
}

static enum stepd_status run_alone(struct course *course, struct stepd_error *reterr)
{
    const double until = samples_now() + course->lasted;
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; status == STEPD_OK && (i < STEPS_LEAST || samples_now() < until); i++)
        status = take_sample(course, &course->alone, reterr);
    return status;
}

/* Steps until all is written. */
static enum stepd_status run_beside(struct course *course,
                                    enum stepd_status (*write)(struct course *course,
                                                               struct stepd_error *reterr),
                                    struct samples *samples, struct stepd_error *reterr)
{
    struct writing writing = {.course = course, .write = write};
    if (pthread_create(&writing.thread, NULL, run_writing, &writing) != 0)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "cannot start a thread");
    enum stepd_status status = STEPD_OK;
    while (status == STEPD_OK && !atomic_load(&writing.ended))
        status = take_sample(course, samples, reterr);
    (void)pthread_join(writing.thread, NULL);
    if (status == STEPD_OK && writing.status != STEPD_OK) {
        *reterr = writing.error;
        return writing.status;
    }
    return status;
}

static enum stepd_status run_turns(struct course *course, struct stepd_error *reterr)
{
    const unsigned turns = course->settings->quick ? TURNS_QUICK : TURNS;
    enum stepd_status status = STEPD_OK;
    for (unsigned i = 0; i < turns && status == STEPD_OK; i++) {
        status = run_alone(course, reterr);
        if (status == STEPD_OK)
            status = run_beside(course, write_checkpoint, &course->writing, reterr);
        if (status == STEPD_OK)
            status = run_alone(course, reterr);
        if (status == STEPD_OK)
            status = run_beside(course, write_plain, &course->beside_bare, reterr);
    }
    return status;
}

static enum stepd_status run_course(struct course *course, struct stepd_error *reterr)
{
    const char *const flags[] = {
        "--checkpoint-dir",
        course->folder.path,
        "--checkpoint-keep",
        "1",
        "--checkpoint-every-s",
        "0",
        NULL,
    };
    enum stepd_status status = make(course, reterr);
    if (status != STEPD_OK)
        return status;
    status = open_job(course, NULL, &course->without, reterr);
    status = close_job(course, &course->without, status, reterr);
    if (status != STEPD_OK)
        return status;
    status = open_job(course, flags, &course->with, reterr);
    if (status == STEPD_OK)
        status = run_turns(course, reterr);
    return close_job(course, &course->with, status, reterr);
}

/* ---- The report ------------------------------------------------------------------------------ */

enum { MODES = 2 };

static const enum stepd_mode modes[MODES] = {STEPD_SYNC, STEPD_ASYNC};

static const char *const mode_names[MODES] = {"sync", "async"};

static struct report_subject subject_of(const struct course *course, size_t mode, uint64_t bytes)
{
    return (struct report_subject){
        .optimizer = course->settings->optimizer,
        .kind_name = "mode",
        .kind = mode_names[mode],
        .size_name = "elements",
        .size = course->elements,
        .bytes = bytes,
    };
}

static void report_steps(struct report *report, struct course *const course[MODES])
{
    for (size_t i = 0; i < MODES; i++) {
        const struct report_lane lanes[] = {
            {"stepd", &course[i]->writing},
            {"alone", &course[i]->alone},
            {"bare", &course[i]->beside_bare},
        };
        const struct report_subject subject =
            subject_of(course[i], i, 2 * course[i]->elements * sizeof(float));
        report_comparison(report, &subject, lanes, sizeof lanes / sizeof lanes[0]);
    }
}

static void report_disk(struct report *report, struct course *const course[MODES])
{
    report_section(report, "checkpoint_disk",
                   "A checkpoint from its first file to the disk (stepd), from the asking for it "
                   "(asked), and a plain write of as much, synced (bare)");
    for (size_t i = 0; i < MODES; i++) {
        const struct report_lane lanes[] = {
            {"stepd", &course[i]->saved},
            {"asked", &course[i]->asked},
            {"bare", &course[i]->bare},
        };
        const struct report_subject subject = subject_of(course[i], i, course[i]->bytes);
        report_comparison(report, &subject, lanes, sizeof lanes / sizeof lanes[0]);
    }
}

static void report_room(struct report *report, struct course *const course[MODES])
{
    report_memory_section(report, "checkpoint_memory",
                          "Memory of the job where no checkpoints are kept (-alone) and where some "
                          "are (-spare): planned, and what the daemon grew by at most");
    for (size_t i = 0; i < MODES; i++) {
        char kind[24];
        struct report_subject subject = subject_of(course[i], i, 0);
        subject.kind = kind;
        (void)snprintf(kind, sizeof kind, "%s-alone", mode_names[i]);
        report_memory(report, &subject, course[i]->without.planned_bytes,
                      course[i]->without.grown_bytes);
        (void)snprintf(kind, sizeof kind, "%s-spare", mode_names[i]);
        report_memory(report, &subject, course[i]->with.planned_bytes, course[i]->with.grown_bytes);
    }
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void report_targets(struct report *report, struct course *const course[MODES])
{
    report_figures_section(report, "checkpoint_targets", "What is promised of checkpoints");
    for (size_t i = 0; i < MODES; i++) {
        struct course *const is = course[i];
        const double spare = (double)is->with.planned_bytes - (double)is->without.planned_bytes;
        const double extra = (double)is->with.grown_bytes - (double)is->without.grown_bytes;
        const struct report_figure figures[] = {
            {"p99_step", "p99 of a step while writing, over that without",
             ratio(samples_quantile(&is->writing, 0.99), samples_quantile(&is->alone, 0.99)), 1.5,
             false},
            {"throughput", "steps a second while writing, over those without",
             ratio(samples_mean(&is->alone), samples_mean(&is->writing)), 0.8, true},
            {"memory", "memory that checkpoints took, over the spare planned", ratio(extra, spare),
             1.0, false},
            {"disk", "bytes a second written, over a plain write's",
             ratio(samples_median(&is->bare), samples_median(&is->saved)), 0.8, true},
        };
        const struct report_subject subject = subject_of(is, i, 0);
        report_figures(report, &subject, figures, sizeof figures / sizeof figures[0]);
    }
}

static enum stepd_status measure_mode(const struct step_settings *settings, size_t mode,
                                      struct course *course, const struct report *report,
                                      struct stepd_error *reterr)
{
    course->settings = settings;
    course->mode = modes[mode];
    course->elements = settings->bytes > 0 ? settings->bytes / sizeof(float)
                       : settings->quick   ? ELEMENTS_QUICK
                                           : ELEMENTS;
    const struct report_subject subject = subject_of(course, mode, 0);
    report_progress(report, &subject);
    return run_course(course, reterr);
}

enum stepd_status checkpoint_measure(const struct step_settings *settings, struct report *report,
                                     struct stepd_error *reterr)
{
    struct course *course[MODES] = {NULL};
    report_section(report, "checkpoint",
                   "A step while a checkpoint is taken and written (stepd), with nothing beside it "
                   "(alone), and beside a plain write (bare)");
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < MODES && status == STEPD_OK; i++) {
        course[i] = calloc(1, sizeof *course[i]); /* samples: too large for a stack */
        status = course[i] == NULL
                     ? stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for samples")
                     : measure_mode(settings, i, course[i], report, reterr);
    }
    if (status == STEPD_OK) {
        report_steps(report, course);
        report_disk(report, course);
        report_room(report, course);
        report_targets(report, course);
    }
    for (size_t i = 0; i < MODES; i++)
        if (course[i] != NULL)
            unmake(course[i]);
    return status;
}
