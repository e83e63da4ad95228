/* SPDX-License-Identifier: Apache-2.0
 *
 * What is to change, as it is written on a command line:
 *
 *     NAME=VALUE[,NAME=VALUE...]              settings; a list goes on up to the next NAME=
 *     KIND[:NAME=VALUE,...]                   a schedule, or a part of one
 *     FROM:OPTIMIZER[:NAME=VALUE,...]         a phase
 *
 * Whether there is such a thing is for the server to say. What is made lies in the arena.
 */
#ifndef CLIENT_CTL_CHANGE_TEXT_H
#define CLIENT_CTL_CHANGE_TEXT_H

#include <stepd/client.h>

#include "proto/arena.h"

#define CHANGE_PARAMS_MAX 64u

struct change_params {
    size_t count;
    struct stepd_param param[CHANGE_PARAMS_MAX];
};

/* Adds to the params. INVALID_ARGUMENT: it is not of this form, or there are too many.
 * RESOURCE_EXHAUSTED: no memory. */
enum stepd_status change_text_params(const char *text, struct stepd_arena *arena,
                                     struct change_params *params,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same of a schedule and its params. */
enum stepd_status change_text_schedule(const char *text, struct stepd_arena *arena,
                                       struct stepd_schedule_item *ret_schedule,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

enum stepd_status change_text_phase(const char *text, struct stepd_arena *arena,
                                    struct stepd_param_phase *ret_phase,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
