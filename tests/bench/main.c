/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd-bench: how much do kernels and steps cost, and how much of that is the machine's own price
 * for memory (kernel.c) and sockets (course.c)? What is a training's (train.c)? Everything is
 * measured against a bare counterpart in the same run, because times of two runs on a shared
 * machine cannot be compared; the ratios can.
 *
 *     stepd-bench [SECTION ...] [--optimizer NAME] [--bytes N] [--folder PATH] [--quick]
 *                 [--csv|--json]
 *
 * Without a section's name all of them are measured, in the order of the table below.
 * The stepd that is measured is the one beside this binary. Build with the preset release.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/optim/optimizer.h"
#include "tests/bench/checkpoint.h"
#include "tests/bench/idle.h"
#include "tests/bench/kernel.h"
#include "tests/bench/load.h"
#include "tests/bench/many.h"
#include "tests/bench/memory.h"
#include "tests/bench/report.h"
#include "tests/bench/step.h"
#include "tests/bench/tls.h"
#include "tests/bench/train.h"

/* What can be measured. */
struct section {
    const char *name;
    const char *what;      /* for --help */
    const char *optimizer; /* where none is chosen */
    enum stepd_status (*measure)(const struct step_settings *settings, struct report *report,
                                 struct stepd_error *reterr);
};

static enum stepd_status measure_kernels(const struct step_settings *settings,
                                         struct report *report, struct stepd_error *reterr)
{
    return kernel_measure(settings->optimizer, settings->quick, report, reterr);
}

static enum stepd_status measure_training(const struct step_settings *settings,
                                          struct report *report, struct stepd_error *reterr)
{
    return train_measure(settings->daemon, settings->optimizer, settings->quick, report, reterr);
}

static const struct section sections[] = {
    {"kernel", "optimizers' steps in memory, against a bare loop, memcpy and a plain loop",
     KERNEL_ALL, measure_kernels},
    {"latency", "the smallest step over a socket, against a bare echo through libuv", "adamw",
     latency_measure},
    {"polling", "the same where client, server and echo poll instead of sleeping", "adamw",
     polling_measure},
    {"push", "a push over a socket, against a bare program, and against the socket alone", "adamw",
     push_measure},
    {"receive", "a push that is kept for a step to come, against the socket alone", "adamw",
     receive_measure},
    {"pull", "a pull over a socket, against the socket alone", "adamw", pull_measure},
    {"step", "a step over a socket, against a bare program, and against the socket alone", "adamw",
     step_measure},
    {"tls", "a step through TLS, against one over TCP in clear", "adamw", tls_measure},
    {"workers", "a step of 1, 2, 4 and 8 workers at once", "adamw", workers_measure},
    {"shards", "a step of two workers at once, in a daemon of 1 and of 2 shards", "adamw",
     shards_measure},
    {"many", "a step of the same elements in 1 to 100,000 tensors, against one tensor", "adamw",
     many_measure},
    {"idle", "a step of 200 busy workers with and without 1,000 idle connections", "adamw",
     idle_measure},
    {"memory", "what a daemon grows by, against what it planned", MEMORY_ALL, memory_measure},
    {"checkpoint", "steps with and without a checkpoint beside them, and how fast it is written",
     "adam", checkpoint_measure},
    {"train", "a training by two workers, with overlap and without", "adamw", measure_training},
};

#define SECTIONS (sizeof sections / sizeof sections[0])

#define BYTES_LEAST 4ULL
#define BYTES_MOST  (1ULL << 33)

struct settings {
    bool chosen[SECTIONS];
    bool quick;
    enum report_form form;
    const char *optimizer; /* NULL: each section's own choice */
    size_t bytes;          /* 0: the same */
    const char *folder;
};

static void print_usage(FILE *out)
{
    (void)fputs("usage: stepd-bench [SECTION ...] [--optimizer NAME] [--bytes N] [--folder PATH]\n"
                "                   [--quick] [--csv|--json]\n\n",
                out);
    for (size_t i = 0; i < SECTIONS; i++)
        (void)fprintf(out, "  %-17s %s\n", sections[i].name, sections[i].what);
    (void)fputs(
        "without a choice all sections\n\n"
        "  --optimizer NAME  which one [kernel: all; checkpoint: adam; otherwise adamw]\n"
        "  --bytes N         of the tensor of push, receive, pull and step [several sizes in\n"
        "                    turn] and of checkpoint [400000000]\n"
        "  --folder PATH     on the disk that checkpoint writes to [/tmp]\n"
        "  --quick           small sizes and few rounds: does it work?\n"
        "  --csv             comma-separated lines instead of tables\n"
        "  --json            one JSON object instead of tables\n",
        out);
}

static bool choose_section(struct settings *settings, const char *name)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        if (strcmp(sections[i].name, name) != 0)
            continue;
        settings->chosen[i] = true;
        return true;
    }
    return false;
}

static void print_names(FILE *out)
{
    for (size_t i = 0; i < SECTIONS; i++)
        (void)fprintf(out, "%s%s", i > 0 ? ", " : "", sections[i].name);
}

/* Says what is wrong with the i-th argument. False. */
static bool refuse(int argc, char *const *argv, int i)
{
    static const char *const valued[] = {"--optimizer", "--bytes", "--folder"};
    for (size_t k = 0; k < sizeof valued / sizeof valued[0] && i + 1 == argc; k++) {
        if (strcmp(argv[i], valued[k]) != 0)
            continue;
        (void)fprintf(stderr, "stepd-bench: %s needs a value after it\n", argv[i]);
        return false;
    }
    (void)fprintf(stderr, "stepd-bench: there is no %s '%s'; %s",
                  argv[i][0] == '-' ? "option" : "section", argv[i],
                  argv[i][0] == '-' ? "see --help for those that there are" : "there are ");
    if (argv[i][0] != '-')
        print_names(stderr);
    (void)fputc('\n', stderr);
    return false;
}

/* The forms exclude each other. */
static bool choose_form(struct settings *settings, enum report_form form)
{
    if (settings->form != REPORT_TABLE && settings->form != form) {
        (void)fprintf(stderr, "stepd-bench: --csv and --json exclude each other; give one\n");
        return false;
    }
    settings->form = form;
    return true;
}

/* The size of a tensor of floats. */
static bool read_bytes(const char *text, size_t *ret_bytes)
{
    char *end;
    const unsigned long long bytes = strtoull(text, &end, 10);
    if (*end != '\0' || bytes < BYTES_LEAST || bytes > BYTES_MOST || bytes % sizeof(float) != 0) {
        (void)fprintf(stderr,
                      "stepd-bench: --bytes '%s': expected a multiple of 4 from %llu to %llu\n",
                      text, BYTES_LEAST, BYTES_MOST);
        return false;
    }
    *ret_bytes = (size_t)bytes;
    return true;
}

static bool read_folder(const char *text, const char **ret_folder)
{
    if (text[0] == '\0')
        (void)fprintf(stderr, "stepd-bench: --folder '': expected a folder's path\n");
    *ret_folder = text;
    return text[0] != '\0';
}

/* False: one is refused, and stderr says why. */
static bool read_arguments(int argc, char *const *argv, struct settings *ret_settings)
{
    struct settings settings = {.folder = "/tmp"};
    bool any = false;
    bool good = true;
    for (int i = 1; i < argc && good; i++) {
        if (choose_section(&settings, argv[i]))
            any = true;
        else if (strcmp(argv[i], "--quick") == 0)
            settings.quick = true;
        else if (strcmp(argv[i], "--json") == 0)
            good = choose_form(&settings, REPORT_JSON);
        else if (strcmp(argv[i], "--csv") == 0)
            good = choose_form(&settings, REPORT_CSV);
        else if (strcmp(argv[i], "--optimizer") == 0 && i + 1 < argc)
            settings.optimizer = argv[++i];
        else if (strcmp(argv[i], "--bytes") == 0 && i + 1 < argc)
            good = read_bytes(argv[++i], &settings.bytes);
        else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc)
            good = read_folder(argv[++i], &settings.folder);
        else
            good = refuse(argc, argv, i);
    }
    for (size_t i = 0; i < SECTIONS; i++)
        settings.chosen[i] = settings.chosen[i] || !any;
    *ret_settings = settings;
    return good;
}

/* What an optimizer takes beside the gradient, a Hessian, no section sends. */
static enum stepd_status check_extra(const struct settings *settings,
                                     const struct optimizer *optimizer, struct stepd_error *reterr)
{
    for (size_t i = 0; i < SECTIONS && optimizer->extra != NULL; i++)
        if (settings->chosen[i] && sections[i].measure != measure_kernels)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "section %s cannot take %s: it needs a Hessian beside the gradient, "
                              "and gradients alone are sent; kernel measures it",
                              sections[i].name, optimizer->name);
    return STEPD_OK;
}

/* Is the optimizer one that all chosen sections can take? Asked before anything is written. */
static enum stepd_status check_optimizer(const struct settings *settings,
                                         struct stepd_error *reterr)
{
    const struct optimizer *optimizer;
    if (settings->optimizer == NULL)
        return STEPD_OK;
    if (strcmp(settings->optimizer, KERNEL_ALL) != 0) {
        const enum stepd_status status = optimizer_find(settings->optimizer, &optimizer, reterr);
        return status == STEPD_OK ? check_extra(settings, optimizer, reterr) : status;
    }
    for (size_t i = 0; i < SECTIONS; i++)
        if (settings->chosen[i] && strcmp(sections[i].optimizer, KERNEL_ALL) != 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "section %s takes one optimizer, not all: name it", sections[i].name);
    return STEPD_OK;
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

static enum stepd_status run(const struct settings *settings, struct stepd_error *reterr)
{
    char daemon[PATH_MAX];
    enum stepd_status status = check_optimizer(settings, reterr);
    if (status == STEPD_OK)
        status = find_daemon(daemon, reterr);
    if (status != STEPD_OK)
        return status;
    struct report report;
    report_begin(&report, settings->form, !settings->quick);
    for (size_t i = 0; i < SECTIONS && status == STEPD_OK; i++) {
        const struct section *const section = &sections[i];
        const char *const chosen = settings->optimizer;
        const struct step_settings of_section = {
            .daemon = daemon,
            .optimizer = chosen != NULL ? chosen : section->optimizer,
            .quick = settings->quick,
            .bytes = settings->bytes,
            .folder = settings->folder,
        };
        if (settings->chosen[i])
            status = section->measure(&of_section, &report, reterr);
    }
    if (status == STEPD_OK)
        report_end(&report);
    return status;
}

/* The exit code, of what stdout has taken too. */
static int finish(void)
{
    const int cause = fflush(stdout) == 0 ? 0 : errno;
    if (cause == 0 && ferror(stdout) == 0)
        return 0;
    (void)fprintf(stderr, "stepd-bench: cannot write the output%s%s\n", cause == 0 ? "" : ": ",
                  cause == 0 ? "" : strerror(cause));
    return 1;
}

int main(int argc, char **argv)
{
    struct settings settings;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return finish();
    }
    if (!read_arguments(argc, argv, &settings))
        return 2;
    struct stepd_error error;
    if (run(&settings, &error) != STEPD_OK) {
        (void)fprintf(stderr, "stepd-bench: %s\n", error.text);
        return 1;
    }
    return finish();
}
