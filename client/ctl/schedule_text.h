/* SPDX-License-Identifier: Apache-2.0
 *
 * A schedule as it is written on a command line:
 *
 *     KIND
 *     KIND:NAME=VALUE,NAME=VALUE
 *     multistep:milestones=100,200,gamma=0.5        a list goes on up to the next NAME=
 */
#ifndef CLIENT_CTL_SCHEDULE_TEXT_H
#define CLIENT_CTL_SCHEDULE_TEXT_H

#include <stepd/status.h>

#include "server/schedule/schedule.h"

/*
 * Makes the schedule. Not checked as a whole: parts and parameters may follow.
 * NOT_FOUND, INVALID_ARGUMENT: the text names the nearest kind or parameter, or what is allowed.
 * RESOURCE_EXHAUSTED: no memory. *ret_schedule: caller frees with schedule_deinit.
 */
enum stepd_status schedule_text_read(const char *text, struct schedule *ret_schedule,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Sets the parameters of NAME=VALUE,...; fails likewise. */
enum stepd_status schedule_text_set(const char *text, struct schedule *schedule,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
