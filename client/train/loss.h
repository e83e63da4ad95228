/* SPDX-License-Identifier: Apache-2.0
 *
 * Losses over a batch: the mean over its B examples, and the derivative of that mean by the scores.
 */
#ifndef TRAIN_LOSS_H
#define TRAIN_LOSS_H

#include <stddef.h>
#include <stdint.h>

struct model_loss {
    const char *name;
    /*
     * scores: (B, C). labels: (B,), each below C. Writes delta (B, C), the derivative of the
     * returned mean by each score. B is at least 1; delta may not overlap scores.
     */
    double (*compute)(const float *scores, const uint8_t *labels, size_t batch, size_t classes,
                      float *delta);
};

/* -log of the softmax of the label's score; PyTorch's CrossEntropyLoss. */
extern const struct model_loss loss_cross_entropy;

/* Squared distance to the one-hot label, mean over examples and classes; PyTorch's MSELoss. */
extern const struct model_loss loss_squared_error;

#endif
