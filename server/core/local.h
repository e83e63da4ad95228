/* SPDX-License-Identifier: Apache-2.0
 *
 * A job in this process: one core, one worker, no socket. The in-process side of core_io, for
 * training without a daemon through the very same code, and to the very same bits. What a wire
 * would carry is copied between the caller's arrays and the core.
 */
#ifndef CORE_LOCAL_H
#define CORE_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"
#include "server/optim/kernels.h"

struct local;

/*
 * Defines a job and opens it, with one worker as rank 0. Where the definition says more, the job
 * can be asked for its weights and takes no step: enough to find out whether there could be such a
 * job. Errors: as job_draft_create, job_draft_add and job_draft_seal; RESOURCE_EXHAUSTED: no
 * memory. *ret_local: caller frees with local_destroy.
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

/* Copies a view of the weights of all tensors into the caller's arrays, one for each tensor.
 * INVALID_ARGUMENT: a tensor's group does not keep that view. */
enum stepd_status local_pull(struct local *local, enum stepd_view view, float *const *weights,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What a step is made of. Arrays by tensor. */
struct local_push {
    const float *const *grad;  /* mean over the examples; not read where examples is 0 */
    const float *const *extra; /* by the first tensor of a slice that wants a Hessian; or NULL */
    uint64_t examples;
    bool has_loss;
    double loss;       /* mean over the examples */
    double loss_scale; /* 0: 1 */
};

/*
 * One step of all tensors; afterwards the weights' view STEPD_TRAINING in the caller's arrays, one
 * for each tensor. All borrowed until return.
 * FAILED_PRECONDITION: the job is of several workers.
 * INVALID_ARGUMENT: a gradient is NaN or infinite (the text names tensor and element), or the loss
 * is missing where a group needs it. The step was not finished: the next call does it again, and
 * what has taken it already takes it only once.
 */
enum stepd_status local_step(struct local *local, const struct local_push *push,
                             float *const *weights, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
