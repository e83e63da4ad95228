/* SPDX-License-Identifier: Apache-2.0
 *
 * One order to all shards: either every shard gets it or, where memory runs out, none.
 * Each function returns OK or RESOURCE_EXHAUSTED.
 */
#ifndef CONTROL_ORDERS_H
#define CONTROL_ORDERS_H

#include <stdint.h>

#include "server/control/jobs.h"
#include "server/control/members.h"
#include "server/control/sessions.h"

/* The shards answer with the number of the attempt. first: what a job begins with that is not
 * restored; NULL: as it is defined. */
enum stepd_status control_order_open(struct control *control, const struct control_job *job,
                                     struct first_weights *first,
                                     uint64_t attempt) STEPD_MUST_CHECK;

/* JOB_CLOSE or JOB_START. */
enum stepd_status control_order_job(struct control *control, const struct control_job *job,
                                    enum order_kind kind) STEPD_MUST_CHECK;

/* Nothing is sent for a session without a job: it has no business with the shards. */
enum stepd_status control_order_session(struct control *control,
                                        const struct control_session *session,
                                        uint64_t epoch) STEPD_MUST_CHECK;
enum stepd_status control_order_session_gone(struct control *control,
                                             const struct control_session *session,
                                             const struct stepd_error *why) STEPD_MUST_CHECK;

enum stepd_status control_order_member(struct control *control, const struct control_job *job,
                                       const struct control_member *member) STEPD_MUST_CHECK;

/* Why the job has failed. */
enum stepd_status control_order_failure(struct control *control,
                                        const struct control_job *job) STEPD_MUST_CHECK;

/* The rank is given up, and is to be told why. */
enum stepd_status control_order_give_up(struct control *control, const struct control_job *job,
                                        uint32_t rank,
                                        const struct stepd_error *why) STEPD_MUST_CHECK;

/* An order as it stands: what a gate has decided, or a change that all have agreed to. */
enum stepd_status control_order_like(struct control *control,
                                     const struct order *order) STEPD_MUST_CHECK;

/* The newest proposal of an open job (changes.h); the answers carry its number. */
enum stepd_status control_order_proposal(struct control *control,
                                         const struct control_job *job) STEPD_MUST_CHECK;

/* SNAPSHOT or SNAPSHOT_END. */
enum stepd_status control_order_snapshot(struct control *control,
                                         const struct order *like) STEPD_MUST_CHECK;

/* Asks about an open job; the answers carry the number. */
enum stepd_status control_order_query(struct control *control, const struct control_job *job,
                                      uint64_t query) STEPD_MUST_CHECK;

#endif
