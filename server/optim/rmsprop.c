/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of RMSProp: each element's rate is divided by the root of the running mean of its
 * squared gradients. rmsprop_kernel.c has the arithmetic.
 *
 * rmsprop has PyTorch's momentum (the rate stands outside the buffer) and its centered form. eps
 * stands outside the root in PyTorch, inside in the book's algorithm 8.5 (1e-6), in Keras and in
 * optax; `eps_mode` chooses. `preset: lecture` is 8.5 with the rate and decay of the lecture's
 * slide (0.001 and 0.9), whose own eps inside the root is 1e-7: set it beside the preset.
 *
 * rmsprop_nesterov is the book's algorithm 8.6. Printed there is 1 / sqrt(r), which is 0/0 at g =
 * 0, so eps was put inside the root, where 8.5 has it; with the least eps that may be given it is
 * the printed form for every g whose square a float can hold. `form: interim` (the default, as
 * printed) hands out theta + momentum v for gradients. `form: classic` is the plain one for workers
 * that train and evaluate at one point: the weights themselves are the interim point, as in optax's
 * rmsprop(nesterov=True) and Keras' Nesterov.
 */
#include <float.h>

#include "server/optim/isa.h"
#include "server/optim/rows.h"

/* In both rows eps must be a normal float above 0: an element whose gradient has always been 0
 * would be 0/0. */
static const struct optim_hyper_spec rmsprop_hyper[] = {
    {HYPER(lr), .fallback = 1e-2, .most = HYPER_MOST},
    {HYPER(alpha), .fallback = 0.99, .most = 1.0},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER_WORD(eps_mode, optim_eps_mode_words, OPTIM_EPS_OUTSIDE, OPTIM_EPS_INSIDE)},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(momentum), .fallback = 0.0, .most = 1.0, .most_open = true},
    {HYPER_BOOL(centered, 0.0)},
};

static const struct optim_hyper_spec rmsprop_nesterov_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(rho), .fallback = 0.9, .most = 1.0},
    {HYPER(momentum), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-6, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(form), .fallback = OPTIM_FORM_INTERIM, .least = OPTIM_FORM_CLASSIC,
     .most = OPTIM_FORM_INTERIM, .whole = true, .word = optim_form_words},
};

static bool is_centered(const struct optim_hyper *hyper)
{
    return hyper->centered != 0.0;
}

static bool has_momentum(const struct optim_hyper *hyper)
{
    return hyper->momentum != 0.0;
}

static bool looks_ahead(const struct optim_hyper *hyper)
{
    return hyper->form == OPTIM_FORM_INTERIM;
}

const struct optimizer rmsprop_optimizer = {
    .name = "rmsprop",
    .source = "Tieleman and Hinton 2012, lecture 6.5; centered: Graves 2013, equations 38 to 41; "
              "Deep Learning, algorithm 8.5; torch.optim.RMSprop",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "square_avg"},
             {.name = "grad_avg", .used = is_centered},
             {.name = "momentum_buffer", .used = has_momentum}},
    .hypers = sizeof rmsprop_hyper / sizeof rmsprop_hyper[0],
    .hyper = rmsprop_hyper,
    .lecture = {{"eps_mode", OPTIM_EPS_INSIDE}, {"eps", 1e-6}, {"alpha", 0.9}, {"lr", 1e-3}},
    .step = OPTIM_EACH(rmsprop_step),
};

const struct optimizer rmsprop_nesterov_optimizer = {
    .name = "rmsprop_nesterov",
    .source = "Deep Learning, algorithm 8.6, with delta inside the root as in 8.5",
    .scope = OPTIM_SCOPE_ELEMENT,
    /* The velocity comes first: the interim point is nesterov's. */
    .slot = {{.name = "momentum_buffer"}, {.name = "square_avg"}},
    .hypers = sizeof rmsprop_nesterov_hyper / sizeof rmsprop_nesterov_hyper[0],
    .hyper = rmsprop_nesterov_hyper,
    .step = OPTIM_EACH(rmsprop_nesterov_step),
    .looks_ahead = looks_ahead,
    .lookahead = OPTIM_EACH(nesterov_lookahead),
};
