/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of schedules, and what holds for all of them: they are made, copied and compared here,
 * and the warm-up is laid in front. Each kind is a closed form of the step, so a restored or
 * late-joining slice needs no history, and nothing drifts; plateau alone needs a state.
 */
#include "server/schedule/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/nearest.h"
#include "server/schedule/schedule_internal.h"

static_assert(sizeof(struct schedule_params) <= SCHEDULE_PARAMS_BYTES, "say what they take");

static const struct schedule_kind *const kinds[] = {
    &schedule_constant,  &schedule_step,       &schedule_multistep, &schedule_exponential,
    &schedule_linear,    &schedule_polynomial, &schedule_cosine,    &schedule_cosine_restarts,
    &schedule_one_cycle, &schedule_cyclic,     &schedule_noam,      &schedule_inverse_sqrt,
    &schedule_lambda,    &schedule_sequential, &schedule_chained,   &schedule_plateau,
};

const struct schedule_kind *schedule_kind_at(size_t index)
{
    assert(index < schedule_kind_count());
    return kinds[index];
}

size_t schedule_kind_count(void)
{
    return COUNT(kinds);
}

static double *number(const struct schedule_param_spec *spec, struct schedule_params *params)
{
    return (double *)(void *)((char *)params + spec->offset);
}

static struct schedule_list *list(const struct schedule_param_spec *spec,
                                  struct schedule_params *params)
{
    return (struct schedule_list *)(void *)((char *)params + spec->offset);
}

static enum stepd_status init(const struct schedule_kind *kind, struct schedule *ret_schedule,
                              struct stepd_error *reterr)
{
    struct schedule_params *const params = calloc(1, sizeof *params);
    if (params == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a schedule");
    for (size_t i = 0; i < kind->params; i++) {
        if (kind->param[i].type != SCHEDULE_LIST)
            *number(&kind->param[i], params) = kind->param[i].fallback;
    }
    *ret_schedule = (struct schedule){.kind = kind, .params = params};
    return STEPD_OK;
}

enum stepd_status schedule_init(const char *kind, struct schedule *ret_schedule,
                                struct stepd_error *reterr)
{
    const char *const name = kind[0] == '\0' ? "constant" : kind;
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (strcmp(name, kinds[i]->name) == 0)
            return init(kinds[i], ret_schedule, reterr);
        nearest_offer(&nearest, kinds[i]->name);
    }
    return stepd_fail(reterr, STEPD_NOT_FOUND, "unknown schedule '%s': %s", name,
                      nearest_hint(&nearest));
}

/* All but the parts, of which a part has none. */
static void deinit_own(struct schedule *schedule)
{
    for (size_t i = 0; schedule->params != NULL && i < schedule->kind->params; i++) {
        if (schedule->kind->param[i].type == SCHEDULE_LIST)
            free(list(&schedule->kind->param[i], schedule->params)->at);
    }
    free(schedule->params);
}

void schedule_deinit(struct schedule *schedule)
{
    for (size_t i = 0; i < schedule->parts; i++)
        deinit_own(&schedule->part[i]);
    free(schedule->part);
    deinit_own(schedule);
    *schedule = (struct schedule){.kind = NULL};
}

static enum stepd_status check_part(const struct schedule *schedule, const struct schedule *part,
                                    struct stepd_error *reterr)
{
    const char *const name = schedule->kind->name;
    if (!schedule->kind->takes_parts)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "schedule %s is not made of others; sequential and chained are", name);
    if (part->kind->takes_parts || part->kind->wants_loss)
        return stepd_fail(
            reterr, STEPD_INVALID_ARGUMENT,
            "schedule %s cannot be a part of %s: a part is neither made of others nor "
            "goes by the loss",
            part->kind->name, name);
    if (schedule->parts == SCHEDULE_PARTS_MAX)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "schedule %s has more than %u parts",
                          name, SCHEDULE_PARTS_MAX);
    return STEPD_OK;
}

enum stepd_status schedule_add(struct schedule *schedule, struct schedule *part,
                               struct stepd_error *reterr)
{
    enum stepd_status status = check_part(schedule, part, reterr);
    if (status == STEPD_OK) {
        struct schedule *const grown =
            realloc(schedule->part, (schedule->parts + 1) * sizeof *schedule->part);
        if (grown != NULL) {
            schedule->part = grown;
            schedule->part[schedule->parts++] = *part;
            *part = (struct schedule){.kind = NULL};
            return STEPD_OK;
        }
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a schedule");
    }
    schedule_deinit(part);
    return status;
}

/* Does it begin at a learning rate of its own, whatever the group's is? */
static bool begins_at_its_own(const struct schedule *schedule)
{
    const size_t asked = schedule->kind == &schedule_sequential ? 1 : schedule->parts;
    bool own = schedule->kind->sets_lr;
    for (size_t i = 0; i < asked; i++)
        own = own || schedule->part[i].kind->sets_lr;
    return own;
}

static struct schedule_value warmed_up(const struct schedule *schedule, struct schedule_value base,
                                       uint64_t step, const struct schedule_state *state)
{
    const struct schedule_params *const params = schedule->params;
    const uint64_t warmup = (uint64_t)params->warmup;
    if (step >= warmup)
        return schedule->kind->at(schedule, base, step - warmup, state);
    struct schedule_value value = schedule->kind->at(schedule, base, 0, state);
    const double top = begins_at_its_own(schedule) ? value.lr : base.lr;
    const double climbed = (double)(step + 1) / params->warmup;
    value.lr = top * (params->warmup_factor + (1.0 - params->warmup_factor) * climbed);
    return value;
}

struct schedule_value schedule_at(const struct schedule *schedule, struct schedule_value base,
                                  uint64_t step, const struct schedule_state *state)
{
    struct schedule_value value = warmed_up(schedule, base, step, state);
    value.lr = fmin(value.lr, LR_MOST);
    return value;
}

double schedule_lr(const struct schedule *schedule, double lr, uint64_t step)
{
    return schedule_at(schedule, (struct schedule_value){.lr = lr}, step, NULL).lr;
}

bool schedule_cycles_momentum(const struct schedule *schedule)
{
    bool cycles = schedule->params->cycle_momentum != 0.0; /* 0 where it is no parameter */
    for (size_t i = 0; i < schedule->parts; i++)
        cycles = cycles || schedule->part[i].params->cycle_momentum != 0.0;
    return cycles;
}

bool schedule_wants_loss(const struct schedule *schedule)
{
    return schedule->kind->wants_loss;
}

static enum stepd_status copy_list(const struct schedule_list *from, struct schedule_list *ret_to)
{
    double *const at = calloc(from->count + 1, sizeof *at);
    if (at == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    for (size_t i = 0; i < from->count; i++)
        at[i] = from->at[i];
    *ret_to = (struct schedule_list){.count = from->count, .at = at};
    return STEPD_OK;
}

/* All but the parts. *ret_copy is good for schedule_deinit on failure, too. */
static enum stepd_status copy_own(const struct schedule *schedule, struct schedule *ret_copy)
{
    const enum stepd_status status = init(schedule->kind, ret_copy, NULL);
    for (size_t i = 0; status == STEPD_OK && i < schedule->kind->params; i++) {
        const struct schedule_param_spec *const spec = &schedule->kind->param[i];
        if (spec->type != SCHEDULE_LIST)
            *number(spec, ret_copy->params) = *number(spec, schedule->params);
        else if (copy_list(list(spec, schedule->params), list(spec, ret_copy->params)) != STEPD_OK)
            return STEPD_RESOURCE_EXHAUSTED;
    }
    return status;
}

enum stepd_status schedule_copy(const struct schedule *schedule, struct schedule *ret_copy)
{
    struct schedule copy = {.kind = NULL};
    enum stepd_status status = copy_own(schedule, &copy);
    for (size_t i = 0; i < schedule->parts && status == STEPD_OK; i++) {
        struct schedule part = {.kind = NULL};
        status = copy_own(&schedule->part[i], &part);
        if (status == STEPD_OK)
            status = schedule_add(&copy, &part, NULL);
        schedule_deinit(&part);
    }
    if (status != STEPD_OK) {
        schedule_deinit(&copy);
        return status;
    }
    *ret_copy = copy;
    return STEPD_OK;
}

/* NaN, a parameter that was not given, is the same as itself. */
static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same_param(const struct schedule_param_spec *spec, const struct schedule *a,
                       const struct schedule *b)
{
    if (spec->type != SCHEDULE_LIST)
        return same_number(*number(spec, a->params), *number(spec, b->params));
    const struct schedule_list *const in_a = list(spec, a->params);
    const struct schedule_list *const in_b = list(spec, b->params);
    for (size_t i = 0; i < in_a->count && i < in_b->count; i++) {
        if (!same_number(in_a->at[i], in_b->at[i]))
            return false;
    }
    return in_a->count == in_b->count;
}

/* All but the parts. */
static enum stepd_status same_own(const struct schedule *a, const struct schedule *b,
                                  struct stepd_error *reterr)
{
    if (a->kind != b->kind)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "schedule is %s, and not %s",
                          a->kind->name, b->kind->name);
    for (size_t i = 0; i < a->kind->params; i++) {
        if (!same_param(&a->kind->param[i], a, b))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "schedule %s has another '%s'",
                              a->kind->name, a->kind->param[i].name);
    }
    return STEPD_OK;
}

enum stepd_status schedule_same(const struct schedule *a, const struct schedule *b,
                                struct stepd_error *reterr)
{
    enum stepd_status status = same_own(a, b, reterr);
    if (status == STEPD_OK && a->parts != b->parts)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "schedule %s has %zu parts, and not %zu",
                          a->kind->name, a->parts, b->parts);
    for (size_t i = 0; i < a->parts && status == STEPD_OK; i++) {
        status = same_own(&a->part[i], &b->part[i], reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "part %zu of schedule %s", i + 1, a->kind->name);
    }
    return status;
}
