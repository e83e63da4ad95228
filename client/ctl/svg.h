/* SPDX-License-Identifier: Apache-2.0
 *
 * Drawing a plot as an SVG picture that stands on its own: in a browser, in a README, on a light
 * page or a dark one.
 */
#ifndef CLIENT_CTL_SVG_H
#define CLIENT_CTL_SVG_H

#include <stdint.h>

#include <stepd/status.h>

#include "client/ctl/courses.h"

/* Writes the picture of the steps 0 .. steps - 1 to `path`. title: escaped here. Fails as plot_init
 * does; FAILED_PRECONDITION: not writable. */
enum stepd_status svg_write(const char *path, const char *title, const struct courses *courses,
                            uint64_t steps, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
