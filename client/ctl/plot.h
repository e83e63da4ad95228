/* SPDX-License-Identifier: Apache-2.0
 *
 * A picture of courses before it is drawn: one panel for the learning rate, and one for the
 * momentum where a schedule cycles it; in each a line for each course. chart.h draws it with
 * characters, svg.h as a file.
 */
#ifndef CLIENT_CTL_PLOT_H
#define CLIENT_CTL_PLOT_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/ctl/axis.h"
#include "client/ctl/courses.h"
#include "client/ctl/series.h"

#define PLOT_PANELS_MAX 2u

/* What is to be drawn. Borrowed as long as the plot is used. */
struct plot_options {
    const char *title;
    const struct courses *courses;
    uint64_t steps;   /* 1 to COURSE_STEPS_MAX */
    size_t columns;   /* of the picture */
    unsigned x_ticks; /* about so many on the axis of steps */
    unsigned y_ticks; /* and on that of the learning rate */
};

struct plot_panel {
    const char *label; /* static */
    struct axis axis;
    struct series line[COURSES_SHOWN_MAX]; /* by course; no columns: it is not drawn here */
};

struct plot {
    struct plot_options options;
    struct axis x; /* of steps; its most is the last tick before the end */
    size_t panels;
    struct plot_panel panel[PLOT_PANELS_MAX];
};

/* INVALID_ARGUMENT: more courses than COURSES_SHOWN_MAX; RESOURCE_EXHAUSTED. *ret_plot: caller
 * frees with plot_deinit. */
enum stepd_status plot_init(const struct plot_options *options, struct plot *ret_plot,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed plot is fine. */
void plot_deinit(struct plot *plot);

/* Must the plot say which line is which? */
bool plot_has_legend(const struct plot *plot);

/* What the legend says of a course: "rest: adamw, sgd from step 500". text has `size` bytes. */
void plot_legend(const struct course *course, char *text, size_t size);

#endif
