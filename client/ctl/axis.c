/* SPDX-License-Identifier: Apache-2.0
 *
 * Ticks are counted and not summed up, so that the last one is not lost to rounding.
 */
#include "client/ctl/axis.h"

#include <math.h>
#include <stdio.h>

/* Values that differ by less than this share of the largest are the same to a picture. */
#define SAME 1e-9

/* What a value that never changes is multiplied with for the upper end. */
#define ROOM 1.2

double axis_round(double span, unsigned pieces)
{
    const double rough = span / pieces;
    const double power = pow(10, floor(log10(rough)));
    const double digit = rough / power;
    if (digit < 1.5)
        return power;
    if (digit < 3.5)
        return 2 * power;
    return digit < 7.5 ? 5 * power : 10 * power;
}

struct axis axis_fit(double least, double most, unsigned ticks)
{
    if (least > 0 && least < most / 2)
        least = 0;
    if (!(most - least > SAME * fmax(fabs(most), fabs(least)))) {
        most = most > 0 ? most * ROOM : 1;
        least = 0;
    }
    struct axis axis = {.tick = axis_round(most - least, ticks)};
    axis.least = floor(least / axis.tick + SAME) * axis.tick;
    axis.most = ceil(most / axis.tick - SAME) * axis.tick;
    return axis;
}

unsigned axis_ticks(const struct axis *axis)
{
    return (unsigned)lround((axis->most - axis->least) / axis->tick) + 1;
}

double axis_tick(const struct axis *axis, unsigned index)
{
    return axis->least + index * axis->tick;
}

double axis_share(const struct axis *axis, double value)
{
    return (value - axis->least) / (axis->most - axis->least);
}

void axis_label(const struct axis *axis, unsigned index, char ret_label[AXIS_LABEL_BYTES])
{
    (void)snprintf(ret_label, AXIS_LABEL_BYTES, "%.6g", axis_tick(axis, index));
}
