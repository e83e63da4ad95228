/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs that have finished. Their weights stay for who wants to pull them, but not for ever: the job
 * is dropped when a worker begins anew under its name, or when another job needs its room. Then the
 * shards close it, and its sessions end. Where it is about entries and definitions, jobs that were
 * abandoned before they opened (jobs.h) go first.
 */
#ifndef CONTROL_FINISHED_H
#define CONTROL_FINISHED_H

#include "server/control/jobs.h"

/*
 * Drops a finished job; its entry starts afresh with the next incarnation: CREATED, or DEFINED as
 * the config file says. RESOURCE_EXHAUSTED: no memory, and nothing has changed.
 */
enum stepd_status control_finished_restart(struct control *control, struct control_job *job,
                                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The job that finished the longest time ago; NULL: none has. */
struct control_job *control_finished_first(const struct control *control);

/* Drops a finished job to make room for another. The entry goes too, unless it is from the config
 * file: that starts afresh. RESOURCE_EXHAUSTED: no memory, and nothing has changed. */
enum stepd_status control_finished_drop(struct control *control, struct control_job *job,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Drops a job that did not come from the config file: one that is abandoned, but not keep (which
 * may be NULL), or the one that finished first. *ret_dropped: was there one? RESOURCE_EXHAUSTED: no
 * memory, and nothing has changed. */
enum stepd_status control_finished_drop_one(struct control *control, const struct control_job *keep,
                                            bool *ret_dropped,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Drops such jobs until there is room for one more entry. RESOURCE_EXHAUSTED: there is none, and
 * the text says so. */
enum stepd_status control_finished_make_room(struct control *control, const char *name,
                                             struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
