/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of a running job that all shards must make at the same version: who joins is a member
 * from version V on, on every slice.
 *
 *     control_change_add     the change waits for those before it, and then is proposed, at the
 *                            highest version that is known plus 2
 *     the shards answer      agreed: they make no step from V on before they hear of it again; or
 *                            how far they are, and it is proposed again, a little later than that
 *     all have agreed        every shard is told to make it, and what control knows of it changes
 *
 * A proposal holds up no step but those from V on, and these for as long as an order and its
 * answers take. Nothing is lost when it is repeated: a shard knows the newest one only.
 *
 * What is asked of groups (edits.h) is worked out between the last two steps, when the version is
 * known. Where it turns out to be impossible, or was only to be tried, the shards are told of no
 * change, and go on. In bounded and async mode slices have no common version: the proposal holds up
 * none, and each slice changes with its next step.
 */
#ifndef CONTROL_CHANGES_H
#define CONTROL_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "server/control/edits.h"
#include "server/control/jobs.h"
#include "server/model/order.h"

/*
 * Adds a change to an open job. like: an order of kind ORDER_CHANGE with what changes; version, and
 * in one of a member from, are filled in when the shards have agreed on them; borrowed until
 * return. RESOURCE_EXHAUSTED: no memory, and nothing has changed.
 */
enum stepd_status control_change_add(struct control *control, struct control_job *job,
                                     const struct order *like,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Adds an edit of groups to an open job, and numbers it. Takes ownership of it, on failure too.
 * RESOURCE_EXHAUSTED: no memory. */
enum stepd_status control_change_groups(struct control *control, struct control_job *job,
                                        struct control_edit *edit,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Tells the shards of changes of groups that were decided before the job was restored. False: not
 * all, for want of memory. */
bool control_changes_tell(struct control *control, struct control_job *job);

/* How many wait to be decided. */
size_t control_changes_pending(const struct control_job *job);

/* A shard's NOTICE_PROPOSED. */
void control_change_answered(struct control *control, struct control_job *job,
                             const struct notice *notice);

/* Repeats what could not be said or was not answered. */
void control_changes_on_tick(struct control *control, struct control_job *job);

/* The job has failed: none that waits to be decided will be, and who asked is told why. What was
 * decided before stays known. */
void control_changes_refuse(struct control *control, struct control_job *job,
                            const struct stepd_error *why);

/* Forgets all of them; the shards have closed the job, or the caller sees to it. */
void control_changes_drop(struct control_job *job);

#endif
