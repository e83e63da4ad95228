/* SPDX-License-Identifier: Apache-2.0
 *
 * Rank and world from the environment. Half a pair is an error and no reason to look further: a
 * worker that guesses its rank wrongly takes another's place, and nobody finds out why.
 */
#include "client/lib/launcher.h"

#include <stdio.h>
#include <string.h>

#include <stepd/types.h>

#include "proto/error.h"

const struct stepd_launcher stepd_launchers[STEPD_LAUNCHERS] = {
    [STEPD_LAUNCHER_OURS] =
        {
            .rank = "STEPD_RANK",
            .world = "STEPD_WORLD",
            .local_rank = "STEPD_LOCAL_RANK",
            .local_world = "STEPD_LOCAL_WORLD",
        },
    [STEPD_LAUNCHER_TORCHRUN] =
        {
            .rank = "RANK",
            .world = "WORLD_SIZE",
            .local_rank = "LOCAL_RANK",
            .local_world = "LOCAL_WORLD_SIZE",
            .first_host = "MASTER_ADDR",
        },
    [STEPD_LAUNCHER_SLURM] =
        {
            .rank = "SLURM_PROCID",
            .world = "SLURM_NTASKS",
            .local_rank = "SLURM_LOCALID",
            .hosts = "SLURM_STEP_NUM_NODES",
            .first_host = "SLURM_LAUNCH_NODE_IPADDR",
        },
    [STEPD_LAUNCHER_OPEN_MPI] =
        {
            .rank = "OMPI_COMM_WORLD_RANK",
            .world = "OMPI_COMM_WORLD_SIZE",
            .local_rank = "OMPI_COMM_WORLD_LOCAL_RANK",
            .local_world = "OMPI_COMM_WORLD_LOCAL_SIZE",
        },
};

const char *stepd_launcher_variable(char *const *environment, const char *name)
{
    const size_t length = strlen(name);
    for (char *const *entry = environment; *entry != NULL; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return (*entry)[length + 1] == '\0' ? NULL : *entry + length + 1;
    return NULL;
}

bool stepd_launcher_number(const char *text, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (*text == '\0')
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return false;
        const uint64_t digit = (uint64_t)(*at - '0');
        if (number > (most - digit) / 10 || digit > most)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

static enum stepd_status read_place(const struct stepd_launcher *launcher, const char *rank_text,
                                    const char *world_text, struct stepd_place *ret_place,
                                    struct stepd_error *reterr)
{
    if (rank_text == NULL || world_text == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is set, but %s is not",
                          rank_text == NULL ? launcher->world : launcher->rank,
                          rank_text == NULL ? launcher->rank : launcher->world);
    uint64_t world;
    if (!stepd_launcher_number(world_text, STEPD_WORKERS_MAX, &world) || world == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s='%s' is not a number from 1 to %u",
                          launcher->world, world_text, STEPD_WORKERS_MAX);
    uint64_t rank;
    if (!stepd_launcher_number(rank_text, world - 1, &rank))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s='%s' is not a rank below %s=%s",
                          launcher->rank, rank_text, launcher->world, world_text);
    *ret_place = (struct stepd_place){
        .found = true,
        .rank = (uint32_t)rank,
        .world = (uint32_t)world,
    };
    return STEPD_OK;
}

/* The first that says who this worker is, be it in half; NULL: none does. */
static const struct stepd_launcher *find(char *const *environment)
{
    for (size_t i = 0; i < STEPD_LAUNCHERS; i++)
        if (stepd_launcher_variable(environment, stepd_launchers[i].rank) != NULL ||
            stepd_launcher_variable(environment, stepd_launchers[i].world) != NULL)
            return &stepd_launchers[i];
    return NULL;
}

enum stepd_status stepd_launcher_find(char *const *environment, struct stepd_place *ret_place,
                                      struct stepd_error *reterr)
{
    const struct stepd_launcher *const launcher = find(environment);
    if (launcher != NULL)
        return read_place(launcher, stepd_launcher_variable(environment, launcher->rank),
                          stepd_launcher_variable(environment, launcher->world), ret_place, reterr);
    *ret_place = (struct stepd_place){.found = false};
    return STEPD_OK;
}

/* A variable that holds a number; 0 where it does not, or where the launcher has none. */
static uint64_t number_of(char *const *environment, const char *name)
{
    const char *const text = name == NULL ? NULL : stepd_launcher_variable(environment, name);
    uint64_t number = 0;
    return text != NULL && stepd_launcher_number(text, STEPD_WORKERS_MAX, &number) ? number : 0;
}

static bool is_on_several_hosts(char *const *environment, const struct stepd_launcher *launcher)
{
    const uint64_t here = number_of(environment, launcher->local_world);
    return number_of(environment, launcher->hosts) > 1 ||
           (here > 0 && here < number_of(environment, launcher->world));
}

const char *stepd_launcher_address(char *const *environment,
                                   char buffer[STEPD_LAUNCHER_ADDRESS_BYTES])
{
    const char *const said = stepd_launcher_variable(environment, "STEPD_ADDRESS");
    const struct stepd_launcher *const launcher = find(environment);
    if (said != NULL)
        return said;
    const char *const host = launcher == NULL || launcher->first_host == NULL ||
                                     !is_on_several_hosts(environment, launcher)
                                 ? NULL
                                 : stepd_launcher_variable(environment, launcher->first_host);
    if (host == NULL)
        return STEPD_LAUNCHER_ADDRESS;
    const bool v6 = strchr(host, ':') != NULL;
    const int bytes = snprintf(buffer, STEPD_LAUNCHER_ADDRESS_BYTES, "%s%s%s:" STEPD_LAUNCHER_PORT,
                               v6 ? "[" : "", host, v6 ? "]" : "");
    return bytes > 0 && (unsigned)bytes < STEPD_LAUNCHER_ADDRESS_BYTES ? buffer
                                                                       : STEPD_LAUNCHER_ADDRESS;
}
