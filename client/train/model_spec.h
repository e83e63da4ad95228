/* SPDX-License-Identifier: Apache-2.0
 *
 * From the text that names a model to its layers. The texts stand in model.h.
 */
#ifndef TRAIN_MODEL_SPEC_H
#define TRAIN_MODEL_SPEC_H

#include "client/train/model.h"

/*
 * The layers that `spec` means for a task, without memory, and the loss. layer: room for
 * MODEL_LAYERS_MAX. INVALID_ARGUMENT: the spec is malformed or does not fit the task; the text says
 * where and why.
 */
enum stepd_status model_spec_layers(const char *spec, const struct model_task *task,
                                    struct layer *layer, size_t *ret_layers,
                                    const struct model_loss **ret_loss,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
