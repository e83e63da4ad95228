/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a job when a worker's lease has run out: its setting on_loss.
 *
 *     wait      rounds wait for it, or for another worker that takes its rank
 *     shrink    it is given up, and the job goes on without it: as long as as many are left as
 *               workers_min says, or one. Else it is waited for
 *     fail      the job has failed
 */
#ifndef CONTROL_LOSS_H
#define CONTROL_LOSS_H

#include "server/control/jobs.h"

/* Sees to the members of a job that are LOST. */
void control_loss_on_tick(struct control *control, struct control_job *job);

#endif
