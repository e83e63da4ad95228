/* SPDX-License-Identifier: Apache-2.0
 *
 * Who am I, and where is the server? Launchers tell each process its rank and the number of
 * processes in environment variables. These are known, and the first that says a rank counts:
 *
 *     stepctl launch    STEPD_RANK, STEPD_WORLD
 *     torchrun          RANK, WORLD_SIZE
 *     Slurm's srun      SLURM_PROCID, SLURM_NTASKS
 *     Open MPI          OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE
 *
 * The server is where STEPD_ADDRESS says. Without it, it is on this host; where the launcher says
 * that the workers are on several hosts, on the one that it says all began from.
 *
 * client/python/stepd/launcher.py reads the same; tests/lib/launchers.txt holds both to it.
 */
#ifndef CLIENT_LIB_LAUNCHER_H
#define CLIENT_LIB_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define STEPD_LAUNCHER_PORT          "7070"
#define STEPD_LAUNCHER_ADDRESS       "127.0.0.1:" STEPD_LAUNCHER_PORT
#define STEPD_LAUNCHER_ADDRESS_BYTES 300u

/* The variables of one launcher; NULL: it has none. */
struct stepd_launcher {
    const char *rank;
    const char *world;
    const char *local_rank;  /* among those of its host */
    const char *local_world; /* how many these are */
    const char *hosts;       /* how many hosts there are */
    const char *first_host;  /* name or address of the one from which all were started */
};

enum stepd_launcher_kind {
    STEPD_LAUNCHER_OURS,
    STEPD_LAUNCHER_TORCHRUN,
    STEPD_LAUNCHER_SLURM,
    STEPD_LAUNCHER_OPEN_MPI,
    STEPD_LAUNCHERS,
};

extern const struct stepd_launcher stepd_launchers[STEPD_LAUNCHERS];

struct stepd_place {
    bool found; /* false: no launcher said anything, and the rest is 0 */
    uint32_t rank;
    uint32_t world;
};

/*
 * environment: NULL-terminated list of "NAME=value", borrowed until return. An empty value counts
 * as not set. INVALID_ARGUMENT: one of a pair is missing, no number, or the rank is not below the
 * world; the text names the variable.
 */
enum stepd_status stepd_launcher_find(char *const *environment, struct stepd_place *ret_place,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The server's address: of the environment, in the buffer, or STEPD_LAUNCHER_ADDRESS. */
const char *stepd_launcher_address(char *const *environment,
                                   char buffer[STEPD_LAUNCHER_ADDRESS_BYTES]);

/* The value of a variable, borrowed from the environment; NULL where it is not set or empty. */
const char *stepd_launcher_variable(char *const *environment, const char *name);

/* Reads a whole decimal number of at most `most`; false where the text is anything else. */
bool stepd_launcher_number(const char *text, uint64_t most, uint64_t *ret_number);

#endif
