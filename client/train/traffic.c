/* SPDX-License-Identifier: Apache-2.0
 *
 * A layer is a part (home.h) with its own number. Without overlap part 0 is the whole model: the
 * forward pass begins with layer 0, so it waits for all of it.
 */
#include "client/train/traffic.h"

#include <assert.h>

#include "proto/error.h"

static_assert(MODEL_LAYERS_MAX <= HOME_PARTS_MAX, "a layer is a part");

void traffic_init(const struct model *model, struct home *home, struct meter *meter, bool overlap,
                  struct traffic *ret_traffic)
{
    *ret_traffic =
        (struct traffic){.home = home, .meter = meter, .layers = model->layers, .overlap = overlap};
    for (size_t l = 0; l < model->layers; l++) {
        const struct layer *const layer = &model->layer[l];
        ret_traffic->arrays[2 * l] = (struct stepd_array){
            .tensor = 2 * l,
            .grad = layer->weight_grad,
            .weights = layer->weight,
        };
        ret_traffic->arrays[2 * l + 1] = (struct stepd_array){
            .tensor = 2 * l + 1,
            .grad = layer->bias_grad,
            .weights = layer->bias,
        };
    }
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
    if (!traffic->overlap && l + 1 < traffic->layers)
        return STEPD_OK;
    const size_t part = traffic->overlap ? l : 0;
    const size_t layers = traffic->overlap ? 1 : traffic->layers;
    const enum meter_state before = meter_enter(traffic->meter, METER_WAITING);
    const enum stepd_status status =
        home_step_start(traffic->home, part, &traffic->arrays[2 * part], 2 * layers, step, reterr);
    (void)meter_enter(traffic->meter, before);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "push");
    traffic->under_way[part] = true;
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
