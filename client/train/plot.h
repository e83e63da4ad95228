/* SPDX-License-Identifier: Apache-2.0
 *
 * Drawing loss curves as an SVG picture that stands on its own: in a browser, in a README, on a
 * light page or a dark one. One curve is drawn with its noise; several are drawn smoothed, each in
 * a colour of its own, with a legend.
 */
#ifndef TRAIN_PLOT_H
#define TRAIN_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/status.h>

#include "client/train/curve.h"

/* Texts are escaped by plot_write. */

struct plot_series {
    const char *label; /* for the legend */
    const char *value; /* in front of the label, in a column of its own; "": nothing */
    const struct curve *curve;
    bool diverged; /* its end is marked */
};

struct plot {
    const char *title;
    const char *note; /* under the title */
    const struct plot_series *series;
    size_t count;
    bool log_scale; /* of the loss */
    bool by_time;   /* the loss over the seconds since training began, not over steps */
};

/* Writes the picture to `path`; curves may be empty. FAILED_PRECONDITION: not writable. */
enum stepd_status plot_write(const char *path, const struct plot *plot,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
