/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/ctl.h"

#include <stdio.h>

/* A person waits for the answer, so a server that is not there is reported soon. */
#define CONNECT_TIMEOUT_MS 3000u

enum stepd_status ctl_connect(const char *server, const char *job, struct stepd_client **ret_client,
                              struct stepd_error *reterr)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    options.address = server;
    options.job = job;
    options.worker = "stepctl";
    options.observer = true;
    options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    options.reconnect_timeout_ms = 0; /* who asks for status wants to know that there is none */
    return stepd_connect(&options, ret_client, reterr);
}

int ctl_fail(const char *what, const struct stepd_error *error)
{
    (void)fprintf(stderr, "stepctl: %s: %s\n", what, error->text);
    return CTL_FAILURE;
}

int ctl_usage(const char *command)
{
    (void)fprintf(stderr, "Try 'stepctl %s%s--help'.\n", command, command[0] == '\0' ? "" : " ");
    return CTL_USAGE;
}
