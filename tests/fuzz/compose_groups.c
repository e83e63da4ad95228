/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions: settings, schedules, phases, groups, tensors, jobs.
 */
#include "tests/fuzz/compose.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const optimizers[] = {
    "sgd",       "adam",     "momentum", "adamw",    "nesterov",
    "adagrad",   "adadelta", "rmsprop",  "adamax",   "nadam",
    "radam",     "amsgrad",  "adabound", "amsbound", "ftrl",
    "lion",      "rprop",    "asgd",     "lars",     "lamb",
    "adafactor", "muon",     "swats",    "newton",   "rmsprop_nesterov",
    "lbfgs",     "",
};

static const char *const schedules[] = {
    "",        "constant",        "step",         "multistep", "exponential",
    "linear",  "polynomial",      "cosine",       "cyclic",    "noam",
    "plateau", "lambda",          "inverse_sqrt", "one_cycle", "sequential",
    "chained", "cosine_restarts",
};

static const char *const group_names[] = {
    "lr",           "weight_decay", "beta1",     "beta2",      "eps",       "momentum",
    "lr_mult",      "preset",       "clip_norm", "clip_value", "ema_decay", "swa_start",
    "swa_every",    "maximize",     "nesterov",  "dampening",  "decay",     "form",
    "eps_mode",     "amsgrad_max",  "amsgrad",   "centered",   "alpha",     "rho",
    "history_size", "line_search",  "search",    "loss_scale", "lr_decay",  "trust_coefficient",
};

static const char *const schedule_names[] = {
    "total_steps",   "warmup_steps", "step_size", "gamma",        "milestones", "t_max",
    "eta_min",       "t_0",          "t_mult",    "factor",       "patience",   "cooldown",
    "threshold",     "mode",         "window",    "start_factor", "end_factor", "total_iters",
    "power",         "base_lr",      "max_lr",    "step_size_up", "steps",      "factors",
    "interpolate",   "d_model",      "pct_start", "div_factor",   "min_lr",     "timescale",
    "base_momentum", "max_momentum",
};

static const char *const job_names[] = {
    "nonfinite",           "atomic",    "reduction",     "accumulate",
    "accumulate_examples", "backup",    "late",          "close_examples",
    "clip_global_norm",    "staleness", "staleness_max", "lr_by_staleness",
    "delay_compensation",  "on_loss",   "workers_min",
};

static const char *const setting_words[] = {
    "skip",   "halt", "refuse",    "job",     "slice", "arrival",  "rank",    "drop",
    "apply",  "wait", "fail",      "shrink",  "true",  "false",    "lecture", "torch",
    "inside", "hat",  "raw",       "classic", "rel",   "abs",      "min",     "max",
    "linear", "hold", "corrected", "cos",     "group", "schedule",
};

static const char *const globs[] = {"*", "a", "b*", "fc?.weight", "*.bias", ""};

static void compose_setting(const struct composer *c, const char *const *name, size_t names,
                            struct stepd_setting *ret_setting)
{
    ret_setting->name = take_word(c->taker, c->arena, name, names);
    ret_setting->word = "";
    const uint8_t form = take_byte(c->taker);
    if (form >= 128 && form < 255) {
        ret_setting->word = take_word(c->taker, c->arena, setting_words, COUNT(setting_words));
        return;
    }
    ret_setting->values = form == 255 ? STEPD_VALUES_MAX + 1 : 1u + form % 4u;
    double *const value = take_room(c->arena, ret_setting->values, sizeof *value);
    for (size_t i = 0; i < ret_setting->values; i++)
        value[i] = take_double(c->taker, 1.0);
    ret_setting->value = value;
}

static struct stepd_settings compose_list(const struct composer *c, const char *const *name,
                                          size_t names)
{
    const size_t count = take_byte(c->taker) % 6;
    struct stepd_setting *const list = take_room(c->arena, count, sizeof *list);
    for (size_t i = 0; i < count; i++)
        compose_setting(c, name, names, &list[i]);
    return (struct stepd_settings){.count = count, .at = list};
}

struct stepd_settings compose_settings(const struct composer *c, bool of_job)
{
    return of_job ? compose_list(c, job_names, COUNT(job_names))
                  : compose_list(c, group_names, COUNT(group_names));
}

static const char *take_schedule(const struct composer *c)
{
    return take_word(c->taker, c->arena, schedules, COUNT(schedules));
}

static void compose_schedule(const struct composer *c, struct stepd_group *group)
{
    group->schedule = take_schedule(c);
    group->schedule_settings = compose_list(c, schedule_names, COUNT(schedule_names));
    group->schedule_parts = take_byte(c->taker) % 4;
    struct stepd_schedule_part *const part =
        take_room(c->arena, group->schedule_parts, sizeof *part);
    for (size_t i = 0; i < group->schedule_parts; i++) {
        part[i].kind = take_schedule(c);
        part[i].settings = compose_list(c, schedule_names, COUNT(schedule_names));
    }
    group->schedule_part = part;
}

static void compose_phases(const struct composer *c, struct stepd_group *group)
{
    group->phases = take_byte(c->taker) % 4;
    struct stepd_phase *const phase = take_room(c->arena, group->phases, sizeof *phase);
    for (size_t i = 0; i < group->phases; i++) {
        phase[i].from = i + 1 + take_number(c->taker);
        phase[i].optimizer = take_word(c->taker, c->arena, optimizers, COUNT(optimizers));
        phase[i].settings = compose_settings(c, false);
    }
    group->phase = phase;
}

void compose_group(const struct composer *c, const char *optimizer, struct stepd_group *ret_group)
{
    const uint8_t first = take_byte(c->taker);
    *ret_group = (struct stepd_group){.name = "", .match = "", .optimizer = optimizer};
    if (first > 0)
        ret_group->optimizer = optimizers[first % COUNT(optimizers)];
    ret_group->settings = compose_settings(c, false);
    compose_schedule(c, ret_group);
    compose_phases(c, ret_group);
}

static void compose_full_group(const struct composer *c, size_t index, struct stepd_group *group)
{
    compose_group(c, "sgd", group);
    group->match = take_word(c->taker, c->arena, globs, COUNT(globs));
    group->name = index == 0 ? "g" : compose_name(c);
    group->frozen = take_byte(c->taker) % 8 == 7;
    group->ndim = compose_u32s(c, take_byte(c->taker) % 3);
}

void compose_define_job(const struct composer *c, struct stepd_define_job *ret_def)
{
    ret_def->mode = (enum stepd_mode)(take_byte(c->taker) % 3);
    ret_def->workers = 1 + (uint32_t)take_number(c->taker);
    ret_def->groups = 1 + take_byte(c->taker) % 3;
    struct stepd_group *const group = take_room(c->arena, ret_def->groups, sizeof *group);
    for (size_t i = 0; i < ret_def->groups; i++)
        compose_full_group(c, i, &group[i]);
    ret_def->group = group;
    ret_def->settings = compose_settings(c, true);
    ret_def->slice_elements = (uint32_t)take_number(c->taker);
    ret_def->strict = take_byte(c->taker) % 4 == 3;
    compose_group(c, "", &ret_def->defaults);
    ret_def->defaults.phases = 0;
}

void compose_change(const struct composer *c, struct stepd_change_job *ret_change)
{
    ret_change->job = compose_job(c);
    compose_group(c, "", &ret_change->group);
    const uint8_t flags = take_byte(c->taker);
    ret_change->drop_phases = (flags & 1) != 0;
    ret_change->dry_run = (flags & 2) != 0;
    ret_change->group.name = (flags & 4) != 0 ? compose_name(c) : "g";
    ret_change->at = take_number(c->taker);
    ret_change->deadline_ms = (uint32_t)take_number(c->taker);
}

void compose_tensors(const struct composer *c, size_t count, const struct stepd_tensor_def **ret)
{
    static const char *const names[] = {"a", "b", "fc1.weight", "fc1.bias", "c", "d", "e"};
    struct stepd_tensor_def *const tensor = take_room(c->arena, count, sizeof *tensor);
    for (size_t i = 0; i < count; i++) {
        const uint8_t name = take_byte(c->taker);
        tensor[i].name = name < 128 ? names[(i + name) % COUNT(names)] : compose_name(c);
        tensor[i].dims = (1 + take_byte(c->taker)) % (STEPD_DIMS_MAX + 2);
        uint64_t *const shape = take_room(c->arena, tensor[i].dims, sizeof *shape);
        for (size_t d = 0; d < tensor[i].dims; d++) {
            shape[d] = take_number(c->taker);
            shape[d] = shape[d] == 0 ? 5 : shape[d] - 1;
        }
        tensor[i].shape = shape;
        tensor[i].init.kind = (enum stepd_init_kind)((1 + take_byte(c->taker)) % 4);
        tensor[i].init.a = take_double(c->taker, 0.0);
        tensor[i].init.b = take_double(c->taker, 1.0);
        tensor[i].init.seed = take_number(c->taker);
        tensor[i].group = take_byte(c->taker) % 4 == 3 ? compose_name(c) : "";
    }
    *ret = tensor;
}
