/* SPDX-License-Identifier: Apache-2.0
 *
 * The jobs of a config file: from nodes of the document to the DefineJob that a client would send,
 * and back to YAML for --print-config.
 */
#ifndef CONFIG_JOBS_H
#define CONFIG_JOBS_H

#include <stdbool.h>
#include <stdio.h>

#include <stepd/status.h>

#include "server/config/config.h"
#include "server/config/document.h"
#include "server/config/reader.h"

/* The keys of a job's map; settings stand beside them. */
extern const struct reader_keys jobs_keys;

/*
 * Reads the list under the key "jobs" (or nothing) into config->jobs and config->job; what they
 * point to lives in config->arena. name is what errors call the file.
 * FAILED_PRECONDITION: the text begins "name:line: ". RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status jobs_read(const char *name, const struct document_node *list,
                            struct config *config, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes the key "jobs" and all beneath it, with the lines where they stand if that is wanted. */
void jobs_write(const struct config *config, bool lines, FILE *stream);

#endif
