/* SPDX-License-Identifier: Apache-2.0
 *
 * The ssh program is what a user says, with options of theirs, so a shell takes it apart; host and
 * remote command are arguments of their own behind it. The remote command is the name of a program
 * and one word, so there is nothing for the remote shell to take apart.
 */
#include "client/ctl/host_crew.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/crew.h"
#include "client/ctl/orders.h"
#include "client/ctl/quote.h"
#include "client/ctl/worker_crew.h"
#include "proto/error.h"

/* A part kills what does not end within 5 s, and has a way to go. */
#define PATIENCE_MS 10000u
#define NAME_BYTES  200u

extern char **environ;

/* What the member of a host points to. */
struct part {
    char name[NAME_BYTES];
    char prefix[NAME_BYTES];
    char *argument[7];
    char *orders; /* owned */
};

/* What all of them point to. */
struct shared {
    char *script; /* owned; "exec ssh "$@"" */
    char *remote; /* owned; "exec stepctl launch-part" */
    char **luggage;
};

static enum stepd_status fail_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the hosts");
}

static char *join(const char *before, const char *text, const char *after)
{
    const size_t bytes = strlen(before) + strlen(text) + strlen(after) + 1;
    char *const joined = malloc(bytes);
    if (joined != NULL)
        (void)snprintf(joined, bytes, "%s%s%s", before, text, after);
    return joined;
}

static char *make_remote(const struct host_crew *hosts)
{
    char *const program = quote_word(hosts->stepctl);
    char *const remote = program == NULL ? NULL : join("exec ", program, " " WORKER_CREW_COMMAND);
    free(program);
    return remote;
}

static enum stepd_status make_part(const struct host_crew *hosts, const struct host *host,
                                   const struct shared *shared, struct part *part,
                                   struct crew_member *member, struct stepd_error *reterr)
{
    static char shell[] = "sh", option[] = "-c";
    const struct orders orders = {
        .first = host->first,
        .workers = host->workers,
        .world = hosts->world,
        .folder = hosts->folder,
        .command = hosts->command,
    };
    (void)snprintf(part->name, NAME_BYTES, "host %s", host->name);
    (void)snprintf(part->prefix, NAME_BYTES, "[%s] ", host->name);
    char *const argument[] = {shell, option, shared->script, shell, host->name, shared->remote};
    memcpy(part->argument, argument, sizeof argument);
    *member = (struct crew_member){
        .name = part->name,
        .prefix = part->prefix,
        .command = part->argument,
        .environment = environ,
    };
    const enum stepd_status status =
        orders_encode(&orders, shared->luggage, &part->orders, &member->orders_bytes, reterr);
    member->orders = part->orders;
    return status;
}

static enum stepd_status run(const struct host_crew *hosts, const struct shared *shared,
                             struct part *part, int *ret_exit, struct stepd_error *reterr)
{
    const size_t count = hosts->hosts->count;
    struct crew_member *const member = calloc(count, sizeof *member);
    const struct crew_options options = {
        .member = member, .members = (unsigned)count, .patience_ms = PATIENCE_MS};
    enum stepd_status status = member == NULL ? fail_memory(reterr) : STEPD_OK;
    for (size_t i = 0; i < count && status == STEPD_OK; i++)
        status = make_part(hosts, &hosts->hosts->host[i], shared, &part[i], &member[i], reterr);
    if (status == STEPD_OK)
        status = crew_run(&options, ret_exit, reterr);
    free(member);
    return status;
}

enum stepd_status host_crew_run(const struct host_crew *hosts, int *ret_exit,
                                struct stepd_error *reterr)
{
    struct part *const part = calloc(hosts->hosts->count, sizeof *part);
    const struct shared shared = {
        .script = join("exec ", hosts->ssh, " \"$@\""),
        .remote = make_remote(hosts),
        .luggage = worker_luggage(&hosts->settings),
    };
    enum stepd_status status;
    if (part == NULL || shared.script == NULL || shared.remote == NULL || shared.luggage == NULL)
        status = fail_memory(reterr);
    else
        status = run(hosts, &shared, part, ret_exit, reterr);
    for (size_t i = 0; part != NULL && i < hosts->hosts->count; i++)
        free(part[i].orders);
    free(part);
    free(shared.script);
    free(shared.remote);
    worker_environment_free(shared.luggage);
    return status;
}

static enum stepd_status print_host(const struct host_crew *hosts, const struct host *host,
                                    const char *remote, char **luggage, struct stepd_error *reterr)
{
    char *const word = quote_word(remote);
    size_t settings = 0;
    if (word == NULL)
        return fail_memory(reterr);
    (void)printf("%s %s %s\n", hosts->ssh, host->name, word);
    free(word);
    while (luggage[settings] != NULL)
        settings++;
    const char **const setting = calloc(settings + 1, sizeof *setting);
    if (setting == NULL)
        return fail_memory(reterr);
    for (size_t i = 0; i < settings; i++)
        setting[i] = luggage[i];
    const struct worker_crew workers = {
        .first = host->first,
        .workers = host->workers,
        .world = hosts->world,
        .command = hosts->command,
        .settings = {.setting = setting, .settings = settings},
    };
    const enum stepd_status status = worker_crew_print(&workers, "    ", reterr);
    free((void *)setting);
    return status;
}

enum stepd_status host_crew_print(const struct host_crew *hosts, struct stepd_error *reterr)
{
    char *const remote = make_remote(hosts);
    char **const luggage = worker_luggage(&hosts->settings);
    enum stepd_status status = remote == NULL || luggage == NULL ? fail_memory(reterr) : STEPD_OK;
    for (size_t i = 0; i < hosts->hosts->count && status == STEPD_OK; i++)
        status = print_host(hosts, &hosts->hosts->host[i], remote, luggage, reterr);
    worker_environment_free(luggage);
    free(remote);
    return status;
}
