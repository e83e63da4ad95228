/* SPDX-License-Identifier: Apache-2.0
 *
 * What travels of a step, and when. With overlap, which is the rule, the weights of each layer are
 * a part of their own: their gradients leave while those of the next layer are computed, and the
 * next forward pass waits for them only when it comes to that layer. The first layer's go first, as
 * they are needed first, and with them all biases, and all weights that are so small that they
 * share a slice: none of these arrives before all are there. Without overlap everything goes with
 * the first layer's weights, whose gradients are then the last to be computed. The bits are the
 * same; --no-overlap shows what overlap is good for.
 *
 *     l = order[0 .. layers - 1]:        compute the gradients of layer l; traffic_send(l)
 *     l = 0 .. layers - 1:               traffic_await(l) before the forward pass of layer l
 */
#ifndef TRAIN_TRAFFIC_H
#define TRAIN_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/train/home.h"
#include "client/train/meter.h"
#include "client/train/model.h"

struct traffic {
    struct home *home;   /* borrowed */
    struct meter *meter; /* borrowed; its state is METER_WAITING in the home */
    size_t layers;
    size_t order[MODEL_LAYERS_MAX]; /* in which their gradients are to be computed */
    struct stepd_array arrays[2 * MODEL_LAYERS_MAX]; /* of all, part by part */
    size_t first[MODEL_LAYERS_MAX];                  /* by layer: where its part begins */
    size_t count[MODEL_LAYERS_MAX];                  /* 0: it goes with the first layer's */
    bool under_way[MODEL_LAYERS_MAX];                /* parts that were sent, and not waited for */
};

/* Of a model (its arrays are borrowed as long as traffic is used), and of a home where it has been
 * defined. */
void traffic_init(const struct model *model, struct home *home, struct meter *meter, bool overlap,
                  struct traffic *ret_traffic);

/* Fetches all weights; none may be under way. *ret_version: of the oldest. */
enum stepd_status traffic_pull(struct traffic *traffic, enum stepd_view view, uint64_t *ret_version,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The gradients of layer l are there, which is next in the order. */
enum stepd_status traffic_send(struct traffic *traffic, size_t l, const struct home_step *step,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Waits for the weights of layer l, where they are under way. *ret_came: they were, and now they
 * are here; *ret_version: the newest of theirs, untouched where none came. */
enum stepd_status traffic_await(struct traffic *traffic, size_t l, bool *ret_came,
                                uint64_t *ret_version, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Waits for all that is under way, whatever becomes of it. */
void traffic_drop(struct traffic *traffic);

#endif
