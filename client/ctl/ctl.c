/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"

/* A person waits for the answer, so a server that is not there is reported soon. */
#define CONNECT_TIMEOUT_MS 3000u

/* "stepctl me@here": who it was that changed a job. */
static void write_name(char *name, size_t size)
{
    char host[64] = "";
    const char *const user = getenv("USER");
    (void)gethostname(host, sizeof host - 1);
    (void)stepd_format(name, size, "stepctl %s@%s", user == NULL ? "" : user, host);
}

const char *ctl_variable(const char *name)
{
    const char *const value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* What a flag has said, or a variable, which means nothing where there is no TLS. */
static const char *for_tls(const struct ctl_options *ctl, const char *said, const char *name)
{
    const bool tls = strncmp(ctl->server, "tls:", 4) == 0;
    return said == NULL && tls ? ctl_variable(name) : said;
}

enum stepd_status ctl_connect(const struct ctl_options *ctl, const char *job,
                              struct stepd_client **ret_client, struct stepd_error *reterr)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    char name[STEPD_NAME_MAX_BYTES];
    write_name(name, sizeof name);
    options.address = ctl->server;
    options.token = ctl->token;
    options.insecure = ctl->insecure;
    options.tls_ca = for_tls(ctl, ctl->tls_ca, "STEPD_CA");
    options.tls_cert = for_tls(ctl, ctl->tls_cert, "STEPD_CLIENT_CERT");
    options.tls_key = for_tls(ctl, ctl->tls_key, "STEPD_CLIENT_KEY");
    options.tls_name = for_tls(ctl, ctl->tls_name, "STEPD_SERVER_NAME");
    options.job = job;
    options.worker = name;
    options.observer = true;
    options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    options.reconnect_timeout_ms = 0; /* who asks for status wants to know that there is none */
    return stepd_connect(&options, ret_client, reterr);
}

int ctl_fail(const char *what, const struct stepd_error *error)
{
    (void)fprintf(stderr, "stepctl: %s: %s\n", what, error->text);
    return CTL_FAILURE;
}

int ctl_usage(const char *command)
{
    (void)fprintf(stderr, "Try 'stepctl %s%s--help'.\n", command, command[0] == '\0' ? "" : " ");
    return CTL_USAGE;
}

int ctl_read_words(const struct ctl_words *words, int argc, char **argv, bool *ret_json)
{
    const struct option long_options[] = {
        {"json", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {words->ret_all == NULL ? NULL : "all", no_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    bool all = false;
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'o': *ret_json = true; break;
        case 'a': all = true; break;
        case 'h': return fputs(words->help, stdout) < 0 ? CTL_FAILURE : CTL_OK;
        default: return ctl_usage(words->command);
        }
    }
    if (words->ret_all != NULL)
        *words->ret_all = all;
    const int count = argc - optind;
    if (count >= words->least && count <= words->most)
        return -1;
    if (count < words->least)
        (void)fprintf(stderr, "stepctl %s: %s is missing\n", words->command, words->first);
    else
        (void)fprintf(stderr, "stepctl %s: unexpected argument '%s'\n", words->command,
                      argv[optind + words->most]);
    return ctl_usage(words->command);
}

static int ask_and_print(const struct ctl_job_command *command, const struct ctl_options *ctl,
                         const char *job, bool as_json)
{
    struct stepd_client *client = NULL;
    struct stepd_error error;
    json_t *answer = NULL;
    if (ctl_connect(ctl, NULL, &client, &error) != STEPD_OK)
        return ctl_fail(command->name, &error);
    const enum stepd_status status = command->ask(client, job, &answer, &error);
    (void)stepd_close(client);
    if (status != STEPD_OK)
        return ctl_fail(command->name, &error);
    if (as_json) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2));
        (void)printf("\n");
    } else {
        command->print(job, answer);
    }
    json_decref(answer);
    return CTL_OK;
}

int ctl_run_of_job(const struct ctl_job_command *command, const struct ctl_options *ctl, int argc,
                   char **argv)
{
    static const struct option long_options[] = {
        {"job", required_argument, NULL, 'j'},
        {"json", no_argument, NULL, 'o'},
        {"server", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct ctl_options chosen = *ctl;
    const char *job = NULL;
    bool as_json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'j': job = optarg; break;
        case 'o': as_json = true; break;
        case 's': chosen.server = optarg; break;
        case 'h': return command->help();
        default: return ctl_usage(command->name);
        }
    }
    if (job != NULL && optind == argc)
        return ask_and_print(command, &chosen, job, as_json);
    if (job == NULL)
        (void)fprintf(stderr, "stepctl %s: --job JOB is missing\n", command->name);
    else
        (void)fprintf(stderr, "stepctl %s: unexpected argument '%s'\n", command->name,
                      argv[optind]);
    return ctl_usage(command->name);
}
