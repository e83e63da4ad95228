/* SPDX-License-Identifier: Apache-2.0
 *
 * The scalars of NAdam, which prepare() (nadam.c) leaves for its kernel (nadam_kernel.c).
 */
#ifndef OPTIM_NADAM_H
#define OPTIM_NADAM_H

enum nadam_scalar {
    NADAM_PRODUCT,     /* mu_1 ... mu_t, kept from step to step */
    NADAM_OF_GRADIENT, /* lr (1 - mu_t) / (1 - mu_1 ... mu_t) */
    NADAM_OF_AVERAGE,  /* lr mu_t+1 / (1 - mu_1 ... mu_t+1) */
    NADAM_SCALARS,
};

#endif
