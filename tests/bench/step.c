/* SPDX-License-Identifier: Apache-2.0
 *
 * What does optimizer.step() cost as a service? One worker pushes a gradient of n bytes and gets n
 * bytes of weights back, through libstepd and a stepd that this starts, and beside it a bare
 * program sends n bytes to another process and gets n bytes back: what sockets cost by themselves.
 * For each size there are four lanes, stepd and bare over TCP of loopback and over a Unix socket.
 * They take turns, one exchange at a time, so that what else the machine does falls on all of them;
 * reported are the medians, and the ratio of each stepd lane to the bare lane of its transport.
 *
 * stepd's lane holds the optimizer's work and all checks of the gradient. It may still be faster
 * than the bare lane for large arrays: slices come back while others are on their way, and the bare
 * peer reads everything before it answers.
 *
 * Where a step is so small that nothing but the wake-ups counts (latency), the bare lane is an echo
 * that sleeps and wakes as libstepd and stepd do (echo.h), and the tail of the times is of interest
 * as much as their median. The work goes on until its time is up, a few exchanges
 * at least. Each size has a daemon of its own, so none is measured in another's memory.
 */
#include "tests/bench/step.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <stepd/client.h>

#include "proto/error.h"
#include "tests/bench/daemon.h"
#include "tests/bench/echo.h"
#include "tests/bench/peer.h"

#define ROUNDS_LEAST  5u
#define ROUNDS_WARM   2u /* not counted */
#define SECONDS       3.0
#define SECONDS_QUICK 0.05

enum transport { TRANSPORT_TCP, TRANSPORT_UNIX, TRANSPORT_COUNT };

static const char *const transport_names[TRANSPORT_COUNT] = {
    [TRANSPORT_TCP] = "tcp",
    [TRANSPORT_UNIX] = "unix",
};

/* A section of the report. */
struct section {
    const char *name;
    const char *title;
    bool echo; /* the bare lane is an echo through libuv */
    size_t sizes[4];
    size_t quick_sizes[4]; /* 0: no more */
};

static const struct section step_section = {
    .name = "step",
    .title = "One step over a socket, size and GB/s each way; bare: the same bytes alone",
    .sizes = {4096, 262144, (size_t)4 << 20, (size_t)64 << 20},
    .quick_sizes = {4096, 262144},
};

static const struct section latency_section = {
    .name = "latency",
    .title = "One step of a tensor of 64 bytes; bare: an echo of them through libuv",
    .echo = true,
    .sizes = {64},
    .quick_sizes = {64},
};

/* One transport: a worker of stepd, and the bare peer. */
struct lane {
    struct stepd_client *client; /* owned */
    struct peer peer;            /* owned */
    struct echo *echo;           /* owned; NULL: the section has none */
    struct samples stepd;
    struct samples bare;
};

/* One size. */
struct course {
    const struct step_settings *settings;
    const struct section *section;
    size_t bytes;
    struct daemon daemon;
    float *grad;    /* (bytes / 4,), owned; the bare lane sends these bytes too */
    float *weights; /* (bytes / 4,), owned; and receives into these */
    struct lane lane[TRANSPORT_COUNT];
};

/* ---- Setting up ------------------------------------------------------------------------------ */

static enum stepd_status define(const struct course *course, struct stepd_client *client,
                                struct stepd_error *reterr)
{
    const struct stepd_param_group group = {
        .match = "*",
        .optimizer = course->settings->optimizer,
    };
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.groups = &group;
    job.groups_count = 1;
    const uint64_t shape[] = {course->bytes / sizeof(float)};
    const struct stepd_tensor tensor = {.name = "w", .shape = shape, .dims = 1};
    return stepd_define(client, &job, &tensor, 1, reterr);
}

static enum stepd_status start_peer(struct course *course, enum transport transport,
                                    struct stepd_error *reterr)
{
    char socket_path[DAEMON_PATH_BYTES];
    (void)snprintf(socket_path, sizeof socket_path, "%.64s/bare.sock", course->daemon.folder);
    return peer_start(transport == TRANSPORT_TCP ? NULL : socket_path,
                      course->section->echo ? echo_serve : peer_serve, course->bytes,
                      &course->lane[transport].peer, reterr);
}

static enum stepd_status join(struct course *course, enum transport transport,
                              struct stepd_error *reterr)
{
    struct lane *const lane = &course->lane[transport];
    struct stepd_options options = STEPD_OPTIONS_INIT;
    options.address =
        transport == TRANSPORT_TCP ? course->daemon.tcp_address : course->daemon.unix_address;
    options.job = transport_names[transport];
    enum stepd_status status = stepd_connect(&options, &lane->client, reterr);
    if (status == STEPD_OK)
        status = define(course, lane->client, reterr);
    if (status == STEPD_OK && course->section->echo)
        status = echo_open(lane->peer.fd, &lane->echo, reterr);
    return status;
}

static void close_lane(struct lane *lane)
{
    stepd_close(lane->client);
    lane->client = NULL;
    lane->echo = echo_close(lane->echo);
    peer_stop(&lane->peer);
}

static enum stepd_status open_course(struct course *course, struct stepd_error *reterr)
{
    course->grad = calloc(1, course->bytes);
    course->weights = calloc(1, course->bytes);
    if (course->grad == NULL || course->weights == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu bytes",
                          course->bytes);
    for (size_t i = 0; i < course->bytes / sizeof(float); i++)
        course->grad[i] = 1e-3f * (float)(i % 7);
    enum stepd_status status = daemon_start(course->settings->daemon, &course->daemon, reterr);
    for (int t = 0; t < TRANSPORT_COUNT && status == STEPD_OK; t++)
        status = start_peer(course, (enum transport)t, reterr);
    for (int t = 0; t < TRANSPORT_COUNT && status == STEPD_OK; t++)
        status = join(course, (enum transport)t, reterr);
    return status;
}

/* Ends everything, whatever has been opened; an error of the measurement is not overwritten. */
static enum stepd_status close_course(struct course *course, enum stepd_status status,
                                      struct stepd_error *reterr)
{
    for (int t = 0; t < TRANSPORT_COUNT; t++)
        close_lane(&course->lane[t]);
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

static enum stepd_status exchange(const struct course *course, struct lane *lane,
                                  struct stepd_error *reterr)
{
    const uint8_t *const send = (const uint8_t *)course->grad;
    uint8_t *const receive = (uint8_t *)course->weights;
    if (lane->echo != NULL)
        return echo_ask(lane->echo, send, receive, course->bytes, reterr);
    return peer_exchange(&lane->peer, send, receive, course->bytes, reterr);
}

/* One exchange in both halves of a lane. */
static enum stepd_status take_turn(const struct course *course, struct lane *lane, bool counted,
                                   struct stepd_error *reterr)
{
    const struct stepd_array array = {.grad = course->grad, .weights = course->weights};
    const double began = samples_now();
    enum stepd_status status = stepd_step(lane->client, &array, 1, /* options= */ NULL, reterr);
    if (status != STEPD_OK)
        return status;
    const double between = samples_now();
    status = exchange(course, lane, reterr);
    if (status != STEPD_OK || !counted)
        return status;
    samples_add(&lane->bare, samples_now() - between);
    samples_add(&lane->stepd, between - began);
    return STEPD_OK;
}

static enum stepd_status run_course(struct course *course, struct stepd_error *reterr)
{
    const double until = samples_now() + (course->settings->quick ? SECONDS_QUICK : SECONDS);
    for (size_t round = 0; round < SAMPLES_MAX; round++) {
        if (round >= ROUNDS_WARM + ROUNDS_LEAST && samples_now() >= until)
            break;
        for (int t = 0; t < TRANSPORT_COUNT; t++) {
            const enum stepd_status status =
                take_turn(course, &course->lane[t], round >= ROUNDS_WARM, reterr);
            if (status != STEPD_OK)
                return stepd_fail_in(reterr, status, "%s", transport_names[t]);
        }
    }
    return STEPD_OK;
}

/* What is compared over one transport. */
static struct report_subject subject_of(const struct course *course, int transport)
{
    return (struct report_subject){
        .optimizer = course->settings->optimizer,
        .kind_name = "transport",
        .kind = transport_names[transport],
        .size_name = "bytes",
        .size = course->bytes,
        .bytes = course->bytes,
    };
}

static void report_course(struct course *course, struct report *report)
{
    for (int t = 0; t < TRANSPORT_COUNT; t++) {
        const struct report_subject subject = subject_of(course, t);
        const struct report_lane lanes[] = {
            {"stepd", &course->lane[t].stepd},
            {"bare", &course->lane[t].bare},
        };
        report_comparison(report, &subject, lanes, sizeof lanes / sizeof lanes[0]);
    }
}

static enum stepd_status measure(const struct step_settings *settings,
                                 const struct section *section, size_t bytes, struct report *report,
                                 struct stepd_error *reterr)
{
    struct course *const course = calloc(1, sizeof *course); /* samples: too large for a stack */
    if (course == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for samples");
    course->settings = settings;
    course->section = section;
    course->bytes = bytes;
    enum stepd_status status = open_course(course, reterr);
    if (status == STEPD_OK)
        status = run_course(course, reterr);
    if (status == STEPD_OK)
        report_course(course, report);
    return close_course(course, status, reterr);
}

static enum stepd_status measure_section(const struct step_settings *settings,
                                         const struct section *section, struct report *report,
                                         struct stepd_error *reterr)
{
    static const size_t sizes_max = sizeof section->sizes / sizeof section->sizes[0];
    const size_t *const size = settings->quick ? section->quick_sizes : section->sizes;
    report_section(report, section->name, section->title);
    for (size_t i = 0; i < sizes_max && size[i] > 0; i++) {
        const enum stepd_status status = measure(settings, section, size[i], report, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

enum stepd_status step_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr)
{
    return measure_section(settings, &step_section, report, reterr);
}

enum stepd_status latency_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr)
{
    return measure_section(settings, &latency_section, report, reterr);
}
