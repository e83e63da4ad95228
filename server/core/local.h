/* SPDX-License-Identifier: Apache-2.0
 *
 * A job in this process: one core, one worker, no socket. The in-process side of core_io, for
 * training without a daemon through the very same code, and to the very same bits. What a wire
 * would carry is copied between the caller's arrays and the core.
 */
#ifndef CORE_LOCAL_H
#define CORE_LOCAL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"
#include "server/optim/kernels.h"

struct local;

/*
 * Defines a job with one worker and opens it. The definition's number of workers must be 1.
 * Errors: as job_draft_create, job_draft_add and job_draft_seal; RESOURCE_EXHAUSTED: no memory.
 * *ret_local: caller frees with local_destroy.
 */
enum stepd_status local_create(const struct stepd_define_job *def,
                               const struct stepd_define_tensors *tensors, enum optim_isa isa,
                               struct local **ret_local,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct local *local_destroy(struct local *local);

/* First values of the tensors that were defined with STEPD_INIT_VALUES: arrays by tensor, NULL
 * for the others; borrowed until return. */
enum stepd_status local_assign(struct local *local, const float *const *values,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Copies the weights of all tensors into the caller's arrays, one for each tensor. */
enum stepd_status local_pull(struct local *local, float *const *weights,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * One step of all tensors: mean gradients over `examples` examples in, weights out. Arrays by
 * tensor, borrowed until return; grad is not read where examples is 0.
 * INVALID_ARGUMENT: a gradient is NaN or infinite (the text names tensor and element). The step was
 * not finished: the next call does it again, and what has taken it already takes it only once.
 */
enum stepd_status local_step(struct local *local, const float *const *grad, uint64_t examples,
                             float *const *weights, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
