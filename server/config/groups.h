/* SPDX-License-Identifier: Apache-2.0
 *
 * The groups of a job, and what they start from: from nodes of the document to what a client would
 * send in DefineJob, and back to YAML. The functions that read return what those of reader.h do.
 */
#ifndef CONFIG_GROUPS_H
#define CONFIG_GROUPS_H

#include <stdbool.h>
#include <stdio.h>

#include <stepd/status.h>

#include "server/config/config.h"
#include "server/config/document.h"
#include "server/config/reader.h"

/* A group that says nothing. */
#define GROUPS_NOTHING                                                                             \
    {                                                                                              \
        .name = "", .match = "", .optimizer = "", .schedule = ""                                   \
    }

/* The keys of a group's map, of its schedule's and of a phase's; settings stand beside them. */
extern const struct reader_keys groups_keys;
extern const struct reader_keys groups_schedule_keys;
extern const struct reader_keys groups_phase_keys;

/* The map under the key "defaults". */
enum stepd_status groups_read_defaults(const struct reader *reader,
                                       const struct document_node *node,
                                       struct stepd_group *ret_defaults) STEPD_MUST_CHECK;

/* The list under the key "groups" into job->definition and job->group_line. */
enum stepd_status groups_read(const struct reader *reader, const struct document_node *list,
                              struct config_job *job) STEPD_MUST_CHECK;

/* What the groups leave to the job's defaults must stand there. Called when the job is read, since
 * the defaults may stand behind the groups. */
enum stepd_status groups_check(const struct reader *in_job,
                               const struct config_job *job) STEPD_MUST_CHECK;

/* Writes each setting behind the text that goes before it. */
void groups_write_settings(const struct stepd_settings *settings, const char *before, FILE *stream);

/* Writes the key "defaults", or nothing where they are empty. */
void groups_write_defaults(const struct stepd_group *defaults, FILE *stream);

/* Writes the key "groups", with the lines where they stand if that is wanted. */
void groups_write(const struct config_job *job, bool lines, FILE *stream);

#endif
