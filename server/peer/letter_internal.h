/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of letters share: jobs and groups as they stand in orders.
 */
#ifndef PEER_LETTER_INTERNAL_H
#define PEER_LETTER_INTERNAL_H

#include "server/peer/reader.h"
#include "server/peer/writer.h"

/* "" too is a name of a job here: an order may be about none. */
const char *peer_take_job_name(struct peer_reader *reader);

/* ---- letter_group.c -------------------------------------------------------------------------- */

void peer_put_settings(struct peer_writer *writer, const struct stepd_settings *settings);
struct stepd_settings peer_take_settings(struct peer_reader *reader, const char *field);

void peer_put_group(struct peer_writer *writer, const struct stepd_group *group);
/* phases: how many it may have at most behind the first. */
struct stepd_group peer_take_group(struct peer_reader *reader, size_t phases);

/* NULL: none. */
void peer_put_changes(struct peer_writer *writer, const struct group_changes *changes);
/* The caller frees it. */
struct group_changes *peer_take_changes(struct peer_reader *reader);

/* ---- letter_job.c ---------------------------------------------------------------------------- */

/* NULL: none. */
void peer_put_job(struct peer_writer *writer, const struct job *job);
/* The caller gives the reference back. */
struct job *peer_take_job(struct peer_reader *reader);

/* ---- letter_order.c, letter_notice.c --------------------------------------------------------- */

struct order *peer_take_order(struct peer_reader *reader);
void peer_take_notice(struct peer_reader *reader, struct peer_letter *letter);

#endif
