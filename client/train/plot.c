/* SPDX-License-Identifier: Apache-2.0
 *
 * The picture: lines over a frame with round ticks. A single curve is a thin line of every step's
 * loss and a strong one of the smoothed loss; of several, which start at the same loss, the
 * smoothed ones are drawn.
 *
 * The frame ends a little above the loss that training began with: a curve that leaves it there
 * does worse than weights that have learnt nothing, and what a run that blew up came to would make
 * all the others flat. Colours are chosen to be read on white and on black, and a dark page's
 * readers get lighter text through prefers-color-scheme. Long runs are thinned to about a point per
 * pixel. Losses that are no numbers are left out of the lines.
 */
#include "client/train/plot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"

#define WIDTH       760.0 /* without the legend */
#define HEIGHT      420.0
#define LEFT        64.0
#define RIGHT       24.0
#define TOP         64.0
#define BOTTOM      52.0
#define TICKS       5.0
#define POINTS_MOST 1500u /* of one curve */
#define POINTS_ALL  5000u /* of several together, about */
#define LOSS_MOST   1e100

#define ABOVE_FIRST 1.2 /* the frame's end, in losses at the start */

#define LEGEND_ROW    19.0
#define LEGEND_LINE   22.0
#define LEGEND_GAP    8.0
#define LETTER        7.8 /* width of a letter, about */
#define LABEL_LETTERS 44

/* The part of the plane that is drawn, and the distance of ticks. */
struct frame {
    double x_most; /* x starts at 0 */
    double x_tick;
    double y_least;
    double y_most;
    double y_tick; /* of no meaning with a log scale */
    bool log_scale;
    bool by_time;
};

static const char *const colours[] = {"#2f81f7", "#e36209", "#2da44e", "#d63384",
                                      "#8957e5", "#b08800", "#1ba1a1", "#cf3a35"};

#define COLOURS (sizeof colours / sizeof colours[0])

static double x_value(const struct frame *frame, const struct curve_point *point)
{
    return frame->by_time ? point->seconds : (double)point->step;
}

/* Within this their differences are numbers too. */
static bool drawable(const struct frame *frame, double loss)
{
    return fabs(loss) <= LOSS_MOST && (!frame->log_scale || loss > 0);
}

/* ---- The frame ------------------------------------------------------------------------------- */

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

/* What the lines reach. */
struct extent {
    double least;
    double most;
    double first; /* the highest loss that a curve begins with */
};

/* Takes a curve into the extent: as it will be drawn. */
static void extend(const struct plot *plot, const struct frame *frame, const struct curve *curve,
                   struct extent *extent)
{
    struct curve_mean mean = {.weight = 0};
    for (size_t i = 0; i < curve->count; i++) {
        const double loss = curve->points[i].loss;
        if (!drawable(frame, loss))
            continue;
        if (mean.weight == 0)
            extent->first = fmax(extent->first, loss);
        curve_mean_add(&mean, loss);
        const double drawn = plot->count == 1 ? loss : mean.mean;
        extent->least = fmin(extent->least, drawn);
        extent->most = fmax(extent->most, drawn);
    }
}

static void fit_linear(double least, double most, struct frame *frame)
{
    least =
        least > 0 && least < most / 2 ? 0 : least; /* a loss is read from zero where it can be */
    if (!(most - least > 1e-12 * fmax(fabs(most), 1)))
        most = least + fmax(fabs(least), 1);
    frame->y_tick = round_tick(most - least);
    frame->y_least = floor(least / frame->y_tick) * frame->y_tick;
    frame->y_most = ceil(most / frame->y_tick) * frame->y_tick;
}

/* What round numbers of a log scale begin with. */
static const double digits[] = {1, 1.5, 2, 3, 5, 7};

#define DIGITS (sizeof digits / sizeof digits[0])

/* The nearest round number that is not above the value, or not below it. */
static double round_number(double value, bool up)
{
    const double power = pow(10, floor(log10(value)));
    double below = power;
    for (size_t i = 0; i <= DIGITS; i++) {
        const double next = (i < DIGITS ? digits[i] : 10) * power;
        if (next >= value * (1 - 1e-9))
            return up || next <= value * (1 + 1e-9) ? next : below;
        below = next;
    }
    return below;
}

static void fit_log(double least, double most, struct frame *frame)
{
    frame->y_least = round_number(least, /* up= */ false);
    frame->y_most = round_number(fmax(most, frame->y_least * 2), /* up= */ true);
}

static struct frame fit_frame(const struct plot *plot)
{
    struct frame frame = {.log_scale = plot->log_scale, .by_time = plot->by_time};
    struct extent extent = {.least = INFINITY, .most = -INFINITY, .first = -INFINITY};
    for (size_t s = 0; s < plot->count; s++) {
        const struct curve *const curve = plot->series[s].curve;
        extend(plot, &frame, curve, &extent);
        if (curve->count > 0)
            frame.x_most = fmax(frame.x_most, x_value(&frame, &curve->points[curve->count - 1]));
    }
    if (!isfinite(extent.least))
        extent = (struct extent){.least = plot->log_scale ? 0.1 : 0, .most = 1};
    if (extent.first * ABOVE_FIRST > extent.least)
        extent.most = fmin(extent.most, extent.first * ABOVE_FIRST);
    if (plot->log_scale)
        fit_log(extent.least, extent.most, &frame);
    else
        fit_linear(extent.least, extent.most, &frame);
    if (!(frame.x_most > 0))
        frame.x_most = 1;
    frame.x_tick = round_tick(frame.x_most);
    if (!frame.by_time) /* there are no halves of steps */
        frame.x_tick = fmax(frame.x_tick, 1);
    return frame;
}

static double x_of(const struct frame *frame, double x)
{
    return LEFT + x / frame->x_most * (WIDTH - LEFT - RIGHT);
}

/* Far outside of the frame is as good as anywhere there. */
static double y_of(const struct frame *frame, double loss)
{
    const double share = frame->log_scale
                             ? log10(loss / frame->y_least) / log10(frame->y_most / frame->y_least)
                             : (loss - frame->y_least) / (frame->y_most - frame->y_least);
    return HEIGHT - BOTTOM - fmin(fmax(share, -1), 2) * (HEIGHT - TOP - BOTTOM);
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* At most `letters` bytes of a text, and "..." where it goes on. */
static void write_escaped(FILE *out, const char *text, size_t letters)
{
    const size_t length = strlen(text);
    for (size_t i = 0; i < length && i < letters; i++)
        switch (text[i]) {
        case '&': (void)fputs("&amp;", out); break;
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        default:
            if ((unsigned char)text[i] >= 0x20) /* XML has no other control characters */
                (void)fputc(text[i], out);
        }
    if (length > letters)
        (void)fputs("...", out);
}

/* The legend stands beside the frame; how much its columns take is guessed from their letters. */
struct legend {
    double values; /* right end of the values */
    double labels; /* left end of the labels */
    double width;
};

static struct legend measure_legend(const struct plot *plot)
{
    size_t value = 0;
    size_t label = 0;
    for (size_t s = 0; s < plot->count; s++) {
        const size_t length = strlen(plot->series[s].label);
        const size_t shown = length <= LABEL_LETTERS ? length : LABEL_LETTERS + 3;
        label = shown > label ? shown : label;
        value = strlen(plot->series[s].value) > value ? strlen(plot->series[s].value) : value;
    }
    struct legend legend = {.values = WIDTH + LEGEND_LINE + LEGEND_GAP + LETTER * (double)value};
    legend.labels = legend.values + (value > 0 ? LEGEND_GAP : 0);
    legend.width = legend.labels + LETTER * (double)label - WIDTH;
    return legend;
}

static void write_head(FILE *out, const struct plot *plot)
{
    const double width = plot->count > 1 ? WIDTH + measure_legend(plot).width : WIDTH;
    const double rows = TOP + LEGEND_ROW * (double)plot->count + LEGEND_GAP;
    const double height = plot->count > 1 ? fmax(HEIGHT, rows) : HEIGHT;
    (void)fprintf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                  "width=\"%.0f\" height=\"%.0f\" role=\"img\" "
                  "font-family=\"system-ui, sans-serif\" font-size=\"12\">\n"
                  "<style>\n"
                  "text { fill: #57606a; } .title { fill: #24292f; font-size: 16px; "
                  "font-weight: 600; }\n"
                  ".grid { stroke: #8c959f; stroke-opacity: .25; } .axis { stroke: #8c959f; }\n"
                  "polyline, .mark { fill: none; stroke-linejoin: round; stroke-width: 2; }\n"
                  ".raw { stroke: #2f81f7; stroke-opacity: .35; stroke-width: 1; }\n"
                  ".smooth { stroke: #2f81f7; stroke-width: 2.25; }\n",
                  width, height, width, height);
    for (size_t s = 0; plot->count > 1 && s < plot->count; s++)
        (void)fprintf(out, ".s%zu { stroke: %s; stroke-dasharray: %s; }\n", s, colours[s % COLOURS],
                      (const char *[]){"none", "7 3", "2 3", "9 3 2 3"}[s / COLOURS % 4]);
    (void)fprintf(out,
                  "@media (prefers-color-scheme: dark) { text { fill: #9198a1; } "
                  ".title { fill: #e6edf3; } }\n"
                  "</style>\n"
                  "<clipPath id=\"frame\"><rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>"
                  "</clipPath>\n<title>",
                  LEFT, TOP - 2, WIDTH - LEFT - RIGHT + 2, HEIGHT - TOP - BOTTOM + 4);
    write_escaped(out, plot->title, SIZE_MAX);
    (void)fprintf(out, "</title>\n<text class=\"title\" x=\"%g\" y=\"26\">", LEFT);
    write_escaped(out, plot->title, SIZE_MAX);
    (void)fprintf(out, "</text>\n<text x=\"%g\" y=\"46\">", LEFT);
    write_escaped(out, plot->note, SIZE_MAX);
    (void)fputs("</text>\n", out);
}

static void write_row(FILE *out, const struct frame *frame, double value)
{
    const double y = y_of(frame, value);
    (void)fprintf(out,
                  "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>\n"
                  "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
                  LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4, value);
}

/* Has the log scale a row at this digit? The more powers of ten there are, the fewer for each. */
static bool has_row(const struct frame *frame, double digit)
{
    const double span = frame->y_most / frame->y_least;
    if (span <= 30)
        return true;
    return span <= 1e3 ? digit == 1 || digit == 2 || digit == 5 : digit == 1;
}

static void write_log_rows(FILE *out, const struct frame *frame)
{
    const int last = (int)floor(log10(frame->y_most) + 1e-9);
    for (int power = (int)floor(log10(frame->y_least) + 1e-9); power <= last; power++)
        for (size_t i = 0; i < DIGITS; i++) {
            const double value = digits[i] * pow(10, power);
            if (value >= frame->y_least * (1 - 1e-9) && value <= frame->y_most * (1 + 1e-9) &&
                has_row(frame, digits[i]))
                write_row(out, frame, value);
        }
}

static void write_axes(FILE *out, const struct plot *plot, const struct frame *frame)
{
    const double bottom = HEIGHT - BOTTOM;
    /* Counted, not summed up: the last tick must not be lost to rounding. */
    const int rows =
        plot->log_scale ? -1 : (int)lround((frame->y_most - frame->y_least) / frame->y_tick);
    for (int i = 0; i <= rows; i++) {
        const double value = frame->y_least + i * frame->y_tick;
        write_row(out, frame, fabs(value) < frame->y_tick / 2 ? 0.0 : value);
    }
    if (plot->log_scale)
        write_log_rows(out, frame);
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
                  "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n"
                  "<text transform=\"translate(16 %g) rotate(-90)\" text-anchor=\"middle\">"
                  "%s%s</text>\n",
                  LEFT, WIDTH - RIGHT, bottom, bottom, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12,
                  plot->by_time ? "seconds" : "step", (TOP + bottom) / 2,
                  plot->count > 1 ? "training loss, smoothed" : "loss",
                  plot->log_scale ? ", log scale" : "");
}

/* One polyline: of every loss, or of the smoothed ones, thinned to about so many points. */
static void write_line(FILE *out, const struct curve *curve, const struct frame *frame, bool smooth,
                       size_t points)
{
    const size_t stride = curve->count / points + 1;
    struct curve_mean mean = {.weight = 0};
    (void)fputs("points=\"", out);
    for (size_t i = 0; i < curve->count; i++) {
        const struct curve_point *const point = &curve->points[i];
        if (!drawable(frame, point->loss))
            continue;
        curve_mean_add(&mean, point->loss);
        if (i % stride == 0 || i + 1 == curve->count)
            (void)fprintf(out, "%.1f,%.1f ", x_of(frame, x_value(frame, point)),
                          y_of(frame, smooth ? mean.mean : point->loss));
    }
    (void)fputs("\"/>\n", out);
}

/* Where a curve that diverged ended: a cross, at the top if it went out there. */
static void write_mark(FILE *out, const struct curve *curve, const struct frame *frame, size_t s)
{
    struct curve_mean mean = {.weight = 0};
    double x = x_of(frame, 0);
    for (size_t i = 0; i < curve->count; i++)
        if (drawable(frame, curve->points[i].loss)) {
            curve_mean_add(&mean, curve->points[i].loss);
            x = x_of(frame, x_value(frame, &curve->points[i]));
        }
    const double y = mean.weight == 0 ? TOP : fmax(y_of(frame, mean.mean), TOP);
    (void)fprintf(out, "<path class=\"mark s%zu\" d=\"M%.1f %.1fl8 8m0 -8l-8 8\"/>\n", s, x - 4,
                  y - 4);
}

static void write_legend(FILE *out, const struct plot *plot)
{
    const struct legend legend = measure_legend(plot);
    for (size_t s = 0; s < plot->count; s++) {
        const double y = TOP + LEGEND_ROW * ((double)s + 0.5);
        (void)fprintf(out,
                      "<polyline class=\"s%zu\" points=\"%g,%.1f %g,%.1f\"/>\n"
                      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
                      s, WIDTH, y, WIDTH + LEGEND_LINE, y, legend.values, y + 4);
        write_escaped(out, plot->series[s].value, SIZE_MAX);
        (void)fprintf(out, "</text>\n<text x=\"%.1f\" y=\"%.1f\">", legend.labels, y + 4);
        write_escaped(out, plot->series[s].label, LABEL_LETTERS);
        (void)fputs("</text>\n", out);
    }
}

/* The first of several is drawn last, on top of the others. */
static void write_lines(FILE *out, const struct plot *plot, const struct frame *frame)
{
    (void)fputs("<g clip-path=\"url(#frame)\">\n", out);
    for (size_t s = plot->count; s-- > 0;) {
        const struct curve *const curve = plot->series[s].curve;
        if (plot->count == 1) {
            (void)fputs("<polyline class=\"raw\" ", out);
            write_line(out, curve, frame, /* smooth= */ false, POINTS_MOST);
            (void)fputs("<polyline class=\"smooth\" ", out);
            write_line(out, curve, frame, /* smooth= */ true, POINTS_MOST);
            continue;
        }
        (void)fprintf(out, "<polyline class=\"s%zu\" ", s);
        write_line(out, curve, frame, /* smooth= */ true, POINTS_ALL / plot->count + 1);
    }
    (void)fputs("</g>\n", out);
    for (size_t s = 0; plot->count > 1 && s < plot->count; s++)
        if (plot->series[s].diverged)
            write_mark(out, plot->series[s].curve, frame, s);
}

enum stepd_status plot_write(const char *path, const struct plot *plot, struct stepd_error *reterr)
{
    FILE *const out = fopen(path, "w");
    if (out == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                          strerror(errno));
    const struct frame frame = fit_frame(plot);
    write_head(out, plot);
    write_axes(out, plot, &frame);
    write_lines(out, plot, &frame);
    if (plot->count > 1)
        write_legend(out, plot);
    (void)fputs("</svg>\n", out);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                          strerror(errno));
    return STEPD_OK;
}
