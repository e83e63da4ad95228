/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker is started with: its arguments and its environment.
 */
#ifndef CLIENT_CTL_WORKER_ENV_H
#define CLIENT_CTL_WORKER_ENV_H

#include <stddef.h>

#include "client/ctl/ctl.h"

/* What all workers of a launch are told. Everything is borrowed. */
struct worker_settings {
    const char *server; /* its address; NULL, here and below: not told */
    const char *token;
    const char *tls_ca, *tls_cert, *tls_key, *tls_name;
    const char **setting; /* "NAME=VALUE" */
    size_t settings;
};

struct worker_place {
    unsigned rank;
    unsigned world;
    unsigned local_rank; /* among the workers of its host */
    unsigned local_world;
};

/* As the options of stepctl say, without further settings. */
struct worker_settings worker_settings_of(const struct ctl_options *ctl);

/* stepctl launch-exec LAUNCHER COMMAND...; NULL-terminated. The strings are borrowed; the list is
 * freed with free(). NULL: no memory. */
char **worker_arguments(char *stepctl, char *launcher, char **command);

/*
 * Our own environment, with the place in STEPD_RANK, STEPD_WORLD, STEPD_LOCAL_RANK,
 * STEPD_LOCAL_WORLD and the names that torchrun has for them, the server's address, token and TLS
 * in STEPD_ADDRESS and so on, and the further settings, which win. NULL-terminated; freed with
 * worker_environment_free. NULL: no memory.
 */
char **worker_environment(const struct worker_place *place, const struct worker_settings *settings);

/* The same without our own environment: only what is added to it. */
char **worker_additions(const struct worker_place *place, const struct worker_settings *settings);

/*
 * For workers of other hosts: what the settings tell, and what our own environment has of the names
 * that begin with STEPD_, but for the place. NULL-terminated; freed with worker_environment_free.
 * NULL: no memory.
 */
char **worker_luggage(const struct worker_settings *settings);

/* NULL is fine. */
void worker_environment_free(char **environment);

#endif
