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
#include "client/lib/launcher.h"

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

struct worker_settings worker_settings_of(const struct ctl_options *ctl)
{
    return (struct worker_settings){
        .server = ctl->server,
        .token = ctl->token,
        .tls_ca = ctl->tls_ca,
        .tls_cert = ctl->tls_cert,
        .tls_key = ctl->tls_key,
        .tls_name = ctl->tls_name,
    };
}

/* The launchers whose names say which of the workers this is. */
static const enum stepd_launcher_kind kinds[] = {STEPD_LAUNCHER_OURS, STEPD_LAUNCHER_TORCHRUN};

#define KINDS       (sizeof kinds / sizeof kinds[0])
#define PLACE_NAMES (4 * KINDS)
#define TOLD_NAMES  6 /* that set_told has */

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

static bool set_place(char **environment, const struct worker_place *place)
{
    bool fine = true;
    for (size_t i = 0; i < KINDS && fine; i++) {
        const struct stepd_launcher *const names = &stepd_launchers[kinds[i]];
        fine = set_number(environment, names->rank, place->rank) &&
               set_number(environment, names->world, place->world) &&
               set_number(environment, names->local_rank, place->local_rank) &&
               set_number(environment, names->local_world, place->local_world);
    }
    return fine;
}

static bool set_told(char **environment, const struct worker_settings *settings)
{
    bool fine = set_text(environment, "STEPD_ADDRESS", settings->server) &&
                set_text(environment, "STEPD_TOKEN", settings->token) &&
                set_text(environment, "STEPD_CA", settings->tls_ca) &&
                set_text(environment, "STEPD_CLIENT_CERT", settings->tls_cert) &&
                set_text(environment, "STEPD_CLIENT_KEY", settings->tls_key) &&
                set_text(environment, "STEPD_SERVER_NAME", settings->tls_name);
    for (size_t i = 0; i < settings->settings && fine; i++)
        fine = set(environment, strdup(settings->setting[i]));
    return fine;
}

static bool any(const char *setting)
{
    (void)setting;
    return true;
}

static bool none(const char *setting)
{
    (void)setting;
    return false;
}

static bool is_ours_but_for_the_place(const char *setting)
{
    const struct stepd_launcher *const ours = &stepd_launchers[STEPD_LAUNCHER_OURS];
    return strncmp(setting, "STEPD_", 6) == 0 && !same_name(setting, ours->rank) &&
           !same_name(setting, ours->world) && !same_name(setting, ours->local_rank) &&
           !same_name(setting, ours->local_world);
}

/* What is kept of our own environment, the place unless it is NULL, and what is told. */
static char **make(bool (*keeps)(const char *setting), const struct worker_place *place,
                   const struct worker_settings *settings)
{
    size_t ours = 0, kept = 0;
    while (environ[ours] != NULL)
        ours++;
    char **const environment =
        calloc(ours + PLACE_NAMES + TOLD_NAMES + settings->settings + 1, sizeof *environment);
    if (environment == NULL)
        return NULL;
    bool fine = true;
    for (size_t i = 0; i < ours && fine; i++) {
        if (!keeps(environ[i]))
            continue;
        environment[kept] = strdup(environ[i]);
        fine = environment[kept++] != NULL;
    }
    if (fine && (place == NULL || set_place(environment, place)) && set_told(environment, settings))
        return environment;
    worker_environment_free(environment);
    return NULL;
}

char **worker_environment(const struct worker_place *place, const struct worker_settings *settings)
{
    return make(any, place, settings);
}

char **worker_additions(const struct worker_place *place, const struct worker_settings *settings)
{
    return make(none, place, settings);
}

char **worker_luggage(const struct worker_settings *settings)
{
    return make(is_ours_but_for_the_place, NULL, settings);
}

void worker_environment_free(char **environment)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
        free(environment[i]);
    free(environment);
}
