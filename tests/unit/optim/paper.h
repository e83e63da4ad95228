/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds an optimizer to its paper: the update rule is written in double as it is printed, and both
 * are fed the same gradients.
 */
#ifndef TESTS_OPTIM_PAPER_H
#define TESTS_OPTIM_PAPER_H

#include "server/optim/optimizer.h"

/* A weight_decay of the size of the smallest gradients. As part of the gradient (l2) it turns their
 * signs; a larger one would make an adaptive rate magnify each rounding of a weight. */
#define PAPER_L2 1e-5

/* One element in double. */
struct paper_element {
    double w;
    double a; /* what the rule keeps, 0 at first: it gives them its own letters */
    double b;
    double c;
};

/* One step of one element, as printed. */
typedef void paper_rule(const struct optim_step *step, double g, struct paper_element *e);

/* The hyperparameters of a preset. */
struct optim_hyper paper_hyper(const char *optimizer, const char *preset);

/*
 * Takes 200 steps of optimizer and rule side by side and fails at the first weight that differs by
 * more than float's rounding. The learning rate changes from step to step; gradients have sizes
 * from 1 down to 1e-5, so that the place of an eps shows, and shrink after a while, so that a
 * maximum shows.
 */
void paper_follow(const char *optimizer, const struct optim_hyper *hyper, paper_rule *rule);

/* The same with a beta1 that changes as well, as one-cycle schedules have it. */
void paper_follow_cycled(const char *optimizer, const struct optim_hyper *hyper, paper_rule *rule);

#endif
