/* SPDX-License-Identifier: Apache-2.0
 *
 * What travels of a step, and when. With overlap, which is the rule, each layer is a part of its
 * own: its gradients leave while those of the next layer are computed, and the next forward pass
 * waits for its weights only when it comes to it. Without, the gradients of all layers leave
 * together when the last have been computed, and the next step begins when all weights are there.
 * The bits are the same; --no-overlap shows what overlap is good for.
 *
 *     traffic_send(l = 0, 1, 2, ...)     when the gradients of a layer are computed
 *     traffic_await(l = 0, 1, 2, ...)    before the forward pass of each layer
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
    bool overlap;
    struct stepd_array arrays[2 * MODEL_LAYERS_MAX]; /* weight and bias of each layer */
    bool under_way[MODEL_LAYERS_MAX];                /* parts that were sent, and not waited for */
};

/* Of a model (its arrays are borrowed as long as traffic is used), and of a home. */
void traffic_init(const struct model *model, struct home *home, struct meter *meter, bool overlap,
                  struct traffic *ret_traffic);

/* Fetches all weights; none may be under way. *ret_version: of the oldest. */
enum stepd_status traffic_pull(struct traffic *traffic, enum stepd_view view, uint64_t *ret_version,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The gradients of layer l are there; those of the layers before it were sent before. */
enum stepd_status traffic_send(struct traffic *traffic, size_t l, const struct home_step *step,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Waits for the weights of layer l, where they are under way. *ret_came: they were, and now they
 * are here; *ret_version: the newest of theirs, untouched where none came. */
enum stepd_status traffic_await(struct traffic *traffic, size_t l, bool *ret_came,
                                uint64_t *ret_version, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
