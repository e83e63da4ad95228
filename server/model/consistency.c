/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of what may be set beside the mode. A setting that does nothing in its mode is refused:
 * who writes `staleness` into a sync job believes something about that job which is not so.
 */
#include "server/model/consistency.h"

#include <assert.h>
#include <float.h>
#include <stddef.h>
#include <string.h>

#include "proto/error.h"
#include "proto/mode.h"
#include "server/base/nearest.h"
#include "server/base/range.h"
#include "server/model/differs.h"

#define IN(mode)   (1u << (mode))
#define IN_SYNC    IN(STEPD_SYNC)
#define IN_BOUNDED IN(STEPD_BOUNDED)
#define IN_ASYNC   IN(STEPD_ASYNC)
#define IN_ALL     (IN_SYNC | IN_BOUNDED | IN_ASYNC)

/* Far more than any worker may lag, and exact in a double. */
#define STALENESS_MOST 1e9

/* Far more than anybody will, so that clocks of as many steps as can be made are exact. */
#define ACCUMULATE_MOST 1048576.0

struct setting_spec {
    const char *name;
    size_t offset;  /* of a double in struct consistency */
    unsigned modes; /* that it belongs to, IN_... */
    double fallback;
    struct range range;
    const char *const *word; /* by value; NULL: it is a number */
};

static const char *const late_words[] = {
    [CONSISTENCY_LATE_DROP] = "drop",
    [CONSISTENCY_LATE_APPLY] = "apply",
};

static const char *const reduction_words[] = {
    [CONSISTENCY_RANK] = "rank",
    [CONSISTENCY_ARRIVAL] = "arrival",
};

static const char *const nonfinite_words[] = {
    [CONSISTENCY_REFUSE] = "refuse",
    [CONSISTENCY_SKIP] = "skip",
    [CONSISTENCY_HALT] = "halt",
};

static const char *const atomic_words[] = {
    [CONSISTENCY_ATOMIC_SLICE] = "slice",
    [CONSISTENCY_ATOMIC_JOB] = "job",
};

static const char *const on_loss_words[] = {
    [CONSISTENCY_LOSS_WAIT] = "wait",
    [CONSISTENCY_LOSS_SHRINK] = "shrink",
    [CONSISTENCY_LOSS_FAIL] = "fail",
};

#define SPEC(field) .name = #field, .offset = offsetof(struct consistency, field)

static const struct setting_spec specs[] = {
    {SPEC(backup), .modes = IN_SYNC, .range = {.most = STEPD_WORKERS_MAX - 1, .whole = true}},
    {SPEC(close_examples), .modes = IN_SYNC, .range = {.most = RANGE_WHOLE_MOST, .whole = true}},
    {SPEC(accumulate), .modes = IN_SYNC, .fallback = 1.0,
     .range = {.least = 1.0, .most = ACCUMULATE_MOST, .whole = true}},
    {SPEC(accumulate_examples), .modes = IN_SYNC,
     .range = {.most = RANGE_WHOLE_MOST, .whole = true}},
    {SPEC(late), .modes = IN_SYNC, .range = {.most = 1.0}, .word = late_words},
    {SPEC(reduction), .modes = IN_SYNC, .range = {.most = 1.0}, .word = reduction_words},
    {SPEC(nonfinite), .modes = IN_SYNC, .range = {.most = 2.0}, .word = nonfinite_words},
    {SPEC(atomic), .modes = IN_SYNC, .range = {.most = 1.0}, .word = atomic_words},
    {SPEC(clip_global_norm), .modes = IN_SYNC, .range = {.most = FLT_MAX}},
    {SPEC(staleness), .modes = IN_BOUNDED, .fallback = CONSISTENCY_NONE,
     .range = {.most = STALENESS_MOST, .whole = true}},
    {SPEC(staleness_max), .modes = IN_ALL, .fallback = CONSISTENCY_NONE,
     .range = {.most = STALENESS_MOST, .whole = true}},
    {SPEC(lr_by_staleness), .modes = IN_BOUNDED | IN_ASYNC, .range = {.most = 1.0, .whole = true}},
    {SPEC(delay_compensation), .modes = IN_BOUNDED | IN_ASYNC, .range = {.most = 1e9}},
    {SPEC(on_loss), .modes = IN_ALL, .range = {.most = 2.0}, .word = on_loss_words},
    {SPEC(workers_min), .modes = IN_ALL, .fallback = CONSISTENCY_NONE,
     .range = {.least = 1.0, .most = STEPD_WORKERS_MAX, .whole = true}},
};

#define SPECS (sizeof specs / sizeof specs[0])

static_assert(SPECS <= CONSISTENCY_SETTINGS_MAX, "there are more");

/* ---- Values ---------------------------------------------------------------------------------- */

static void put(const struct setting_spec *spec, double value, struct consistency *consistency)
{
    memcpy((char *)consistency + spec->offset, &value, sizeof value);
}

static double get(const struct setting_spec *spec, const struct consistency *consistency)
{
    double value;
    memcpy(&value, (const char *)consistency + spec->offset, sizeof value);
    return value;
}

/* "a, b or c": the modes that a setting belongs to. */
static void list_modes(unsigned modes, char *text, size_t size)
{
    size_t bytes = 0;
    text[0] = '\0';
    for (unsigned mode = 0; mode < STEPD_MODES; mode++) {
        if ((modes & IN(mode)) == 0)
            continue;
        const bool last = modes >> mode == 1;
        const char *const between = bytes == 0 ? "" : last ? " or " : ", ";
        bytes += stepd_format(text + bytes, size - bytes, "%s%s", between,
                              stepd_mode_name((enum stepd_mode)mode));
    }
}

static enum stepd_status set_word(const struct setting_spec *spec, const char *word,
                                  struct consistency *consistency, struct stepd_error *reterr)
{
    struct nearest nearest;
    double value = 0.0;
    const bool is_switch = spec->word == NULL && range_is_switch(&spec->range);
    if (is_switch && range_read_switch(word, &value)) {
        put(spec, value, consistency);
        return STEPD_OK;
    }
    if (spec->word == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes %s, not '%s'", spec->name,
                          is_switch ? "true or false" : "a number", word);
    nearest_init(&nearest, word);
    for (size_t i = 0; (double)i <= spec->range.most; i++) {
        if (strcmp(word, spec->word[i]) == 0) {
            put(spec, (double)i, consistency);
            return STEPD_OK;
        }
        nearest_offer(&nearest, spec->word[i]);
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s cannot be '%s': %s", spec->name, word,
                      nearest_hint(&nearest));
}

static enum stepd_status set_number(const struct setting_spec *spec,
                                    const struct stepd_setting *setting,
                                    struct consistency *consistency, struct stepd_error *reterr)
{
    if (spec->word != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes a word such as %s", spec->name,
                          spec->word[0]);
    if (setting->values != 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes one number, not %zu",
                          spec->name, setting->values);
    if (setting->list)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s takes one value, and not a list: write %g in the place of [%g]",
                          spec->name, setting->value[0], setting->value[0]);
    const enum stepd_status status =
        range_check(&spec->range, spec->name, setting->value[0], reterr);
    if (status == STEPD_OK)
        put(spec, setting->value[0], consistency);
    return status;
}

/* ---- Settings -------------------------------------------------------------------------------- */

static const struct setting_spec *find(const char *name, struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < SPECS; i++) {
        if (strcmp(name, specs[i].name) == 0)
            return &specs[i];
        nearest_offer(&nearest, specs[i].name);
    }
    (void)stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a job has no setting '%s': %s", name,
                     nearest_hint(&nearest));
    return NULL;
}

static enum stepd_status set(const struct stepd_setting *setting, struct consistency *consistency,
                             struct stepd_error *reterr)
{
    const struct setting_spec *const spec = find(setting->name, reterr);
    if (spec == NULL)
        return STEPD_INVALID_ARGUMENT;
    if ((spec->modes & IN(consistency->mode)) == 0) {
        char modes[64];
        list_modes(spec->modes, modes, sizeof modes);
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s belongs to mode %s, and the job's is %s", spec->name, modes,
                          stepd_mode_name(consistency->mode));
    }
    return setting->word != NULL && setting->word[0] != '\0'
               ? set_word(spec, setting->word, consistency, reterr)
               : set_number(spec, setting, consistency, reterr);
}

static enum stepd_status check_once(const struct stepd_settings *settings, size_t index,
                                    struct stepd_error *reterr)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(settings->at[i].name, settings->at[index].name) == 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is set twice",
                              settings->at[i].name);
    }
    return STEPD_OK;
}

/* Whoever pushed has been told that it counts before the step is made: no round may close without
 * it, and none of it may be taken back. */
static enum stepd_status check_accumulation(const struct consistency *c, struct stepd_error *reterr)
{
    const char *const name = c->accumulate > 1.0 ? "accumulate" : "accumulate_examples";
    if (!consistency_accumulates(c))
        return STEPD_OK;
    if (c->accumulate > 1.0 && c->accumulate_examples > 0.0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "accumulate and accumulate_examples are both set: a step is made of so "
                          "many pushes or of so many examples; keep one");
    if (c->backup > 0.0 || c->close_examples > 0.0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s is set, and %s closes rounds without some members, whose pushes have "
                          "been counted towards the step; keep one",
                          name, c->backup > 0.0 ? "backup" : "close_examples");
    if (c->atomic == CONSISTENCY_ATOMIC_JOB)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "atomic is job, and with %s most pushes of a step have been answered "
                          "before it is made: they cannot be taken back; keep one",
                          name);
    return STEPD_OK;
}

static enum stepd_status check_together(const struct consistency *c, struct stepd_error *reterr)
{
    if (c->backup > 0.0 && c->close_examples > 0.0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "backup and close_examples are both set: a round closes on members or on "
                          "examples; keep one");
    const bool may_be_late = c->backup > 0.0 || c->close_examples > 0.0;
    if (c->late == CONSISTENCY_LATE_APPLY && !may_be_late)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "late is apply, and no gradient can be late in a round that waits for "
                          "all members; set backup or close_examples with it");
    if (c->mode == STEPD_SYNC && c->staleness_max >= 0.0 && c->late != CONSISTENCY_LATE_APPLY)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "staleness_max is set, and no stale gradient is applied in mode sync "
                          "unless late is apply");
    if (c->atomic == CONSISTENCY_ATOMIC_JOB && may_be_late)
        return stepd_fail(
            reterr, STEPD_INVALID_ARGUMENT,
            "atomic is job, and with %s each slice may close with other workers; keep "
            "one",
            c->backup > 0.0 ? "backup" : "close_examples");
    if (c->atomic == CONSISTENCY_ATOMIC_JOB && c->reduction == CONSISTENCY_ARRIVAL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "atomic is job, and reduction arrival cannot take a gradient back; keep "
                          "one");
    if (c->mode == STEPD_BOUNDED && c->staleness == CONSISTENCY_NONE)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "mode bounded needs staleness: how many clocks the slowest worker may be "
                          "behind the fastest");
    return check_accumulation(c, reterr);
}

size_t consistency_settings(const struct consistency *consistency,
                            struct stepd_setting ret_setting[CONSISTENCY_SETTINGS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < SPECS; i++) {
        const struct setting_spec *const spec = &specs[i];
        const double value = get(spec, consistency);
        if ((spec->modes & IN(consistency->mode)) == 0 || value == CONSISTENCY_NONE)
            continue;
        ret_setting[count++] = (struct stepd_setting){
            .name = spec->name,
            .values = spec->word == NULL ? 1 : 0,
            .value = (const void *)((const char *)consistency + spec->offset),
            .word = spec->word == NULL ? "" : spec->word[(size_t)value],
        };
    }
    return count;
}

bool consistency_accumulates(const struct consistency *consistency)
{
    return consistency->accumulate > 1.0 || consistency->accumulate_examples > 0.0;
}

bool consistency_awaits_pushes(const struct consistency *consistency)
{
    return consistency->mode != STEPD_ASYNC;
}

enum stepd_status consistency_init(enum stepd_mode mode, const struct stepd_settings *settings,
                                   struct consistency *ret_consistency, struct stepd_error *reterr)
{
    struct consistency consistency = {.mode = mode};
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < SPECS; i++)
        put(&specs[i], specs[i].fallback, &consistency);
    for (size_t i = 0; i < settings->count && status == STEPD_OK; i++) {
        status = check_once(settings, i, reterr);
        if (status == STEPD_OK)
            status = set(&settings->at[i], &consistency, reterr);
    }
    if (status == STEPD_OK)
        status = check_together(&consistency, reterr);
    if (status == STEPD_OK)
        *ret_consistency = consistency;
    return status;
}

enum stepd_status consistency_check_workers(const struct consistency *consistency, uint32_t workers,
                                            struct stepd_error *reterr)
{
    if (consistency->workers_min > (double)workers)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "workers_min is %g, and the job has at most %u worker%s",
                          consistency->workers_min, workers, workers == 1 ? "" : "s");
    const uint32_t start = consistency_start(consistency, workers);
    if (consistency->backup < (double)start)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "backup is %g, and the job %s %u worker%s: a round must wait for one of them "
                      "at least",
                      consistency->backup, start == workers ? "has" : "may have", start,
                      start == 1 ? "" : "s");
}

uint32_t consistency_start(const struct consistency *consistency, uint32_t workers)
{
    return consistency->workers_min == CONSISTENCY_NONE ? workers
                                                        : (uint32_t)consistency->workers_min;
}

uint32_t consistency_least(const struct consistency *consistency)
{
    return consistency_start(consistency, 1);
}

enum stepd_status consistency_same(const struct consistency *a, const struct consistency *b,
                                   struct stepd_error *reterr)
{
    if (a->mode != b->mode)
        return differs_text(reterr, "mode", stepd_mode_name(a->mode), stepd_mode_name(b->mode));
    for (size_t i = 0; i < SPECS; i++) {
        const struct setting_spec *const spec = &specs[i];
        const double x = get(spec, a);
        const double y = get(spec, b);
        if (x == y)
            continue;
        if (spec->word != NULL)
            return differs_text(reterr, spec->name, spec->word[(size_t)x], spec->word[(size_t)y]);
        return differs_number(reterr, spec->name, x, y);
    }
    return STEPD_OK;
}
