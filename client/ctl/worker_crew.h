/* SPDX-License-Identifier: Apache-2.0
 *
 * The workers of one host as a crew: of this one, or, where another launcher has given the orders,
 * this host's part.
 */
#ifndef CLIENT_CTL_WORKER_CREW_H
#define CLIENT_CTL_WORKER_CREW_H

#include <stdbool.h>

#include "client/ctl/worker_env.h"

/* Everything is borrowed. */
struct worker_crew {
    unsigned first; /* rank */
    unsigned workers;
    unsigned world;
    char **command; /* NULL-terminated */
    struct worker_settings settings;
    bool relayed; /* see crew.h */
};

/* As crew_run. */
enum stepd_status worker_crew_run(const struct worker_crew *workers, int *ret_exit,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Prints the command of each, with prefix in front of its line, as a shell would take it; not the
 * token. RESOURCE_EXHAUSTED. */
enum stepd_status worker_crew_print(const struct worker_crew *workers, const char *prefix,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The command that another stepctl runs this part by: it reads its orders from stdin. Not for
 * people. */
#define WORKER_CREW_COMMAND "launch-part"

/* stepctl launch-part: returns the exit code. */
int worker_crew_obey(void);

#endif
