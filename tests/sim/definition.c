/* SPDX-License-Identifier: Apache-2.0
 *
 * In this order, because each depends on the one before: which tensors a group takes and which
 * optimizers it has; the tensors, as large as the optimizers of the group that will take them
 * allow; the settings.
 *
 * Settings that do not go together are drawn again, and the daemon's own checks say which those
 * are: it is not the refusals that are tested here.
 */
#include "tests/sim/definition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/group.h"
#include "server/optim/norms.h"

enum { DRAWS_MAX = 1000, ELEMENTS_MOST = 700, DIMS_MOST = 3 };

/* What a group is to be. */
struct intent {
    size_t optimizers;                     /* of the first phase, and of those behind it */
    size_t row[1 + DEFINITION_PHASES_MAX]; /* of each, in the table */
    bool inherits;                         /* the first from the defaults */
    bool assigned;                         /* where all or none must be */
    bool norms;                            /* its gradients may be clipped by their norms */
    size_t tensors;
};

struct draft {
    struct drawing *drawing;
    struct definition def;
    struct stepd_group *group;
    struct intent intent[DEFINITION_GROUPS_MAX];
};

static struct random *dice(const struct draft *draft)
{
    return &draft->drawing->random;
}

static bool names_search(const struct stepd_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->at[i].word, "backtracking") == 0)
            return true;
    }
    return false;
}

static bool names_losses(const struct stepd_group *group)
{
    bool names = strcmp(group->schedule, "plateau") == 0 || names_search(&group->settings);
    for (size_t i = 0; i < group->phases; i++)
        names = names || names_search(&group->phase[i].settings);
    return names;
}

bool definition_names_losses(const struct stepd_define_job *job)
{
    bool names = names_losses(&job->defaults);
    for (size_t i = 0; i < job->groups; i++)
        names = names || names_losses(&job->group[i]);
    return names;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* Number `index` of its optimizers. */
static const struct optimizer *optimizer_of(const struct intent *intent, size_t index)
{
    return optimizer_at(intent->row[index]);
}

static bool may_draw(const struct draft *draft, const struct optimizer *optimizer,
                     bool only_matrices)
{
    if (optimizer->sync_only && draft->def.job.mode != STEPD_SYNC)
        return false;
    return only_matrices || strcmp(optimizer->name, "muon") != 0;
}

/* Draws its row. */
static size_t draw_optimizer(const struct draft *draft, bool only_matrices)
{
    size_t row = 0;
    do {
        row = random_below(dice(draft), optimizer_count());
    } while (!may_draw(draft, optimizer_at(row), only_matrices));
    return row;
}

static bool wants(const struct intent *intent, const char *optimizer)
{
    for (size_t i = 0; i < intent->optimizers; i++) {
        if (strcmp(optimizer_of(intent, i)->name, optimizer) == 0)
            return true;
    }
    return false;
}

static enum optim_scope widest(const struct intent *intent)
{
    enum optim_scope scope = OPTIM_SCOPE_ELEMENT;
    for (size_t i = 0; i < intent->optimizers; i++)
        scope = optimizer_of(intent, i)->scope > scope ? optimizer_of(intent, i)->scope : scope;
    return scope;
}

/* Of the two or three that a group takes, one is 2: what can be stepped as a matrix. */
static struct stepd_u32s draw_ndim(const struct draft *draft, bool only_matrices)
{
    static const uint32_t dims[] = {2, 1, 0, 3};
    const size_t from = only_matrices ? 0 : random_below(dice(draft), 3);
    return (struct stepd_u32s){.count = only_matrices ? 1 : random_between(dice(draft), 1, 2),
                               .at = &dims[from]};
}

/* Which tensors it takes. The last group takes what is left. */
static void draw_match(const struct draft *draft, size_t index)
{
    struct stepd_group *group = &draft->group[index];
    char *text = drawing_alloc(draft->drawing, 32, 1);
    (void)snprintf(text, 32, "g%zu.*", index);
    group->name = random_once_in(dice(draft), 2) ? text : "";
    const bool matrices = wants(&draft->intent[index], "muon");
    if (index + 1 == draft->def.job.groups) {
        group->match = random_once_in(dice(draft), 2) ? "*" : "";
        return;
    }
    switch (random_below(dice(draft), 4)) {
    case 0: group->match = "*.bias"; break;
    case 1: group->match = "*"; break;
    case 2: group->match = "g*.*t"; break;
    default: group->match = text; break;
    }
    if (matrices || strcmp(group->match, "*") == 0 || random_once_in(dice(draft), 3))
        group->ndim = draw_ndim(draft, matrices);
}

static void draw_groups(struct draft *draft)
{
    for (size_t i = 0; i < draft->def.job.groups; i++) {
        struct intent *intent = &draft->intent[i];
        const bool last = i + 1 == draft->def.job.groups;
        const uint64_t phases = random_below(dice(draft), 2 + DEFINITION_PHASES_MAX);
        intent->optimizers = 1 + (phases == 0 ? 0 : phases - 1);
        for (size_t p = 0; p < intent->optimizers; p++)
            intent->row[p] = draw_optimizer(draft, !last);
        intent->assigned = random_once_in(dice(draft), 3);
        draft->group[i].frozen = random_once_in(dice(draft), 8);
        draw_match(draft, i);
    }
}

/* ---- Tensors --------------------------------------------------------------------------------- */

/* A draft of the groups alone, to ask which of them takes a tensor. */
static size_t find_group(const struct draft *draft, const char *name, size_t dims)
{
    const struct stepd_group nothing = {.name = ""};
    uint64_t steps = 0;
    for (size_t i = 0; i < draft->def.job.groups; i++) {
        const struct stepd_group match = {
            .match = draft->group[i].match, .ndim = draft->group[i].ndim, .optimizer = "sgd"};
        struct group group;
        assert_int_equal(group_init(&nothing, &match, &group, NULL), STEPD_OK);
        const bool takes = group_matches(&group, name, dims, &steps);
        group_deinit(&group);
        if (takes)
            return i;
    }
    fail_msg("no group takes %s", name);
    return 0;
}

/* How many elements a tensor of the group may have: nothing of a group of GROUP scope is cut, and
 * newton's Hessian has the square. */
static uint64_t elements_most(const struct intent *intent)
{
    const uint64_t share = intent->tensors;
    if (wants(intent, "newton"))
        return 24 / share;
    const bool whole = intent->norms || widest(intent) == OPTIM_SCOPE_GROUP;
    return whole ? ELEMENTS_MOST / share : ELEMENTS_MOST;
}

static void draw_shape(const struct draft *draft, const struct intent *intent,
                       struct stepd_tensor_def *tensor)
{
    uint64_t *shape = drawing_alloc(draft->drawing, DIMS_MOST, sizeof *shape);
    const uint64_t most = elements_most(intent);
    uint64_t left = random_once_in(dice(draft), 2) ? random_between(dice(draft), 1, 4)
                                                   : random_between(dice(draft), 5, ELEMENTS_MOST);
    left = left < most ? left : most;
    for (size_t i = tensor->dims; i-- > 0;) {
        const uint64_t extent = random_between(dice(draft), 1, left < 12 ? left : 12);
        shape[i] = i == 0 ? left : extent;
        left /= shape[i];
    }
    tensor->shape = shape;
}

static struct stepd_init draw_init(const struct draft *draft, const struct intent *intent)
{
    struct random *random = dice(draft);
    const double whole = (double)random_below(random, 5);
    const uint64_t seed = random_next(random);
    const bool alike = widest(intent) == OPTIM_SCOPE_GROUP;
    if (alike ? intent->assigned : random_once_in(random, 4))
        return (struct stepd_init){.kind = STEPD_INIT_VALUES};
    if (random_once_in(random, 4))
        return (struct stepd_init){.kind = STEPD_INIT_CONSTANT, .a = whole};
    if (random_once_in(random, 3))
        return (struct stepd_init){.kind = STEPD_INIT_UNIFORM, .a = -0.5, .b = 1.0, .seed = seed};
    return (struct stepd_init){.kind = STEPD_INIT_NORMAL, .b = 0.5, .seed = seed};
}

static void draw_tensors(struct draft *draft)
{
    const size_t tensors = random_between(dice(draft), 1, DEFINITION_TENSORS_MAX);
    struct stepd_tensor_def *tensor = drawing_alloc(draft->drawing, tensors, sizeof *tensor);
    size_t group[DEFINITION_TENSORS_MAX];
    for (size_t i = 0; i < tensors; i++) {
        char *name = drawing_alloc(draft->drawing, 32, 1);
        const bool bias = random_once_in(dice(draft), 3);
        (void)snprintf(name, 32, "g%d.t%zu.%s",
                       (int)random_below(dice(draft), draft->def.job.groups), i,
                       bias ? "bias" : "weight");
        tensor[i] = (struct stepd_tensor_def){
            .name = name,
            .dims = bias ? random_below(dice(draft), 2) : random_between(dice(draft), 1, DIMS_MOST),
            .group = "",
        };
        group[i] = find_group(draft, name, tensor[i].dims);
        draft->intent[group[i]].tensors++;
    }
    for (size_t i = 0; i < tensors; i++) {
        draw_shape(draft, &draft->intent[group[i]], &tensor[i]);
        tensor[i].init = draw_init(draft, &draft->intent[group[i]]);
    }
    draft->def.page =
        (struct stepd_define_tensors){.tensors = tensors, .tensor = tensor, .last = true};
}

/* ---- Settings -------------------------------------------------------------------------------- */

static const struct schedule_kind *draw_kind(const struct draft *draft, bool is_part)
{
    const struct schedule_kind *kind = NULL;
    do {
        kind = schedule_kind_at(random_below(dice(draft), schedule_kind_count()));
    } while (is_part && (kind->takes_parts || kind->wants_loss));
    return kind;
}

static size_t parts_of(const struct draft *draft, const struct setting_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->at[i].name, "milestones") == 0)
            return list->at[i].values + 1;
    }
    return random_between(dice(draft), 1, 3);
}

static void draw_parts(const struct draft *draft, size_t parts, struct stepd_group *group)
{
    struct stepd_schedule_part *part = drawing_alloc(draft->drawing, parts, sizeof *part);
    for (size_t i = 0; i < parts; i++) {
        struct setting_list list = {.count = 0};
        const struct schedule_kind *kind = draw_kind(draft, true);
        settings_of_schedule(draft->drawing, kind, &list);
        part[i] = (struct stepd_schedule_part){
            .kind = kind->name, .settings = setting_list_keep(draft->drawing, &list)};
    }
    group->schedule_parts = parts;
    group->schedule_part = part;
}

static void draw_schedule(const struct draft *draft, struct stepd_group *group)
{
    struct setting_list list = {.count = 0};
    const struct schedule_kind *kind = draw_kind(draft, false);
    settings_of_schedule(draft->drawing, kind, &list);
    group->schedule = kind->name;
    group->schedule_settings = setting_list_keep(draft->drawing, &list);
    group->schedule_parts = 0;
    if (kind->takes_parts)
        draw_parts(draft, parts_of(draft, &list), group);
}

/* Some settings over those of the defaults' schedule, which the group takes. */
static void draw_overrides(const struct draft *draft, struct stepd_group *group)
{
    struct setting_list list = {.count = 0};
    if (random_once_in(dice(draft), 2))
        setting_list_number(draft->drawing, &list, "warmup", (double)random_below(dice(draft), 4));
    group->schedule = "";
    group->schedule_parts = 0;
    group->schedule_settings = setting_list_keep(draft->drawing, &list);
}

/* The optimizer's, and lr_mult where it says nothing of lr. */
static void draw_hypers(const struct draft *draft, const struct optimizer *optimizer,
                        struct setting_list *list)
{
    settings_of_optimizer(draft->drawing, optimizer, list);
    if (!setting_list_has(list, "lr") && random_once_in(dice(draft), 2))
        setting_list_number(draft->drawing, list, "lr_mult",
                            drawing_number(draft->drawing, 0.5, 2.0));
}

static void draw_phases(const struct draft *draft, const struct intent *intent,
                        struct stepd_group *group)
{
    const size_t phases = intent->optimizers - 1;
    struct stepd_phase *phase = drawing_alloc(draft->drawing, phases, sizeof *phase);
    uint64_t from = 0;
    for (size_t i = 0; i < phases; i++) {
        struct setting_list list = {.count = 0};
        draw_hypers(draft, optimizer_of(intent, i + 1), &list);
        from += random_between(dice(draft), 1, 4);
        phase[i] = (struct stepd_phase){.from = from,
                                        .optimizer = optimizer_of(intent, i + 1)->name,
                                        .settings = setting_list_keep(draft->drawing, &list)};
    }
    group->phases = phases;
    group->phase = phase;
}

static void draw_settings(const struct draft *draft, const struct intent *intent,
                          struct stepd_group *group)
{
    struct setting_list list = {.count = 0};
    draw_hypers(draft, optimizer_of(intent, 0), &list);
    settings_of_treatment(draft->drawing, 4, &list);
    if (intent->norms && random_once_in(dice(draft), 2))
        setting_list_number(draft->drawing, &list, "clip_norm",
                            drawing_number(draft->drawing, 0.1, 3.0));
    group->optimizer = intent->inherits ? "" : optimizer_of(intent, 0)->name;
    group->settings = setting_list_keep(draft->drawing, &list);
    draw_phases(draft, intent, group);
    if (random_once_in(dice(draft), 4))
        draw_overrides(draft, group);
    else
        draw_schedule(draft, group);
}

static bool is_accepted(const struct draft *draft, const struct stepd_group *group)
{
    struct group accepted;
    if (group_init(&draft->def.job.defaults, group, &accepted, NULL) != STEPD_OK)
        return false;
    group_deinit(&accepted);
    return true;
}

/* ---- Defaults -------------------------------------------------------------------------------- */

/* The groups that have the defaults' optimizer may leave it out. */
static void draw_defaults(struct draft *draft)
{
    static const double all[] = {0.8, 0.95};
    struct setting_list list = {.count = 0};
    struct stepd_group *defaults = &draft->def.job.defaults;
    *defaults = (struct stepd_group){.optimizer = "", .schedule = ""};
    if (random_once_in(dice(draft), 2)) {
        const struct intent *intent =
            &draft->intent[random_below(dice(draft), draft->def.job.groups)];
        defaults->optimizer = optimizer_of(intent, 0)->name;
        settings_of_optimizer(draft->drawing, optimizer_of(intent, 0), &list);
    } else if (random_once_in(dice(draft), 2)) {
        setting_list_number(draft->drawing, &list, "lr", drawing_number(draft->drawing, 0.01, 0.1));
        setting_list_number(draft->drawing, &list, "momentum", all[random_below(dice(draft), 2)]);
        setting_list_number(draft->drawing, &list, "weight_decay",
                            drawing_number(draft->drawing, 0.0, 0.1));
    }
    settings_of_treatment(draft->drawing, 6, &list);
    defaults->settings = setting_list_keep(draft->drawing, &list);
    if (random_once_in(dice(draft), 2))
        draw_schedule(draft, defaults);
}

static void draw_job_defaults(struct draft *draft)
{
    for (size_t draws = 0; draws < DRAWS_MAX; draws++) {
        draw_defaults(draft);
        if (group_check_defaults(&draft->def.job.defaults, NULL) == STEPD_OK)
            return;
    }
    fail_msg("the defaults are refused in every draw");
}

static void draw_group_settings(struct draft *draft, size_t index)
{
    struct intent *intent = &draft->intent[index];
    struct stepd_group *group = &draft->group[index];
    const bool same = strcmp(draft->def.job.defaults.optimizer, optimizer_of(intent, 0)->name) == 0;
    for (size_t draws = 0; draws < DRAWS_MAX; draws++) {
        intent->inherits = same && random_once_in(dice(draft), 2);
        draw_settings(draft, intent, group);
        if (is_accepted(draft, group))
            return;
    }
    fail_msg("a group with %s is refused in every draw", optimizer_of(intent, 0)->name);
}

/* ---- All of it ------------------------------------------------------------------------------- */

struct definition definition_draw(struct drawing *drawing, enum stepd_mode mode, uint32_t workers)
{
    struct draft draft = {.drawing = drawing};
    draft.def.job = (struct stepd_define_job){
        .mode = mode,
        .workers = workers,
        .groups = random_between(&drawing->random, 1, DEFINITION_GROUPS_MAX),
        .slice_elements = DEFINITION_SLICE_ELEMENTS,
    };
    const bool norms = mode == STEPD_SYNC && random_once_in(&drawing->random, 4);
    if (norms)
        draft.def.job.slice_elements = NORMS_BLOCK; /* sums of squares are taken over as many */
    for (size_t i = 0; i < draft.def.job.groups; i++)
        draft.intent[i].norms = norms;
    draft.group = drawing_alloc(drawing, draft.def.job.groups, sizeof *draft.group);
    draft.def.job.group = draft.group;
    draw_groups(&draft);
    draw_tensors(&draft);
    struct setting_list settings = {.count = 0};
    settings_of_consistency(drawing, mode, workers, norms, &settings);
    draft.def.job.settings = setting_list_keep(drawing, &settings);
    draw_job_defaults(&draft);
    for (size_t i = 0; i < draft.def.job.groups; i++)
        draw_group_settings(&draft, i);
    return draft.def;
}
