/* SPDX-License-Identifier: Apache-2.0
 *
 * DefineJob and DefineTensors.
 */
#ifndef CONTROL_HANDLE_DEFINE_H
#define CONTROL_HANDLE_DEFINE_H

#include "server/control/dispatch.h"
#include "server/control/jobs.h"

control_handle_fn control_handle_define_job;
control_handle_fn control_handle_define_tensors;

/* Defines the job, or compares with how it is defined. As control_draft_create and job_draft_same.
 */
enum stepd_status control_define_entry(struct control *control, struct control_job *job,
                                       const struct stepd_define_job *def,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
