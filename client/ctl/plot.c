/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "proto/error.h"

/* A line for each course that has something to show here. */
static enum stepd_status fill_panel(const struct plot_options *options, enum series_of of,
                                    unsigned ticks, struct plot_panel *panel,
                                    struct stepd_error *reterr)
{
    double least = INFINITY;
    double most = -INFINITY;
    for (size_t i = 0; i < options->courses->count; i++) {
        const struct course *const course = &options->courses->at[i];
        if (of == SERIES_LR ? course->frozen : !course_cycles(course))
            continue;
        const enum stepd_status status =
            series_init(course, of, options->steps, options->columns, &panel->line[i], reterr);
        if (status != STEPD_OK)
            return status;
        series_range(&panel->line[i], &least, &most);
    }
    panel->axis = axis_fit(least, most, ticks);
    return STEPD_OK;
}

static struct axis fit_steps(uint64_t steps, unsigned ticks)
{
    struct axis axis = {.tick = fmax(axis_round((double)steps, ticks), 1)};
    axis.most = floor((double)(steps - 1) / axis.tick) * axis.tick;
    return axis;
}

enum stepd_status plot_init(const struct plot_options *options, struct plot *ret_plot,
                            struct stepd_error *reterr)
{
    struct plot plot = {
        .options = *options, .x = fit_steps(options->steps, options->x_ticks), .panels = 1};
    bool cycles = false;
    enum stepd_status status = courses_check_shown(options->courses, reterr);
    if (status != STEPD_OK)
        return status;
    for (size_t i = 0; i < options->courses->count; i++)
        cycles = cycles || course_cycles(&options->courses->at[i]);
    plot.panel[0].label = "lr";
    status = fill_panel(options, SERIES_LR, options->y_ticks, &plot.panel[0], reterr);
    if (status == STEPD_OK && cycles) {
        plot.panels = 2;
        plot.panel[1].label = "momentum";
        status =
            fill_panel(options, SERIES_MOMENTUM, options->y_ticks / 2 + 1, &plot.panel[1], reterr);
    }
    if (status == STEPD_OK)
        *ret_plot = plot;
    else
        plot_deinit(&plot);
    return status;
}

void plot_deinit(struct plot *plot)
{
    for (size_t p = 0; p < PLOT_PANELS_MAX; p++) {
        for (size_t i = 0; i < COURSES_SHOWN_MAX; i++)
            series_deinit(&plot->panel[p].line[i]);
    }
    plot->panels = 0;
}

bool plot_has_legend(const struct plot *plot)
{
    const struct courses *const courses = plot->options.courses;
    return courses->count > 1 || courses->at[0].phases > 1 || courses->at[0].frozen;
}

void plot_legend(const struct course *course, char *text, size_t size)
{
    size_t at = stepd_format(text, size, "%s", course->name);
    if (course->frozen) {
        (void)stepd_format(text + at, size - at, ": frozen");
        return;
    }
    for (size_t i = 0; i < course->phases && course->phases > 1; i++) {
        const struct course_phase *const phase = &course->phase[i];
        at += stepd_format(text + at, size - at, "%s%s", i > 0 ? ", " : ": ", phase->optimizer);
        if (i > 0)
            at += stepd_format(text + at, size - at, " from step %" PRIu64, phase->from);
    }
}
