/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl launch: the command line. What it does is in worker_crew.c, and on several hosts in
 * host_crew.c.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stepd/types.h>

#include "client/ctl/ctl.h"
#include "client/ctl/host_crew.h"
#include "client/ctl/hosts.h"
#include "client/ctl/worker_crew.h"
#include "proto/error.h"

#define FOLDER_BYTES 4096u

struct launch {
    unsigned workers; /* 0: not said */
    struct hosts hosts;
    const char *ssh;
    const char *stepctl;
    char **command;
    struct worker_settings settings;
    bool dry_run;
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl [--server ADDRESS] launch -n WORKERS [--env NAME=VALUE]...\n"
        "               -- COMMAND [ARGUMENTS]\n"
        "       stepctl [--server ADDRESS] launch --hosts HOST[:SLOTS],... [-n WORKERS] ...\n"
        "\n"
        "Runs COMMAND so many times side by side, each with its rank in STEPD_RANK, their number\n"
        "in STEPD_WORLD, and in STEPD_LOCAL_RANK and STEPD_LOCAL_WORLD the same of its host (RANK,\n"
        "WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE say so too), the server's address in\n"
        "STEPD_ADDRESS, and in STEPD_TOKEN the token of stepctl --token-file. Every line they print\n"
        "comes out with its rank in front.\n"
        "\n"
        "When one fails, all are ended: SIGTERM, and after 5 s SIGKILL. The exit code is that of\n"
        "the first one that failed; 128 and the signal's number if a signal killed it.\n"
        "\n"
        "With --hosts they run on other machines, by ssh, which must come to each of them without\n"
        "a question; stepctl must be there, and the command, in the same folder as here if there\n"
        "is one. Ranks are dealt in the order of the hosts. All variables that begin with STEPD_\n"
        "go along. Nothing but the host and the name of stepctl stands on ssh's command line: the\n"
        "rest, the token too, goes through its stdin.\n"
        "\n"
        "options:\n"
        "  -n, --workers N    how many; 1 to %u. With --hosts, all slots unless this says fewer\n"
        "  --hosts LIST       hosts with commas between; behind a colon, how many workers each\n"
        "                     takes (1). May be repeated\n"
        "  --hostfile FILE    the same, one in a line, or HOST slots=N; '#' begins a comment\n"
        "  --ssh COMMAND      in place of '" HOST_CREW_SSH "'\n"
        "  --stepctl PATH     of stepctl on the hosts [" HOST_CREW_STEPCTL "]\n"
        "  --env NAME=VALUE   added to the workers' environment; may be repeated\n"
        "  --dry-run          print what would be run, and run nothing\n"
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

static int parse_option(struct launch *launch, int option, const char *value)
{
    struct stepd_error error;
    switch (option) {
    case 'n':
        return parse_workers(value, &launch->workers)
                   ? CTL_OK
                   : refuse("-n takes a number from 1 to 4096", value);
    case 'e':
        if (value[0] == '=' || strchr(value, '=') == NULL)
            return refuse("--env takes NAME=VALUE", value);
        launch->settings.setting[launch->settings.settings++] = value;
        return CTL_OK;
    case 'H':
        return hosts_add(&launch->hosts, value, &error) == STEPD_OK ? CTL_OK
                                                                    : refuse(error.text, "");
    case 'F':
        return hosts_read(&launch->hosts, value, &error) == STEPD_OK ? CTL_OK
                                                                     : refuse(error.text, "");
    case 'S': launch->ssh = value; return CTL_OK;
    case 'c': launch->stepctl = value; return CTL_OK;
    case 'd': launch->dry_run = true; return CTL_OK;
    case 's': launch->settings.server = value; return CTL_OK;
    case 'h': return -1;
    default: return ctl_usage("launch");
    }
}

/* Holds the options to each other. */
static int settle(struct launch *launch)
{
    struct stepd_error error;
    const bool elsewhere = launch->hosts.count > 0;
    if (launch->workers == 0 && !elsewhere)
        return refuse("-n WORKERS is missing", "");
    if (launch->command[0] == NULL)
        return refuse("the command is missing", "");
    if (!elsewhere && (launch->ssh != NULL || launch->stepctl != NULL))
        return refuse("--ssh and --stepctl are for other hosts: --hosts is missing", "");
    if (elsewhere &&
        hosts_deal(&launch->hosts, launch->workers, &launch->workers, &error) != STEPD_OK)
        return refuse(error.text, "");
    return CTL_OK;
}

/* CTL_OK: the options are complete. -1: help was asked for. Otherwise the exit code. */
static int parse(int argc, char **argv, struct launch *launch)
{
    static const struct option long_options[] = {
        {"workers", required_argument, NULL, 'n'},  {"hosts", required_argument, NULL, 'H'},
        {"hostfile", required_argument, NULL, 'F'}, {"ssh", required_argument, NULL, 'S'},
        {"stepctl", required_argument, NULL, 'c'},  {"env", required_argument, NULL, 'e'},
        {"dry-run", no_argument, NULL, 'd'},        {"server", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "+n:", long_options, NULL)) != -1) {
        const int result = parse_option(launch, option, optarg);
        if (result != CTL_OK)
            return result;
    }
    launch->command = argv + optind;
    return settle(launch);
}

static enum stepd_status run_here(const struct launch *launch, int *ret_exit,
                                  struct stepd_error *reterr)
{
    const struct worker_crew workers = {
        .workers = launch->workers,
        .world = launch->workers,
        .command = launch->command,
        .settings = launch->settings,
    };
    return launch->dry_run ? worker_crew_print(&workers, "", reterr)
                           : worker_crew_run(&workers, ret_exit, reterr);
}

/* Is it the address of another daemon on each host? */
static bool is_each_hosts_own(const char *server)
{
    const char *const address = strncmp(server, "tls:", 4) == 0 ? server + 4 : server;
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "localhost", 9) == 0 ||
           strncmp(address, "[::1]", 5) == 0 || strncmp(address, "unix:", 5) == 0;
}

static enum stepd_status run_elsewhere(const struct launch *launch, int *ret_exit,
                                       struct stepd_error *reterr)
{
    char folder[FOLDER_BYTES];
    const struct host_crew hosts = {
        .hosts = &launch->hosts,
        .world = launch->workers,
        .ssh = launch->ssh == NULL ? HOST_CREW_SSH : launch->ssh,
        .stepctl = launch->stepctl == NULL ? HOST_CREW_STEPCTL : launch->stepctl,
        .folder = getcwd(folder, sizeof folder),
        .command = launch->command,
        .settings = launch->settings,
    };
    if (launch->hosts.count > 1 && is_each_hosts_own(launch->settings.server))
        (void)fprintf(stderr,
                      "launch: %s is on each host a server of its own; --server says where all "
                      "find the same\n",
                      launch->settings.server);
    return launch->dry_run ? host_crew_print(&hosts, reterr)
                           : host_crew_run(&hosts, ret_exit, reterr);
}

int launch_run(const struct ctl_options *ctl, int argc, char **argv)
{
    struct launch launch = {.settings = worker_settings_of(ctl)};
    struct stepd_error error = {.code = STEPD_RESOURCE_EXHAUSTED, .text = "no memory"};
    launch.settings.setting = calloc((size_t)argc, sizeof *launch.settings.setting);
    if (launch.settings.setting == NULL)
        return ctl_fail("launch", &error);
    int result = parse(argc, argv, &launch);
    if (result == CTL_OK) {
        const enum stepd_status status = launch.hosts.count > 0
                                             ? run_elsewhere(&launch, &result, &error)
                                             : run_here(&launch, &result, &error);
        if (status != STEPD_OK)
            result = ctl_fail("launch", &error);
    }
    hosts_deinit(&launch.hosts);
    free((void *)launch.settings.setting);
    return result == -1 ? print_help() : result;
}
