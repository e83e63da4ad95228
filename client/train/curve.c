/* SPDX-License-Identifier: Apache-2.0
 *
 * The curve is an array that doubles, and a CSV file that is flushed line by line. A full disk is
 * an error at the line that did not fit, since a result that looks whole and is not is worse than
 * a run that stops.
 */
#include "client/train/curve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

#define FIRST_CAPACITY 256u
#define MEMORY         0.95

static enum stepd_status fail_file(const struct curve *curve, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", curve->csv_path,
                      strerror(errno));
}

enum stepd_status curve_open(const char *csv_path, struct curve *ret_curve,
                             struct stepd_error *reterr)
{
    struct curve curve = {.csv_path = csv_path};
    if (csv_path != NULL) {
        curve.csv = fopen(csv_path, "w");
        if (curve.csv == NULL)
            return fail_file(&curve, reterr);
        if (fputs("step,epoch,loss,examples,seconds\n", curve.csv) < 0 || fflush(curve.csv) != 0) {
            const enum stepd_status status = fail_file(&curve, reterr);
            curve_close(&curve);
            return status;
        }
    }
    *ret_curve = curve;
    return STEPD_OK;
}

static enum stepd_status grow(struct curve *curve, struct stepd_error *reterr)
{
    const size_t capacity = curve->capacity == 0 ? FIRST_CAPACITY : 2 * curve->capacity;
    struct curve_point *const points = realloc(curve->points, capacity * sizeof *points);
    if (points == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the losses of %zu steps",
                          capacity);
    curve->points = points;
    curve->capacity = capacity;
    return STEPD_OK;
}

enum stepd_status curve_append(struct curve *curve, const struct curve_point *point,
                               struct stepd_error *reterr)
{
    if (curve->count == curve->capacity) {
        const enum stepd_status status = grow(curve, reterr);
        if (status != STEPD_OK)
            return status;
    }
    curve->points[curve->count++] = *point;
    if (curve->csv == NULL)
        return STEPD_OK;
    const int written =
        fprintf(curve->csv, "%" PRIu64 ",%" PRIu64 ",%.9g,%" PRIu64 ",%.6f\n", point->step,
                point->epoch, point->loss, point->examples, point->seconds);
    return written < 0 || fflush(curve->csv) != 0 ? fail_file(curve, reterr) : STEPD_OK;
}

void curve_cut(struct curve *curve, uint64_t step)
{
    while (curve->count > 0 && curve->points[curve->count - 1].step > step)
        curve->count--;
}

struct curve curve_take(struct curve *curve)
{
    const struct curve taken = {
        .count = curve->count, .capacity = curve->capacity, .points = curve->points};
    curve->points = NULL;
    curve_close(curve);
    *curve = (struct curve){.count = 0};
    return taken;
}

void curve_close(struct curve *curve)
{
    if (curve->csv != NULL)
        (void)fclose(curve->csv); /* every line has been flushed and checked */
    free(curve->points);
    curve->csv = NULL;
    curve->points = NULL;
}

void curve_mean_add(struct curve_mean *mean, double value)
{
    mean->weight = MEMORY * mean->weight + 1;
    mean->mean += (value - mean->mean) / mean->weight;
}
