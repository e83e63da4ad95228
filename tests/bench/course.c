/* SPDX-License-Identifier: Apache-2.0
 *
 * What does optimizer.step() cost as a service? One worker pushes a gradient of n bytes, pulls the
 * weights, or does both in a step, through libstepd and a stepd that this starts; and beside it two
 * processes do the same over a plain socket (bare.h): what the machine asks for it. For each size
 * and each way of connecting (the table below) there are up to three lanes:
 *
 *     stepd   libstepd and stepd
 *     bare    the same bytes, slices and streams through memory, without frames, checks and rounds
 *     raw     the bytes alone
 *
 * All lanes of all ways take turns, one exchange at a time, so that what else the machine does
 * falls on all of them. What the serving process spends on processors is taken from its clock,
 * after the other lanes have had their turns: so it counts what is done behind the answer, too.
 *
 * Where a step is so small that nothing but the wake-ups counts, the bare lane is an echo that
 * sleeps and wakes as libstepd and stepd do (echo.h), and the tail of the times is of interest as
 * much as their median.
 *
 * The work goes on until its time is up, a few exchanges at least. Each size has a daemon and a
 * bare peer of its own, so none is measured in another's memory.
 */
#include "tests/bench/course.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <stepd/client.h>

#include "proto/error.h"
#include "tests/bench/arrays.h"
#include "tests/bench/daemon.h"
#include "tests/bench/echo.h"

#define ROUNDS_LEAST  7u
#define ROUNDS_WARM   2u /* not counted */
#define SECONDS       6.0
#define SECONDS_QUICK 0.05

/* Before an exchange that is polled for: the other lanes' processes have gone to sleep, this one's
 * are awake. */
#define SETTLE_S (5e-6 * COURSE_POLL_US)

/* What a course takes at most, in blocks of arrays.h: the weights and what belongs to them in each
 * way's job, the bare peer, and the worker. */
#define MEMORY_BLOCKS 4u

/* How a worker and its server are connected. */
struct way {
    const char *name;
    bool tcp;
    const char *control; /* congestion control of all ends; NULL: the system's choice */
    bool shared;         /* memory that worker and server share; the bare peer has a Unix socket */
};

static const struct way ways[] = {
    {"tcp", true, NULL, false},
    {"tcp-reno", true, "reno", false},
    {"unix", false, NULL, false},
    {"shared", false, NULL, true},
};

#define WAYS (sizeof ways / sizeof ways[0])

/* One way: a worker of stepd, and wires to the bare peer. */
struct lane {
    struct stepd_client *client; /* owned */
    struct stepd_array array;
    struct echo *echo; /* owned; NULL: the section has none */
    size_t exchanges;  /* of stepd's */
    struct samples stepd;
    struct samples bare[COURSE_WORKS_MAX];
    char control[2 * WIRE_CONTROL_BYTES];  /* of stepd's lane */
    char bare_control[WIRE_CONTROL_BYTES]; /* of the others */
};

/* One size. */
struct course {
    const struct step_settings *settings;
    const struct section *section;
    size_t bytes;
    size_t wires; /* of a way */
    struct daemon daemon;
    struct wire wire[WAYS * COURSE_WORKS_MAX]; /* owned */
    struct peer peer[WAYS];                    /* owned; a bare peer is the first, with all wires */
    float *grad;                               /* (bytes / 4,), owned; all lanes send it */
    float *weights;                            /* (bytes / 4,), owned; and receive into these */
    struct lane lane[WAYS];
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
    const struct stepd_param accumulate = {"accumulate", .value = course->section->pushes_a_step};
    job.groups = &group;
    job.groups_count = 1;
    job.params = &accumulate;
    job.params_count = course->section->pushes_a_step > 0;
    const uint64_t shape[] = {course->bytes / sizeof(float)};
    const struct stepd_tensor tensor = {.name = "w", .shape = shape, .dims = 1};
    return stepd_define(client, &job, &tensor, 1, reterr);
}

static enum stepd_status open_wires(struct course *course, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < WAYS * course->wires && status == STEPD_OK; i++) {
        const struct way *const way = &ways[i / course->wires];
        struct lane *const lane = &course->lane[i / course->wires];
        status = wire_open(way->tcp, way->control, &course->wire[i], reterr);
        if (status != STEPD_OK || !way->tcp)
            continue;
        wire_control(course->wire[i].near, lane->bare_control);
        lane->bare[i % course->wires].control = lane->bare_control;
    }
    return status;
}

/* One bare peer for all wires, or an echo for each. */
static enum stepd_status start_peers(struct course *course, struct stepd_error *reterr)
{
    const struct section *const section = course->section;
    const struct echo_plan echo = {.poll_us = section->polls ? COURSE_POLL_US : 0};
    enum bare_work works[WAYS * COURSE_WORKS_MAX];
    const struct bare_plan bare = {.bytes = course->bytes, .works = works};
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < WAYS * section->works; i++)
        works[i] = section->work[i % section->works];
    if (section->works > 0)
        return peer_start(course->wire, WAYS * section->works, bare_serve, &bare, &course->peer[0],
                          reterr);
    for (size_t i = 0; i < WAYS && status == STEPD_OK; i++)
        status = peer_start(&course->wire[i], 1, echo_serve, &echo, &course->peer[i], reterr);
    return status;
}

/* The arrays of the worker's exchanges: in shared memory both are the library's. */
static enum stepd_status take_arrays(const struct course *course, const struct way *way,
                                     struct lane *lane, struct stepd_error *reterr)
{
    float *grad = course->grad;
    float *weights = course->weights;
    if (way->shared) {
        const enum stepd_status status = stepd_lend(lane->client, 0, &grad, &weights, reterr);
        if (status != STEPD_OK)
            return status;
        memcpy(grad, course->grad, course->bytes);
    }
    lane->array = (struct stepd_array){.grad = grad, .weights = weights};
    return STEPD_OK;
}

static enum stepd_status join(struct course *course, const struct way *way, struct lane *lane,
                              struct stepd_error *reterr)
{
    char system_control[WIRE_CONTROL_BYTES];
    bool before[WIRE_SOCKETS_MAX];
    struct stepd_options options = STEPD_OPTIONS_INIT;
    options.address = way->tcp ? course->daemon.tcp_address : course->daemon.unix_address;
    options.job = way->name;
    options.sockets_only = !way->shared;
    options.busy_poll_us = course->section->polls ? COURSE_POLL_US : 0;
    wire_note_sockets(before);
    enum stepd_status status = stepd_connect(&options, &lane->client, reterr);
    if (status == STEPD_OK)
        status = define(course, lane->client, reterr);
    if (status == STEPD_OK)
        status = take_arrays(course, way, lane, reterr);
    if (status == STEPD_OK && course->section->works == 0)
        status =
            echo_open(course->wire[way - ways].near, course->section->polls, &lane->echo, reterr);
    wire_default_control(system_control);
    if (status == STEPD_OK && way->tcp)
        wire_set_control(before, course->daemon.pid,
                         way->control != NULL ? way->control : system_control, lane->control);
    lane->stepd.control = way->tcp ? lane->control : NULL;
    return status;
}

/* Written whole, so that no lane meets a page fault. */
static enum stepd_status make_arrays(struct course *course, struct stepd_error *reterr)
{
    course->grad = malloc(course->bytes);
    course->weights = malloc(course->bytes);
    if (course->grad == NULL || course->weights == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu bytes",
                          course->bytes);
    for (size_t i = 0; i < course->bytes / sizeof(float); i++) {
        course->grad[i] = 1e-3f * (float)(i % 7);
        course->weights[i] = 1.0f;
    }
    return STEPD_OK;
}

static enum stepd_status open_course(struct course *course, struct stepd_error *reterr)
{
    static const char *const polling[] = {"--busy-poll-us", COURSE_POLL_FLAG, NULL};
    course->wires = course->section->works > 0 ? course->section->works : 1;
    enum stepd_status status = make_arrays(course, reterr);
    if (status == STEPD_OK)
        status =
            daemon_start_with(course->settings->daemon, course->section->polls ? polling : NULL,
                              &course->daemon, reterr);
    if (status == STEPD_OK)
        status = open_wires(course, reterr);
    if (status == STEPD_OK)
        status = start_peers(course, reterr);
    for (size_t i = 0; i < WAYS && status == STEPD_OK; i++)
        status = join(course, &ways[i], &course->lane[i], reterr);
    return status;
}

/* Ends everything, whatever has been opened; an error of the measurement is not overwritten. */
static enum stepd_status close_course(struct course *course, enum stepd_status status,
                                      struct stepd_error *reterr)
{
    for (size_t i = 0; i < WAYS; i++) {
        stepd_close(course->lane[i].client);
        course->lane[i].echo = echo_close(course->lane[i].echo);
    }
    for (size_t i = 0; i < WAYS; i++)
        peer_stop(&course->peer[i], &course->wire[i * course->wires], course->wires);
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

/* How much the process has spent since `spent_s`, which is moved on. */
static double spent_since(pid_t pid, double *spent_s)
{
    const double now_s = samples_cpu(pid);
    const double since_s = now_s - *spent_s;
    *spent_s = now_s;
    return since_s;
}

static void note(struct samples *samples, bool counted, double seconds, double cpu_s)
{
    if (!counted)
        return;
    samples_add(samples, seconds);
    samples->cpu_s += cpu_s;
}

static enum stepd_status ask_echo(const struct course *course, const struct lane *lane,
                                  struct stepd_error *reterr)
{
    return echo_ask(lane->echo, course->grad, course->weights, course->bytes, reterr);
}

/* An exchange of each of the bare lanes. */
static enum stepd_status exchange_bare(struct course *course, size_t way, bool counted,
                                       struct stepd_error *reterr)
{
    const struct section *const section = course->section;
    struct lane *const lane = &course->lane[way];
    const pid_t pid = course->peer[section->works > 0 ? (size_t)0 : way].pid;
    enum stepd_status settled = STEPD_OK;
    const double until = samples_now() + SETTLE_S;
    while (section->polls && settled == STEPD_OK && samples_now() < until)
        settled = ask_echo(course, lane, reterr);
    if (settled != STEPD_OK)
        return settled;
    double spent_s = samples_cpu(pid);
    for (size_t k = 0; k < course->wires; k++) {
        const struct wire *const wire = &course->wire[way * course->wires + k];
        const double began = samples_now();
        const enum stepd_status status = lane->echo != NULL
                                             ? ask_echo(course, lane, reterr)
                                             : bare_ask(wire, section->work[k], course->grad,
                                                        course->weights, course->bytes, reterr);
        const double seconds = samples_now() - began;
        if (status != STEPD_OK)
            return status;
        note(&lane->bare[k], counted, seconds, spent_since(pid, &spent_s));
    }
    return STEPD_OK;
}

static enum stepd_status exchange(const struct course *course, struct lane *lane,
                                  struct stepd_error *reterr)
{
    lane->exchanges++;
    return course->section->exchange(lane->client, &lane->array, 1, /* options= */ NULL, reterr);
}

/* A gradient counts only where the weights that it was computed at are the newest; and of a step
 * that is made of several, those that have not been sent come before the first of the next. */
static enum stepd_status prepare(const struct course *course, struct lane *lane,
                                 struct stepd_error *reterr)
{
    const int pushes = course->section->pushes_a_step;
    enum stepd_status status = STEPD_OK;
    for (int i = 1; i < pushes && lane->exchanges > 0 && status == STEPD_OK; i++)
        status = exchange(course, lane, reterr);
    return status == STEPD_OK && course->section->pulls_first
               ? stepd_pull(lane->client, &lane->array, 1, /* options= */ NULL, reterr)
               : status;
}

/* One exchange in each lane of a way. */
static enum stepd_status take_turn(struct course *course, size_t way, bool counted,
                                   struct stepd_error *reterr)
{
    struct lane *const lane = &course->lane[way];
    enum stepd_status status = prepare(course, lane, reterr);
    const double until = samples_now() + SETTLE_S;
    while (course->section->polls && status == STEPD_OK && samples_now() < until)
        status = exchange(course, lane, reterr);
    if (status != STEPD_OK)
        return status;
    double spent_s = samples_cpu(course->daemon.pid);
    const double began = samples_now();
    status = exchange(course, lane, reterr);
    const double seconds = samples_now() - began;
    if (status == STEPD_OK)
        status = exchange_bare(course, way, counted, reterr);
    if (status == STEPD_OK)
        note(&lane->stepd, counted, seconds, spent_since(course->daemon.pid, &spent_s));
    return status;
}

/* Have all gradients come into the weights? One more is sent, and its version tells how many have.
 */
static enum stepd_status prove(const struct course *course, struct lane *lane,
                               struct stepd_error *reterr)
{
    struct stepd_op *op;
    struct stepd_outcome_counts counts;
    if (course->section->start == NULL)
        return STEPD_OK;
    enum stepd_status status = prepare(course, lane, reterr);
    if (status == STEPD_OK)
        status =
            course->section->start(lane->client, &lane->array, 1, /* options= */ NULL, &op, reterr);
    if (status == STEPD_OK)
        status = stepd_wait(op, &counts, reterr);
    const int pushes = course->section->pushes_a_step;
    const size_t steps = pushes > 0 ? lane->exchanges / (size_t)pushes : lane->exchanges + 1;
    const uint64_t counted = pushes > 0 ? counts.accumulated : counts.applied;
    if (status == STEPD_OK && (counted != counts.slices || counts.version_min != steps))
        return stepd_fail(reterr, STEPD_INTERNAL, "of %zu steps only %zu came into the weights",
                          steps, (size_t)counts.version_min);
    return status;
}

static enum stepd_status run_course(struct course *course, struct stepd_error *reterr)
{
    const double until = samples_now() + (course->settings->quick ? SECONDS_QUICK : SECONDS);
    enum stepd_status status = STEPD_OK;
    size_t round = 0;
    size_t way = 0;
    for (; status == STEPD_OK && (round < ROUNDS_WARM + ROUNDS_LEAST || samples_now() < until);
         round++)
        for (way = 0; way < WAYS && status == STEPD_OK; way++)
            status = take_turn(course, way, round >= ROUNDS_WARM, reterr);
    for (way = 0; way < WAYS && status == STEPD_OK; way++)
        status = prove(course, &course->lane[way], reterr);
    return status == STEPD_OK ? STEPD_OK : stepd_fail_in(reterr, status, "%s", ways[way - 1].name);
}

/* What is compared in one way. */
static struct report_subject subject_of(const struct course *course, size_t way)
{
    return (struct report_subject){
        .optimizer = course->settings->optimizer,
        .kind_name = "transport",
        .kind = ways[way].name,
        .size_name = "bytes",
        .size = course->bytes,
        .bytes = course->section->directions * course->bytes,
    };
}

static void report_course(struct course *course, struct report *report)
{
    for (size_t i = 0; i < WAYS; i++) {
        struct lane *const lane = &course->lane[i];
        const struct report_subject subject = subject_of(course, i);
        const struct report_lane lanes[] = {
            {"stepd", &lane->stepd},
            {"bare", &lane->bare[0]},
            {"raw", &lane->bare[1]},
        };
        report_comparison(report, &subject, lanes, 1 + course->wires);
    }
}

static enum stepd_status measure(const struct step_settings *settings,
                                 const struct section *section, size_t bytes, struct report *report,
                                 struct stepd_error *reterr)
{
    if (!arrays_fit(MEMORY_BLOCKS * bytes / sizeof(float))) {
        report_left_out(report, bytes, "bytes are left out: not enough memory is available");
        return STEPD_OK;
    }
    struct course *const course = calloc(1, sizeof *course); /* samples: too large for a stack */
    if (course == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for samples");
    course->settings = settings;
    course->section = section;
    course->bytes = bytes;
    const struct report_subject first = subject_of(course, 0);
    report_progress(report, &first);
    enum stepd_status status = open_course(course, reterr);
    if (status == STEPD_OK)
        status = run_course(course, reterr);
    if (status == STEPD_OK)
        report_course(course, report);
    return close_course(course, status, reterr);
}

enum stepd_status course_measure(const struct step_settings *settings,
                                 const struct section *section, struct report *report,
                                 struct stepd_error *reterr)
{
    const size_t chosen[COURSE_SIZES_MAX] = {settings->bytes};
    const size_t *size = settings->quick ? section->quick_sizes : section->sizes;
    if (settings->bytes > 0 && section->works > 0)
        size = chosen;
    report_section(report, section->name, section->title);
    for (size_t i = 0; i < COURSE_SIZES_MAX && size[i] > 0; i++) {
        const enum stepd_status status = measure(settings, section, size[i], report, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}
