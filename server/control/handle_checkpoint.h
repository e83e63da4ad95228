/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking for a checkpoint, beside those that are taken for the step or the time (checkpoints.h).
 */
#ifndef CONTROL_HANDLE_CHECKPOINT_H
#define CONTROL_HANDLE_CHECKPOINT_H

#include "server/control/dispatch.h"

control_handle_fn control_handle_checkpoint;

struct control_wait;

/* The checkpoint that a wait is for is done: what came of it. Fails as the checkpoint did. */
enum stepd_status control_checkpoint_answer(const struct control_wait *wait,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* DEADLINE_EXCEEDED: for whom it waits. */
enum stepd_status control_checkpoint_too_late(const struct control_wait *wait,
                                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
