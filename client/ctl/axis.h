/* SPDX-License-Identifier: Apache-2.0
 *
 * An axis with round numbers on it.
 */
#ifndef CLIENT_CTL_AXIS_H
#define CLIENT_CTL_AXIS_H

#include <stddef.h>
#include <stdint.h>

#define AXIS_LABEL_BYTES 32u

struct axis {
    double least; /* a multiple of tick */
    double most;  /* likewise, and above least */
    double tick;  /* 1, 2 or 5 times a power of ten */
};

/* A round distance that cuts `span`, which is above 0, into about so many pieces. */
double axis_round(double span, unsigned pieces);

/* The axis for values from least to most, none below 0, with about `ticks` ticks. It begins at 0
 * where that does not cost half of the picture. Values that are all the same get some room above
 * them, and the way to 0 below; no values at all (least above most) have 0 to 1. */
struct axis axis_fit(double least, double most, unsigned ticks);

/* Ticks of the axis, its ends included, and the value of each. */
unsigned axis_ticks(const struct axis *axis);
double axis_tick(const struct axis *axis, unsigned index);

/* Where a value lies: 0 at the least, 1 at the most. */
double axis_share(const struct axis *axis, double value);

/* The label of a tick. */
void axis_label(const struct axis *axis, unsigned index, char ret_label[AXIS_LABEL_BYTES]);

#endif
