/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of Adam, AdamW and AMSGrad: one kernel (adam_kernel.c), three sets of defaults, under
 * the names that people look for. What the references disagree about is an option:
 *
 *     eps_mode         outside the root (PyTorch, and the paper), inside it (the lecture's print
 *                      of Deep Learning's algorithm 8.7), or hat: the paper's remark under its
 *                      algorithm, which Keras and MXNet follow, with eps beside the uncorrected v.
 *                      For small gradients the steps differ by orders of magnitude
 *     bias_correction  off, with eps inside: the lecture's simplified form
 *     amsgrad          Reddi et al. 2018, algorithm 2: v's maximum takes v's place, uncorrected
 *                      (raw, PyTorch) or corrected (optax). The paper itself corrects nothing, and
 *                      has neither eps nor bias_correction
 *     decay            l2: a gradient of weight_decay w is added. decoupled_lr: w shrinks by
 *                      lr weight_decay (PyTorch's AdamW). decoupled_schedule: w shrinks by
 *                      weight_decay and the schedule's multiplier (AdamW's paper); at a constant
 *                      rate that is PyTorch's with lr times its weight_decay
 *
 * eps must be a normal float above 0: with 0, an element whose gradient has always been 0 would be
 * 0/0, and its weight NaN.
 */
#include <float.h>

#include "proto/error.h"
#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec adam_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER_WORD(decay, optim_decay_words, OPTIM_DECAY_L2, OPTIM_DECAY_LR)},
    {HYPER_WORD(eps_mode, optim_eps_mode_words, OPTIM_EPS_OUTSIDE, OPTIM_EPS_HAT)},
    {HYPER_BOOL(bias_correction, 1.0)},
    {HYPER_BOOL(amsgrad, 0.0)},
    {HYPER_WORD(amsgrad_max, optim_max_words, OPTIM_MAX_RAW, OPTIM_MAX_CORRECTED)},
};

static const struct optim_hyper_spec adamw_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 1e-2, .most = HYPER_MOST},
    {HYPER_WORD(decay, optim_decay_words, OPTIM_DECAY_LR, OPTIM_DECAY_SCHEDULE)},
    {HYPER_WORD(eps_mode, optim_eps_mode_words, OPTIM_EPS_OUTSIDE, OPTIM_EPS_HAT)},
    {HYPER_BOOL(bias_correction, 1.0)},
    {HYPER_BOOL(amsgrad, 0.0)},
    {HYPER_WORD(amsgrad_max, optim_max_words, OPTIM_MAX_RAW, OPTIM_MAX_CORRECTED)},
};

static const struct optim_hyper_spec amsgrad_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER_WORD(decay, optim_decay_words, OPTIM_DECAY_L2, OPTIM_DECAY_LR)},
    {HYPER_WORD(eps_mode, optim_eps_mode_words, OPTIM_EPS_OUTSIDE, OPTIM_EPS_HAT)},
    {HYPER_BOOL(bias_correction, 1.0)},
    {HYPER_BOOL(amsgrad, 1.0)},
    {HYPER_WORD(amsgrad_max, optim_max_words, OPTIM_MAX_RAW, OPTIM_MAX_CORRECTED)},
};

/* What adam_check asks for. */
#define ADAM_RULES                                                                                 \
    "with amsgrad, eps_mode 'hat' goes with amsgrad_max 'raw' only: 'corrected' leaves no "        \
    "uncorrected v for eps to stand beside"

static bool keeps_maximum(const struct optim_hyper *hyper)
{
    return hyper->amsgrad != 0.0;
}

static enum stepd_status adam_check(const struct optim_hyper *hyper, struct stepd_error *reterr)
{
    if (hyper->amsgrad != 0.0 && (enum optim_max)hyper->amsgrad_max == OPTIM_MAX_CORRECTED &&
        (enum optim_eps_mode)hyper->eps_mode == OPTIM_EPS_HAT)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "eps_mode 'hat' is eps beside an uncorrected v, and amsgrad_max "
                          "'corrected' leaves none: set one of them otherwise");
    return STEPD_OK;
}

static enum stepd_status amsgrad_check(const struct optim_hyper *hyper, struct stepd_error *reterr)
{
    if (hyper->amsgrad == 0.0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "amsgrad without amsgrad is adam: use that");
    return adam_check(hyper, reterr);
}

const struct optimizer adam_optimizer = {
    .name = "adam",
    .source = "Kingma and Ba 2015, algorithm 1; Deep Learning, algorithm 8.7; torch.optim.Adam",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"},
             {.name = "exp_avg_sq"},
             {.name = "max_exp_avg_sq", .used = keeps_maximum}},
    .hypers = sizeof adam_hyper / sizeof adam_hyper[0],
    .hyper = adam_hyper,
    .lecture = {{"eps_mode", OPTIM_EPS_INSIDE}},
    .rules = ADAM_RULES,
    .check = adam_check,
    .step = OPTIM_EACH(adam_step),
};

const struct optimizer adamw_optimizer = {
    .name = "adamw",
    .source = "Loshchilov and Hutter 2019, algorithm 2; torch.optim.AdamW",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"},
             {.name = "exp_avg_sq"},
             {.name = "max_exp_avg_sq", .used = keeps_maximum}},
    .hypers = sizeof adamw_hyper / sizeof adamw_hyper[0],
    .hyper = adamw_hyper,
    /* Without lr, PyTorch's default would take a hundredth off each weight in each step. This one
     * decays as that does at PyTorch's default lr. */
    .lecture = {{"decay", OPTIM_DECAY_SCHEDULE}, {"weight_decay", 1e-5}},
    .rules = ADAM_RULES,
    .check = adam_check,
    .step = OPTIM_EACH(adam_step),
};

const struct optimizer amsgrad_optimizer = {
    .name = "amsgrad",
    .source = "Reddi, Kale and Kumar 2018, algorithm 2; torch.optim.Adam(amsgrad=True)",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"},
             {.name = "exp_avg_sq"},
             {.name = "max_exp_avg_sq", .used = keeps_maximum}},
    .hypers = sizeof amsgrad_hyper / sizeof amsgrad_hyper[0],
    .hyper = amsgrad_hyper,
    .rules = "amsgrad stays true: without it this is adam; " ADAM_RULES,
    .check = amsgrad_check,
    .step = OPTIM_EACH(adam_step),
};
