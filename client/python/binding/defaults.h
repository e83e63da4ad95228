/* SPDX-License-Identifier: Apache-2.0
 *
 * What the binding for Python is compiled with: the public interface, and the defaults of its
 * option structs as functions, since they are macros there.
 */
#ifndef CLIENT_PYTHON_BINDING_DEFAULTS_H
#define CLIENT_PYTHON_BINDING_DEFAULTS_H

#include <stdlib.h>

#include <stepd/client.h>

static inline struct stepd_options default_options(void)
{
    const struct stepd_options options = STEPD_OPTIONS_INIT;
    return options;
}

static inline struct stepd_step_options default_step_options(void)
{
    const struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    return options;
}

static inline struct stepd_job_options default_job_options(void)
{
    const struct stepd_job_options options = STEPD_JOB_OPTIONS_INIT;
    return options;
}

static inline struct stepd_change_options default_change_options(void)
{
    const struct stepd_change_options options = STEPD_CHANGE_OPTIONS_INIT;
    return options;
}

#endif
