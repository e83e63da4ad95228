/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl checkpoint: one now, whatever else is due.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include <jansson.h>

#include "client/ctl/ctl.h"
#include "client/ctl/number.h"
#include "client/ctl/table.h"
#include "proto/error.h"

#define WAIT_MAX_S 86400u

struct options {
    struct ctl_options ctl;
    const char *job;
    bool json;
    uint64_t wait_s; /* 0: the server's longest */
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl checkpoint JOB [--wait SECONDS] [--json]\n"
        "\n"
        "Takes a checkpoint of a job now, beside those that the server takes by itself, and\n"
        "waits until all of its bytes are on the disk; training goes on meanwhile. The server\n"
        "must have been started with --checkpoint-dir.\n"
        "\n"
        "options:\n"
        "  --wait SECONDS    how long to wait at most [the server's longest wait]; then the\n"
        "                    command fails and says what is waited for, and the checkpoint is\n"
        "                    written all the same\n"
        "  --json            one JSON object, for programs\n"
        "  --server ADDRESS  as for stepctl itself\n"
        "  --help            this text\n");
    return CTL_OK;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static void print_json(const char *job, const struct stepd_checkpoint_result *result,
                       double seconds)
{
    json_t *const json =
        json_pack("{s:s, s:s, s:I, s:I, s:f}", "job", job, "name", result->name, "step",
                  (json_int_t)result->step, "bytes", (json_int_t)result->bytes, "seconds", seconds);
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    (void)printf("\n");
    json_decref(json);
}

static void print(const struct stepd_checkpoint_result *result, double seconds)
{
    char bytes[32];
    table_bytes(result->bytes, bytes, sizeof bytes);
    (void)printf("%s: step %" PRIu64 ", %s, on the disk after %.1f s\n", result->name, result->step,
                 bytes, seconds);
}

/* ---- The command ----------------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int take(const struct options *options)
{
    struct stepd_client *client = NULL;
    struct stepd_checkpoint_result result;
    struct stepd_error error;
    if (ctl_connect(&options->ctl, NULL, &client, &error) != STEPD_OK)
        return ctl_fail("checkpoint", &error);
    const double begun = now_s();
    const enum stepd_status status =
        stepd_checkpoint(client, options->job, (uint32_t)(options->wait_s * 1000), &result, &error);
    (void)stepd_close(client);
    if (status != STEPD_OK)
        return ctl_fail("checkpoint", &error);
    if (options->json)
        print_json(options->job, &result, now_s() - begun);
    else
        print(&result, now_s() - begun);
    return CTL_OK;
}

/* The exit code, or -1: go on. */
static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option long_options[] = {
        {"wait", required_argument, NULL, 'w'},
        {"json", no_argument, NULL, 'o'},
        {"server", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'o': options->json = true; break;
        case 's': options->ctl.server = optarg; break;
        case 'w':
            if (number_parse_whole(optarg, 1, WAIT_MAX_S, &options->wait_s))
                break;
            (void)fprintf(stderr, "stepctl checkpoint: --wait takes 1 to %u seconds: %s\n",
                          WAIT_MAX_S, optarg);
            return ctl_usage("checkpoint");
        case 'h': return print_help();
        default: return ctl_usage("checkpoint");
        }
    }
    if (optind == argc)
        (void)fprintf(stderr, "stepctl checkpoint: JOB is missing\n");
    else if (argc - optind > 1)
        (void)fprintf(stderr, "stepctl checkpoint: unexpected argument '%s'\n", argv[optind + 1]);
    if (argc - optind != 1)
        return ctl_usage("checkpoint");
    options->job = argv[optind];
    return -1;
}

int checkpoint_run(const struct ctl_options *ctl, int argc, char **argv)
{
    struct options options = {.ctl = *ctl};
    const int exit_code = read_options(argc, argv, &options);
    return exit_code < 0 ? take(&options) : exit_code;
}
