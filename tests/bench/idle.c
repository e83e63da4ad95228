/* SPDX-License-Identifier: Apache-2.0
 *
 * What do idle connections cost those who work, and what memory? 200 workers step as fast as they
 * are answered (busy.h), by turns with 1,000 idle connections beside them (stepd) and without them
 * (alone). The idle ones are workers who have said Hello, each to control and to a shard, and say
 * no more; each turn they are new ones, of a job of their own. What follows their coming and going
 * is not counted. The memory is what the daemon grew by when the first of them had come, with
 * nothing planned for it.
 */
#include "tests/bench/idle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "proto/error.h"
#include "tests/bench/busy.h"
#include "tests/bench/daemon.h"
#include "tests/bench/raw.h"
#include "tests/bench/rss.h"

#define CONNECTIONS_MAX "2048" /* of the daemon */
#define DESCRIPTORS     2048u  /* here */
#define JOB_BYTES       32u

struct size {
    size_t idle; /* connections: two of each worker */
    size_t busy; /* workers */
    size_t turns;
    double settle_s;
    double turn_s;
};

static const struct size full = {
    .idle = 1000,
    .busy = 200,
    .turns = 6,
    .settle_s = 0.2,
    .turn_s = 1.0,
};
static const struct size quick = {
    .idle = 50,
    .busy = 10,
    .turns = 2,
    .settle_s = 0.01,
    .turn_s = 0.02,
};

struct course {
    const struct size *size;
    struct daemon daemon;
    const char *address;
    struct busy *busy;       /* owned */
    struct raw_worker *idle; /* (idle_workers,), owned */
    struct stepd_arena arena;
    struct samples beside_idle;
    struct samples alone;
    int64_t grown_bytes;
};

static const char *const transports[] = {"tcp", "unix"};

enum { TRANSPORTS = sizeof transports / sizeof transports[0] };

/* What is measured over both transports, for two sections. */
struct courses {
    struct course *course[TRANSPORTS]; /* owned */
};

static size_t idle_workers(const struct course *course)
{
    return course->size->idle / 2;
}

/* ---- Idle workers ---------------------------------------------------------------------------- */

static enum stepd_status open_idle(struct course *course, size_t turn, struct stepd_error *reterr)
{
    char job[JOB_BYTES];
    (void)snprintf(job, sizeof job, "idle-%zu", turn);
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < idle_workers(course) && status == STEPD_OK; i++)
        status = raw_join(course->address, job, &course->arena, &course->idle[i], reterr);
    return status;
}

static void close_idle(struct course *course)
{
    for (size_t i = 0; i < idle_workers(course) && course->idle != NULL; i++)
        raw_leave(&course->idle[i]);
}

/* ---- Measuring ------------------------------------------------------------------------------- */

static enum stepd_status run_turn(struct course *course, struct samples *samples,
                                  struct stepd_error *reterr)
{
    const enum stepd_status status =
        busy_run(course->busy, course->size->settle_s, /* samples= */ NULL, reterr);
    return status == STEPD_OK ? busy_run(course->busy, course->size->turn_s, samples, reterr)
                              : status;
}

/* Takes the idle ones in, and notes what they cost where they are the first. */
static enum stepd_status take_idle(struct course *course, size_t turn, struct stepd_error *reterr)
{
    int64_t before = 0;
    int64_t after = 0;
    enum stepd_status status = rss_read(course->daemon.pid, &before, reterr);
    if (status == STEPD_OK)
        status = open_idle(course, turn, reterr);
    if (status == STEPD_OK)
        status = rss_read(course->daemon.pid, &after, reterr);
    if (turn == 0)
        course->grown_bytes = after - before;
    return status;
}

static enum stepd_status run_course(struct course *course, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t turn = 0; turn < course->size->turns && status == STEPD_OK; turn++) {
        status = run_turn(course, &course->alone, reterr);
        if (status == STEPD_OK)
            status = take_idle(course, turn, reterr);
        if (status == STEPD_OK)
            status = run_turn(course, &course->beside_idle, reterr);
        close_idle(course);
    }
    return status;
}

static enum stepd_status open_course(const struct step_settings *settings, bool over_unix,
                                     struct course *course, struct stepd_error *reterr)
{
    stepd_arena_init(&course->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    course->size = settings->quick ? &quick : &full;
    course->idle = calloc(idle_workers(course), sizeof *course->idle);
    if (course->idle == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for connections");
    const enum stepd_status status = daemon_start(settings->daemon, &course->daemon, reterr);
    if (status != STEPD_OK)
        return status;
    course->address = over_unix ? course->daemon.unix_address : course->daemon.tcp_address;
    return busy_open(course->address, settings->optimizer, course->size->busy, &course->busy,
                     reterr);
}

/* The samples stay. */
static enum stepd_status close_course(struct course *course, enum stepd_status status,
                                      struct stepd_error *reterr)
{
    close_idle(course);
    course->busy = busy_close(course->busy);
    stepd_arena_deinit(&course->arena);
    free(course->idle);
    if (course->daemon.pid == 0)
        return status;
    const enum stepd_status ended =
        daemon_stop(&course->daemon, status == STEPD_OK ? reterr : NULL);
    return status == STEPD_OK ? ended : status;
}

/* ---- Reporting ------------------------------------------------------------------------------- */

static struct report_subject subject_of(const struct step_settings *settings, size_t transport)
{
    return (struct report_subject){
        .optimizer = settings->optimizer,
        .kind_name = "transport",
        .kind = transports[transport],
        .size_name = "idle",
        .size = settings->quick ? quick.idle : full.idle,
    };
}

static enum stepd_status measure(const struct step_settings *settings, size_t transport,
                                 struct course *course, struct report *report,
                                 struct stepd_error *reterr)
{
    const struct report_subject subject = subject_of(settings, transport);
    const struct report_lane lanes[] = {
        {"stepd", &course->beside_idle},
        {"alone", &course->alone},
    };
    report_progress(report, &subject);
    enum stepd_status status = open_course(settings, transport == 1, course, reterr);
    if (status == STEPD_OK)
        status = run_course(course, reterr);
    if (status == STEPD_OK)
        report_comparison(report, &subject, lanes, sizeof lanes / sizeof lanes[0]);
    return close_course(course, status, reterr);
}

static enum stepd_status measure_all(const struct step_settings *settings, struct courses *courses,
                                     struct report *report, struct stepd_error *reterr)
{
    report_section(report, "idle", "One step of a busy worker beside so many idle connections");
    for (size_t t = 0; t < TRANSPORTS; t++) {
        courses->course[t] = calloc(1, sizeof *courses->course[t]);
        if (courses->course[t] == NULL)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for samples");
        const enum stepd_status status = measure(settings, t, courses->course[t], report, reterr);
        if (status != STEPD_OK)
            return status;
    }
    report_memory_section(report, "idle_memory", "Memory of so many idle connections");
    for (size_t t = 0; t < TRANSPORTS; t++) {
        const struct report_subject subject = subject_of(settings, t);
        report_memory(report, &subject, /* planned_bytes= */ 0, courses->course[t]->grown_bytes);
    }
    return STEPD_OK;
}

static enum stepd_status raise_descriptors(struct stepd_error *reterr)
{
    struct rlimit limit = {.rlim_cur = 0};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= DESCRIPTORS)
        return STEPD_OK;
    const struct rlimit raised = {.rlim_cur = DESCRIPTORS, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "idle connections need %u descriptors, and the limit is %" PRIuMAX
                      "; raise it (ulimit -Hn)",
                      DESCRIPTORS, (uintmax_t)limit.rlim_max);
}

enum stepd_status idle_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr)
{
    static const char variable[] = "STEPD_CONNECTIONS_MAX"; /* read by the daemons started here */
    struct courses courses = {.course = {NULL}};
    enum stepd_status status = raise_descriptors(reterr);
    if (status != STEPD_OK)
        return status;
    (void)setenv(variable, CONNECTIONS_MAX, /* overwrite= */ 1);
    status = measure_all(settings, &courses, report, reterr);
    (void)unsetenv(variable);
    for (size_t t = 0; t < TRANSPORTS; t++)
        free(courses.course[t]);
    return status;
}
