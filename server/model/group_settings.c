/* SPDX-License-Identifier: Apache-2.0
 *
 * From settings to hyperparameters. A phase of a group starts from its optimizer's defaults, in the
 * form that a preset pins, and then takes the settings layer by layer: the job's defaults, the
 * group's, and for a later phase its own. The last layer is what somebody wrote for this very
 * optimizer, so it must know each name there; of the layers below it takes what it knows, and
 * leaves what a layer above says anew.
 *
 * Beside the names of the optimizer's own there are two that say how the others are meant (preset
 * and lr_mult), and those of the treatment, which is the same whatever the optimizer.
 */
#include <float.h>
#include <string.h>
#include <strings.h>

#include "proto/error.h"
#include "server/base/nearest.h"
#include "server/base/range.h"
#include "server/model/group_internal.h"

static const char preset_name[] = "preset";
static const char lr_name[] = "lr";
static const char lr_mult_name[] = "lr_mult";

/* A rate may grow by as much as any rate may be; see HYPER_MOST of the optimizers' rows. */
#define LR_MULT_MOST 1e9

/* ---- The treatment --------------------------------------------------------------------------- */

struct treatment_spec {
    const char *name;
    struct range range;
    void (*put)(struct treatment *treatment, double value);
};

static void put_maximize(struct treatment *treatment, double value)
{
    treatment->maximize = value != 0.0;
}

static void put_clip_value(struct treatment *treatment, double value)
{
    treatment->clip_value = value;
}

static void put_clip_norm(struct treatment *treatment, double value)
{
    treatment->clip_norm = value;
}

static void put_ema_decay(struct treatment *treatment, double value)
{
    treatment->ema_decay = value;
}

static void put_swa_start(struct treatment *treatment, double value)
{
    treatment->swa = true;
    treatment->swa_start = (uint64_t)value;
}

static void put_swa_every(struct treatment *treatment, double value)
{
    treatment->swa = true;
    treatment->swa_every = (uint64_t)value;
}

static const struct treatment_spec treatment_specs[] = {
    {.name = "maximize", .range = {.most = 1.0, .whole = true}, .put = put_maximize},
    {.name = "clip_norm", .range = {.most = FLT_MAX}, .put = put_clip_norm},
    {.name = "clip_value", .range = {.most = FLT_MAX}, .put = put_clip_value},
    {.name = "ema_decay", .range = {.most = 1.0, .most_open = true}, .put = put_ema_decay},
    {.name = "swa_start", .range = {.most = RANGE_WHOLE_MOST, .whole = true}, .put = put_swa_start},
    {.name = "swa_every",
     .range = {.least = 1.0, .most = RANGE_WHOLE_MOST, .whole = true},
     .put = put_swa_every},
};

#define TREATMENT_SPECS (sizeof treatment_specs / sizeof treatment_specs[0])

static const struct treatment_spec *find_treatment(const char *name)
{
    for (size_t i = 0; i < TREATMENT_SPECS; i++) {
        if (strcmp(name, treatment_specs[i].name) == 0)
            return &treatment_specs[i];
    }
    return NULL;
}

/* ---- Settings by themselves ------------------------------------------------------------------ */

static bool is_word(const struct stepd_setting *setting)
{
    return group_text(setting->word)[0] != '\0';
}

/* Is it none of the optimizer's? */
static bool is_special(const char *name)
{
    return strcmp(name, preset_name) == 0 || strcmp(name, lr_mult_name) == 0 ||
           find_treatment(name) != NULL;
}

static const struct stepd_setting *find_setting(const struct stepd_settings *settings,
                                                const char *name)
{
    for (size_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->at[i].name, name) == 0)
            return &settings->at[i];
    }
    return NULL;
}

enum stepd_status group_refuse_list(const struct stepd_setting *setting, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "%s takes one value, and not a list: write %g in the place of [%g]",
                      setting->name, setting->value[0], setting->value[0]);
}

static enum stepd_status take_number(const struct stepd_setting *setting, double *ret_value,
                                     struct stepd_error *reterr)
{
    if (is_word(setting))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes a number, not '%s'",
                          setting->name, setting->word);
    if (setting->values != 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes one number, not %zu",
                          setting->name, setting->values);
    if (setting->list)
        return group_refuse_list(setting, reterr);
    *ret_value = setting->value[0];
    return STEPD_OK;
}

/* Schedules take upper and lower case for the same. */
static bool stands_before(const struct stepd_settings *settings, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcasecmp(settings->at[i].name, settings->at[index].name) == 0)
            return true;
    }
    return false;
}

enum stepd_status group_check_once(const struct stepd_settings *settings,
                                   struct stepd_error *reterr)
{
    if (settings->count > STEPD_SETTINGS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu settings; the most are %u",
                          settings->count, STEPD_SETTINGS_MAX);
    for (size_t i = 0; i < settings->count; i++) {
        if (stands_before(settings, i))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is set twice",
                              settings->at[i].name);
    }
    return STEPD_OK;
}

/* A list beside one of its numbers: who would stand above the other? */
static enum stepd_status check_lists(const struct stepd_settings *settings,
                                     struct stepd_error *reterr)
{
    for (size_t i = 0; i < settings->count; i++) {
        for (size_t k = 0; k < settings->count; k++) {
            if (optimizer_list_holds(settings->at[i].name, settings->at[k].name))
                return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                                  "%s and %s are both set, and the first holds the second; keep "
                                  "one",
                                  settings->at[i].name, settings->at[k].name);
        }
    }
    return STEPD_OK;
}

enum stepd_status group_check_settings(const struct stepd_settings *settings,
                                       enum group_layer layer, struct stepd_error *reterr)
{
    enum stepd_status status = group_check_once(settings, reterr);
    if (status == STEPD_OK)
        status = check_lists(settings, reterr);
    if (status != STEPD_OK)
        return status;
    const bool multiplies = find_setting(settings, lr_mult_name) != NULL;
    if (multiplies && layer == GROUP_LAYER_DEFAULTS)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "lr_mult belongs to a group, where it multiplies the default's lr");
    if (multiplies && find_setting(settings, lr_name) != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "lr and lr_mult are both set: lr stands for itself, lr_mult multiplies "
                          "the default's; keep one");
    for (size_t i = 0; i < settings->count && layer == GROUP_LAYER_PHASE; i++) {
        if (find_treatment(settings->at[i].name) != NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "%s belongs to the group, and not to one of its phases",
                              settings->at[i].name);
    }
    return STEPD_OK;
}

/* ---- Unknown names --------------------------------------------------------------------------- */

/* Offers what may stand in this layer. */
static void offer_special(enum group_layer layer, struct nearest *nearest)
{
    nearest_offer(nearest, preset_name);
    if (layer != GROUP_LAYER_DEFAULTS)
        nearest_offer(nearest, lr_mult_name);
    for (size_t i = 0; i < TREATMENT_SPECS && layer != GROUP_LAYER_PHASE; i++)
        nearest_offer(nearest, treatment_specs[i].name);
}

static enum stepd_status fail_unknown(const struct optimizer *optimizer, const char *name,
                                      enum group_layer layer, struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    optimizer_offer(optimizer, &nearest);
    offer_special(layer, &nearest);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s has no hyperparameter '%s': %s",
                      optimizer->name, name, nearest_hint(&nearest));
}

static bool is_known(const char *name, struct nearest *nearest)
{
    bool known = is_special(name);
    for (size_t i = 0; i < optimizer_count() && !known; i++) {
        known = optimizer_knows(optimizer_at(i), name);
        optimizer_offer(optimizer_at(i), nearest);
    }
    return known;
}

enum stepd_status group_check_known(const struct stepd_settings *settings,
                                    struct stepd_error *reterr)
{
    for (size_t i = 0; i < settings->count; i++) {
        struct nearest nearest;
        nearest_init(&nearest, settings->at[i].name);
        offer_special(GROUP_LAYER_DEFAULTS, &nearest);
        if (!is_known(settings->at[i].name, &nearest))
            return stepd_fail(
                reterr, STEPD_INVALID_ARGUMENT, "no optimizer has a hyperparameter '%s'%s%s%s",
                settings->at[i].name, nearest.name != NULL ? ": did you mean '" : "",
                nearest.name != NULL ? nearest.name : "", nearest.name != NULL ? "'?" : "");
    }
    return STEPD_OK;
}

/* ---- Layers ---------------------------------------------------------------------------------- */

static bool is_own(const struct group_layers *layers, size_t layer)
{
    return layer + 1 == layers->count;
}

static enum stepd_status set_hyper(const struct stepd_setting *setting, enum group_layer layer,
                                   struct phase *phase, struct stepd_error *reterr)
{
    if (!optimizer_knows(phase->optimizer, setting->name))
        return fail_unknown(phase->optimizer, setting->name, layer, reterr);
    if (is_word(setting))
        return optimizer_hyper_set_word(phase->optimizer, setting->name, setting->word,
                                        &phase->hyper, reterr);
    if (setting->list && setting->values == 1 &&
        optimizer_values(phase->optimizer, setting->name) == 1)
        return group_refuse_list(setting, reterr);
    return optimizer_hyper_set_list(phase->optimizer, setting->name, setting->values,
                                    setting->value, &phase->hyper, reterr);
}

/* lr_mult of a layer, on the lr that the layers below have left. */
static enum stepd_status multiply_lr(const struct group_layers *layers, size_t layer,
                                     struct phase *phase, struct stepd_error *reterr)
{
    const struct stepd_setting *const setting = find_setting(layers->at[layer], lr_mult_name);
    if (setting == NULL)
        return STEPD_OK;
    double factor = 0.0;
    const enum stepd_status status = take_number(setting, &factor, reterr);
    if (status != STEPD_OK)
        return status;
    if (!(factor >= 0.0 && factor <= LR_MULT_MOST))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "lr_mult must be in [0, %g], and %g is not", LR_MULT_MOST, factor);
    if (!optimizer_knows(phase->optimizer, lr_name)) {
        if (!is_own(layers, layer))
            return STEPD_OK;
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s has no lr that lr_mult could multiply", phase->optimizer->name);
    }
    return optimizer_hyper_set(phase->optimizer, lr_name, phase->hyper.lr * factor, &phase->hyper,
                               reterr);
}

/* What stands in a lower layer was meant for another optimizer: adam's eps is one number, and
 * adafactor's two. */
static bool is_meant(const struct phase *phase, const struct stepd_setting *setting)
{
    const size_t values = optimizer_values(phase->optimizer, setting->name);
    return values > 0 && (is_word(setting) || values == setting->values);
}

/* Does a layer above say it anew, to this optimizer? */
static bool is_covered(const struct group_layers *layers, size_t layer, const struct phase *phase,
                       const char *name)
{
    for (size_t i = layer + 1; i < layers->count; i++) {
        const struct stepd_setting *const setting = find_setting(layers->at[i], name);
        if (setting != NULL && is_meant(phase, setting))
            return true;
    }
    return false;
}

static enum stepd_status take_layer(const struct group_layers *layers, size_t layer,
                                    struct phase *phase, struct stepd_error *reterr)
{
    const struct stepd_settings *const settings = layers->at[layer];
    for (size_t i = 0; i < settings->count; i++) {
        const struct stepd_setting *const setting = &settings->at[i];
        const bool left_out =
            !is_own(layers, layer) &&
            (!is_meant(phase, setting) || is_covered(layers, layer, phase, setting->name));
        if (is_special(setting->name) || left_out)
            continue;
        const enum stepd_status status = set_hyper(setting, (enum group_layer)layer, phase, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return multiply_lr(layers, layer, phase, reterr);
}

/* The form that the highest layer with a preset pins. */
static enum stepd_status take_preset(const struct group_layers *layers, struct phase *phase,
                                     struct stepd_error *reterr)
{
    const struct stepd_setting *preset = NULL;
    for (size_t i = 0; i < layers->count; i++) {
        const struct stepd_setting *const setting = find_setting(layers->at[i], preset_name);
        preset = setting != NULL ? setting : preset;
    }
    if (preset != NULL && !is_word(preset))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "preset takes a word: torch or lecture");
    const char *const name = preset != NULL ? preset->word : "torch";
    return optimizer_preset(phase->optimizer, name, &phase->hyper, reterr);
}

enum stepd_status group_init_phase(const char *optimizer, const struct group_layers *layers,
                                   struct phase *ret_phase, struct stepd_error *reterr)
{
    struct phase phase = {.from = 0};
    enum stepd_status status = optimizer_find(optimizer, &phase.optimizer, reterr);
    if (status == STEPD_OK)
        status = take_preset(layers, &phase, reterr);
    for (size_t i = 0; i < layers->count && status == STEPD_OK; i++) {
        status = take_layer(layers, i, &phase, reterr);
        if (status != STEPD_OK && i == GROUP_LAYER_DEFAULTS && !is_own(layers, i))
            (void)stepd_fail_in(reterr, status, "defaults");
    }
    if (status == STEPD_OK)
        status = optimizer_hyper_check(phase.optimizer, &phase.hyper, reterr);
    if (status == STEPD_OK)
        *ret_phase = phase;
    return status;
}

static enum stepd_status treat(const struct stepd_setting *setting,
                               const struct treatment_spec *spec, struct treatment *treatment,
                               struct stepd_error *reterr)
{
    double value = 0.0;
    const bool is_switch = range_is_switch(&spec->range);
    enum stepd_status status = STEPD_OK;
    if (is_switch && is_word(setting) && !range_read_switch(setting->word, &value))
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes true or false, not '%s'",
                            spec->name, setting->word);
    else if (!is_switch || !is_word(setting))
        status = take_number(setting, &value, reterr);
    if (status == STEPD_OK)
        status = range_check(&spec->range, spec->name, value, reterr);
    if (status == STEPD_OK)
        spec->put(treatment, value);
    return status;
}

enum stepd_status group_lay_settings(const struct stepd_settings *settings, struct phase *phase,
                                     struct stepd_error *reterr)
{
    const struct group_layers layers = {.count = 1, .at = {settings}};
    if (find_setting(settings, preset_name) != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "preset says where an optimizer begins; name the optimizer with it, or "
                          "set what it stands for");
    const enum stepd_status status = take_layer(&layers, 0, phase, reterr);
    return status == STEPD_OK ? optimizer_hyper_check(phase->optimizer, &phase->hyper, reterr)
                              : status;
}

enum stepd_status group_init_treatment(const struct group_layers *layers,
                                       struct treatment *ret_treatment, struct stepd_error *reterr)
{
    struct treatment treatment = {.swa_every = 1};
    const enum stepd_status status = group_lay_treatment(layers, &treatment, reterr);
    if (status == STEPD_OK)
        *ret_treatment = treatment;
    return status;
}

enum stepd_status group_lay_treatment(const struct group_layers *layers,
                                      struct treatment *treatment, struct stepd_error *reterr)
{
    for (size_t layer = 0; layer < layers->count; layer++) {
        const struct stepd_settings *const settings = layers->at[layer];
        for (size_t i = 0; i < settings->count; i++) {
            const struct treatment_spec *const spec = find_treatment(settings->at[i].name);
            if (spec == NULL)
                continue;
            const enum stepd_status status = treat(&settings->at[i], spec, treatment, reterr);
            if (status != STEPD_OK)
                return status;
        }
    }
    return STEPD_OK;
}
