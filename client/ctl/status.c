/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl status: what goes on at the server, once or again and again.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/ask.h"
#include "client/ctl/ctl.h"
#include "client/ctl/limits.h"
#include "client/ctl/number.h"
#include "client/ctl/table.h"

#define CLEAR_SCREEN "\033[H\033[2J"

struct status_options {
    struct ctl_options ctl;
    const char *job; /* NULL: all */
    bool json;
    bool limits;
    double watch_s; /* 0: once */
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl status [--job JOB] [--limits] [--json] [--watch SECONDS]\n"
        "\n"
        "Shows the server's jobs: their members, the versions of their weights, for which\n"
        "ranks the open rounds wait, and the newest checkpoint that is on the disk.\n"
        "\n"
        "options:\n"
        "  --job JOB         this job only\n"
        "  --limits          the server's limits too: what is used, and how often each was met\n"
        "  --json            one JSON object with all of it, for programs\n"
        "  --watch SECONDS   again every so many seconds, until interrupted\n"
        "  --server ADDRESS  as for stepctl itself\n"
        "  --help            this text\n");
    return CTL_OK;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static uint64_t number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
    const char *const value = json_string_value(json_object_get(object, key));
    return value == NULL ? "" : value;
}

static void rank_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%llu", (unsigned long long)number(row, "rank"));
}

static void worker_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%s", string(row, "worker"));
}

static void state_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%s", string(row, "state"));
}

static void clock_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%llu", (unsigned long long)number(row, "clock"));
}

static void silent_cell(const json_t *row, char *text, size_t size)
{
    table_duration(number(row, "silent_ms"), text, size);
}

static void loss_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const loss = json_object_get(row, "loss");
    if (json_is_null(loss))
        (void)snprintf(text, size, "nan");
    else
        (void)snprintf(text, size, "%.6g", json_real_value(loss));
}

static void examples_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%llu", (unsigned long long)number(row, "examples"));
}

/* The versions that it is a member for: "[17, 300)", or "[17, ...)". */
static void versions_cell(const json_t *row, char *text, size_t size)
{
    const unsigned long long from = number(row, "from");
    if (json_is_null(json_object_get(row, "until")))
        (void)snprintf(text, size, "[%llu, ...)", from);
    else
        (void)snprintf(text, size, "[%llu, %llu)", from, (unsigned long long)number(row, "until"));
}

static const struct table_column member_columns[] = {
    {.header = "RANK", .cell = rank_cell},   {.header = "WORKER", .cell = worker_cell},
    {.header = "STATE", .cell = state_cell}, {.header = "VERSIONS", .cell = versions_cell},
    {.header = "CLOCK", .cell = clock_cell}, {.header = "SILENT", .cell = silent_cell},
    {.header = "LOSS", .cell = loss_cell},   {.header = "EXAMPLES", .cell = examples_cell},
};

/* " 3 (silent 12s)"; without its silence where no such member is known. */
static void print_waited_for(const json_t *job, json_int_t rank)
{
    const json_t *const members = json_object_get(job, "members");
    (void)printf(" %lld", (long long)rank);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *const member = json_array_get(members, i);
        if (json_integer_value(json_object_get(member, "rank")) != rank)
            continue;
        char silent[32];
        table_duration(number(member, "silent_ms"), silent, sizeof silent);
        (void)printf(" (silent %s)", silent);
    }
}

static void print_waiting(const json_t *job)
{
    const json_t *const ranks = json_object_get(job, "waited_for");
    const size_t count = json_array_size(ranks);
    if (number(job, "parked") > 0)
        (void)printf("  %llu requests wait", (unsigned long long)number(job, "parked"));
    else if (count > 0)
        (void)printf("  open rounds wait");
    for (size_t i = 0; i < count; i++) {
        (void)printf("%s", i > 0 ? "," : count == 1 ? " for rank" : " for ranks");
        print_waited_for(job, json_integer_value(json_array_get(ranks, i)));
    }
    if (number(job, "parked") > 0 || count > 0)
        (void)printf("\n");
}

/* Is a member to come to a barrier, and has not? */
static bool is_missing(const json_t *member, const char *barrier)
{
    const char *const state = string(member, "state");
    const bool counts = strcmp(state, "present") == 0 || strcmp(state, "lost") == 0;
    return counts && strcmp(string(member, "barrier"), barrier) != 0;
}

/* "  1 worker waits at barrier 'epoch' for rank 3 (silent 12s)" */
static void print_barrier(const json_t *job, const char *barrier)
{
    const json_t *const members = json_object_get(job, "members");
    size_t here = 0, missing = 0;
    for (size_t i = 0; i < json_array_size(members); i++)
        here += strcmp(string(json_array_get(members, i), "barrier"), barrier) == 0;
    (void)printf("  %zu worker%s at barrier '%s'", here, here == 1 ? " waits" : "s wait", barrier);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *const member = json_array_get(members, i);
        if (!is_missing(member, barrier))
            continue;
        (void)printf("%s", missing++ > 0 ? "," : " for rank");
        print_waited_for(job, json_integer_value(json_object_get(member, "rank")));
    }
    (void)printf("%s\n", missing > 0 ? "" : " for the job to start");
}

/* Each once, where the first member stands at it. */
static void print_barriers(const json_t *job)
{
    const json_t *const members = json_object_get(job, "members");
    for (size_t i = 0; i < json_array_size(members); i++) {
        const char *const barrier = string(json_array_get(members, i), "barrier");
        size_t first = 0;
        while (strcmp(string(json_array_get(members, first), "barrier"), barrier) != 0)
            first++;
        if (barrier[0] != '\0' && first == i)
            print_barrier(job, barrier);
    }
}

/* "8", or of an elastic job "2..8". */
static void describe_workers(const json_t *job, char *text, size_t size)
{
    const unsigned long long most = number(job, "workers"), least = number(job, "workers_min");
    if (least == most)
        (void)snprintf(text, size, "%llu", most);
    else
        (void)snprintf(text, size, "%llu..%llu", least, most);
}

/* "  memory 320 MiB: weights 64 MiB, second version 64 MiB, ...", without what takes none. */
static void print_memory(const json_t *job)
{
    static const struct {
        const char *key;
        const char *name;
    } parts[] = {
        {"weights", "weights"}, {"second_version", "second version"},
        {"views", "views"},     {"slots", "slots"},
        {"sums", "sums"},       {"staging", "staging"},
        {"backups", "backups"}, {"spare", "spare"},
    };

    const json_t *const memory = json_object_get(job, "memory");
    const char *before = ":";
    char bytes[32];
    table_bytes(number(job, "memory_bytes"), bytes, sizeof bytes);
    (void)printf("  memory %s", bytes);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const uint64_t taken = number(memory, parts[i].key);
        if (taken == 0)
            continue;
        table_bytes(taken, bytes, sizeof bytes);
        (void)printf("%s %s %s", before, parts[i].name, bytes);
        before = ",";
    }
    (void)printf("\n");
}

/* The newest that is on the disk, and what is wrong with any later one. */
static void print_checkpoint(const json_t *job)
{
    const json_t *const newest = json_object_get(job, "checkpoint");
    char bytes[32], age[32];
    if (json_is_object(newest)) {
        table_bytes(number(newest, "bytes"), bytes, sizeof bytes);
        table_duration(number(newest, "age_ms"), age, sizeof age);
        (void)printf("  checkpoint %s, %s, %s ago\n", string(newest, "name"), bytes, age);
    }
    if (string(job, "checkpoint_failure")[0] != '\0')
        (void)printf("  DEGRADED: no newer checkpoint could be written: %s\n",
                     string(job, "checkpoint_failure"));
}

static void print_job(const json_t *job)
{
    const json_t *const members = json_object_get(job, "members");
    const unsigned long long least = number(job, "version_min"), most = number(job, "version_max");
    char workers[48];
    describe_workers(job, workers, sizeof workers);
    (void)printf("\njob %s: %s, %s, version %llu", string(job, "name"), string(job, "state"),
                 string(job, "mode"), least);
    if (most != least)
        (void)printf(" to %llu", most);
    (void)printf("\n  tensors %llu, elements %llu, slices %llu, workers %zu of %s\n",
                 (unsigned long long)number(job, "tensors"),
                 (unsigned long long)number(job, "elements"),
                 (unsigned long long)number(job, "slices"), json_array_size(members), workers);
    print_memory(job);
    if (string(job, "failure")[0] != '\0')
        (void)printf("  %s\n", string(job, "failure"));
    if (string(job, "first_weights")[0] != '\0')
        (void)printf("  first weights: %s\n", string(job, "first_weights"));
    print_checkpoint(job);
    if (number(job, "changes") > 0)
        (void)printf("  changed %llu time%s while it ran: stepctl changes --job %s\n",
                     (unsigned long long)number(job, "changes"),
                     number(job, "changes") == 1 ? "" : "s", string(job, "name"));
    print_waiting(job);
    print_barriers(job);
    if (json_array_size(members) > 0)
        table_print(stdout, 2, member_columns, sizeof member_columns / sizeof member_columns[0],
                    members);
}

/* "1-4", or "-" as long as it has none. */
static void shards_cell(const json_t *row, char *text, size_t size)
{
    const unsigned long long first = number(row, "first_shard"), count = number(row, "shards");
    if (first == 0 || count == 0)
        (void)snprintf(text, size, "-");
    else if (count == 1)
        (void)snprintf(text, size, "%llu", first);
    else
        (void)snprintf(text, size, "%llu-%llu", first, first + count - 1);
}

static void ahead_cell(const json_t *row, char *text, size_t size)
{
    const double ms = json_real_value(json_object_get(row, "clock_ahead_ms"));
    (void)snprintf(text, size, "%+.3f s", ms / 1000);
}

static const struct table_column daemon_columns[] = {
    {.header = "DAEMON", .key = "place"},      {.header = "ADDRESS", .key = "address"},
    {.header = "STATE", .cell = state_cell},   {.header = "SHARDS", .cell = shards_cell},
    {.header = "SILENT", .cell = silent_cell}, {.header = "CLOCK AHEAD", .cell = ahead_cell},
};

/* "2 jobs"; where there may be others, why so. */
static void print_head(const json_t *status)
{
    const char *const unknown = string(status, "jobs_unknown");
    const size_t jobs = json_array_size(json_object_get(status, "jobs"));
    char uptime[32];
    table_duration(number(status, "uptime_ms"), uptime, sizeof uptime);
    (void)printf("stepd %s, up %s, ", string(status, "server_version"), uptime);
    if (unknown[0] == '\0' || jobs > 0)
        (void)printf("%zu job%s", jobs, jobs == 1 ? "" : "s");
    if (unknown[0] != '\0')
        (void)printf("%s\n  %s", jobs > 0 ? ", and maybe others" : "jobs not known", unknown);
    (void)printf("\n");
}

static void print_status(const json_t *status, bool with_limits)
{
    const json_t *const daemons = json_object_get(status, "daemons");
    const json_t *const limits = json_object_get(status, "limits");
    const json_t *const jobs = json_object_get(status, "jobs");
    print_head(status);
    if (json_array_size(daemons) > 0)
        table_print(stdout, 2, daemon_columns, sizeof daemon_columns / sizeof daemon_columns[0],
                    daemons);
    if (!with_limits)
        limits_print_met(limits);
    else if (limits != NULL)
        limits_print(limits);
    else
        (void)printf(
            "limits: the server shows none to this token or certificate, or is an older one\n");
    for (size_t i = 0; i < json_array_size(jobs); i++)
        print_job(json_array_get(jobs, i));
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static enum stepd_status show(struct stepd_client *client, const struct status_options *options,
                              struct stepd_error *reterr)
{
    json_t *status = NULL;
    const enum stepd_status asked = ask_status(client, options->job, &status, reterr);
    if (asked != STEPD_OK)
        return asked;
    if (options->watch_s > 0 && !options->json && isatty(STDOUT_FILENO) == 1)
        (void)printf(CLEAR_SCREEN);
    if (options->json) {
        (void)json_dumpf(status, stdout, options->watch_s > 0 ? JSON_COMPACT : JSON_INDENT(2));
        (void)printf("\n");
    } else {
        print_status(status, options->limits);
    }
    (void)fflush(stdout);
    json_decref(status);
    return STEPD_OK;
}

static void pause_for(double seconds)
{
    const time_t whole = (time_t)seconds;
    const struct timespec time = {
        .tv_sec = whole,
        .tv_nsec = (long)((seconds - (double)whole) * 1e9),
    };
    (void)nanosleep(&time, NULL);
}

static int ask_and_show(const struct status_options *options)
{
    struct stepd_client *client = NULL;
    struct stepd_error error;
    if (ctl_connect(&options->ctl, NULL, &client, &error) != STEPD_OK)
        return ctl_fail("status", &error);
    enum stepd_status status = show(client, options, &error);
    while (status == STEPD_OK && options->watch_s > 0 && ferror(stdout) == 0) {
        pause_for(options->watch_s);
        status = show(client, options, &error);
    }
    (void)stepd_close(client);
    return status == STEPD_OK ? CTL_OK : ctl_fail("status", &error);
}

static bool parse_seconds(const char *text, double *ret_seconds)
{
    double seconds;
    if (!number_parse(text, &seconds) || !(seconds >= 0.1 && seconds <= 86400))
        return false;
    *ret_seconds = seconds;
    return true;
}

int status_run(const struct ctl_options *ctl, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"job", required_argument, NULL, 'j'},
        {"json", no_argument, NULL, 'o'},
        {"watch", required_argument, NULL, 'w'},
        {"server", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {"limits", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    struct status_options options = {.ctl = *ctl};
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'j': options.job = optarg; break;
        case 'o': options.json = true; break;
        case 'l': options.limits = true; break;
        case 's': options.ctl.server = optarg; break;
        case 'w':
            if (parse_seconds(optarg, &options.watch_s))
                break;
            (void)fprintf(stderr, "stepctl status: --watch takes 0.1 to 86400 seconds: %s\n",
                          optarg);
            return ctl_usage("status");
        case 'h': return print_help();
        default: return ctl_usage("status");
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "stepctl status: unexpected argument '%s'\n", argv[optind]);
        return ctl_usage("status");
    }
    return ask_and_show(&options);
}
