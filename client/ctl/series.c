/* SPDX-License-Identifier: Apache-2.0
 *
 * The samples of a long column are as far apart as they must be; the first and the last step of
 * each column are always among them, so that nothing is lost where two columns meet.
 */
#include "client/ctl/series.h"

#include <math.h>
#include <stdlib.h>

#include "proto/error.h"

static double value_at(const struct course *course, enum series_of of, uint64_t step)
{
    const struct course_value value = course_at(course, step);
    return of == SERIES_LR ? value.lr : value.momentum;
}

static void take(struct series_column *column, double value)
{
    if (isnan(value))
        return;
    if (!column->any)
        *column = (struct series_column){
            .any = true, .first = value, .least = value, .most = value, .rises = true};
    if (value < column->least) {
        column->least = value;
        column->rises = false;
    }
    if (value > column->most) {
        column->most = value;
        column->rises = true;
    }
    column->last = value;
}

/* The steps from .. end - 1, of which there is at least one. */
static struct series_column look(const struct course *course, enum series_of of, uint64_t from,
                                 uint64_t end)
{
    struct series_column column = {.any = false};
    const uint64_t stride = (end - from - 1) / SERIES_SAMPLES_MAX + 1;
    for (uint64_t step = from; step < end; step += stride)
        take(&column, value_at(course, of, step));
    take(&column, value_at(course, of, end - 1));
    return column;
}

enum stepd_status series_init(const struct course *course, enum series_of of, uint64_t steps,
                              size_t columns, struct series *ret_series, struct stepd_error *reterr)
{
    struct series series = {.columns = columns, .column = calloc(columns, sizeof *series.column)};
    if (series.column == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the plot");
    for (size_t i = 0; i < columns; i++) {
        const uint64_t from = i * steps / columns;
        const uint64_t end = (i + 1) * steps / columns;
        series.column[i] = look(course, of, from, end > from ? end : from + 1);
    }
    *ret_series = series;
    return STEPD_OK;
}

void series_deinit(struct series *series)
{
    free(series->column);
    *series = (struct series){.columns = 0};
}

void series_range(const struct series *series, double *least, double *most)
{
    for (size_t i = 0; i < series->columns; i++) {
        if (!series->column[i].any)
            continue;
        *least = fmin(*least, series->column[i].least);
        *most = fmax(*most, series->column[i].most);
    }
}
