/* SPDX-License-Identifier: Apache-2.0
 *
 * A tensor, or a group, and all that an optimizer of that scope keeps for it, for the tests of such
 * optimizers. Every array is as long as its row says and no longer, so that the sanitizers see who
 * writes past it, and the scratch is NaN before each step, because what is in it is of no meaning.
 */
#ifndef TESTS_OPTIM_WHOLE_H
#define TESTS_OPTIM_WHOLE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/optim/optimizer.h"
#include "server/optim/rows.h"

struct whole {
    const struct optimizer *optimizer;
    struct optim_hyper hyper;
    size_t tensors;
    struct optim_shape shape[2];
    size_t n;
    uint64_t t;
    float *w;     /* n, 0 at first */
    float *g;     /* n */
    float *extra; /* the row's, 0 at first; NULL: none */
    double loss;  /* NAN at first */
    float *slot[OPTIMIZER_SLOTS_MAX];
    size_t slot_floats[OPTIMIZER_SLOTS_MAX];
    double scalar[OPTIMIZER_SCALARS_MAX];
    float *scratch;
    size_t scratch_floats;
};

static inline float *whole_floats(size_t floats)
{
    float *const array = calloc(floats == 0 ? 1 : floats, sizeof *array);
    assert_non_null(array);
    return array;
}

/* The row at its defaults. shape is borrowed until whole_deinit. */
static inline void whole_init(struct whole *whole, const char *name, size_t tensors,
                              const struct optim_shape *shape)
{
    *whole = (struct whole){.tensors = tensors, .loss = (double)NAN};
    assert_int_equal(optimizer_find(name, &whole->optimizer, NULL), STEPD_OK);
    optimizer_hyper_defaults(whole->optimizer, &whole->hyper);
    for (size_t i = 0; i < tensors; i++) {
        whole->shape[i] = shape[i];
        whole->n += (size_t)shape[i].elements;
    }
    whole->w = whole_floats(whole->n);
    whole->g = whole_floats(whole->n);
    if (whole->optimizer->extra != NULL)
        whole->extra = whole_floats((size_t)whole->optimizer->extra(whole->n));
}

/* Makes the state, when the hyperparameters are what they shall be: at the first step. */
static inline void whole_make_state(struct whole *whole)
{
    const struct optimizer *const optimizer = whole->optimizer;
    for (size_t k = 0; k < optimizer_slots(optimizer); k++) {
        whole->slot_floats[k] = (size_t)optimizer_slot_floats(optimizer, k, &whole->hyper,
                                                              whole->tensors, whole->shape);
        if (whole->slot_floats[k] > 0)
            whole->slot[k] = whole_floats(whole->slot_floats[k]);
    }
    if (optimizer->scratch != NULL) {
        whole->scratch_floats =
            (size_t)optimizer->scratch(&whole->hyper, whole->tensors, whole->shape);
        whole->scratch = whole_floats(whole->scratch_floats);
    }
}

/* One step on what is in g, extra and loss. */
static inline bool whole_step(struct whole *whole, double lr)
{
    if (whole->t == 0)
        whole_make_state(whole);
    for (size_t i = 0; i < whole->scratch_floats; i++)
        whole->scratch[i] = NAN;
    whole->t++;
    const struct optim_step step = {.hyper = &whole->hyper, .lr = lr, .t = whole->t};
    const struct optim_whole args = {.n = whole->n,
                                     .tensors = whole->tensors,
                                     .shape = whole->shape,
                                     .w = whole->w,
                                     .g = whole->g,
                                     .extra = whole->extra,
                                     .loss = whole->loss,
                                     .slot = whole->slot,
                                     .scalar = whole->scalar,
                                     .scratch = whole->scratch};
    return whole->optimizer->whole(&step, &args);
}

static inline void whole_deinit(struct whole *whole)
{
    free(whole->w);
    free(whole->g);
    free(whole->extra);
    free(whole->scratch);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        free(whole->slot[k]);
}

/* Fails unless every weight is within `ulps` of float of what it must be, an ulp being that of the
 * largest of them: sums over a tensor make each weight as uncertain as the largest. */
static inline void whole_assert_near(const struct whole *whole, const double *expected, double ulps)
{
    double scale = 0.0;
    for (size_t i = 0; i < whole->n; i++)
        scale = fmax(scale, fabs(expected[i]));
    for (size_t i = 0; i < whole->n; i++) {
        if (!(fabs((double)whole->w[i] - expected[i]) <= ulps * 0x1p-23 * scale))
            fail_msg("%s, step %d, element %zu of %zu: %.9g instead of %.9g",
                     whole->optimizer->name, (int)whole->t, i, whole->n, (double)whole->w[i],
                     expected[i]);
    }
}

#endif
