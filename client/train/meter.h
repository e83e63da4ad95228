/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a worker's time goes: it computes, it waits for weights, or it does something else, such as
 * testing what it has learnt. Time is the wall's, and of it what a processor worked for this
 * thread.
 */
#ifndef TRAIN_METER_H
#define TRAIN_METER_H

#include "client/train/pace.h"

enum meter_state {
    METER_OTHER,
    METER_COMPUTING, /* the passes over the model, and what they need */
    METER_WAITING,   /* in the home: gradients are given to it, or weights are not there yet */
    METER_STATES,
};

struct meter {
    const struct pace_clock *clock; /* static */
    enum meter_state state;
    double since;                 /* now() when the state began */
    double since_busy;            /* busy() then */
    double seconds[METER_STATES]; /* that have gone by in the states before */
    double busy[METER_STATES];    /* of these, at work */
};

/* Begins in METER_OTHER. */
struct meter meter_start(const struct pace_clock *clock);

/* What comes is of this state. Returns the one that ends. */
enum meter_state meter_enter(struct meter *meter, enum meter_state state);

#endif
