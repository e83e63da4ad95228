/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of stochastic gradient descent: plain, with heavy-ball momentum, with Nesterov's.
 * sgd_kernel.c has the arithmetic. The references agree on what momentum is at a constant learning
 * rate, and not on where the rate stands or which point the weights are; `form` chooses:
 *
 *     torch    the rate stands outside the buffer: under a schedule the whole buffer is scaled by
 *              the new rate. Nesterov's weights are the point that it looks ahead to
 *     classic  the rate stands inside: the buffer keeps the rates of its past. So are the textbooks
 *              and MXNet, and for Nesterov Keras, whose weights are the look-ahead point, too
 *     interim  Nesterov as algorithm 8.3 prints it: the weights are theta, and workers compute
 *              gradients at the interim point theta + momentum v, which the daemon hands out
 *
 * classic and interim are the same run seen from two points; torch is it at a constant rate only.
 */
#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec sgd_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

/* With a momentum of 0 it is sgd, as in PyTorch: the dampening has nothing to damp. */
static const struct optim_hyper_spec momentum_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(momentum), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(dampening), .fallback = 0.0, .most = 1.0},
    {HYPER_WORD(form, optim_form_words, OPTIM_FORM_TORCH, OPTIM_FORM_CLASSIC)},
};

/* PyTorch defines Nesterov's form for a dampening of 0 and a momentum above 0 only. */
static const struct optim_hyper_spec nesterov_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(momentum), .fallback = 0.9, .least_open = true, .most = 1.0, .most_open = true},
    {HYPER_WORD(form, optim_form_words, OPTIM_FORM_TORCH, OPTIM_FORM_INTERIM)},
};

static bool looks_ahead(const struct optim_hyper *hyper)
{
    return hyper->form == OPTIM_FORM_INTERIM;
}

const struct optimizer sgd_optimizer = {
    .name = "sgd",
    .source = "Goodfellow et al., Deep Learning, algorithm 8.1; torch.optim.SGD",
    .scope = OPTIM_SCOPE_ELEMENT,
    .hypers = sizeof sgd_hyper / sizeof sgd_hyper[0],
    .hyper = sgd_hyper,
    .step = OPTIM_EACH(sgd_step),
};

const struct optimizer momentum_optimizer = {
    .name = "momentum",
    .source = "Polyak 1964; Sutskever et al. 2013, equations 1 and 2; Deep Learning, algorithm "
              "8.2; torch.optim.SGD(momentum)",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "momentum_buffer"}},
    .hypers = sizeof momentum_hyper / sizeof momentum_hyper[0],
    .hyper = momentum_hyper,
    .lecture = {{"form", OPTIM_FORM_CLASSIC}},
    .step = OPTIM_EACH(momentum_step),
};

const struct optimizer nesterov_optimizer = {
    .name = "nesterov",
    .source = "Sutskever et al. 2013, equations 3 and 4; Deep Learning, algorithm 8.3; "
              "torch.optim.SGD(momentum, nesterov=True)",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "momentum_buffer"}},
    .hypers = sizeof nesterov_hyper / sizeof nesterov_hyper[0],
    .hyper = nesterov_hyper,
    .lecture = {{"form", OPTIM_FORM_INTERIM}},
    .step = OPTIM_EACH(nesterov_step),
    .looks_ahead = looks_ahead,
    .lookahead = OPTIM_EACH(nesterov_lookahead),
};
