/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl: the tool for people. One row of the table for each command; a command parses its own
 * arguments and has its own --help.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/worker_crew.h"
#include "client/ctl/worker_exec.h"
#include "client/lib/token_file.h"

#define DEFAULT_SERVER "127.0.0.1:7070"

struct command {
    const char *name;
    const char *summary;
    int (*run)(const struct ctl_options *options, int argc, char **argv);
};

static const struct command commands[] = {
    {.name = "launch", .summary = "run workers side by side, here or by ssh", .run = launch_run},
    {.name = "status", .summary = "show jobs, members and who is waited for", .run = status_run},
    {.name = "groups", .summary = "show how each tensor of a job is trained", .run = groups_run},
    {.name = "change",
     .summary = "change a job that runs: rates, schedule, optimizer",
     .run = change_run},
    {.name = "changes", .summary = "show what was changed about a job", .run = changes_run},
    {.name = "checkpoint", .summary = "take a checkpoint of a job now", .run = checkpoint_run},
    {.name = "list", .summary = "show the checkpoints in a folder", .run = list_run},
    {.name = "verify",
     .summary = "read checkpoints and hold them to their checksums",
     .run = verify_run},
    {.name = "export", .summary = "make one file of a checkpoint's weights", .run = export_run},
    {.name = "import",
     .summary = "make a checkpoint of weights and state from elsewhere",
     .run = import_run},
    {.name = "diff",
     .summary = "compare two checkpoints or files, tensor by tensor",
     .run = diff_run},
    {.name = "token", .summary = "make a token by which a server knows someone", .run = token_run},
    {.name = "certs",
     .summary = "make a private CA and certificates for a cluster",
     .run = certs_run},
    {.name = "schedule", .summary = "show what a schedule will do", .run = schedule_run},
    {.name = "schedules", .summary = "list the schedules, or explain one", .run = schedules_run},
    {.name = "optimizers", .summary = "list the optimizers, or explain one", .run = optimizers_run},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static int print_help(void)
{
    (void)printf("usage: stepctl [--server ADDRESS] COMMAND [ARGUMENTS]\n\ncommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        (void)printf("  %-10s  %s\n", commands[i].name, commands[i].summary);
    (void)printf(
        "\noptions:\n"
        "  --server ADDRESS  host:port, [v6]:port, tls:host:port or unix:/path; otherwise\n"
        "                    STEPD_ADDRESS,\n"
        "                    otherwise " DEFAULT_SERVER "\n"
        "  --token-file FILE where the token is that the server asks for; otherwise STEPD_TOKEN\n"
        "  --tls-ca FILE     of TLS: the CA of the server's certificate [STEPD_CA, or the system's]\n"
        "  --tls-cert FILE   our own certificate, where the server asks for one [STEPD_CLIENT_CERT]\n"
        "  --tls-key FILE    its key [STEPD_CLIENT_KEY]\n"
        "  --tls-name NAME   in the server's certificate [STEPD_SERVER_NAME, or the host]\n"
        "  --insecure        send it over a network in clear, which whoever listens can then use\n"
        "  --help            this text; after a command, its own\n"
        "  --version         the version of stepctl\n");
    return CTL_OK;
}

static int run_command(const struct ctl_options *options, int argc, char **argv)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, argv[0]) == 0)
            return commands[i].run(options, argc, argv);
    }
    (void)fprintf(stderr, "stepctl: there is no command '%s'.\n", argv[0]);
    return ctl_usage("");
}

static const char *default_server(void)
{
    const char *const address = ctl_variable("STEPD_ADDRESS");
    return address == NULL ? DEFAULT_SERVER : address;
}

/* The command runs with the token that a file holds, or with the one that the environment has. */
static int run_with_token(struct ctl_options *options, const char *file, int argc, char **argv)
{
    struct stepd_error error;
    char *read = NULL;
    if (file != NULL && stepd_token_file_read(file, &read, &error) != STEPD_OK)
        return ctl_fail("--token-file", &error);
    if (read != NULL)
        options->token = read;
    const int exit_code = run_command(options, argc, argv);
    free(read);
    return exit_code;
}

static int run(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"server", required_argument, NULL, 's'},  {"token-file", required_argument, NULL, 't'},
        {"tls-ca", required_argument, NULL, 'A'},  {"tls-cert", required_argument, NULL, 'C'},
        {"tls-key", required_argument, NULL, 'K'}, {"tls-name", required_argument, NULL, 'N'},
        {"insecure", no_argument, NULL, 'i'},      {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},       {NULL, 0, NULL, 0},
    };
    struct ctl_options options = {
        .server = default_server(),
        .token = ctl_variable("STEPD_TOKEN"),
    };
    const char *token_file = NULL;
    int option;
    if (argc > 1 && strcmp(argv[1], WORKER_EXEC_COMMAND) == 0)
        return worker_exec(argc - 1, argv + 1);
    if (argc == 2 && strcmp(argv[1], WORKER_CREW_COMMAND) == 0)
        return worker_crew_obey();
    while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
        switch (option) {
        case 's': options.server = optarg; break;
        case 't': token_file = optarg; break;
        case 'A': options.tls_ca = optarg; break;
        case 'C': options.tls_cert = optarg; break;
        case 'K': options.tls_key = optarg; break;
        case 'N': options.tls_name = optarg; break;
        case 'i': options.insecure = true; break;
        case 'h': return print_help();
        case 'v': return puts("stepctl " STEPD_VERSION) < 0 ? CTL_FAILURE : CTL_OK;
        default: return ctl_usage("");
        }
    }
    if (optind == argc) {
        (void)fprintf(stderr, "stepctl: a command is missing.\n");
        return ctl_usage("");
    }
    const int first = optind;
    optind = 0; /* glibc: begin anew, with the command's own options */
    return run_with_token(&options, token_file, argc - first, argv + first);
}

/* What could not be written was not done. */
int main(int argc, char **argv)
{
    const int code = run(argc, argv);
    const int cause = fflush(stdout) == 0 ? 0 : errno;
    if ((cause == 0 && ferror(stdout) == 0) || code != CTL_OK)
        return code;
    (void)fprintf(stderr, "stepctl: cannot write the output%s%s\n", cause == 0 ? "" : ": ",
                  cause == 0 ? "" : strerror(cause));
    return CTL_FAILURE;
}
