/* SPDX-License-Identifier: Apache-2.0
 *
 * As kernel.c, for the optimizers that have one function in place of kernels. Three lanes take
 * turns: `stepd`, `bare` and `memcpy`, the last two with the streams of the weights, the gradient
 * and those slots that are as long as they are (three at most). What these steps do beside that,
 * norms, matrix products, a history, is what the ratio shows.
 *
 * The gradient is made anew before each call, outside of its time, since steps of one and the same
 * gradient would be of a kind that no training sees: L-BFGS would keep no pair, SWATS would go over
 * to SGD. It is that of a quadratic whose curvature goes from 1 to 7, and learning rates are so
 * small that nothing converges.
 */
#include "tests/bench/whole.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/optim/kernels.h"
#include "tests/bench/arrays.h"
#include "tests/bench/bare_kernel.h"

#define LR 1e-4

static optim_step_fn *const bare_streams[OPTIM_ISA_COUNT] = OPTIM_EACH(bare_streams);

/* What costs more than memory: the most elements that are measured. muon takes five times three
 * products of matrices, lbfgs 200 times the weights' memory, and newton's Hessian is a square. */
static const struct costly {
    const char *name;
    size_t elements;
} costly[] = {{"muon", 1000000}, {"lbfgs", 1000000}, {"newton", 1000}};

enum lane { LANE_STEPD, LANE_BARE, LANE_MEMCPY, LANE_COUNT };

/* One optimizer on one size. */
struct course {
    const struct optimizer *optimizer;
    struct arrays *arrays;
    struct optim_hyper hyper;
    uint64_t dim[2];
    struct optim_shape shape;
    float *block; /* owned: slots, what comes behind the gradient, scratch */
    float *slot[OPTIMIZER_SLOTS_MAX];
    double scalar[OPTIMIZER_SCALARS_MAX];
    struct optim_whole whole;
    float *stream[OPTIMIZER_SLOTS_MAX]; /* of the bare loop */
    size_t streams;
    uint64_t t;
};

static size_t most_elements(const struct optimizer *optimizer)
{
    for (size_t i = 0; i < sizeof costly / sizeof *costly; i++)
        if (strcmp(costly[i].name, optimizer->name) == 0)
            return costly[i].elements;
    return SIZE_MAX;
}

bool whole_takes(const struct optimizer *optimizer, size_t elements, bool first)
{
    return first || elements <= most_elements(optimizer);
}

/* As near to a square as its elements allow. */
static void make_shape(struct course *course, size_t elements)
{
    uint64_t rows = (uint64_t)sqrt((double)elements);
    while (elements % rows != 0)
        rows--;
    course->dim[0] = rows;
    course->dim[1] = elements / rows;
    course->shape = (struct optim_shape){.dims = 2, .dim = course->dim, .elements = elements};
}

/* Arrays begin on lines of the cache. */
static size_t padded(uint64_t floats)
{
    return (size_t)((floats + 15) / 16 * 16);
}

/* Slots, extra and scratch, one after another in one block. */
static enum stepd_status make_block(struct course *course, struct stepd_error *reterr)
{
    const struct optimizer *const optimizer = course->optimizer;
    size_t slot_floats[OPTIMIZER_SLOTS_MAX] = {0};
    const size_t n = course->arrays->n;
    size_t floats = 0;
    for (size_t k = 0; k < optimizer_slots(optimizer); k++) {
        slot_floats[k] =
            (size_t)optimizer_slot_floats(optimizer, k, &course->hyper, 1, &course->shape);
        floats += padded(slot_floats[k]);
    }
    const size_t extra = optimizer->extra == NULL ? 0 : (size_t)optimizer->extra(n);
    const size_t scratch = optimizer->scratch == NULL
                               ? 0
                               : (size_t)optimizer->scratch(&course->hyper, 1, &course->shape);
    const enum stepd_status status =
        arrays_block(floats + padded(extra) + padded(scratch), &course->block, reterr);
    if (status != STEPD_OK)
        return status;
    float *at = course->block;
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; at += padded(slot_floats[k++])) {
        course->slot[k] = slot_floats[k] > 0 ? at : NULL;
        if (slot_floats[k] == n && course->streams < BARE_SLOTS_MAX) {
            course->stream[course->streams] = course->arrays->slots[course->streams];
            course->streams++;
        }
    }
    for (size_t i = 0; i < n && extra > 0; i++) /* a Hessian: that of the quadratic */
        at[i + i * n] = (float)(1 + i % 7);
    course->whole = (struct optim_whole){
        .n = n,
        .tensors = 1,
        .shape = &course->shape,
        .w = course->arrays->w,
        .g = course->arrays->g,
        .extra = extra > 0 ? at : NULL,
        .loss = 1.0,
        .slot = course->slot,
        .scalar = course->scalar,
        .scratch = at + padded(extra),
    };
    return STEPD_OK;
}

static void renew_gradient(struct arrays *arrays)
{
    for (size_t i = 0; i < arrays->n; i++)
        arrays->g[i] = (float)(1 + i % 7) * arrays->w[i];
}

/* Seconds of one call. */
static double call(struct course *course, enum lane lane)
{
    struct optim_step step = {.hyper = &course->hyper, .lr = LR};
    renew_gradient(course->arrays);
    const double began = samples_now();
    if (lane == LANE_STEPD) {
        step.t = ++course->t;
        (void)course->optimizer->whole(&step, &course->whole);
    } else if (lane == LANE_BARE) {
        step.t = 1;
        bare_streams[kernels_choose()](&step, course->arrays->n, course->arrays->w,
                                       course->arrays->g, course->stream);
    } else {
        arrays_memcpy(course->arrays, arrays_step_bytes(course->arrays, course->streams));
    }
    return samples_now() - began;
}

static void measure(struct course *course, size_t rounds, struct report *report)
{
    static struct samples samples[LANE_COUNT];
    const struct report_subject subject = {
        .optimizer = course->optimizer->name,
        .kind_name = "isa",
        .kind = "whole",
        .size_name = "elements",
        .size = course->arrays->n,
        .bytes = arrays_step_bytes(course->arrays, course->streams),
    };
    report_progress(report, &subject);
    for (int lane = 0; lane < LANE_COUNT; lane++)
        samples[lane] = (struct samples){.count = 0};
    /* lbfgs costs the more the fuller its history is. */
    for (size_t i = 0; i < (size_t)course->hyper.history_size; i++)
        (void)call(course, LANE_STEPD);
    for (size_t round = 0; round < rounds; round++)
        for (int lane = 0; lane < LANE_COUNT; lane++)
            samples_add(&samples[lane], call(course, (enum lane)lane));
    const struct report_lane lanes[LANE_COUNT] = {
        [LANE_STEPD] = {"stepd", &samples[LANE_STEPD]},
        [LANE_BARE] = {"bare", &samples[LANE_BARE]},
        [LANE_MEMCPY] = {"memcpy", &samples[LANE_MEMCPY]},
    };
    report_comparison(report, &subject, lanes, LANE_COUNT);
}

enum stepd_status whole_measure(const struct optimizer *optimizer, size_t elements, size_t rounds,
                                struct report *report, struct stepd_error *reterr)
{
    const size_t most = most_elements(optimizer);
    struct arrays arrays;
    enum stepd_status status = arrays_init(elements < most ? elements : most, &arrays, reterr);
    if (status != STEPD_OK)
        return status;
    struct course course = {.optimizer = optimizer, .arrays = &arrays};
    optimizer_hyper_defaults(optimizer, &course.hyper);
    make_shape(&course, arrays.n);
    status = make_block(&course, reterr);
    if (status == STEPD_OK)
        measure(&course, rounds, report);
    free(course.block);
    arrays_deinit(&arrays);
    return status;
}
