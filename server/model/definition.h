/* SPDX-License-Identifier: Apache-2.0
 *
 * From what a definition came to back to a definition: what a client would send to make the same
 * job, or the same group, with every setting written out. Numbers are the very same, bit for bit,
 * so that a job that is made of it goes on as the first would have.
 */
#ifndef MODEL_DEFINITION_H
#define MODEL_DEFINITION_H

#include "proto/arena.h"
#include "server/model/job.h"

/*
 * Lists are made in the arena; texts, and the numbers of schedules, are borrowed from the group. A
 * group whose name is its glob has none, as it may have been defined: several groups may have the
 * same glob. That the first phase of a group that has changed begins later than at 0 is not in it
 * (group_init_changed). RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status definition_of_group(const struct group *group, struct stepd_arena *arena,
                                      struct stepd_group *ret_def) STEPD_MUST_CHECK;

/* The same of a job; it needs no defaults. */
enum stepd_status definition_of_job(const struct job *job, struct stepd_arena *arena,
                                    struct stepd_define_job *ret_def) STEPD_MUST_CHECK;

#endif
