/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files that hold rows share with optimizer.c, which puts the rows into one table. A new
 * optimizer is: its row and kernel in a file of its family, its kernel's name in isa.h, its row's
 * name here and in optimizer.c, and its golden vectors.
 */
#ifndef OPTIM_ROWS_H
#define OPTIM_ROWS_H

#include "server/optim/optimizer.h"

/* The name and place of a hyperparameter; unnamed members of a spec are 0. */
#define HYPER(field) .name = #field, .offset = offsetof(struct optim_hyper, field)

/* A hyperparameter that is a boolean, and one that is a word of the enum's words from..to. */
#define HYPER_BOOL(field, value) HYPER(field), .fallback = (value), .most = 1.0, .whole = true
#define HYPER_WORD(field, words, from, to)                                                         \
    HYPER(field), .fallback = (from), .least = (from), .most = (to), .whole = true, .word = (words)

extern const char *const optim_form_words[];
extern const char *const optim_eps_mode_words[];
extern const char *const optim_decay_words[];
extern const char *const optim_max_words[];
extern const char *const optim_search_words[];
extern const char *const optim_adjust_words[];

/* One float for each element: what a slot takes that does not say otherwise, or scratch. */
uint64_t optim_floats(const struct optim_hyper *hyper, size_t tensors,
                      const struct optim_shape *shape);

/* A bound for rates and decays, so that none of them or their products leaves float's range. */
#define HYPER_MOST 1e9

extern const struct optimizer sgd_optimizer;
extern const struct optimizer momentum_optimizer;
extern const struct optimizer nesterov_optimizer;
extern const struct optimizer adagrad_optimizer;
extern const struct optimizer adadelta_optimizer;
extern const struct optimizer rmsprop_optimizer;
extern const struct optimizer rmsprop_nesterov_optimizer;
extern const struct optimizer asgd_optimizer;
extern const struct optimizer rprop_optimizer;
extern const struct optimizer ftrl_optimizer;
extern const struct optimizer lion_optimizer;
extern const struct optimizer adam_optimizer;
extern const struct optimizer adamw_optimizer;
extern const struct optimizer amsgrad_optimizer;
extern const struct optimizer adabound_optimizer;
extern const struct optimizer amsbound_optimizer;
extern const struct optimizer nadam_optimizer;
extern const struct optimizer radam_optimizer;
extern const struct optimizer adamax_optimizer;
extern const struct optimizer adafactor_optimizer;
extern const struct optimizer lars_optimizer;
extern const struct optimizer lamb_optimizer;
extern const struct optimizer swats_optimizer;
extern const struct optimizer muon_optimizer;
extern const struct optimizer lbfgs_optimizer;
extern const struct optimizer newton_optimizer;

#endif
