/* SPDX-License-Identifier: Apache-2.0
 *
 * Panels stand below each other over one axis of steps; the legend stands under the title. Colours
 * are told apart by those who see few of them, and by their lightness (Okabe and Ito); a dark
 * page's readers get lighter text through prefers-color-scheme. Lines have two columns for each
 * pixel, and points that lie on the way between their neighbours are left out.
 */
#include "client/ctl/svg.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/plot.h"
#include "proto/error.h"

#define WIDTH     760.0
#define LEFT      72.0
#define RIGHT     24.0
#define TOP       44.0 /* the title is above */
#define LEGEND    20.0 /* of one course */
#define GAP       28.0 /* between panels */
#define BOTTOM    52.0
#define HEIGHT_LR 280.0
#define HEIGHT_M  130.0
#define PER_PIXEL 2.0
#define X_TICKS   8u
#define Y_TICKS   5u

#define LEGEND_BYTES 512

struct svg {
    FILE *out;
    const struct plot *plot;
    double top; /* of the present panel */
    double height;
};

static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#d55e00",
                                      "#cc79a7", "#56b4e9", "#8c7a00"};

#define COLOURS (sizeof colours / sizeof colours[0])

/* ---- Places ---------------------------------------------------------------------------------- */

static double x_of_share(double share)
{
    return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double x_of_step(const struct svg *svg, double step)
{
    return x_of_share(step / (double)svg->plot->options.steps);
}

static double y_of(const struct svg *svg, const struct axis *axis, double value)
{
    return svg->top + (1.0 - axis_share(axis, value)) * svg->height;
}

static double panels_top(const struct plot *plot)
{
    const double lines = plot_has_legend(plot) ? (double)plot->options.courses->count : 0.0;
    return TOP + LEGEND * lines + GAP / 2;
}

static double picture_height(const struct plot *plot)
{
    return panels_top(plot) + HEIGHT_LR + (plot->panels > 1 ? GAP + HEIGHT_M : 0.0) + BOTTOM;
}

/* ---- Texts ----------------------------------------------------------------------------------- */

static void write_escaped(FILE *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        switch (*at) {
        case '&': (void)fputs("&amp;", out); break;
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        default:
            if ((unsigned char)*at >= 0x20) /* XML has no other control characters */
                (void)fputc(*at, out);
        }
    }
}

static void write_head(const struct svg *svg)
{
    const double height = picture_height(svg->plot);
    const char *const title = svg->plot->options.title;
    (void)fprintf(svg->out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" "
                  "height=\"%g\" role=\"img\" font-family=\"system-ui, sans-serif\" "
                  "font-size=\"12\">\n"
                  "<style>\n"
                  "text { fill: #57606a; } .title { fill: #24292f; font-size: 15px; "
                  "font-weight: 600; }\n"
                  ".grid { stroke: #8c959f; stroke-opacity: .25; } .axis { stroke: #8c959f; }\n"
                  ".phase { stroke: #8c959f; stroke-dasharray: 3 3; }\n"
                  ".line { stroke-width: 2; fill: none; stroke-linejoin: round; }\n"
                  "@media (prefers-color-scheme: dark) { text { fill: #9198a1; } "
                  ".title { fill: #e6edf3; } }\n"
                  "</style>\n<title>",
                  WIDTH, height, WIDTH, height);
    write_escaped(svg->out, title);
    (void)fprintf(svg->out, "</title>\n<text class=\"title\" x=\"%g\" y=\"26\">", LEFT);
    write_escaped(svg->out, title);
    (void)fputs("</text>\n", svg->out);
}

static void write_legend(const struct svg *svg)
{
    const struct courses *const courses = svg->plot->options.courses;
    for (size_t i = 0; i < courses->count && plot_has_legend(svg->plot); i++) {
        const double y = TOP + LEGEND * (double)i;
        char text[LEGEND_BYTES];
        plot_legend(&courses->at[i], text, sizeof text);
        if (!courses->at[i].frozen)
            (void)fprintf(svg->out,
                          "<line class=\"line\" stroke=\"%s\" x1=\"%g\" x2=\"%g\" y1=\"%g\" "
                          "y2=\"%g\"/>\n",
                          colours[i % COLOURS], LEFT, LEFT + 20, y, y);
        (void)fprintf(svg->out, "<text x=\"%g\" y=\"%g\">", LEFT + 28, y + 4);
        write_escaped(svg->out, text);
        (void)fputs("</text>\n", svg->out);
    }
}

/* ---- A panel --------------------------------------------------------------------------------- */

static void write_y_axis(const struct svg *svg, const struct plot_panel *panel)
{
    for (unsigned i = 0; i < axis_ticks(&panel->axis); i++) {
        const double y = y_of(svg, &panel->axis, axis_tick(&panel->axis, i));
        char label[AXIS_LABEL_BYTES];
        axis_label(&panel->axis, i, label);
        (void)fprintf(svg->out,
                      "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>\n"
                      "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                      LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4, label);
    }
    (void)fprintf(svg->out,
                  "<text transform=\"translate(16 %.1f) rotate(-90)\" text-anchor=\"middle\">"
                  "%s</text>\n",
                  svg->top + svg->height / 2, panel->label);
}

static void write_x_axis(const struct svg *svg)
{
    const struct axis *const x = &svg->plot->x;
    const double bottom = svg->top + svg->height;
    for (unsigned i = 0; i < axis_ticks(x); i++) {
        const double at = x_of_step(svg, axis_tick(x, i));
        (void)fprintf(svg->out,
                      "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>\n"
                      "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%.0f</text>\n",
                      at, at, bottom, bottom + 5, at, bottom + 20, axis_tick(x, i));
    }
    (void)fprintf(svg->out,
                  "<line class=\"axis\" x1=\"%g\" x2=\"%g\" y1=\"%g\" y2=\"%g\"/>\n"
                  "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">step</text>\n",
                  LEFT, WIDTH - RIGHT, bottom, bottom, x_of_share(0.5), bottom + 40);
}

/* A dashed line where another optimizer begins. */
static void write_phases(const struct svg *svg)
{
    const struct courses *const courses = svg->plot->options.courses;
    for (size_t i = 0; i < courses->count; i++) {
        for (size_t p = 1; p < courses->at[i].phases && !courses->at[i].frozen; p++) {
            const uint64_t from = courses->at[i].phase[p].from;
            if (from >= svg->plot->options.steps)
                break;
            (void)fprintf(svg->out,
                          "<line class=\"phase\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>\n",
                          x_of_step(svg, (double)from), x_of_step(svg, (double)from), svg->top,
                          svg->top + svg->height);
        }
    }
}

/* Does the column say no more than that the line goes on where it is? */
static bool is_on_the_way(const struct series *series, size_t i)
{
    if (i == 0 || i + 1 == series->columns)
        return false;
    const struct series_column *const here = &series->column[i];
    const struct series_column *const before = here - 1;
    const struct series_column *const after = here + 1;
    return before->any && after->any && here->least == here->most && before->last == here->first &&
           here->last == after->first;
}

static void write_line(const struct svg *svg, const struct plot_panel *panel, size_t line)
{
    const struct series *const series = &panel->line[line];
    if (series->columns == 0)
        return;
    (void)fprintf(svg->out, "<polyline class=\"line\" stroke=\"%s\" points=\"",
                  colours[line % COLOURS]);
    for (size_t i = 0; i < series->columns; i++) {
        const struct series_column *const column = &series->column[i];
        const double x = x_of_share(((double)i + 0.5) / (double)series->columns);
        if (!column->any || is_on_the_way(series, i))
            continue;
        if (column->least < column->most)
            (void)fprintf(svg->out, "%.1f,%.1f ", x,
                          y_of(svg, &panel->axis, column->rises ? column->least : column->most));
        (void)fprintf(svg->out, "%.1f,%.1f ", x,
                      y_of(svg, &panel->axis, column->rises ? column->most : column->least));
    }
    (void)fputs("\"/>\n", svg->out);
}

/* ---- The picture ----------------------------------------------------------------------------- */

static void write_picture(const struct plot *plot, FILE *out)
{
    struct svg svg = {.out = out, .plot = plot, .top = panels_top(plot)};
    write_head(&svg);
    write_legend(&svg);
    for (size_t p = 0; p < plot->panels; p++) {
        svg.height = p == 0 ? HEIGHT_LR : HEIGHT_M;
        write_y_axis(&svg, &plot->panel[p]);
        write_phases(&svg);
        for (size_t i = 0; i < plot->options.courses->count; i++)
            write_line(&svg, &plot->panel[p], i);
        if (p + 1 == plot->panels)
            write_x_axis(&svg);
        svg.top += svg.height + GAP;
    }
    (void)fputs("</svg>\n", out);
}

static enum stepd_status fail_file(const char *path, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                      strerror(errno));
}

enum stepd_status svg_write(const char *path, const char *title, const struct courses *courses,
                            uint64_t steps, struct stepd_error *reterr)
{
    const struct plot_options options = {
        .title = title,
        .courses = courses,
        .steps = steps,
        .columns = (size_t)(PER_PIXEL * (WIDTH - LEFT - RIGHT)),
        .x_ticks = X_TICKS,
        .y_ticks = Y_TICKS,
    };
    struct plot plot;
    enum stepd_status status = plot_init(&options, &plot, reterr);
    if (status != STEPD_OK)
        return status;
    FILE *const out = fopen(path, "w");
    if (out == NULL) {
        status = fail_file(path, reterr);
    } else {
        write_picture(&plot, out);
        const bool failed = ferror(out) != 0;
        if (fclose(out) != 0 || failed)
            status = fail_file(path, reterr);
    }
    plot_deinit(&plot);
    return status;
}
