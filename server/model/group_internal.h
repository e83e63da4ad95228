/* SPDX-License-Identifier: Apache-2.0
 *
 * What group.c, group_settings.c and group_schedule.c share: how the settings of a definition are
 * laid over each other.
 */
#ifndef MODEL_GROUP_INTERNAL_H
#define MODEL_GROUP_INTERNAL_H

#include "server/model/group.h"

/* Where a setting stands; each layer is laid over those before it. */
enum group_layer {
    GROUP_LAYER_DEFAULTS, /* of the job */
    GROUP_LAYER_GROUP,
    GROUP_LAYER_PHASE, /* a later one than the first */
    GROUP_LAYERS,
};

/* The layers that make a phase; the last one is its own. */
struct group_layers {
    size_t count;
    const struct stepd_settings *at[GROUP_LAYERS]; /* borrowed */
};

/* NULL is the empty text. */
static inline const char *group_text(const char *text)
{
    return text == NULL ? "" : text;
}

/* Each setting stands once and may stand in this layer. INVALID_ARGUMENT. */
enum stepd_status group_check_settings(const struct stepd_settings *settings,
                                       enum group_layer layer,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Each setting of a schedule stands once. INVALID_ARGUMENT. */
enum stepd_status group_check_once(const struct stepd_settings *settings,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: a list of one number stands where a number does. */
enum stepd_status group_refuse_list(const struct stepd_setting *setting,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: no optimizer, and nothing else, knows a setting; the text names the nearest. */
enum stepd_status group_check_known(const struct stepd_settings *settings,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Optimizer and hyperparameters of a phase. INVALID_ARGUMENT, NOT_FOUND. */
enum stepd_status group_init_phase(const char *optimizer, const struct group_layers *layers,
                                   struct phase *ret_phase,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What is done before and after any optimizer. INVALID_ARGUMENT. */
enum stepd_status group_init_treatment(const struct group_layers *layers,
                                       struct treatment *ret_treatment,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same, over a treatment that stands. */
enum stepd_status group_lay_treatment(const struct group_layers *layers,
                                      struct treatment *treatment,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Settings over a phase that stands: each must be its optimizer's, of the treatment, which is left
 * out, or lr_mult, which multiplies the lr that it has. On failure the phase is of no more use.
 * INVALID_ARGUMENT. */
enum stepd_status group_lay_settings(const struct stepd_settings *settings, struct phase *phase,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Settings over a schedule that stands. On failure it is of no more use. INVALID_ARGUMENT. */
enum stepd_status group_lay_schedule(const struct stepd_settings *settings,
                                     struct schedule *schedule,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: the schedule cycles the momentum, and a phase's optimizer keeps none. */
enum stepd_status group_check_cycle(const struct group *group,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The group's schedule, or that of the defaults. INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED.
 * *ret_schedule: caller frees with schedule_deinit. */
enum stepd_status group_init_schedule(const struct stepd_group *defaults,
                                      const struct stepd_group *def, struct schedule *ret_schedule,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
