/* SPDX-License-Identifier: Apache-2.0
 *
 * A part that another launcher has ordered ends when that one says so, or is gone (crew.h). It runs
 * in the folder that the launcher stands in, where this host has it.
 */
#include "client/ctl/worker_crew.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/crew.h"
#include "client/ctl/orders.h"
#include "client/ctl/quote.h"
#include "proto/error.h"

#define PATIENCE_MS 5000u
#define NAME_BYTES  24u

/* What a member points to. */
struct worker {
    char name[NAME_BYTES];
    char prefix[NAME_BYTES];
};

static struct worker_place place_of(const struct worker_crew *workers, unsigned i)
{
    return (struct worker_place){
        .rank = workers->first + i,
        .world = workers->world,
        .local_rank = i,
        .local_world = workers->workers,
    };
}

static enum stepd_status fail_memory(struct stepd_error *reterr, unsigned workers)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %u workers", workers);
}

static bool fill(const struct worker_crew *workers, struct worker *worker,
                 struct crew_member *member)
{
    for (unsigned i = 0; i < workers->workers; i++) {
        const struct worker_place place = place_of(workers, i);
        (void)snprintf(worker[i].name, NAME_BYTES, "rank %u", place.rank);
        (void)snprintf(worker[i].prefix, NAME_BYTES, "[%u] ", place.rank);
        member[i] = (struct crew_member){
            .name = worker[i].name,
            .prefix = worker[i].prefix,
            .command = workers->command,
            .environment = worker_environment(&place, &workers->settings),
        };
        if (member[i].environment == NULL)
            return false;
    }
    return true;
}

enum stepd_status worker_crew_run(const struct worker_crew *workers, int *ret_exit,
                                  struct stepd_error *reterr)
{
    struct worker *const worker = calloc(workers->workers, sizeof *worker);
    struct crew_member *const member = calloc(workers->workers, sizeof *member);
    enum stepd_status status;
    if (worker == NULL || member == NULL || !fill(workers, worker, member)) {
        status = fail_memory(reterr, workers->workers);
    } else {
        const struct crew_options options = {
            .member = member,
            .members = workers->workers,
            .patience_ms = PATIENCE_MS,
            .relayed = workers->relayed,
        };
        status = crew_run(&options, ret_exit, reterr);
    }
    for (unsigned i = 0; member != NULL && i < workers->workers; i++)
        worker_environment_free(member[i].environment);
    free(member);
    free(worker);
    return status;
}

/* ---- Without running it ---------------------------------------------------------------------- */

static bool is_token(const char *setting)
{
    return strncmp(setting, "STEPD_TOKEN=", 12) == 0;
}

/* "NAME='some value' ": the name as it is, or a shell would not see that it is one. */
static bool print_setting(const char *setting)
{
    const int name = (int)strcspn(setting, "=") + 1;
    char *const value = is_token(setting) ? strdup("...") : quote_word(setting + name);
    if (value != NULL)
        (void)printf("%.*s%s ", name, setting, value);
    free(value);
    return value != NULL;
}

static bool print_words(char *const *words)
{
    bool fine = true;
    for (; *words != NULL && fine; words++) {
        char *const word = quote_word(*words);
        fine = word != NULL;
        if (fine)
            (void)printf("%s%c", word, words[1] == NULL ? '\n' : ' ');
        free(word);
    }
    return fine;
}

enum stepd_status worker_crew_print(const struct worker_crew *workers, const char *prefix,
                                    struct stepd_error *reterr)
{
    bool fine = true;
    for (unsigned i = 0; i < workers->workers && fine; i++) {
        const struct worker_place place = place_of(workers, i);
        char **const environment = worker_additions(&place, &workers->settings);
        fine = environment != NULL;
        (void)printf("%s", prefix);
        for (char **setting = environment; fine && *setting != NULL; setting++)
            fine = print_setting(*setting);
        worker_environment_free(environment);
        fine = fine && print_words(workers->command);
    }
    return fine ? STEPD_OK : fail_memory(reterr, workers->workers);
}

/* ---- By order -------------------------------------------------------------------------------- */

static int refuse(const struct stepd_error *error)
{
    (void)fprintf(stderr, "launch: %s\n", error->text);
    return CTL_FAILURE;
}

int worker_crew_obey(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct stepd_error error;
    struct orders orders;
    int exit_code = CTL_FAILURE;
    /* A launcher that is gone is seen by the end of stdin, and must not kill us before that. */
    (void)sigaction(SIGPIPE, &ignore, NULL);
    if (orders_read(STDIN_FILENO, &orders, &error) != STEPD_OK)
        return refuse(&error);
    if (orders.folder != NULL && chdir(orders.folder) != 0)
        (void)fprintf(stderr, "launch: %s: %s; the workers run where ssh leads to\n", orders.folder,
                      strerror(errno));
    const struct worker_crew workers = {
        .first = orders.first,
        .workers = orders.workers,
        .world = orders.world,
        .command = orders.command,
        .settings = {.setting = orders.setting, .settings = orders.settings},
        .relayed = true,
    };
    if (worker_crew_run(&workers, &exit_code, &error) != STEPD_OK)
        exit_code = refuse(&error);
    orders_deinit(&orders);
    return exit_code;
}
