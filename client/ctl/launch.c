/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl launch: the command line. What it does is in crew.c.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stepd/types.h>

#include "client/ctl/crew.h"
#include "client/ctl/ctl.h"

static int print_help(void)
{
    (void)printf(
        "usage: stepctl [--server ADDRESS] launch -n WORKERS [--env NAME=VALUE]...\n"
        "               -- COMMAND [ARGUMENTS]\n"
        "\n"
        "Runs COMMAND so many times side by side on this machine, each with its rank in\n"
        "STEPD_RANK and STEPD_LOCAL_RANK and their number in STEPD_WORLD (RANK, LOCAL_RANK and\n"
        "WORLD_SIZE say the same), the server's address in STEPD_ADDRESS, and in STEPD_TOKEN the\n"
        "token of stepctl --token-file. Every line they print comes out with its rank in front.\n"
        "\n"
        "When one fails, all are ended: SIGTERM, and after 5 s SIGKILL. The exit code is that of\n"
        "the first one that failed; 128 and the signal's number if a signal killed it.\n"
        "\n"
        "options:\n"
        "  -n, --workers N    how many; 1 to %u\n"
        "  --env NAME=VALUE   added to the workers' environment; may be repeated\n"
        "  --server ADDRESS   as for stepctl itself\n"
        "  --help             this text\n",
        STEPD_WORKERS_MAX);
    return CTL_OK;
}

static bool parse_workers(const char *text, unsigned *ret_workers)
{
    char *end;
    errno = 0;
    const unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n < 1 ||
        n > STEPD_WORKERS_MAX)
        return false;
    *ret_workers = (unsigned)n;
    return true;
}

/* Says what is wrong with an argument; returns CTL_USAGE. */
static int refuse(const char *what, const char *argument)
{
    (void)fprintf(stderr, "stepctl launch: %s%s%s\n", what, argument[0] == '\0' ? "" : ": ",
                  argument);
    return ctl_usage("launch");
}

/* CTL_OK: the options are complete. -1: help was asked for. Otherwise the exit code. */
static int parse(int argc, char **argv, const char **server, struct crew_options *options)
{
    static const struct option long_options[] = {
        {"workers", required_argument, NULL, 'n'},
        {"env", required_argument, NULL, 'e'},
        {"server", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "+n:", long_options, NULL)) != -1) {
        switch (option) {
        case 'n':
            if (!parse_workers(optarg, &options->workers))
                return refuse("-n takes a number from 1 to 4096", optarg);
            break;
        case 'e':
            if (optarg[0] == '=' || strchr(optarg, '=') == NULL)
                return refuse("--env takes NAME=VALUE", optarg);
            options->setting[options->settings++] = optarg;
            break;
        case 's': *server = optarg; break;
        case 'h': return -1;
        default: return ctl_usage("launch");
        }
    }
    if (options->workers == 0)
        return refuse("-n WORKERS is missing", "");
    if (optind == argc)
        return refuse("the command is missing", "");
    options->command = argv + optind;
    return CTL_OK;
}

int launch_run(const struct ctl_options *ctl, int argc, char **argv)
{
    const char *server = ctl->server;
    struct crew_options options = {.setting = calloc((size_t)argc, sizeof *options.setting)};
    struct stepd_error error = {.code = STEPD_RESOURCE_EXHAUSTED, .text = "no memory"};
    if (options.setting == NULL)
        return ctl_fail("launch", &error);
    int result = parse(argc, argv, &server, &options);
    options.server = server;
    options.token = ctl->token;
    options.tls_ca = ctl->tls_ca;
    options.tls_cert = ctl->tls_cert;
    options.tls_key = ctl->tls_key;
    options.tls_name = ctl->tls_name;
    if (result == CTL_OK && crew_run(&options, &result, &error) != STEPD_OK)
        result = ctl_fail("launch", &error);
    free((void *)options.setting);
    return result == -1 ? print_help() : result;
}
