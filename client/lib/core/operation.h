/* SPDX-License-Identifier: Apache-2.0
 *
 * An operation: what one call of push, pull or step asks for. It is checked in the caller's thread,
 * then worked off by the exchange (exchange.h), which calls on_done when every part of every
 * tensor in it has been answered or has failed. The first failure is the operation's failure, but
 * the operation is done only when nothing of the caller's arrays is in use any more.
 */
#ifndef CLIENT_LIB_CORE_OPERATION_H
#define CLIENT_LIB_CORE_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/client.h>

#include "client/lib/core/layout.h"

enum stepd_operation_kind {
    STEPD_OPERATION_PUSH,
    STEPD_OPERATION_PULL,
    STEPD_OPERATION_STEP,
};

struct stepd_operation {
    const struct stepd_layout_table *layout; /* borrowed; its arrays were checked against it */
    enum stepd_operation_kind kind;
    uint64_t examples;
    uint64_t min_version;
    uint32_t deadline_ms;
    enum stepd_view view;
    bool has_loss;
    double loss;
    double loss_scale; /* above 0 */
    int32_t priority;
    bool awaited;
    bool whole;                /* nobody else gives what is missing in its packed slices */
    struct stepd_array *array; /* owned; sorted by tensor */
    size_t arrays;
    struct stepd_hessian *hessian; /* owned; what the values point to is borrowed */
    size_t hessians;
    void (*on_done)(struct stepd_operation *operation);

    /* Of the exchange. */
    uint64_t unanswered; /* parts, and one more while the operation is being worked on */
    uint64_t expires_ms; /* until then its packed slices may wait for their other tensors */
    const void *counted; /* the parcel that `counts` has seen last */
    struct stepd_outcome_counts counts;
    struct stepd_error error; /* code OK: no failure so far */
};

/* Makes an operation without arrays; to be released with deinit. options (borrowed until return)
 * may be NULL, layout when it is not known yet. INVALID_ARGUMENT: a malformed struct, too many
 * examples. FAILED_PRECONDITION: no layout. */
enum stepd_status stepd_operation_init(struct stepd_operation *operation,
                                       enum stepd_operation_kind kind,
                                       const struct stepd_layout_table *layout,
                                       const struct stepd_step_options *options,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The second part of init: copies the arrays; what they point to is borrowed until on_done.
 * INVALID_ARGUMENT: no such tensor, a tensor twice, an array that is missing. RESOURCE_EXHAUSTED:
 * no memory. */
enum stepd_status stepd_operation_fill(struct stepd_operation *operation,
                                       const struct stepd_layout_table *layout,
                                       const struct stepd_array *arrays, size_t count,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The third part, after fill: copies the Hessians of options (may be NULL); what they point to is
 * borrowed until on_done. INVALID_ARGUMENT: one is missing, or is not asked for; the text names the
 * tensor. RESOURCE_EXHAUSTED: no memory. After a failure: deinit.
 */
enum stepd_status stepd_operation_fill_hessians(struct stepd_operation *operation,
                                                const struct stepd_layout_table *layout,
                                                const struct stepd_step_options *options,
                                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Is there an array of this tensor? */
bool stepd_operation_has(const struct stepd_operation *operation, size_t tensor);

/* The Hessian that was given for this tensor, or NULL. */
const float *stepd_operation_hessian(const struct stepd_operation *operation, size_t tensor);

void stepd_operation_deinit(struct stepd_operation *operation);

/* Does it send gradients? Does it want weights? */
static inline bool stepd_operation_pushes(const struct stepd_operation *operation)
{
    return operation->kind != STEPD_OPERATION_PULL;
}

static inline bool stepd_operation_pulls(const struct stepd_operation *operation)
{
    return operation->kind != STEPD_OPERATION_PUSH;
}

/* n parts fewer to wait for; the last one calls on_done, and the operation must not be touched
 * again. */
void stepd_operation_release(struct stepd_operation *operation, uint64_t n);

#endif
