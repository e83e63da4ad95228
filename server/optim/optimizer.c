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
#include "server/base/range.h"
#include "server/optim/rows.h"

static const struct optimizer *const table[] = {
    &sgd_optimizer,
    &momentum_optimizer,
    &nesterov_optimizer,
    &adagrad_optimizer,
    &adadelta_optimizer,
    &rmsprop_optimizer,
    &rmsprop_nesterov_optimizer,
    &asgd_optimizer,
    &rprop_optimizer,
    &ftrl_optimizer,
    &lion_optimizer,
    &adam_optimizer,
    &adamw_optimizer,
    &amsgrad_optimizer,
    &adabound_optimizer,
    &amsbound_optimizer,
    &nadam_optimizer,
    &radam_optimizer,
    &adamax_optimizer,
    &adafactor_optimizer,
    &lars_optimizer,
    &lamb_optimizer,
    &swats_optimizer,
    &muon_optimizer,
    &lbfgs_optimizer,
    &newton_optimizer,
};

const char *const optim_form_words[] = {
    [OPTIM_FORM_TORCH] = "torch",
    [OPTIM_FORM_CLASSIC] = "classic",
    [OPTIM_FORM_INTERIM] = "interim",
};

const char *const optim_eps_mode_words[] = {
    [OPTIM_EPS_OUTSIDE] = "outside",
    [OPTIM_EPS_INSIDE] = "inside",
    [OPTIM_EPS_HAT] = "hat",
};

const char *const optim_decay_words[] = {
    [OPTIM_DECAY_L2] = "l2",
    [OPTIM_DECAY_LR] = "decoupled_lr",
    [OPTIM_DECAY_SCHEDULE] = "decoupled_schedule",
};

const char *const optim_max_words[] = {
    [OPTIM_MAX_RAW] = "raw",
    [OPTIM_MAX_CORRECTED] = "corrected",
};

const char *const optim_search_words[] = {
    [OPTIM_SEARCH_NONE] = "none",
    [OPTIM_SEARCH_BACKTRACKING] = "backtracking",
};

const char *const optim_adjust_words[] = {
    [OPTIM_ADJUST_ORIGINAL] = "original",
    [OPTIM_ADJUST_MATCH_RMS] = "match_rms_adamw",
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

double *optimizer_momentum(const struct optimizer *optimizer, struct optim_hyper *hyper)
{
    double *momentum = NULL;
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (optimizer->hyper[i].offset == offsetof(struct optim_hyper, beta1))
            return &hyper->beta1;
        if (optimizer->hyper[i].offset == offsetof(struct optim_hyper, momentum))
            momentum = &hyper->momentum;
    }
    return momentum;
}

void optimizer_hyper_defaults(const struct optimizer *optimizer, struct optim_hyper *ret_hyper)
{
    *ret_hyper = (struct optim_hyper){.lr = 0.0};
    for (size_t i = 0; i < optimizer->hypers; i++)
        put(&optimizer->hyper[i], optimizer->hyper[i].fallback, ret_hyper);
}

size_t optimizer_slots(const struct optimizer *optimizer)
{
    size_t slots = 0;
    while (slots < OPTIMIZER_SLOTS_MAX && optimizer->slot[slots].name != NULL)
        slots++;
    return slots;
}

uint64_t optim_floats(const struct optim_hyper *hyper, size_t tensors,
                      const struct optim_shape *shape)
{
    (void)hyper;
    uint64_t floats = 0;
    for (size_t i = 0; i < tensors; i++)
        floats += shape[i].elements;
    return floats;
}

uint64_t optimizer_slot_floats(const struct optimizer *optimizer, size_t slot,
                               const struct optim_hyper *hyper, size_t tensors,
                               const struct optim_shape *shape)
{
    const struct optim_slot_spec *const spec = &optimizer->slot[slot];
    if (spec->used != NULL && !spec->used(hyper))
        return 0;
    return (spec->floats != NULL ? spec->floats : optim_floats)(hyper, tensors, shape);
}

/* ---- Setting hyperparameters ----------------------------------------------------------------- */

/* PyTorch's lists, and what their numbers are called one by one. A row that has not all of them
 * has not the list. */
static const struct hyper_list {
    const char *name;
    const char *of[4]; /* ends at NULL */
} lists[] = {
    {"betas", {"beta1", "beta2"}},
    {"etas", {"etaminus", "etaplus"}},
    {"step_sizes", {"step_min", "step_max"}},
    {"eps", {"eps1", "eps2"}},
    {"ns_coefficients", {"ns_a", "ns_b", "ns_c"}},
};

#define LISTS (sizeof lists / sizeof lists[0])

static const struct optim_hyper_spec *find_spec(const struct optimizer *optimizer, const char *name)
{
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (strcmp(name, optimizer->hyper[i].name) == 0)
            return &optimizer->hyper[i];
    }
    return NULL;
}

static size_t list_length(const struct hyper_list *list)
{
    size_t length = 0;
    while (list->of[length] != NULL)
        length++;
    return length;
}

static bool has_list(const struct optimizer *optimizer, const struct hyper_list *list)
{
    for (size_t i = 0; list->of[i] != NULL; i++) {
        if (find_spec(optimizer, list->of[i]) == NULL)
            return false;
    }
    return true;
}

static const struct hyper_list *find_list(const struct optimizer *optimizer, const char *name)
{
    for (size_t i = 0; i < LISTS; i++) {
        if (strcmp(name, lists[i].name) == 0 && has_list(optimizer, &lists[i]))
            return &lists[i];
    }
    return NULL;
}

bool optimizer_knows(const struct optimizer *optimizer, const char *name)
{
    return find_spec(optimizer, name) != NULL || find_list(optimizer, name) != NULL;
}

size_t optimizer_values(const struct optimizer *optimizer, const char *name)
{
    if (find_spec(optimizer, name) != NULL)
        return 1;
    const struct hyper_list *const list = find_list(optimizer, name);
    return list == NULL ? 0 : list_length(list);
}

bool optimizer_list_holds(const char *list, const char *name)
{
    for (size_t i = 0; i < LISTS; i++) {
        for (size_t k = 0; strcmp(lists[i].name, list) == 0 && lists[i].of[k] != NULL; k++) {
            if (strcmp(lists[i].of[k], name) == 0)
                return true;
        }
    }
    return false;
}

void optimizer_offer(const struct optimizer *optimizer, struct nearest *nearest)
{
    for (size_t i = 0; i < optimizer->hypers; i++)
        nearest_offer(nearest, optimizer->hyper[i].name);
    for (size_t i = 0; i < LISTS; i++) {
        if (has_list(optimizer, &lists[i]) && find_spec(optimizer, lists[i].name) == NULL)
            nearest_offer(nearest, lists[i].name);
    }
}

static enum stepd_status fail_unknown(const struct optimizer *optimizer, const char *name,
                                      struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    optimizer_offer(optimizer, &nearest);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s has no hyperparameter '%s': %s",
                      optimizer->name, name, nearest_hint(&nearest));
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
    if (spec->word != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "hyperparameter '%s' of %s is a word such as '%s', not %g", spec->name,
                          optimizer->name, spec->word[(size_t)spec->fallback], value);
    if (!in_range(spec, value))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "hyperparameter '%s' of %s must be in %c%g, %g%c, and %g is not",
                          spec->name, optimizer->name, spec->least_open ? '(' : '[', spec->least,
                          spec->most, spec->most_open ? ')' : ']', value);
    if (spec->whole && value != floor(value))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "hyperparameter '%s' of %s must be a whole number, and %g is not",
                          spec->name, optimizer->name, value);
    put(spec, value, hyper);
    return STEPD_OK;
}

enum stepd_status optimizer_hyper_set(const struct optimizer *optimizer, const char *name,
                                      double value, struct optim_hyper *hyper,
                                      struct stepd_error *reterr)
{
    const struct optim_hyper_spec *const spec = find_spec(optimizer, name);
    if (spec != NULL)
        return set(optimizer, spec, value, hyper, reterr);
    const struct hyper_list *const list = find_list(optimizer, name);
    if (list == NULL)
        return fail_unknown(optimizer, name, reterr);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s of %s takes %zu numbers, not 1", name,
                      optimizer->name, list_length(list));
}

static bool is_boolean(const struct optim_hyper_spec *spec)
{
    return spec->word == NULL && spec->whole && spec->least == 0.0 && spec->most == 1.0;
}

enum stepd_status optimizer_hyper_set_word(const struct optimizer *optimizer, const char *name,
                                           const char *word, struct optim_hyper *hyper,
                                           struct stepd_error *reterr)
{
    const struct optim_hyper_spec *const spec = find_spec(optimizer, name);
    if (spec == NULL)
        return fail_unknown(optimizer, name, reterr);
    double value = 0.0;
    if (is_boolean(spec) && range_read_switch(word, &value))
        return set(optimizer, spec, value, hyper, reterr);
    if (spec->word == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "hyperparameter '%s' of %s is %s, not '%s'", name, optimizer->name,
                          is_boolean(spec) ? "true or false" : "a number", word);
    struct nearest nearest;
    nearest_init(&nearest, word);
    for (size_t i = (size_t)spec->least; i <= (size_t)spec->most; i++) {
        if (strcmp(word, spec->word[i]) == 0) {
            put(spec, (double)i, hyper);
            return STEPD_OK;
        }
        nearest_offer(&nearest, spec->word[i]);
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "hyperparameter '%s' of %s cannot be '%s': %s", name, optimizer->name, word,
                      nearest_hint(&nearest));
}

enum stepd_status optimizer_hyper_set_list(const struct optimizer *optimizer, const char *name,
                                           size_t values, const double *value,
                                           struct optim_hyper *hyper, struct stepd_error *reterr)
{
    if (values == 1)
        return optimizer_hyper_set(optimizer, name, value[0], hyper, reterr);
    const struct hyper_list *const list = find_list(optimizer, name);
    if (list == NULL && find_spec(optimizer, name) == NULL)
        return fail_unknown(optimizer, name, reterr);
    const size_t length = list == NULL ? 1 : list_length(list);
    if (values != length)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s of %s takes %zu number%s, not %zu",
                          name, optimizer->name, length, length == 1 ? "" : "s", values);
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < length && status == STEPD_OK; i++)
        status = optimizer_hyper_set(optimizer, list->of[i], value[i], hyper, reterr);
    return status;
}

enum stepd_status optimizer_preset(const struct optimizer *optimizer, const char *preset,
                                   struct optim_hyper *hyper, struct stepd_error *reterr)
{
    const bool lecture = strcmp(preset, "lecture") == 0;
    if (!lecture && strcmp(preset, "torch") != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "unknown preset '%s': it is torch or lecture", preset);
    optimizer_hyper_defaults(optimizer, hyper);
    for (size_t i = 0; lecture && i < OPTIMIZER_FIXED_MAX && optimizer->lecture[i].name != NULL;
         i++)
        put(find_spec(optimizer, optimizer->lecture[i].name), optimizer->lecture[i].value, hyper);
    return STEPD_OK;
}

enum stepd_status optimizer_hyper_check(const struct optimizer *optimizer,
                                        const struct optim_hyper *hyper, struct stepd_error *reterr)
{
    return optimizer->check == NULL ? STEPD_OK : optimizer->check(hyper, reterr);
}
