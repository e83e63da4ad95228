/* SPDX-License-Identifier: Apache-2.0
 *
 * An environment must not hold a name twice: getenv() finds the first, some shells keep the last.
 * So every setting replaces the one of its name, or is appended.
 */
#include "client/ctl/worker_env.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/worker_exec.h"

extern char **environ;

char **worker_arguments(char *stepctl, char *launcher, char **command)
{
    static char exec_command[] = WORKER_EXEC_COMMAND;
    size_t n = 0;
    while (command[n] != NULL)
        n++;
    char **const arguments = calloc(n + 4, sizeof *arguments);
    if (arguments == NULL)
        return NULL;
    arguments[0] = stepctl;
    arguments[1] = exec_command;
    arguments[2] = launcher;
    for (size_t i = 0; i < n; i++)
        arguments[3 + i] = command[i];
    return arguments;
}

/* Names that say which of the workers this is, and how many there are. */
static const char *const rank_names[] = {"STEPD_RANK", "STEPD_LOCAL_RANK", "RANK", "LOCAL_RANK"};
static const char *const world_names[] = {"STEPD_WORLD", "WORLD_SIZE"};

#define RANK_NAMES  (sizeof rank_names / sizeof rank_names[0])
#define WORLD_NAMES (sizeof world_names / sizeof world_names[0])

static bool same_name(const char *a, const char *b)
{
    const size_t n = strcspn(a, "=");
    return n == strcspn(b, "=") && strncmp(a, b, n) == 0;
}

/* Takes ownership of the setting, which may be NULL: false, no memory. There is room. */
static bool set(char **environment, char *setting)
{
    size_t i = 0;
    if (setting == NULL)
        return false;
    while (environment[i] != NULL && !same_name(environment[i], setting))
        i++;
    free(environment[i]);
    environment[i] = setting;
    return true;
}

static bool set_number(char **environment, const char *name, unsigned number)
{
    char setting[64];
    (void)snprintf(setting, sizeof setting, "%s=%u", name, number);
    return set(environment, strdup(setting));
}

/* NULL: there is nothing to say. */
static bool set_text(char **environment, const char *name, const char *text)
{
    if (text == NULL)
        return true;
    const size_t bytes = strlen(name) + 1 + strlen(text) + 1;
    char *const setting = malloc(bytes);
    if (setting != NULL)
        (void)snprintf(setting, bytes, "%s=%s", name, text);
    return set(environment, setting);
}

static bool fill(char **environment, unsigned rank, const struct crew_options *options)
{
    bool fine = true;
    for (size_t i = 0; environ[i] != NULL && fine; i++) {
        environment[i] = strdup(environ[i]);
        fine = environment[i] != NULL;
    }
    for (size_t i = 0; i < RANK_NAMES && fine; i++)
        fine = set_number(environment, rank_names[i], rank);
    for (size_t i = 0; i < WORLD_NAMES && fine; i++)
        fine = set_number(environment, world_names[i], options->workers);
    fine = fine && set_text(environment, "STEPD_ADDRESS", options->server) &&
           set_text(environment, "STEPD_TOKEN", options->token) &&
           set_text(environment, "STEPD_CA", options->tls_ca) &&
           set_text(environment, "STEPD_CLIENT_CERT", options->tls_cert) &&
           set_text(environment, "STEPD_CLIENT_KEY", options->tls_key) &&
           set_text(environment, "STEPD_SERVER_NAME", options->tls_name);
    for (size_t i = 0; i < options->settings && fine; i++)
        fine = set(environment, strdup(options->setting[i]));
    return fine;
}

char **worker_environment(unsigned rank, const struct crew_options *options)
{
    size_t ours = 0;
    while (environ[ours] != NULL)
        ours++;
    char **environment =
        calloc(ours + RANK_NAMES + WORLD_NAMES + options->settings + 7, sizeof *environment);
    if (environment == NULL || fill(environment, rank, options))
        return environment;
    worker_environment_free(environment);
    return NULL;
}

void worker_environment_free(char **environment)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
        free(environment[i]);
    free(environment);
}
