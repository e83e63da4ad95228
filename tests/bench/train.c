/* SPDX-License-Identifier: Apache-2.0
 *
 * What does a step of a real training cost, and where does its time go? Two stepd-train train the
 * Fashion-MNIST network in mode sync at one stepd, over TCP of loopback: with overlap (lane stepd),
 * where the gradients of a layer travel while those of the next are computed, and without (lane
 * whole). The two take turns, and each run has a daemon of its own.
 *
 * Then, for each, what its step consists of. Of the time of all processors, that is of a step times
 * their number, the shares are
 *
 *     compute   the workers' passes over the model
 *     socket    everything else that the workers do, and the system's time of the daemon
 *     server    the daemon's own: checks, sums, the optimizer
 *     idle      nothing of these: a processor waits, or does what others want
 *
 * and `waiting` is how much of a step a worker stands still, of its own time. What overlap can win
 * is what would be idle without it.
 *
 * A worker's time begins with its first weights, and whoever is ready first waits for the other in
 * the first step: so the time of a step is that of the worker who began last.
 */
#include "tests/bench/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "tests/bench/daemon.h"
#include "tests/bench/trainer.h"

#define IMAGES "/usr/share/datasets/fashion-mnist"
#define MODEL  "mlp:784-1000-1000-10"
#define ROUNDS 7u

enum lane { LANE_LAYERS, LANE_WHOLE, LANES };

enum share { SHARE_COMPUTE, SHARE_SOCKET, SHARE_SERVER, SHARE_IDLE, SHARE_WAITING, SHARES };

static const char *const lane_names[LANES] = {[LANE_LAYERS] = "layer", [LANE_WHOLE] = "whole"};

static const char *const share_names[SHARES] = {
    [SHARE_COMPUTE] = "compute", [SHARE_SOCKET] = "socket",   [SHARE_SERVER] = "server",
    [SHARE_IDLE] = "idle",       [SHARE_WAITING] = "waiting",
};

/* Small batches make a step of traffic, large ones of computing. */
static const struct course {
    size_t batch;
    size_t steps;
} courses[] = {{16, 200}, {128, 60}}, quick_courses[] = {{16, 4}};

struct training {
    const char *daemon;
    char worker[DAEMON_PATH_BYTES];
    const char *optimizer;
    const char *images;
    const struct course *course;
    double bytes; /* of the model's weights */
    struct samples step[LANES];
    struct samples share[LANES][SHARES];
};

/* ---- One run --------------------------------------------------------------------------------- */

/* Seconds of a process in user and in system mode. */
struct cpu {
    double user;
    double system;
};

/* 0 where the system does not say. */
static struct cpu cpu_of(pid_t pid)
{
    char path[64];
    char text[1024] = "";
    unsigned long user = 0;
    unsigned long system = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *const in = fopen(path, "r");
    if (in == NULL)
        return (struct cpu){.user = 0};
    const size_t bytes = fread(text, 1, sizeof text - 1, in);
    (void)fclose(in);
    text[bytes] = '\0';
    const char *const behind_name = strrchr(text, ')'); /* fields 14 and 15 of proc(5) */
    if (behind_name == NULL ||
        sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        return (struct cpu){.user = 0};
    const double ticks = (double)sysconf(_SC_CLK_TCK);
    return (struct cpu){.user = (double)user / ticks, .system = (double)system / ticks};
}

static void note(struct training *training, enum lane lane,
                 const struct trainer_worker worker[TRAINER_WORKERS], const struct cpu *daemon)
{
    const double steps = (double)training->course->steps;
    const double processors = (double)sysconf(_SC_NPROCESSORS_ONLN);
    const struct trainer_worker *last = &worker[0];
    double compute = 0;
    double rest = 0;
    for (unsigned i = 0; i < TRAINER_WORKERS; i++) {
        compute += worker[i].computing_cpu;
        rest += worker[i].cpu - worker[i].computing_cpu;
        if (worker[i].seconds < last->seconds)
            last = &worker[i];
    }
    const double all = last->seconds * processors;
    const double socket = rest + daemon->system;
    const double seconds[SHARES] = {
        [SHARE_COMPUTE] = compute / processors,
        [SHARE_SOCKET] = socket / processors,
        [SHARE_SERVER] = daemon->user / processors,
        [SHARE_IDLE] = fmax(all - compute - socket - daemon->user, 0) / processors,
        [SHARE_WAITING] = last->waiting,
    };
    training->bytes = last->parameters * sizeof(float);
    samples_add(&training->step[lane], last->seconds / steps);
    for (int i = 0; i < SHARES; i++)
        samples_add(&training->share[lane][i], seconds[i] / steps);
}

static enum stepd_status run(struct training *training, enum lane lane, struct stepd_error *reterr)
{
    struct daemon daemon;
    struct trainer_worker worker[TRAINER_WORKERS];
    enum stepd_status status = daemon_start(training->daemon, &daemon, reterr);
    if (status != STEPD_OK)
        return status;
    const struct trainer trainer = {
        .program = training->worker,
        .address = daemon.tcp_address,
        .images = training->images,
        .model = MODEL,
        .optimizer = training->optimizer,
        .batch = training->course->batch,
        .steps = training->course->steps,
        .no_overlap = lane == LANE_WHOLE,
    };
    const struct cpu before = cpu_of(daemon.pid);
    status = trainer_run(&trainer, worker, reterr);
    const struct cpu after = cpu_of(daemon.pid);
    const struct cpu spent = {.user = after.user - before.user,
                              .system = after.system - before.system};
    const enum stepd_status ended = daemon_stop(&daemon, status == STEPD_OK ? reterr : NULL);
    if (status == STEPD_OK && ended == STEPD_OK)
        note(training, lane, worker, &spent);
    return status == STEPD_OK ? ended : status;
}

/* ---- The section ----------------------------------------------------------------------------- */

static struct report_subject subject_of(const struct training *training, const char *sent)
{
    return (struct report_subject){
        .optimizer = training->optimizer,
        .kind_name = "sent",
        .kind = sent,
        .size_name = "batch",
        .size = training->course->batch,
    };
}

static void report_training(struct training *training, struct report *report)
{
    struct report_subject subject = subject_of(training, "both");
    subject.bytes = (size_t)training->bytes;
    const struct report_lane lanes[] = {
        {.name = "stepd", .samples = &training->step[LANE_LAYERS]},
        {.name = "whole", .samples = &training->step[LANE_WHOLE]},
    };
    report_comparison(report, &subject, lanes, LANES);
    for (int lane = 0; lane < LANES; lane++) {
        struct report_lane shares[SHARES];
        for (int i = 0; i < SHARES; i++)
            shares[i] =
                (struct report_lane){.name = share_names[i], .samples = &training->share[lane][i]};
        const struct report_subject of_lane = subject_of(training, lane_names[lane]);
        report_shares(report, &of_lane, samples_median(&training->step[lane]), shares, SHARES);
    }
}

static enum stepd_status measure(struct training *training, size_t rounds, struct report *report,
                                 struct stepd_error *reterr)
{
    const struct report_subject subject = subject_of(training, "both");
    report_progress(report, &subject);
    for (int lane = 0; lane < LANES; lane++) {
        training->step[lane].count = 0;
        for (int i = 0; i < SHARES; i++)
            training->share[lane][i].count = 0;
    }
    for (size_t round = 0; round < rounds; round++) {
        for (int lane = 0; lane < LANES; lane++) {
            const enum stepd_status status = run(training, (enum lane)lane, reterr);
            if (status != STEPD_OK)
                return stepd_fail_in(reterr, status, "train");
        }
    }
    report_training(training, report);
    return STEPD_OK;
}

static enum stepd_status measure_courses(struct training *training, bool quick,
                                         struct report *report, struct stepd_error *reterr)
{
    const struct course *const course = quick ? quick_courses : courses;
    const size_t count =
        quick ? sizeof quick_courses / sizeof quick_courses[0] : sizeof courses / sizeof courses[0];
    enum stepd_status status = STEPD_OK;
    report_section(report, "train",
                   "A step of " MODEL " by 2 stepd-train (stepd: layer by layer, whole: without "
                   "overlap), and shares of it");
    for (size_t i = 0; i < count && status == STEPD_OK; i++) {
        training->course = &course[i];
        status = measure(training, quick ? 3 : ROUNDS, report, reterr);
    }
    return status;
}

enum stepd_status train_measure(const char *daemon, const char *optimizer, bool quick,
                                struct report *report, struct stepd_error *reterr)
{
    struct training *const training = calloc(1, sizeof *training); /* samples: for no stack */
    if (training == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for samples");
    char folder[TRAINER_FOLDER_BYTES];
    const bool made_up = quick || access(IMAGES, R_OK) != 0;
    const char *const slash = strrchr(daemon, '/');
    training->daemon = daemon;
    training->optimizer = optimizer;
    training->images = made_up ? folder : IMAGES;
    (void)snprintf(training->worker, sizeof training->worker, "%.*s/stepd-train",
                   slash == NULL ? 1 : (int)(slash - daemon), slash == NULL ? "." : daemon);
    enum stepd_status status = made_up ? trainer_make_images(folder, reterr) : STEPD_OK;
    if (status == STEPD_OK) {
        if (made_up && !quick)
            (void)fprintf(stderr, "stepd-bench: train: on made-up images, as there is no " IMAGES
                                  " (Debian: dataset-fashion-mnist)\n");
        status = measure_courses(training, quick, report, reterr);
        if (made_up)
            trainer_remove_images(folder);
    }
    free(training);
    return status;
}
