/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker is started with: its arguments and its environment.
 */
#ifndef CLIENT_CTL_WORKER_ENV_H
#define CLIENT_CTL_WORKER_ENV_H

#include "client/ctl/crew.h"

/* stepctl launch-exec LAUNCHER COMMAND...; NULL-terminated. The strings are borrowed; the list is
 * freed with free(). NULL: no memory. */
char **worker_arguments(char *stepctl, char *launcher, char **command);

/*
 * Our own environment, with STEPD_RANK, STEPD_WORLD and STEPD_LOCAL_RANK, the names that other
 * launchers use for the same (RANK, WORLD_SIZE, LOCAL_RANK), STEPD_ADDRESS, STEPD_TOKEN, and the
 * options' settings, which win.
 * NULL-terminated; freed with worker_environment_free. NULL: no memory.
 */
char **worker_environment(unsigned rank, const struct crew_options *options);

/* NULL is fine. */
void worker_environment_free(char **environment);

#endif
