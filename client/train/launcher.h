/* SPDX-License-Identifier: Apache-2.0
 *
 * Who am I? Launchers tell each process its rank and the number of processes in a pair of
 * environment variables. These are known, and the first complete pair wins:
 *
 *     STEPD_RANK, STEPD_WORLD                          ours
 *     RANK, WORLD_SIZE                                 torchrun
 *     SLURM_PROCID, SLURM_NTASKS                       srun
 *     OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE       mpirun of Open MPI
 */
#ifndef TRAIN_LAUNCHER_H
#define TRAIN_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

struct launcher_place {
    bool found; /* false: no launcher said anything, and the rest is 0 */
    uint32_t rank;
    uint32_t world;
};

/*
 * environment: NULL-terminated list of "NAME=value", borrowed until return. An empty value counts
 * as not set. INVALID_ARGUMENT: one of a pair is missing, no number, or the rank is not below the
 * world; the text names the variable.
 */
enum stepd_status launcher_find(char *const *environment, struct launcher_place *ret_place,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The value of a variable, borrowed from the environment; NULL where it is not set or empty. */
const char *launcher_variable(char *const *environment, const char *name);

/* Reads a whole decimal number of at most `most`; false where the text is anything else. */
bool launcher_number(const char *text, uint64_t most, uint64_t *ret_number);

#endif
