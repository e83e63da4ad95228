/* SPDX-License-Identifier: Apache-2.0
 *
 * Batch after batch in the order of the set, so that the same weights give the same numbers.
 */
#include "client/train/evaluation.h"

struct evaluation evaluation_of(struct model *model, const struct dataset *set,
                                const struct dataset_scale *scale, uint32_t *rows, uint8_t *labels)
{
    double loss_sum = 0;
    size_t correct = 0;
    for (size_t done = 0; done < set->examples;) {
        const size_t left = set->examples - done;
        const size_t batch = left < EVALUATION_BATCH ? left : EVALUATION_BATCH;
        for (size_t i = 0; i < batch; i++)
            rows[i] = (uint32_t)(done + i);
        dataset_gather(set, scale, rows, batch, model_input(model), labels);
        for (size_t l = 0; l < model->layers; l++)
            model_forward(model, l, batch);
        loss_sum += model_loss(model, labels, batch) * (double)batch;
        correct += model_correct(model, labels, batch);
        done += batch;
    }
    return (struct evaluation){
        .loss = loss_sum / (double)set->examples,
        .accuracy = (double)correct / (double)set->examples,
    };
}
