/* SPDX-License-Identifier: Apache-2.0
 *
 * Averaged SGD: one slice, one update. Compiled once per instruction set (isa.h). asgd.c says how
 * eta and mu come about.
 *
 * The order of operations is that of torch.optim.ASGD's single-tensor path, each operation rounded
 * to float by itself. Scalars are computed in double and rounded to float once per call.
 *
 *     g  <- g + weight_decay w       only where weight_decay is not 0
 *     w  <- (1 - lambd eta) w - eta g
 *     ax <- w                        where mu is 1
 *     ax <- ax + mu (w - ax)         elsewhere
 */
#include "server/optim/isa.h"

/* A step's scalars as floats. */
struct asgd_scalars {
    float weight_decay;
    float shrink; /* 1 - lambd eta */
    float eta;
    float mu;
    bool decays;
    bool follows; /* ax is w: averaging has not begun */
};

static struct asgd_scalars asgd_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    const double eta = step->scalar[0];
    return (struct asgd_scalars){
        .weight_decay = (float)hyper->weight_decay,
        .shrink = (float)(1.0 - hyper->lambd * eta),
        .eta = (float)eta,
        .mu = (float)step->scalar[2],
        .decays = hyper->weight_decay != 0.0,
        .follows = step->scalar[2] == 1.0,
    };
}

static void average(const struct asgd_scalars k, size_t n, float *restrict w,
                    const float *restrict g, float *restrict ax)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        w[i] = k.shrink * w[i] - k.eta * gi;
        ax[i] = k.follows ? w[i] : ax[i] + k.mu * (w[i] - ax[i]);
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(asgd_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                             float *const *slot)
{
    average(asgd_scalars(step), n, w, g, slot[0]);
}

/* NOLINTEND(readability-identifier-naming) */
