/* SPDX-License-Identifier: Apache-2.0
 *
 * The two losses. Sums over a batch are kept in double. The softmax subtracts the highest score
 * first, so that no exponential overflows, and takes the loss from the same sum:
 *
 *     p_c = exp(z_c - m) / S,   loss = log S - (z_y - m),   d loss / d z_c = p_c - [c = y]
 */
#include "client/train/loss.h"

#include <math.h>

static float highest(const float *z, size_t count)
{
    float m = z[0];
    for (size_t c = 1; c < count; c++)
        m = z[c] > m ? z[c] : m;
    return m;
}

static double cross_entropy(const float *scores, const uint8_t *labels, size_t batch,
                            size_t classes, float *delta)
{
    double sum = 0;
    for (size_t i = 0; i < batch; i++) {
        const float *const z = scores + i * classes;
        float *const dz = delta + i * classes;
        const float m = highest(z, classes);
        float exp_sum = 0;
        for (size_t c = 0; c < classes; c++) {
            dz[c] = expf(z[c] - m);
            exp_sum += dz[c];
        }
        sum += log((double)exp_sum) - (double)(z[labels[i]] - m);
        for (size_t c = 0; c < classes; c++) {
            const float p = dz[c] / exp_sum;
            dz[c] = (p - (c == labels[i] ? 1.0f : 0.0f)) / (float)batch;
        }
    }
    return sum / (double)batch;
}

static double squared_error(const float *scores, const uint8_t *labels, size_t batch,
                            size_t classes, float *delta)
{
    const double elements = (double)batch * (double)classes;
    double sum = 0;
    for (size_t i = 0; i < batch; i++)
        for (size_t c = 0; c < classes; c++) {
            const float target = c == labels[i] ? 1.0f : 0.0f;
            const float off = scores[i * classes + c] - target;
            sum += (double)off * (double)off;
            delta[i * classes + c] = (float)(2.0 / elements) * off;
        }
    return sum / elements;
}

const struct model_loss loss_cross_entropy = {.name = "cross-entropy", .compute = cross_entropy};
const struct model_loss loss_squared_error = {.name = "squared error", .compute = squared_error};
