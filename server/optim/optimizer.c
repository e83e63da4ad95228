/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of optimizers and all that is done with a row apart from stepping: finding it by name,
 * and setting hyperparameters by name within their ranges. Names come from peers and files, so
 * every text says what is known and what is allowed.
 */
#include "server/optim/optimizer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/nearest.h"
#include "server/optim/rows.h"

static const struct optimizer *const table[] = {
    &sgd_optimizer, &momentum_optimizer, &nesterov_optimizer, &adam_optimizer, &adamw_optimizer,
};

const struct optimizer *optimizer_at(size_t index)
{
    assert(index < optimizer_count());
    return table[index];
}

size_t optimizer_count(void)
{
    return sizeof table / sizeof table[0];
}

enum stepd_status optimizer_find(const char *name, const struct optimizer **ret_optimizer,
                                 struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < optimizer_count(); i++) {
        if (strcmp(name, table[i]->name) == 0) {
            *ret_optimizer = table[i];
            return STEPD_OK;
        }
        nearest_offer(&nearest, table[i]->name);
    }
    return stepd_fail(reterr, STEPD_NOT_FOUND, "unknown optimizer '%s': %s", name,
                      nearest_hint(&nearest));
}

static void put(const struct optim_hyper_spec *spec, double value, struct optim_hyper *hyper)
{
    memcpy((char *)hyper + spec->offset, &value, sizeof value);
}

double optimizer_hyper_get(const struct optim_hyper_spec *spec, const struct optim_hyper *hyper)
{
    double value;
    memcpy(&value, (const char *)hyper + spec->offset, sizeof value);
    return value;
}

void optimizer_hyper_defaults(const struct optimizer *optimizer, struct optim_hyper *ret_hyper)
{
    *ret_hyper = (struct optim_hyper){.lr = 0.0};
    for (size_t i = 0; i < optimizer->hypers; i++)
        put(&optimizer->hyper[i], optimizer->hyper[i].fallback, ret_hyper);
}

/* NaN is in no range: each comparison with it is false. */
static bool in_range(const struct optim_hyper_spec *spec, double value)
{
    const bool above = spec->least_open ? value > spec->least : value >= spec->least;
    const bool below = spec->most_open ? value < spec->most : value <= spec->most;
    return above && below;
}

static enum stepd_status set(const struct optimizer *optimizer, const struct optim_hyper_spec *spec,
                             double value, struct optim_hyper *hyper, struct stepd_error *reterr)
{
    if (!in_range(spec, value))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "hyperparameter '%s' of %s must be in %c%g, %g%c, and %g is not",
                          spec->name, optimizer->name, spec->least_open ? '(' : '[', spec->least,
                          spec->most, spec->most_open ? ')' : ']', value);
    put(spec, value, hyper);
    return STEPD_OK;
}

enum stepd_status optimizer_hyper_set(const struct optimizer *optimizer, const char *name,
                                      double value, struct optim_hyper *hyper,
                                      struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < optimizer->hypers; i++) {
        const struct optim_hyper_spec *const spec = &optimizer->hyper[i];
        if (strcmp(name, spec->name) == 0)
            return set(optimizer, spec, value, hyper, reterr);
        nearest_offer(&nearest, spec->name);
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s has no hyperparameter '%s': %s",
                      optimizer->name, name, nearest_hint(&nearest));
}
