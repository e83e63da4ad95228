/* SPDX-License-Identifier: Apache-2.0
 *
 * From options and model to the definition of the job: one param group for all tensors, its
 * optimizer and schedule, and the tensors with the rule for their first weights.
 */
#ifndef TRAIN_DEFINE_H
#define TRAIN_DEFINE_H

#include <stdint.h>

#include "client/train/home.h"
#include "client/train/model.h"
#include "client/train/options.h"

/*
 * Defines the job at its home. total_steps: how many steps each worker will take, which is what the
 * schedules cosine and one_cycle span unless t_max or total_steps was given. Tensor 2l is the
 * weight of layer l, 2l + 1 its bias. As stepd_define, and INVALID_ARGUMENT: an optimizer needs
 * more than gradients.
 */
enum stepd_status define_job(struct home *home, const struct train_options *options,
                             const struct model *model, uint64_t total_steps,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
