/* SPDX-License-Identifier: Apache-2.0
 *
 * A schedule is a function of the step, but for plateau, which remembers losses. All of that memory
 * which schedule_at looks at is how often the rate was reduced; so the steps at which that number
 * rises are kept, and the step alone says it again.
 */
#include "client/ctl/course.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a group's course");
}

enum stepd_status course_init(const char *name, struct schedule *schedule, double lr,
                              double momentum, struct course *ret_course,
                              struct stepd_error *reterr)
{
    struct course course = {
        .name = strdup(name), .phases = 1, .phase = calloc(1, sizeof *course.phase)};
    if (course.name == NULL || course.phase == NULL) {
        course_deinit(&course);
        return no_memory(reterr);
    }
    course.phase[0] = (struct course_phase){.optimizer = "", .lr = lr, .momentum = momentum};
    course.schedule = *schedule;
    *schedule = (struct schedule){.kind = NULL};
    *ret_course = course;
    return STEPD_OK;
}

static struct course_phase phase_of(const struct phase *phase)
{
    struct optim_hyper hyper = phase->hyper;
    const double *const momentum = optimizer_momentum(phase->optimizer, &hyper);
    return (struct course_phase){
        .from = phase->from,
        .optimizer = phase->optimizer->name,
        .lr = hyper.lr,
        .momentum = momentum == NULL ? NAN : *momentum,
    };
}

enum stepd_status course_of_group(const struct group *group, struct course *ret_course,
                                  struct stepd_error *reterr)
{
    struct course course = {
        .name = strdup(group->name),
        .phases = group->phases,
        .phase = calloc(group->phases, sizeof *course.phase),
        .frozen = group->frozen,
    };
    if (course.name == NULL || course.phase == NULL ||
        schedule_copy(&group->schedule, &course.schedule) != STEPD_OK) {
        course_deinit(&course);
        return no_memory(reterr);
    }
    for (size_t i = 0; i < group->phases; i++)
        course.phase[i] = phase_of(&group->phase[i]);
    *ret_course = course;
    return STEPD_OK;
}

void course_deinit(struct course *course)
{
    schedule_deinit(&course->schedule);
    free(course->name);
    free(course->phase);
    free(course->drop);
    *course = (struct course){.name = NULL};
}

/* ---- Losses ---------------------------------------------------------------------------------- */

static bool add_drop(struct course *course, uint64_t from, uint64_t drops)
{
    struct course_drop *const grown =
        realloc(course->drop, (course->drops + 1) * sizeof *course->drop);
    if (grown == NULL)
        return false;
    course->drop = grown;
    course->drop[course->drops++] = (struct course_drop){.from = from, .drops = drops};
    return true;
}

enum stepd_status course_observe(struct course *course, size_t losses, const double *loss,
                                 struct stepd_error *reterr)
{
    struct schedule_state state = {.seen = false};
    for (size_t i = 0; i < losses; i++) {
        const uint64_t before = state.drops;
        if (!isnan(loss[i]))
            schedule_observe(&course->schedule, &state, loss[i]);
        if (state.drops > before && !add_drop(course, i + 1, state.drops))
            return no_memory(reterr);
    }
    return STEPD_OK;
}

static uint64_t drops_at(const struct course *course, uint64_t step)
{
    size_t passed = 0;
    size_t ahead = course->drops; /* drop[passed - 1].from <= step < drop[ahead].from */
    while (passed < ahead) {
        const size_t middle = passed + (ahead - passed) / 2;
        if (course->drop[middle].from <= step)
            passed = middle + 1;
        else
            ahead = middle;
    }
    return passed == 0 ? 0 : course->drop[passed - 1].drops;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static const struct course_phase *phase_at(const struct course *course, uint64_t step)
{
    size_t i = course->phases - 1;
    while (i > 0 && course->phase[i].from > step)
        i--;
    return &course->phase[i];
}

struct course_value course_at(const struct course *course, uint64_t step)
{
    const struct course_phase *const phase = phase_at(course, step);
    const struct schedule_value base = {.lr = phase->lr, .momentum = phase->momentum};
    const struct schedule_state state = {.drops = drops_at(course, step)};
    const struct schedule_value value = schedule_at(&course->schedule, base, step, &state);
    return (struct course_value){
        .lr = course->frozen ? 0.0 : value.lr,
        .momentum = value.cycled ? value.momentum : phase->momentum,
    };
}

bool course_cycles(const struct course *course)
{
    return !course->frozen && schedule_cycles_momentum(&course->schedule);
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same_phase(const struct course_phase *a, const struct course_phase *b)
{
    return a->from == b->from && a->lr == b->lr && same_number(a->momentum, b->momentum);
}

bool course_same(const struct course *a, const struct course *b)
{
    if (a->frozen || b->frozen)
        return a->frozen && b->frozen;
    if (a->phases != b->phases || schedule_same(&a->schedule, &b->schedule, NULL) != STEPD_OK)
        return false;
    for (size_t i = 0; i < a->phases; i++) {
        const bool named = a->phases == 1 || /* who has several is shown with their names */
                           strcmp(a->phase[i].optimizer, b->phase[i].optimizer) == 0;
        if (!named || !same_phase(&a->phase[i], &b->phase[i]))
            return false;
    }
    return true;
}
