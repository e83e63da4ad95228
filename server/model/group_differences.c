/* SPDX-License-Identifier: Apache-2.0
 *
 * What is other about a group, in words for people: what the audit trail of a job keeps.
 */
#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/model/group_change.h"

struct listing {
    struct difference *list;
    size_t count; /* also of those that have no place */
};

static void add(struct listing *listing, const char *name, const char *from, const char *to)
{
    if (strcmp(from, to) == 0)
        return;
    if (listing->count < DIFFERENCES_MAX) {
        struct difference *difference = &listing->list[listing->count];
        (void)stepd_format(difference->name, sizeof difference->name, "%s", name);
        (void)stepd_format(difference->from, sizeof difference->from, "%s", from);
        (void)stepd_format(difference->to, sizeof difference->to, "%s", to);
    }
    listing->count++;
}

static void add_number(struct listing *listing, const char *name, double from, double to)
{
    char had[SCHEDULE_NUMBER_BYTES];
    char has[SCHEDULE_NUMBER_BYTES];
    schedule_number_text(from, had);
    schedule_number_text(to, has);
    add(listing, name, had, has);
}

/* ---- Optimizers ------------------------------------------------------------------------------ */

static void write_hyper(const struct phase *phase, const struct optim_hyper_spec *spec,
                        char text[SCHEDULE_NUMBER_BYTES])
{
    const double value = optimizer_hyper_get(spec, &phase->hyper);
    if (spec->word == NULL)
        schedule_number_text(value, text);
    else
        (void)stepd_format(text, SCHEDULE_NUMBER_BYTES, "%s", spec->word[(size_t)value]);
}

static const struct optim_hyper_spec *find_hyper(const struct optimizer *optimizer,
                                                 const char *name)
{
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (strcmp(optimizer->hyper[i].name, name) == 0)
            return &optimizer->hyper[i];
    }
    return NULL;
}

/* Of an optimizer that was not there before its rate is said, and what is not as ever. */
static void add_hypers(struct listing *listing, const struct phase *before,
                       const struct phase *after)
{
    for (size_t i = 0; i < after->optimizer->hypers; i++) {
        const struct optim_hyper_spec *spec = &after->optimizer->hyper[i];
        const struct optim_hyper_spec *had = find_hyper(before->optimizer, spec->name);
        const bool same = before->optimizer == after->optimizer;
        const bool plain = optimizer_hyper_get(spec, &after->hyper) == spec->fallback;
        char from[SCHEDULE_NUMBER_BYTES] = "-";
        char to[SCHEDULE_NUMBER_BYTES];
        if (had != NULL)
            write_hyper(before, had, from);
        write_hyper(after, spec, to);
        if (same || !plain || strcmp(spec->name, "lr") == 0)
            add(listing, spec->name, from, to);
    }
}

static void write_phase(const struct phase *phase, char text[DIFFERENCE_TEXT_BYTES])
{
    const struct optim_hyper_spec *lr = find_hyper(phase->optimizer, "lr");
    char rate[SCHEDULE_NUMBER_BYTES] = "";
    if (lr != NULL)
        write_hyper(phase, lr, rate);
    (void)stepd_format(text, DIFFERENCE_TEXT_BYTES, "%s%s%s", phase->optimizer->name,
                       lr != NULL ? " with lr " : "", rate);
}

static const struct phase *phase_from(const struct group *group, uint64_t from)
{
    for (size_t i = 0; i < group->phases; i++) {
        if (group->phase[i].from == from)
            return &group->phase[i];
    }
    return NULL;
}

static void add_phase(struct listing *listing, uint64_t from, const struct phase *before,
                      const struct phase *after)
{
    char name[DIFFERENCE_NAME_BYTES];
    char had[DIFFERENCE_TEXT_BYTES] = "-";
    char has[DIFFERENCE_TEXT_BYTES] = "-";
    (void)stepd_format(name, sizeof name, "phase from %" PRIu64, from);
    if (before != NULL)
        write_phase(before, had);
    if (after != NULL)
        write_phase(after, has);
    add(listing, name, had, has);
}

static void add_later(struct listing *listing, const struct group *before,
                      const struct group *after, uint64_t clock)
{
    for (size_t i = 0; i < before->phases; i++) {
        const uint64_t from = before->phase[i].from;
        if (from > clock)
            add_phase(listing, from, &before->phase[i], phase_from(after, from));
    }
    for (size_t i = 0; i < after->phases; i++) {
        const uint64_t from = after->phase[i].from;
        if (from > clock && phase_from(before, from) == NULL)
            add_phase(listing, from, NULL, &after->phase[i]);
    }
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void add_treatment(struct listing *listing, const struct treatment *before,
                          const struct treatment *after)
{
    add_number(listing, "maximize", before->maximize, after->maximize);
    add_number(listing, "clip_norm", before->clip_norm, after->clip_norm);
    add_number(listing, "clip_value", before->clip_value, after->clip_value);
    add_number(listing, "ema_decay", before->ema_decay, after->ema_decay);
    add_number(listing, "swa_start", (double)before->swa_start, (double)after->swa_start);
    add_number(listing, "swa_every", (double)before->swa_every, (double)after->swa_every);
}

static void add_schedule(struct listing *listing, const struct group *before,
                         const struct group *after)
{
    char had[DIFFERENCE_TEXT_BYTES];
    char has[DIFFERENCE_TEXT_BYTES];
    struct stepd_error other;
    if (schedule_same(&before->schedule, &after->schedule, &other) == STEPD_OK)
        return;
    schedule_text(&before->schedule, had, sizeof had);
    schedule_text(&after->schedule, has, sizeof has);
    if (strcmp(had, has) == 0)
        (void)stepd_format(has, sizeof has, "%s, with other numbers", after->schedule.kind->name);
    add(listing, "schedule", had, has);
}

size_t group_differences(const struct group *before, const struct group *after, uint64_t clock,
                         bool fresh, struct difference ret_list[DIFFERENCES_MAX])
{
    struct listing listing = {.list = ret_list};
    const struct phase *had = group_phase(before, clock);
    const struct phase *has = group_phase(after, clock);
    if (fresh && had->optimizer == has->optimizer)
        add(&listing, "optimizer", has->optimizer->name, "the same, begun anew");
    else
        add(&listing, "optimizer", had->optimizer->name, has->optimizer->name);
    add_hypers(&listing, had, has);
    add_schedule(&listing, before, after);
    add_treatment(&listing, &before->treatment, &after->treatment);
    add_later(&listing, before, after, clock);
    if (listing.count <= DIFFERENCES_MAX)
        return listing.count;
    struct difference *last = &ret_list[DIFFERENCES_MAX - 1];
    (void)stepd_format(last->name, sizeof last->name, "and %zu more",
                       listing.count - DIFFERENCES_MAX + 1);
    last->from[0] = '\0';
    last->to[0] = '\0';
    return DIFFERENCES_MAX;
}
