/* SPDX-License-Identifier: Apache-2.0
 *
 * Rank and world from the environment. Half a pair is an error and no reason to look further: a
 * worker that guesses its rank wrongly takes another's place, and nobody finds out why.
 */
#include "client/train/launcher.h"

#include <string.h>

#include <stepd/types.h>

#include "proto/error.h"

struct pair {
    const char *rank;
    const char *world;
};

static const struct pair pairs[] = {
    {.rank = "STEPD_RANK", .world = "STEPD_WORLD"},
    {.rank = "RANK", .world = "WORLD_SIZE"},
    {.rank = "SLURM_PROCID", .world = "SLURM_NTASKS"},
    {.rank = "OMPI_COMM_WORLD_RANK", .world = "OMPI_COMM_WORLD_SIZE"},
};

const char *launcher_variable(char *const *environment, const char *name)
{
    const size_t length = strlen(name);
    for (char *const *entry = environment; *entry != NULL; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return (*entry)[length + 1] == '\0' ? NULL : *entry + length + 1;
    return NULL;
}

bool launcher_number(const char *text, uint64_t most, uint64_t *ret_number)
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

static enum stepd_status read_pair(const struct pair *pair, const char *rank_text,
                                   const char *world_text, struct launcher_place *ret_place,
                                   struct stepd_error *reterr)
{
    if (rank_text == NULL || world_text == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is set, but %s is not",
                          rank_text == NULL ? pair->world : pair->rank,
                          rank_text == NULL ? pair->rank : pair->world);
    uint64_t world;
    if (!launcher_number(world_text, STEPD_WORKERS_MAX, &world) || world == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s='%s' is not a number from 1 to %u",
                          pair->world, world_text, STEPD_WORKERS_MAX);
    uint64_t rank;
    if (!launcher_number(rank_text, world - 1, &rank))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s='%s' is not a rank below %s=%s",
                          pair->rank, rank_text, pair->world, world_text);
    *ret_place = (struct launcher_place){
        .found = true,
        .rank = (uint32_t)rank,
        .world = (uint32_t)world,
    };
    return STEPD_OK;
}

enum stepd_status launcher_find(char *const *environment, struct launcher_place *ret_place,
                                struct stepd_error *reterr)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *const rank = launcher_variable(environment, pairs[i].rank);
        const char *const world = launcher_variable(environment, pairs[i].world);
        if (rank != NULL || world != NULL)
            return read_pair(&pairs[i], rank, world, ret_place, reterr);
    }
    *ret_place = (struct launcher_place){.found = false};
    return STEPD_OK;
}
