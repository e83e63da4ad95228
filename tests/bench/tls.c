/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker steps a tensor through TLS (stepd) and over TCP in clear (plain), by turns, each in a
 * daemon of its own, whose certificates `stepctl certs` makes. What counts is what each daemon
 * spends on processors. That is held to what it spends in clear and what AES takes besides, as
 * `openssl speed -evp aes-128-gcm` says it for the 16 KiB of a record: each byte goes through it
 * once, in or out.
 */
#include "tests/bench/tls.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stepd/client.h>

#include "proto/error.h"
#include "tests/bench/daemon.h"

#define HOST          "127.0.0.1"
#define ROUNDS_LEAST  5u
#define ROUNDS_WARM   2u /* not counted */
#define SECONDS       6.0
#define SECONDS_QUICK 0.05
#define PATH_BYTES    1024u
#define OVER_MOST     1.3 /* of what it takes in clear, and AES */

enum { TLS, PLAIN, LANES };

static const size_t sizes[] = {(size_t)4 << 20, (size_t)64 << 20, 0};
static const size_t quick_sizes[] = {(size_t)1 << 20, 0};

struct lane {
    struct daemon daemon;
    struct stepd_client *client; /* owned */
    struct stepd_array array;
    struct samples samples;
};

struct course {
    const struct step_settings *settings;
    size_t bytes;
    const char *certificates; /* their folder */
    float *grad;              /* (bytes / 4,), owned */
    float *weights;           /* the same */
    struct lane lane[LANES];
};

/* ---- What OpenSSL says ----------------------------------------------------------------------- */

/* Seconds for each GB; 0: there is no such program, or it says something else. */
static double aes_s_gb(bool quick)
{
    char line[256];
    double kilobytes_per_s = 0.0;
    FILE *const said = popen(quick ? "openssl speed -evp aes-128-gcm -bytes 16384 -seconds 1 "
                                     "2>/dev/null"
                                   : "openssl speed -evp aes-128-gcm -bytes 16384 -seconds 3 "
                                     "2>/dev/null",
                             "r");
    if (said == NULL)
        return 0.0;
    while (fgets(line, sizeof line, said) != NULL) {
        if (strncmp(line, "AES-128-GCM", 11) == 0 || strncmp(line, "aes-128-gcm", 11) == 0)
            kilobytes_per_s = strtod(line + 11, NULL);
    }
    (void)pclose(said);
    return kilobytes_per_s > 0 ? 1e6 / kilobytes_per_s : 0.0;
}

/* ---- Setting up ------------------------------------------------------------------------------ */

static void path_in(const char *folder, const char *name, char path[PATH_BYTES])
{
    (void)snprintf(path, PATH_BYTES, "%.500s/%.100s", folder, name);
}

/* Runs the stepctl beside the daemon. */
static enum stepd_status make_certificates(const char *daemon, const char *folder,
                                           struct stepd_error *reterr)
{
    char stepctl[PATH_BYTES];
    int ended = -1;
    const char *const slash = strrchr(daemon, '/');
    (void)snprintf(stepctl, sizeof stepctl, "%.*s/stepctl", (int)(slash - daemon), daemon);
    const pid_t pid = fork();
    if (pid == 0) {
        (void)freopen("/dev/null", "w", stdout);
        (void)execl(stepctl, stepctl, "certs", folder, "--hosts", HOST, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &ended, 0) != pid || ended != 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "%.200s certs makes no certificates", stepctl);
    return STEPD_OK;
}

static enum stepd_status start_daemon(struct course *course, size_t lane,
                                      struct stepd_error *reterr)
{
    char certificate[PATH_BYTES];
    char key[PATH_BYTES];
    path_in(course->certificates, HOST ".pem", certificate);
    path_in(course->certificates, HOST ".key", key);
    const char *const flags[] = {"--tls-cert", certificate, "--tls-key", key, NULL};
    return daemon_start_with(course->settings->daemon, lane == TLS ? flags : NULL,
                             &course->lane[lane].daemon, reterr);
}

static enum stepd_status join(struct course *course, size_t lane, struct stepd_error *reterr)
{
    struct lane *const at = &course->lane[lane];
    char address[PATH_BYTES];
    char ca[PATH_BYTES];
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    const struct stepd_param_group group = {.match = "*", .optimizer = course->settings->optimizer};
    const uint64_t shape[] = {course->bytes / sizeof(float)};
    const struct stepd_tensor tensor = {.name = "w", .shape = shape, .dims = 1};
    (void)snprintf(address, sizeof address, "%s%.100s", lane == TLS ? "tls:" : "",
                   at->daemon.tcp_address);
    path_in(course->certificates, "ca.pem", ca);
    options.address = address;
    options.tls_ca = lane == TLS ? ca : NULL;
    options.job = "tls";
    job.groups = &group;
    job.groups_count = 1;
    at->array = (struct stepd_array){.grad = course->grad, .weights = course->weights};
    const enum stepd_status status = stepd_connect(&options, &at->client, reterr);
    return status == STEPD_OK ? stepd_define(at->client, &job, &tensor, 1, reterr) : status;
}

static enum stepd_status open_course(struct course *course, struct stepd_error *reterr)
{
    course->grad = calloc(course->bytes, 1);
    course->weights = calloc(course->bytes, 1);
    if (course->grad == NULL || course->weights == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu bytes",
                          course->bytes);
    for (size_t i = 0; i < course->bytes / sizeof(float); i++)
        course->grad[i] = 1e-3f * (float)(i % 7);
    enum stepd_status status = STEPD_OK;
    for (size_t lane = 0; lane < LANES && status == STEPD_OK; lane++) {
        status = start_daemon(course, lane, reterr);
        if (status == STEPD_OK)
            status = join(course, lane, reterr);
    }
    return status;
}

static enum stepd_status close_course(struct course *course, enum stepd_status status,
                                      struct stepd_error *reterr)
{
    for (size_t i = 0; i < LANES; i++) {
        struct lane *const lane = &course->lane[i];
        stepd_close(lane->client);
        if (lane->daemon.pid == 0)
            continue;
        const enum stepd_status ended =
            daemon_stop(&lane->daemon, status == STEPD_OK ? reterr : NULL);
        status = status == STEPD_OK ? ended : status;
    }
    free(course->grad);
    free(course->weights);
    return status;
}

/* ---- Measuring ------------------------------------------------------------------------------- */

static enum stepd_status take_turn(struct lane *lane, bool counted, struct stepd_error *reterr)
{
    const double spent_s = samples_cpu(lane->daemon.pid);
    const double began = samples_now();
    const enum stepd_status status =
        stepd_step(lane->client, &lane->array, 1, /* options= */ NULL, reterr);
    if (!counted)
        return status;
    samples_add(&lane->samples, samples_now() - began);
    lane->samples.cpu_s += samples_cpu(lane->daemon.pid) - spent_s;
    return status;
}

static enum stepd_status run_course(struct course *course, struct stepd_error *reterr)
{
    const double until = samples_now() + (course->settings->quick ? SECONDS_QUICK : SECONDS);
    enum stepd_status status = STEPD_OK;
    for (size_t round = 0;
         status == STEPD_OK && (round < ROUNDS_WARM + ROUNDS_LEAST || samples_now() < until);
         round++) {
        for (size_t i = 0; i < LANES && status == STEPD_OK; i++)
            status = take_turn(&course->lane[i], round >= ROUNDS_WARM, reterr);
    }
    return status;
}

/* ---- Reporting ------------------------------------------------------------------------------- */

static struct report_subject subject_of(const struct course *course)
{
    return (struct report_subject){
        .optimizer = course->settings->optimizer,
        .kind_name = "transport",
        .kind = "tls",
        .size_name = "bytes",
        .size = course->bytes,
        .bytes = 2 * course->bytes,
    };
}

/* Processor seconds of a lane for each GB that it moved. */
static double cpu_s_gb(const struct course *course, size_t lane)
{
    const struct samples *const samples = &course->lane[lane].samples;
    return samples->cpu_s / (double)samples->count / (2e-9 * (double)course->bytes);
}

static void report_promise(const struct course *course, double aes, struct report *report)
{
    const struct report_subject subject = subject_of(course);
    const double plain = cpu_s_gb(course, PLAIN);
    const struct report_figure figures[] = {
        {.name = "aes_s_gb",
         .what = "seconds of AES-128-GCM for a GB (openssl speed)",
         .value = aes,
         .target = 1e3},
        {.name = "over_plain_and_aes",
         .what = "processor time over that in clear and AES",
         .value = cpu_s_gb(course, TLS) / (plain + aes),
         .target = OVER_MOST},
    };
    if (aes > 0)
        report_figures(report, &subject, figures, sizeof figures / sizeof figures[0]);
}

static enum stepd_status measure(struct course *course, struct report *report,
                                 struct stepd_error *reterr)
{
    const struct report_subject subject = subject_of(course);
    const struct report_lane lanes[] = {
        {"stepd", &course->lane[TLS].samples},
        {"plain", &course->lane[PLAIN].samples},
    };
    report_progress(report, &subject);
    enum stepd_status status = open_course(course, reterr);
    if (status == STEPD_OK)
        status = run_course(course, reterr);
    if (status == STEPD_OK)
        report_comparison(report, &subject, lanes, LANES);
    return close_course(course, status, reterr);
}

/* All sizes, then what is promised of each. */
static enum stepd_status measure_all(struct course *course, const size_t *size, size_t count,
                                     struct report *report, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    report_section(report, "tls", "A step through TLS; plain: over TCP in clear");
    for (size_t i = 0; i < count && status == STEPD_OK; i++) {
        course[i].bytes = size[i];
        status = measure(&course[i], report, reterr);
    }
    if (status != STEPD_OK)
        return status;
    const double aes = aes_s_gb(course->settings->quick);
    report_figures_section(report, "tls_targets", "What is promised of TLS");
    for (size_t i = 0; i < count; i++)
        report_promise(&course[i], aes, report);
    return STEPD_OK;
}

enum stepd_status tls_measure(const struct step_settings *settings, struct report *report,
                              struct stepd_error *reterr)
{
    const size_t *const size = settings->quick ? quick_sizes : sizes;
    size_t count = 0;
    while (size[count] > 0)
        count++;
    struct disk_folder folder;
    enum stepd_status status = disk_make_folder("/tmp", &folder, reterr);
    if (status != STEPD_OK)
        return status;
    char certificates[PATH_BYTES];
    path_in(folder.path, "pki", certificates);
    struct course *const course = calloc(count, sizeof *course);
    if (course == NULL)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for samples");
    else
        status = make_certificates(settings->daemon, certificates, reterr);
    for (size_t i = 0; i < count && course != NULL; i++)
        course[i] = (struct course){.settings = settings, .certificates = certificates};
    if (status == STEPD_OK)
        status = measure_all(course, size, count, report, reterr);
    free(course);
    disk_remove_folder(&folder);
    return status;
}
