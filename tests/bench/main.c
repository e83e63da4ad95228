/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd-bench: how much do kernels and steps cost, and how much of that is the machine's own price
 * for memory (kernel.c) and sockets (step.c)? What is a training's (train.c)? Everything is
 * measured against a bare counterpart in the same run, because times of two runs on a shared
 * machine cannot be compared; the ratios can.
 *
 *     stepd-bench [kernel|latency|step|train ...] [--optimizer NAME] [--quick] [--csv|--json]
 *
 * The stepd that is measured is the one beside this binary. Build with the preset release.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "tests/bench/kernel.h"
#include "tests/bench/report.h"
#include "tests/bench/step.h"
#include "tests/bench/train.h"

struct settings {
    bool kernel;
    bool latency;
    bool step;
    bool train;
    bool quick;
    enum report_form form;
    const char *optimizer; /* NULL: each section's own choice */
};

static const char usage[] =
    "usage: stepd-bench [kernel|latency|step|train ...] [--optimizer NAME] [--quick] [--csv|--json]\n"
    "\n"
    "  kernel            optimizers' steps in memory, against a bare loop, memcpy and a plain loop\n"
    "  latency           the smallest step over a socket, against a bare echo through libuv\n"
    "  step              a step over a socket, against bare sockets\n"
    "  train             a training by two workers, with and without overlap; all without a choice\n"
    "  --optimizer NAME  which one [kernel: all that go element by element; others: adamw]\n"
    "  --quick           small sizes and few rounds: does it work?\n"
    "  --csv             comma-separated lines instead of tables\n"
    "  --json            one JSON object instead of tables\n";

static bool read_arguments(int argc, char *const *argv, struct settings *ret_settings)
{
    struct settings settings = {.optimizer = NULL};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "kernel") == 0)
            settings.kernel = true;
        else if (strcmp(argv[i], "latency") == 0)
            settings.latency = true;
        else if (strcmp(argv[i], "step") == 0)
            settings.step = true;
        else if (strcmp(argv[i], "train") == 0)
            settings.train = true;
        else if (strcmp(argv[i], "--quick") == 0)
            settings.quick = true;
        else if (strcmp(argv[i], "--json") == 0)
            settings.form = REPORT_JSON;
        else if (strcmp(argv[i], "--csv") == 0)
            settings.form = REPORT_CSV;
        else if (strcmp(argv[i], "--optimizer") == 0 && i + 1 < argc)
            settings.optimizer = argv[++i];
        else
            return false;
    }
    if (!settings.kernel && !settings.latency && !settings.step && !settings.train)
        settings.kernel = settings.latency = settings.step = settings.train = true;
    *ret_settings = settings;
    return true;
}

/* The path of the stepd beside this binary. */
static enum stepd_status find_daemon(char ret_path[PATH_MAX], struct stepd_error *reterr)
{
    static const char name[] = "stepd";
    const ssize_t length = readlink("/proc/self/exe", ret_path, PATH_MAX - sizeof name);
    if (length <= 0)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "cannot tell where this binary lies");
    ret_path[length] = '\0';
    memcpy(strrchr(ret_path, '/') + 1, name, sizeof name);
    return STEPD_OK;
}

static const char *or_else(const char *choice, const char *fallback)
{
    return choice != NULL ? choice : fallback;
}

static enum stepd_status run(const struct settings *settings, struct stepd_error *reterr)
{
    struct report report;
    report_begin(&report, settings->form, !settings->quick);
    enum stepd_status status = STEPD_OK;
    if (settings->kernel)
        status = kernel_measure(or_else(settings->optimizer, KERNEL_ALL), settings->quick, &report,
                                reterr);
    if (status == STEPD_OK && (settings->latency || settings->step || settings->train)) {
        char daemon[PATH_MAX];
        status = find_daemon(daemon, reterr);
        const struct step_settings step = {
            .daemon = daemon,
            .optimizer = or_else(settings->optimizer, "adamw"),
            .quick = settings->quick,
        };
        if (status == STEPD_OK && settings->latency)
            status = latency_measure(&step, &report, reterr);
        if (status == STEPD_OK && settings->step)
            status = step_measure(&step, &report, reterr);
        if (status == STEPD_OK && settings->train)
            status = train_measure(daemon, step.optimizer, settings->quick, &report, reterr);
    }
    if (status == STEPD_OK)
        report_end(&report);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return 0;
    }
    if (!read_arguments(argc, argv, &settings)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    struct stepd_error error;
    if (run(&settings, &error) != STEPD_OK) {
        (void)fprintf(stderr, "stepd-bench: %s\n", error.text);
        return 1;
    }
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return 0;
    (void)fprintf(stderr, "stepd-bench: cannot write the output\n");
    return 1;
}
