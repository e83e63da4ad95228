/* SPDX-License-Identifier: Apache-2.0
 *
 * How good a model's weights are: loss and accuracy over a whole set of examples.
 */
#ifndef TRAIN_EVALUATION_H
#define TRAIN_EVALUATION_H

#include <stdint.h>

#include "client/train/dataset.h"
#include "client/train/model.h"

#define EVALUATION_BATCH 500u

struct evaluation {
    double loss;     /* mean over the examples; NAN or infinite where the weights blew up */
    double accuracy; /* 0 to 1 */
};

/* Over a set of at least one example, with the weights as they are. The model takes batches of at
 * least EVALUATION_BATCH; rows and labels have room for one, and are written over. */
struct evaluation evaluation_of(struct model *model, const struct dataset *set,
                                const struct dataset_scale *scale, uint32_t *rows, uint8_t *labels);

#endif
