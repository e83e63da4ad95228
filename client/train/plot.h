/* SPDX-License-Identifier: Apache-2.0
 *
 * Drawing a loss curve as an SVG picture that stands on its own: in a browser, in a README, on a
 * light page or a dark one.
 */
#ifndef TRAIN_PLOT_H
#define TRAIN_PLOT_H

#include <stdio.h>

#include <stepd/status.h>

#include "client/train/curve.h"

struct plot_labels {
    const char *title; /* escaped by plot_write */
    const char *note;  /* under the title; escaped by plot_write */
};

/* Writes the picture of a curve, which may be empty, to `path`. FAILED_PRECONDITION: not writable.
 */
enum stepd_status plot_write(const char *path, const struct curve *curve,
                             const struct plot_labels *labels,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
