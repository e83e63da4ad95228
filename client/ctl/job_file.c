/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/job_file.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/nearest.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the job's file");
}

enum stepd_status job_file_read(const char *path, struct config *ret_config,
                                struct stepd_error *reterr)
{
    static char program[] = "stepctl";
    static char flag[] = "--config";
    char *const argument = strdup(path);
    char *const no_environment[] = {NULL};
    char *const argv[] = {program, flag, argument, NULL};
    if (argument == NULL)
        return no_memory(reterr);
    const enum stepd_status status = config_load(3, argv, no_environment, ret_config, reterr);
    free(argument);
    return status;
}

const struct config_job *job_file_find(const struct config *config, const char *name,
                                       struct stepd_error *reterr)
{
    struct nearest nearest;
    if (name == NULL && config->jobs == 1)
        return &config->job[0];
    nearest_init(&nearest, name == NULL ? "" : name);
    for (size_t i = 0; i < config->jobs; i++) {
        if (name != NULL && strcmp(config->job[i].name, name) == 0)
            return &config->job[i];
        nearest_offer(&nearest, config->job[i].name);
    }
    if (config->jobs == 0)
        (void)stepd_fail(reterr, STEPD_NOT_FOUND, "%s defines no job", config->file);
    else if (name == NULL)
        (void)stepd_fail(reterr, STEPD_NOT_FOUND, "%s defines %zu jobs, and --job says none: %s",
                         config->file, config->jobs, nearest_hint(&nearest));
    else
        (void)stepd_fail(reterr, STEPD_NOT_FOUND, "%s defines no job '%s': %s", config->file, name,
                         nearest_hint(&nearest));
    return NULL;
}

enum stepd_status job_file_fail(const struct config *config, const struct config_job *job,
                                size_t line, struct stepd_error *reterr)
{
    if (reterr->code == STEPD_RESOURCE_EXHAUSTED)
        return no_memory(reterr);
    return config_fail_in_job(config, job, line, STEPD_FAILED_PRECONDITION, reterr);
}
