/* SPDX-License-Identifier: Apache-2.0
 *
 * Always the kernels of the baseline: the daemon's choice of another must give the same bits.
 */
#include "tests/sim/stepper.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/optim/kernels.h"

static float *zeros(size_t floats)
{
    float *array = calloc(floats, sizeof *array);
    assert_non_null(array);
    return array;
}

/* ---- State ----------------------------------------------------------------------------------- */

/* Each slot that these hyperparameters use. */
static void make_state(const struct reading_phase *phase, struct stepper_whole *whole)
{
    const struct optimizer *optimizer = phase->optimizer;
    const struct optim_hyper *hyper = &phase->hyper;
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX && optimizer->slot[k].name != NULL; k++) {
        const struct optim_slot_spec *slot = &optimizer->slot[k];
        if (slot->used != NULL && !slot->used(hyper))
            continue;
        whole->slot[k] = zeros(
            slot->floats == NULL ? whole->n : slot->floats(hyper, whole->tensors, whole->shape));
    }
}

/* Adds a tensor of the slice to what is seen as one. */
static void add_part(const struct plan *plan, const struct part *part, struct stepper_whole *whole)
{
    const struct stepd_tensor_def *tensor = &plan->def.page.tensor[part->tensor];
    whole->n += part->elements;
    whole->shape[whole->tensors++] = (struct optim_shape){
        .dims = tensor->dims, .dim = tensor->shape, .elements = part->elements};
}

void stepper_begin(struct stepper *stepper, const struct plan *plan, uint32_t slice,
                   const struct reading_phase *phase)
{
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    const bool by_tensor = phase->optimizer->scope == OPTIM_SCOPE_TENSOR;
    *stepper = (struct stepper){.optimizer = phase->optimizer, .wholes = 1};
    for (uint32_t i = 0; i < of_slice->parts; i++) {
        stepper->wholes = by_tensor ? i + 1 : 1;
        add_part(plan, &plan->job->layout.part[of_slice->first_part + i],
                 &stepper->whole[stepper->wholes - 1]);
    }
    for (size_t i = 0; i < stepper->wholes; i++)
        make_state(phase, &stepper->whole[i]);
}

void stepper_end(struct stepper *stepper)
{
    for (size_t i = 0; i < stepper->wholes; i++) {
        for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
            free(stepper->whole[i].slot[k]);
    }
    *stepper = (struct stepper){.wholes = 0};
}

/* ---- Updates --------------------------------------------------------------------------------- */

static bool update_elements(const struct optimizer *optimizer, struct stepper_whole *whole,
                            const struct optim_step *terms, float *w, const float *g)
{
    struct optim_step step = *terms;
    step.scalar = whole->scalar;
    if (optimizer->prepare != NULL)
        optimizer->prepare(&step, whole->scalar);
    optimizer->step[OPTIM_ISA_base](&step, whole->n, w, g, whole->slot);
    return true;
}

static bool update_whole(const struct optimizer *optimizer, struct stepper_whole *whole,
                         const struct optim_step *terms, float *w,
                         const struct stepper_gradient *gradient)
{
    const size_t floats = optimizer->scratch == NULL
                              ? 0
                              : optimizer->scratch(terms->hyper, whole->tensors, whole->shape);
    float *scratch = zeros(floats);
    for (size_t i = 0; i < floats; i++)
        scratch[i] = NAN; /* what is in it is of no meaning */
    const struct optim_whole args = {
        .n = whole->n,
        .tensors = whole->tensors,
        .shape = whole->shape,
        .w = w,
        .g = gradient->g,
        .extra = gradient->extra,
        .loss = gradient->loss,
        .slot = whole->slot,
        .scalar = whole->scalar,
        .scratch = scratch,
    };
    const bool made = optimizer->whole(terms, &args);
    free(scratch);
    return made;
}

bool stepper_update(struct stepper *stepper, const struct optim_step *terms,
                    const struct stepper_gradient *gradient, float *w)
{
    const struct optimizer *optimizer = stepper->optimizer;
    bool made = false;
    size_t at = 0;
    for (size_t i = 0; i < stepper->wholes; i++) {
        struct stepper_whole *whole = &stepper->whole[i];
        struct stepper_gradient of_whole = *gradient;
        of_whole.g += at;
        const bool of_this = optimizer->scope == OPTIM_SCOPE_ELEMENT
                                 ? update_elements(optimizer, whole, terms, w + at, of_whole.g)
                                 : update_whole(optimizer, whole, terms, w + at, &of_whole);
        made = made || of_this;
        at += whole->n;
    }
    return made;
}

void stepper_look_ahead(const struct stepper *stepper, const struct optim_step *terms,
                        const float *w, float *ret_ahead)
{
    const struct stepper_whole *whole = &stepper->whole[0];
    stepper->optimizer->lookahead[OPTIM_ISA_base](terms, whole->n, w, whole->slot, ret_ahead);
}
