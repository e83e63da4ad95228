/* SPDX-License-Identifier: Apache-2.0
 *
 * Progress for people. Time comes from the caller.
 */
#include "client/train/progress.h"

#include <inttypes.h>
#include <math.h>

#define TERMINAL_EVERY_S 0.1
#define LINE_EVERY_S     2.0

struct progress progress_start(FILE *out, bool terminal, uint64_t first_step, uint64_t total,
                               double now)
{
    return (struct progress){
        .out = out,
        .title = "",
        .terminal = terminal,
        .total = total,
        .began = now,
        .shown = now,
        .first_step = first_step,
    };
}

static void show(const struct progress *progress, const struct progress_step *step)
{
    const double elapsed = step->now - progress->began;
    const double taken = (double)(step->step - progress->first_step);
    const double left = elapsed / taken * (double)(progress->total - step->step);
    const double rate = (double)progress->examples / fmax(elapsed, 1e-9);
    (void)fprintf(progress->out,
                  "%s%sstep %" PRIu64 "/%" PRIu64 "  loss %.4f  %.0f examples/s  %.0f s left%s",
                  progress->terminal ? "\r" : "", progress->title, step->step, progress->total,
                  progress->loss.mean, rate, left, progress->terminal ? "\x1b[K" : "\n");
    (void)fflush(progress->out);
}

void progress_update(struct progress *progress, const struct progress_step *step)
{
    if (!isnan(step->loss))
        curve_mean_add(&progress->loss, step->loss);
    progress->examples += step->examples;
    const bool last = step->step >= progress->total;
    const double every = progress->terminal ? TERMINAL_EVERY_S : LINE_EVERY_S;
    if (progress->out == NULL || (!last && step->now - progress->shown < every))
        return;
    progress->shown = step->now;
    show(progress, step);
}

void progress_end(struct progress *progress)
{
    if (progress->out != NULL && progress->terminal)
        (void)fputc('\n', progress->out);
}
