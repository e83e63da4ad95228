/* SPDX-License-Identifier: Apache-2.0
 *
 * A layer's part has the layer's number (home.h). Tensors are numbered as define.c has them: weight
 * and bias of layer l are 2 l and 2 l + 1.
 */
#include "client/train/traffic.h"

#include <assert.h>

#include "proto/error.h"

static_assert(MODEL_LAYERS_MAX <= HOME_PARTS_MAX, "a layer is a part");

static void add_array(struct traffic *traffic, size_t l, const struct stepd_array *array)
{
    traffic->arrays[traffic->first[l] + traffic->count[l]++] = *array;
}

static void add_weight(struct traffic *traffic, size_t part, const struct model *model, size_t l)
{
    const struct layer *const layer = &model->layer[l];
    add_array(traffic, part,
              &(struct stepd_array){
                  .tensor = 2 * l,
                  .grad = layer->weight_grad,
                  .weights = layer->weight,
              });
}

static void add_bias(struct traffic *traffic, size_t part, const struct model *model, size_t l)
{
    const struct layer *const layer = &model->layer[l];
    add_array(traffic, part,
              &(struct stepd_array){
                  .tensor = 2 * l + 1,
                  .grad = layer->bias_grad,
                  .weights = layer->bias,
              });
}

void traffic_init(const struct model *model, struct home *home, struct meter *meter, bool overlap,
                  struct traffic *ret_traffic)
{
    struct traffic traffic = {.home = home, .meter = meter, .layers = model->layers};
    bool with_first[MODEL_LAYERS_MAX];
    size_t ordered = 0;
    for (size_t l = 0; l < model->layers; l++) {
        with_first[l] = l == 0 || !overlap || home_packed(home, 2 * l);
        add_bias(&traffic, 0, model, l);
        if (!with_first[l])
            continue;
        add_weight(&traffic, 0, model, l);
        if (l > 0)
            traffic.order[ordered++] = l;
    }
    traffic.order[ordered++] = 0;
    size_t used = traffic.count[0];
    for (size_t l = 1; l < model->layers; l++) {
        if (with_first[l])
            continue;
        traffic.first[l] = used++;
        add_weight(&traffic, l, model, l);
        traffic.order[ordered++] = l;
    }
    *ret_traffic = traffic;
}

enum stepd_status traffic_pull(struct traffic *traffic, enum stepd_view view, uint64_t *ret_version,
                               struct stepd_error *reterr)
{
    const enum stepd_status status =
        home_pull(traffic->home, view, traffic->arrays, 2 * traffic->layers, ret_version, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "pull");
}

enum stepd_status traffic_send(struct traffic *traffic, size_t l, const struct home_step *step,
                               struct stepd_error *reterr)
{
    if (traffic->count[l] == 0)
        return STEPD_OK;
    const struct stepd_array *const arrays = &traffic->arrays[traffic->first[l]];
    const enum meter_state before = meter_enter(traffic->meter, METER_WAITING);
    const enum stepd_status status =
        home_step_start(traffic->home, l, arrays, traffic->count[l], step, reterr);
    (void)meter_enter(traffic->meter, before);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "push");
    traffic->under_way[l] = true;
    return STEPD_OK;
}

enum stepd_status traffic_await(struct traffic *traffic, size_t l, bool *ret_came,
                                uint64_t *ret_version, struct stepd_error *reterr)
{
    *ret_came = false;
    if (!traffic->under_way[l])
        return STEPD_OK;
    traffic->under_way[l] = false;
    const enum meter_state before = meter_enter(traffic->meter, METER_WAITING);
    const enum stepd_status status = home_step_wait(traffic->home, l, ret_version, reterr);
    (void)meter_enter(traffic->meter, before);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "step");
    *ret_came = true;
    return STEPD_OK;
}

void traffic_drop(struct traffic *traffic)
{
    for (size_t l = 0; l < traffic->layers; l++) {
        bool came = false;
        uint64_t version = 0;
        struct stepd_error nobody_asks;
        if (traffic_await(traffic, l, &came, &version, &nobody_asks) != STEPD_OK)
            continue; /* that is what it is dropped for */
    }
}
