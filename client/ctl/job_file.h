/* SPDX-License-Identifier: Apache-2.0
 *
 * A job as the server's config file defines it, for commands that ask no server.
 */
#ifndef CLIENT_CTL_JOB_FILE_H
#define CLIENT_CTL_JOB_FILE_H

#include <stddef.h>

#include <stepd/status.h>

#include "server/config/config.h"

/* Reads the file as the daemon does, but without flags and environment: nothing that they set bears
 * on a job's groups. Errors as config_load. The caller frees with config_deinit. */
enum stepd_status job_file_read(const char *path, struct config *ret_config,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The job of this name, or where it is NULL the only one; borrowed as long as the config is. NULL:
 * there is none, and reterr, with NOT_FOUND, names the nearest. */
const struct config_job *job_file_find(const struct config *config, const char *name,
                                       struct stepd_error *reterr);

/* What is wrong with a job in this line, which *reterr says by itself: with its place in the file,
 * and FAILED_PRECONDITION. */
enum stepd_status job_file_fail(const struct config *config, const struct config_job *job,
                                size_t line, struct stepd_error *reterr);

#endif
