/* SPDX-License-Identifier: Apache-2.0
 *
 * The picture: a thin line for every step's loss and a strong one for the smoothed loss, or a
 * strong one for each of several runs, over a frame with round ticks. Colours are chosen to be read
 * on white and on black, and a dark page's readers get lighter text through prefers-color-scheme.
 * Long runs are thinned to a few points per pixel. Losses that are no numbers (a run that blew up)
 * are left out of the lines.
 */
#include "client/train/plot.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "proto/error.h"

#define WIDTH        760.0
#define HEIGHT       420.0
#define LEFT         64.0
#define RIGHT        24.0
#define TOP          64.0
#define BOTTOM       52.0
#define TICKS        5.0
#define POINTS_MOST  1500u
#define LOSS_MOST    1e100
#define OVERSHOOT    1.5
#define LEGEND_ROW   18.0
#define LEGEND_WIDTH 230.0

/* Of several lines; each is told from its neighbours by people who see few colours, too, and after
 * the last they begin again, dashed. */
static const char *const colors[] = {"#2f81f7", "#d97706", "#1a7f37", "#cf222e",
                                     "#8250df", "#0e8a8a", "#bf3989", "#7d6b3d"};

#define COLORS (sizeof colors / sizeof colors[0])

/* The part of the plane that is drawn, and the distance of ticks. */
struct frame {
    double x_most; /* x starts at 0 */
    double x_tick;
    double y_least;
    double y_most;
    double y_tick;
};

/* Within this their differences are numbers too. */
static bool drawable(double loss)
{
    return fabs(loss) <= LOSS_MOST;
}

/* A round distance, 1, 2 or 5 times a power of ten, that cuts `span` into about TICKS pieces. */
static double round_tick(double span)
{
    const double rough = span / TICKS;
    const double power = pow(10, floor(log10(rough)));
    const double digit = rough / power;
    if (digit < 1.5)
        return power;
    if (digit < 3.5)
        return 2 * power;
    return digit < 7.5 ? 5 * power : 10 * power;
}

/* The losses that the frame must hold. */
struct extent {
    double least;
    double most;
    double steps;
};

/* Of several runs the smoothed losses count, and no more than OVERSHOOT times what one began with:
 * a run that blows up must not flatten the others. */
static void extend(struct extent *extent, const struct curve *curve, bool smooth)
{
    struct curve_mean mean = {.weight = 0};
    double ceiling = INFINITY;
    for (size_t i = 0; i < curve->count; i++) {
        double loss = curve->points[i].loss;
        if (!drawable(loss))
            continue;
        curve_mean_add(&mean, loss);
        loss = smooth ? mean.mean : loss;
        if (smooth && isinf(ceiling))
            ceiling = OVERSHOOT * loss;
        extent->least = fmin(extent->least, loss);
        extent->most = fmax(extent->most, fmin(loss, ceiling));
    }
    if (curve->count > 0)
        extent->steps = fmax(extent->steps, (double)curve->points[curve->count - 1].step);
}

static struct frame fit_frame(const struct plot_line *lines, size_t count)
{
    struct extent extent = {.least = INFINITY, .most = -INFINITY};
    for (size_t i = 0; i < count; i++)
        extend(&extent, lines[i].curve, count > 1);
    double least = extent.least;
    double most = extent.most;
    if (!isfinite(least)) {
        least = 0;
        most = 1;
    }
    least =
        least > 0 && least < most / 2 ? 0 : least; /* a loss is read from zero where it can be */
    if (!(most - least > 1e-12 * fmax(fabs(most), 1)))
        most = least + fmax(fabs(least), 1);
    struct frame frame = {.y_tick = round_tick(most - least)};
    frame.y_least = floor(least / frame.y_tick) * frame.y_tick;
    frame.y_most = ceil(most / frame.y_tick) * frame.y_tick;
    frame.x_most = extent.steps > 0 ? extent.steps : 1;
    frame.x_tick = fmax(round_tick(frame.x_most), 1);
    return frame;
}

static double x_of(const struct frame *frame, double step)
{
    return LEFT + step / frame->x_most * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct frame *frame, double loss)
{
    const double share = (loss - frame->y_least) / (frame->y_most - frame->y_least);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

static void write_escaped(FILE *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        switch (*at) {
        case '&': (void)fputs("&amp;", out); break;
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        default:
            if ((unsigned char)*at >= 0x20) /* XML has no other control characters */
                (void)fputc(*at, out);
        }
}

static void write_head(FILE *out, const struct plot_labels *labels)
{
    (void)fprintf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" "
                  "height=\"%g\" role=\"img\" font-family=\"system-ui, sans-serif\" "
                  "font-size=\"12\">\n"
                  "<style>\n"
                  "text { fill: #57606a; } .title { fill: #24292f; font-size: 16px; "
                  "font-weight: 600; }\n"
                  ".grid { stroke: #8c959f; stroke-opacity: .25; } .axis { stroke: #8c959f; }\n"
                  ".raw { stroke: #2f81f7; stroke-opacity: .35; stroke-width: 1; fill: none; }\n"
                  ".smooth { stroke: #2f81f7; stroke-width: 2.25; fill: none; "
                  "stroke-linejoin: round; }\n"
                  "@media (prefers-color-scheme: dark) { text { fill: #9198a1; } "
                  ".title { fill: #e6edf3; } }\n"
                  "</style>\n<title>",
                  WIDTH, HEIGHT, WIDTH, HEIGHT);
    write_escaped(out, labels->title);
    (void)fprintf(out, "</title>\n<text class=\"title\" x=\"%g\" y=\"26\">", LEFT);
    write_escaped(out, labels->title);
    (void)fprintf(out, "</text>\n<text x=\"%g\" y=\"46\">", LEFT);
    write_escaped(out, labels->note);
    (void)fputs("</text>\n", out);
}

static void write_axes(FILE *out, const struct frame *frame)
{
    const double bottom = HEIGHT - BOTTOM;
    /* Counted, not summed up: the last tick must not be lost to rounding. */
    const int rows = (int)lround((frame->y_most - frame->y_least) / frame->y_tick);
    for (int i = 0; i <= rows; i++) {
        const double value = frame->y_least + i * frame->y_tick;
        const double y = y_of(frame, value);
        (void)fprintf(out,
                      "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>\n"
                      "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
                      LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4,
                      fabs(value) < frame->y_tick / 2 ? 0.0 : value);
    }
    const int columns = (int)floor(frame->x_most / frame->x_tick + 1e-9);
    for (int i = 0; i <= columns; i++) {
        const double x = x_of(frame, i * frame->x_tick);
        (void)fprintf(out,
                      "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>\n"
                      "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%.10g</text>\n",
                      x, x, bottom, bottom + 5, x, bottom + 20, i * frame->x_tick);
    }
    (void)fprintf(out,
                  "<line class=\"axis\" x1=\"%g\" x2=\"%g\" y1=\"%g\" y2=\"%g\"/>\n"
                  "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">step</text>\n"
                  "<text transform=\"translate(16 %g) rotate(-90)\" text-anchor=\"middle\">"
                  "loss</text>\n",
                  LEFT, WIDTH - RIGHT, bottom, bottom, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12,
                  (TOP + bottom) / 2);
}

/* The points of every loss, or of the smoothed ones. */
static void write_points(FILE *out, const struct curve *curve, const struct frame *frame,
                         bool smooth)
{
    const size_t stride = curve->count / POINTS_MOST + 1;
    struct curve_mean mean = {.weight = 0};
    for (size_t i = 0; i < curve->count; i++) {
        const struct curve_point *const point = &curve->points[i];
        if (!drawable(point->loss))
            continue;
        curve_mean_add(&mean, point->loss);
        if (i % stride == 0 || i + 1 == curve->count)
            (void)fprintf(out, "%.1f,%.1f ", x_of(frame, (double)point->step),
                          fmax(y_of(frame, smooth ? mean.mean : point->loss), 0));
    }
}

static void write_line(FILE *out, const struct curve *curve, const struct frame *frame, bool smooth)
{
    (void)fprintf(out, "<polyline class=\"%s\" points=\"", smooth ? "smooth" : "raw");
    write_points(out, curve, frame, smooth);
    (void)fputs("\"/>\n", out);
}

/* One run of several, and its row of the legend. */
static void write_run(FILE *out, const struct plot_line *line, size_t index,
                      const struct frame *frame)
{
    const char *const dash = index / COLORS % 2 == 0 ? "" : " stroke-dasharray=\"6 3\"";
    const double x = WIDTH - RIGHT - LEGEND_WIDTH;
    const double y = TOP + 8 + LEGEND_ROW * (double)index;
    (void)fprintf(out,
                  "<polyline class=\"smooth\" style=\"stroke: %s\"%s clip-path=\"url(#frame)\" "
                  "points=\"",
                  colors[index % COLORS], dash);
    write_points(out, line->curve, frame, /* smooth= */ true);
    (void)fprintf(out,
                  "\"/>\n<line class=\"smooth\" style=\"stroke: %s\"%s x1=\"%g\" x2=\"%g\" "
                  "y1=\"%g\" y2=\"%g\"/>\n<text x=\"%g\" y=\"%g\">",
                  colors[index % COLORS], dash, x, x + 22, y, y, x + 28, y + 4);
    write_escaped(out, line->label);
    (void)fputs("</text>\n", out);
}

static void write_clip(FILE *out)
{
    (void)fprintf(out,
                  "<clipPath id=\"frame\"><rect x=\"%g\" y=\"%g\" width=\"%g\" "
                  "height=\"%g\"/></clipPath>\n",
                  LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
}

enum stepd_status plot_write(const char *path, const struct plot_line *lines, size_t count,
                             const struct plot_labels *labels, struct stepd_error *reterr)
{
    FILE *const out = fopen(path, "w");
    if (out == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                          strerror(errno));
    const struct frame frame = fit_frame(lines, count);
    write_head(out, labels);
    write_axes(out, &frame);
    if (count == 1) {
        write_line(out, lines->curve, &frame, /* smooth= */ false);
        write_line(out, lines->curve, &frame, /* smooth= */ true);
    } else {
        write_clip(out);
        for (size_t i = 0; i < count; i++)
            write_run(out, &lines[i], i, &frame);
    }
    (void)fputs("</svg>\n", out);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                          strerror(errno));
    return STEPD_OK;
}
