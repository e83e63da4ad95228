/* SPDX-License-Identifier: Apache-2.0
 *
 * What core/step.c does for a group, without a job: the arrays lie here, and are written out.
 */
#include "tests/torch/driver_row.h"

#include <stdlib.h>
#include <string.h>

#include "server/optim/optimizer.h"
#include "tests/torch/driver_tensors.h"

#define SCALARS_MAX 64u

struct row {
    const struct optimizer *optimizer;
    struct optim_hyper hyper;
    struct driver_tensors tensors;
    struct optim_shape shape[DRIVER_TENSORS_MAX];
    size_t elements; /* of all tensors */
    float *w;        /* owned, as the following */
    float *g;
    float *scratch;
    float *slot[OPTIMIZER_SLOTS_MAX]; /* NULL where it is not used */
    size_t floats[OPTIMIZER_SLOTS_MAX];
    double scalar[SCALARS_MAX];
};

/* ---- Setting up ------------------------------------------------------------------------------ */

/* NAME=NUMBER, or NAME=WORD. */
static bool set(struct row *row, char *setting)
{
    char *const equals = strchr(setting, '=');
    if (equals == NULL)
        return driver_complain(setting, "not of the form NAME=VALUE");
    *equals = '\0';
    char *end = NULL;
    const double number = strtod(equals + 1, &end);
    struct stepd_error error = {0};
    const enum stepd_status status =
        *end == '\0'
            ? optimizer_hyper_set(row->optimizer, setting, number, &row->hyper, &error)
            : optimizer_hyper_set_word(row->optimizer, setting, equals + 1, &row->hyper, &error);
    return status == STEPD_OK || driver_complain(setting, error.text);
}

static bool configure(struct row *row, size_t arguments, char *const argument[])
{
    struct stepd_error error = {0};
    if (optimizer_find(argument[0], &row->optimizer, &error) != STEPD_OK)
        return driver_complain(argument[0], error.text);
    if (row->optimizer->scope != OPTIM_SCOPE_GROUP || row->optimizer->scalars > SCALARS_MAX)
        return driver_complain(argument[0], "not of group scope, or with too many scalars");
    optimizer_hyper_defaults(row->optimizer, &row->hyper);
    for (size_t i = 1; i < arguments; i++) {
        if (!set(row, argument[i]))
            return false;
    }
    return optimizer_hyper_check(row->optimizer, &row->hyper, &error) == STEPD_OK ||
           driver_complain(argument[0], error.text);
}

static bool allocate(struct row *row)
{
    const struct optimizer *const optimizer = row->optimizer;
    for (size_t t = 0; t < row->tensors.count; t++) {
        row->shape[t] = (struct optim_shape){.dims = row->tensors.def[t].dims,
                                             .dim = row->tensors.def[t].shape,
                                             .elements = row->tensors.elements[t]};
        row->elements += row->tensors.elements[t];
    }
    row->w = calloc(row->elements, sizeof(float));
    row->g = calloc(row->elements, sizeof(float));
    row->scratch = calloc(optimizer->scratch == NULL
                              ? 1
                              : optimizer->scratch(&row->hyper, row->tensors.count, row->shape),
                          sizeof(float));
    bool fine = row->w != NULL && row->g != NULL && row->scratch != NULL;
    for (size_t k = 0; k < optimizer_slots(optimizer); k++) {
        row->floats[k] =
            optimizer_slot_floats(optimizer, k, &row->hyper, row->tensors.count, row->shape);
        row->slot[k] = row->floats[k] > 0 ? calloc(row->floats[k], sizeof(float)) : NULL;
        fine = fine && (row->floats[k] == 0 || row->slot[k] != NULL);
    }
    return fine || driver_complain(optimizer->name, "no memory");
}

static void release(struct row *row)
{
    driver_release_tensors(&row->tensors);
    free(row->w);
    free(row->g);
    free(row->scratch);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        free(row->slot[k]);
    free(row);
}

/* ---- Stepping -------------------------------------------------------------------------------- */

static void gather(const struct row *row, float *const *tensor, float *all)
{
    for (size_t t = 0; t < row->tensors.count; t++) {
        memcpy(all, tensor[t], row->tensors.elements[t] * sizeof *all);
        all += row->tensors.elements[t];
    }
}

static void describe(const struct row *row)
{
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        if (row->slot[k] != NULL)
            (void)printf("slot %s %zu\n", row->optimizer->slot[k].name, row->floats[k]);
    }
    (void)printf("scalars %zu\n\n", row->optimizer->scalars);
    (void)fflush(stdout);
}

static bool write_state(const struct row *row)
{
    bool fine = driver_write(stdout, row->w, sizeof *row->w, row->elements);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX && fine; k++)
        fine = row->slot[k] == NULL ||
               driver_write(stdout, row->slot[k], sizeof *row->slot[k], row->floats[k]);
    return fine &&
           driver_write(stdout, row->scalar, sizeof *row->scalar, row->optimizer->scalars) &&
           fflush(stdout) == 0;
}

static bool take_steps(struct row *row)
{
    double head[2]; /* loss, learning rate */
    for (uint64_t t = 1; fread(head, sizeof head[0], 2, stdin) == 2; t++) {
        if (!driver_read_gradients(stdin, &row->tensors))
            return false;
        gather(row, row->tensors.grad, row->g);
        const struct optim_step step = {
            .hyper = &row->hyper, .lr = head[1], .t = t, .scalar = row->scalar};
        const struct optim_whole whole = {
            .n = row->elements,
            .tensors = row->tensors.count,
            .shape = row->shape,
            .w = row->w,
            .g = row->g,
            .loss = head[0],
            .slot = row->slot,
            .scalar = row->scalar,
            .scratch = row->scratch,
        };
        if (!row->optimizer->whole(&step, &whole))
            return driver_complain(row->optimizer->name, "made no update");
        if (!write_state(row))
            return false;
    }
    return true;
}

bool driver_row(size_t arguments, char *const argument[])
{
    struct row *const row = calloc(1, sizeof *row);
    if (row == NULL)
        return driver_complain(argument[0], "no memory");
    bool fine = configure(row, arguments, argument) && driver_read_tensors(stdin, &row->tensors) &&
                allocate(row) && driver_read_weights(stdin, &row->tensors);
    if (fine) {
        gather(row, row->tensors.weights, row->w);
        describe(row);
        fine = take_steps(row);
    }
    release(row);
    return fine;
}
