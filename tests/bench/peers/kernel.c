/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd's AdamW kernel as a library that adamw.py loads, so that both are measured in one process
 * and by turns. Hyperparameters are PyTorch's defaults, which are stepd's too.
 */
#include <stdint.h>
#include <stdlib.h>

#include <stepd/status.h>

#include "server/optim/kernels.h"

/* ctypes' one entry: update t (from 1) of n elements in place; m and v are the slots, 0 before. */
STEPD_EXPORT void peer_adamw(uint64_t t, size_t n, float *w, const float *g, float *m, float *v);

void peer_adamw(uint64_t t, size_t n, float *w, const float *g, float *m, float *v)
{
    const struct optimizer *adamw;
    double scalar[OPTIMIZER_SCALARS_MAX] = {0};
    float *const slot[OPTIMIZER_SLOTS_MAX] = {m, v};
    struct optim_hyper hyper;
    if (optimizer_find("adamw", &adamw, /* reterr= */ NULL) != STEPD_OK)
        abort();
    optimizer_hyper_defaults(adamw, &hyper);
    const struct optim_step step = {.hyper = &hyper, .lr = hyper.lr, .t = t, .scalar = scalar};
    if (adamw->prepare != NULL)
        adamw->prepare(&step, scalar);
    adamw->step[kernels_choose()](&step, n, w, g, slot);
}
