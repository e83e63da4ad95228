/* SPDX-License-Identifier: Apache-2.0
 *
 * Drawing loss curves as an SVG picture that stands on its own: in a browser, in a README, on a
 * light page or a dark one.
 */
#ifndef TRAIN_PLOT_H
#define TRAIN_PLOT_H

#include <stdio.h>

#include <stepd/status.h>

#include "client/train/curve.h"

struct plot_line {
    const char *label; /* in the legend; escaped by plot_write */
    const struct curve *curve;
};

#define PLOT_LINES_MAX 16u

struct plot_labels {
    const char *title; /* escaped by plot_write */
    const char *note;  /* under the title; escaped by plot_write */
};

/* Writes the picture of one curve, which may be empty, to `path`: every loss, and smoothed ones; or
 * of up to PLOT_LINES_MAX curves, smoothed, with a legend. FAILED_PRECONDITION: not writable. */
enum stepd_status plot_write(const char *path, const struct plot_line *lines, size_t count,
                             const struct plot_labels *labels,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
