/* SPDX-License-Identifier: Apache-2.0
 *
 * Random settings for optimizers, schedules and what is done beside them: from the tables of the
 * daemon, each name with a value that is in its range and leads somewhere within a few steps. That
 * the settings of several layers go together is for the caller to see to.
 */
#ifndef TESTS_SIM_SETTINGS_H
#define TESTS_SIM_SETTINGS_H

#include "proto/arena.h"
#include "proto/message.h"
#include "server/optim/optimizer.h"
#include "server/schedule/schedule.h"
#include "tests/lib/random.h"

/* Where all is drawn from, and where all that is drawn lives. */
struct drawing {
    struct random random;
    struct stepd_arena arena;
};

struct setting_list {
    size_t count;
    struct stepd_setting at[STEPD_SETTINGS_MAX];
};

/* PyTorch's lists, and what their numbers are called one by one. */
struct setting_names {
    const char *name;
    const char *of[4]; /* ends at NULL */
};

enum { SETTING_LISTS = 5 };

extern const struct setting_names setting_lists[SETTING_LISTS];

/* Memory of the drawing; zeroed. */
void *drawing_alloc(struct drawing *drawing, size_t count, size_t size);

/* A number in [least, most). */
double drawing_number(struct drawing *drawing, double least, double most);

/* A list as a definition has it. */
struct stepd_settings setting_list_keep(struct drawing *drawing, const struct setting_list *list);

/* Adds one that is not in the list yet; name and word are borrowed. */
void setting_list_number(struct drawing *drawing, struct setting_list *list, const char *name,
                         double value);
void setting_list_word(struct setting_list *list, const char *name, const char *word);

bool setting_list_has(const struct setting_list *list, const char *name);

/* Some of an optimizer's hyperparameters, one by one or as a list, and at times a preset. */
void settings_of_optimizer(struct drawing *drawing, const struct optimizer *optimizer,
                           struct setting_list *list);

/* What may be done before and after any optimizer; each is, once in `seldom` times. */
void settings_of_treatment(struct drawing *drawing, uint64_t seldom, struct setting_list *list);

/* How gradients become steps, beside the mode: settings that go together. norms: gradients may be
 * clipped by their norms. */
void settings_of_consistency(struct drawing *drawing, enum stepd_mode mode, uint32_t workers,
                             bool norms, struct setting_list *list);

/* All parameters of a kind that must be given, and some that may. */
void settings_of_schedule(struct drawing *drawing, const struct schedule_kind *kind,
                          struct setting_list *list);

#endif
