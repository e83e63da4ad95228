/* SPDX-License-Identifier: Apache-2.0
 *
 * An order: what one call of push, pull or step asks for. It is checked in the caller's thread,
 * then worked off by the exchange (exchange.h), which calls on_done when every part of every
 * tensor in it has been answered or has failed. The first failure is the order's failure, but the
 * order is done only when nothing of the caller's arrays is in use any more.
 */
#ifndef CLIENT_LIB_CORE_ORDER_H
#define CLIENT_LIB_CORE_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/client.h>

#include "client/lib/core/layout.h"

enum stepd_order_kind {
    STEPD_ORDER_PUSH,
    STEPD_ORDER_PULL,
    STEPD_ORDER_STEP,
};

struct stepd_order {
    enum stepd_order_kind kind;
    uint64_t examples;
    uint64_t min_version;
    uint32_t deadline_ms;
    struct stepd_array *array; /* owned; sorted by tensor */
    size_t arrays;
    void (*on_done)(struct stepd_order *order);

    /* Of the exchange. */
    uint64_t unanswered; /* parts, and one more while the order is being worked on */
    uint64_t expires_ms; /* until then its packed slices may wait for their other tensors */
    const void *counted; /* the parcel that `counts` has seen last */
    struct stepd_outcome_counts counts;
    struct stepd_error error; /* code OK: no failure so far */
};

/*
 * Makes an order of these arrays (copied; what they point to is borrowed until on_done). options
 * may be NULL. INVALID_ARGUMENT: no such tensor, a tensor twice, an array that is missing, too
 * many examples. RESOURCE_EXHAUSTED: no memory. Release with deinit.
 */
enum stepd_status stepd_order_init(struct stepd_order *order, enum stepd_order_kind kind,
                                   const struct stepd_layout_table *layout,
                                   const struct stepd_step_options *options,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The second half of init: takes the arrays. Failures as above. */
enum stepd_status stepd_order_fill(struct stepd_order *order,
                                   const struct stepd_layout_table *layout,
                                   const struct stepd_array *arrays, size_t count,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

void stepd_order_deinit(struct stepd_order *order);

/* Does it send gradients? Does it want weights? */
static inline bool stepd_order_pushes(const struct stepd_order *order)
{
    return order->kind != STEPD_ORDER_PULL;
}

static inline bool stepd_order_pulls(const struct stepd_order *order)
{
    return order->kind != STEPD_ORDER_PUSH;
}

/* n parts fewer to wait for; the last one calls on_done, and the order must not be touched
 * again. */
void stepd_order_release(struct stepd_order *order, uint64_t n);

#endif
