/* SPDX-License-Identifier: Apache-2.0
 *
 * Making the group that takes another one's place, and checking that the slices can go on with it.
 * Both ways of asking make a whole group first; what is checked does not depend on who asked.
 *
 * Phases that are over are kept as long as the optimizer is: in async mode a slice may still be in
 * one. Another optimizer begins a phase of its own, and nothing of those before it is left.
 */
#include "server/model/group_change.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/model/group_fits.h"
#include "server/model/group_internal.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the change");
}

/* ---- Sharing --------------------------------------------------------------------------------- */

struct shared_group *shared_group_ref(struct shared_group *shared)
{
    (void)__atomic_add_fetch(&shared->refs, 1, __ATOMIC_RELAXED);
    return shared;
}

struct shared_group *shared_group_unref(struct shared_group *shared)
{
    if (shared != NULL && __atomic_sub_fetch(&shared->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        group_deinit(&shared->group);
        free(shared);
    }
    return NULL;
}

struct group_changes *group_changes_create(size_t count)
{
    struct group_changes *changes = calloc(1, sizeof *changes + count * sizeof changes->change[0]);
    if (changes != NULL)
        changes->count = count;
    return changes;
}

struct group_changes *group_changes_copy(const struct group_changes *changes)
{
    struct group_changes *copy = group_changes_create(changes->count);
    if (copy == NULL)
        return NULL;
    copy->number = changes->number;
    copy->version = changes->version;
    for (size_t i = 0; i < changes->count; i++) {
        copy->change[i] = changes->change[i];
        (void)shared_group_ref(copy->change[i].group);
    }
    return copy;
}

struct group_changes *group_changes_destroy(struct group_changes *changes)
{
    for (size_t i = 0; changes != NULL && i < changes->count; i++)
        (void)shared_group_unref(changes->change[i].group);
    free(changes);
    return NULL;
}

const struct group_change *group_changes_find(const struct group_changes *changes, uint32_t index)
{
    for (size_t i = 0; i < changes->count; i++) {
        if (changes->change[i].index == index)
            return &changes->change[i];
    }
    return NULL;
}

static void take_out(struct group_changes *from, const struct group_changes *changes)
{
    size_t kept = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (group_changes_find(changes, from->change[i].index) != NULL)
            (void)shared_group_unref(from->change[i].group);
        else
            from->change[kept++] = from->change[i];
    }
    from->count = kept;
}

void group_changes_call_off(struct group_changes **list, const struct group_changes *changes)
{
    while (*list != NULL) {
        struct group_changes *at = *list;
        if (at->version > changes->version)
            take_out(at, changes);
        if (at->count > 0) {
            list = &at->next;
            continue;
        }
        *list = at->next;
        (void)group_changes_destroy(at);
    }
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* A change that is being made. */
struct making {
    const struct group *now;
    size_t current; /* the phase of now that its last step is in */
    struct change_point point;
    bool fresh;
    struct group *made;
};

static size_t index_of(const struct group *group, const struct phase *phase)
{
    return (size_t)(phase - group->phase);
}

/* A copy of what runs, with room for so many phases. */
static enum stepd_status begin(struct making *making, size_t phases, struct stepd_error *reterr)
{
    if (group_copy(making->now, making->made) != STEPD_OK)
        return no_memory(reterr);
    struct phase *more = calloc(making->now->phases + phases + 1, sizeof *more);
    if (more == NULL)
        return no_memory(reterr);
    memcpy(more, making->made->phase, making->made->phases * sizeof *more);
    free(making->made->phase);
    making->made->phase = more;
    return STEPD_OK;
}

/* Another optimizer begins: nothing is left of what came before. */
static void begin_phase(struct making *making, const struct phase *phase)
{
    struct group *made = making->made;
    const size_t later = made->phases - making->current - 1;
    memmove(&made->phase[1], &made->phase[making->current + 1], later * sizeof made->phase[0]);
    made->phase[0] = *phase;
    made->phase[0].from = making->point.from;
    made->phases = later + 1;
    making->fresh = true;
    making->current = 0;
}

static enum stepd_status append_phase(struct making *making, const struct phase *phase,
                                      struct stepd_error *reterr)
{
    struct group *made = making->made;
    const uint64_t before = made->phase[made->phases - 1].from;
    const uint64_t least = before > making->point.clock ? before : making->point.clock;
    if (phase->from <= least)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the phase from %" PRIu64 " on must begin behind %" PRIu64
                          ", where the %s",
                          phase->from, least,
                          before > making->point.clock ? "one before it begins" : "change is made");
    made->phase[made->phases++] = *phase;
    return STEPD_OK;
}

/* ---- Edits ----------------------------------------------------------------------------------- */

static bool sets(const struct stepd_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->at[i].name, name) == 0)
            return true;
    }
    return false;
}

/* An optimizer that was not there before. What lr is right depends on it, so it must be said. */
static enum stepd_status make_phase(const char *optimizer, const struct stepd_settings *settings,
                                    struct phase *ret_phase, struct stepd_error *reterr)
{
    const struct group_layers layers = {.count = 1, .at = {settings}};
    const enum stepd_status status = group_init_phase(optimizer, &layers, ret_phase, reterr);
    if (status != STEPD_OK)
        return status;
    if (optimizer_knows(ret_phase->optimizer, "lr") && !sets(settings, "lr"))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s needs a learning rate of its own; set lr with it",
                          ret_phase->optimizer->name);
    return STEPD_OK;
}

static enum stepd_status edit_now(struct making *making, const struct stepd_group *said,
                                  struct stepd_error *reterr)
{
    struct group *made = making->made;
    const char *const optimizer = group_text(said->optimizer);
    const struct group_layers layers = {.count = 1, .at = {&said->settings}};
    enum stepd_status status = group_check_settings(&said->settings, GROUP_LAYER_GROUP, reterr);
    if (status == STEPD_OK)
        status = group_lay_treatment(&layers, &made->treatment, reterr);
    if (status != STEPD_OK)
        return status;
    if (optimizer[0] == '\0')
        return group_lay_settings(&said->settings, &made->phase[making->current], reterr);
    struct phase phase;
    status = make_phase(optimizer, &said->settings, &phase, reterr);
    if (status == STEPD_OK)
        begin_phase(making, &phase);
    return status;
}

static enum stepd_status edit_schedule(struct making *making, const struct stepd_group *said,
                                       struct stepd_error *reterr)
{
    static const struct stepd_group nothing = {.name = ""};
    struct schedule *schedule = &making->made->schedule;
    if (group_text(said->schedule)[0] == '\0' && said->schedule_parts == 0)
        return group_lay_schedule(&said->schedule_settings, schedule, reterr);
    struct schedule other;
    const enum stepd_status status = group_init_schedule(&nothing, said, &other, reterr);
    if (status != STEPD_OK)
        return status;
    schedule_deinit(schedule);
    *schedule = other;
    return STEPD_OK;
}

static enum stepd_status edit_phases(struct making *making, const struct group_edit *edit,
                                     struct stepd_error *reterr)
{
    const struct stepd_group *said = edit->said;
    enum stepd_status status = STEPD_OK;
    if (edit->drop_phases || said->phases > 0)
        making->made->phases = making->current + 1;
    for (size_t i = 0; i < said->phases && status == STEPD_OK; i++) {
        const struct stepd_phase *wanted = &said->phase[i];
        struct phase phase;
        status = group_check_settings(&wanted->settings, GROUP_LAYER_PHASE, reterr);
        if (status == STEPD_OK)
            status = make_phase(group_text(wanted->optimizer), &wanted->settings, &phase, reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "the phase from %" PRIu64 " on", wanted->from);
        phase.from = wanted->from;
        status = append_phase(making, &phase, reterr);
    }
    return status;
}

static enum stepd_status make_edited(struct making *making, const struct group_edit *edit,
                                     struct stepd_error *reterr)
{
    enum stepd_status status = begin(making, edit->said->phases, reterr);
    if (status == STEPD_OK)
        status = edit_now(making, edit->said, reterr);
    if (status == STEPD_OK)
        status = edit_phases(making, edit, reterr);
    return status == STEPD_OK ? edit_schedule(making, edit->said, reterr) : status;
}

/* ---- Targets --------------------------------------------------------------------------------- */

static enum stepd_status make_target(struct making *making, const struct group *target,
                                     struct stepd_error *reterr)
{
    struct group *made = making->made;
    enum stepd_status status = begin(making, target->phases, reterr);
    if (status != STEPD_OK)
        return status;
    const struct phase *wanted = group_phase(target, making->point.clock);
    struct phase *current = &made->phase[making->current];
    if (wanted->optimizer == current->optimizer)
        current->hyper = wanted->hyper;
    else
        begin_phase(making, wanted);
    made->phases = making->current + 1;
    for (size_t i = index_of(target, wanted) + 1; i < target->phases && status == STEPD_OK; i++)
        status = append_phase(making, &target->phase[i], reterr);
    if (status != STEPD_OK)
        return status;
    made->treatment = target->treatment;
    schedule_deinit(&made->schedule);
    return schedule_copy(&target->schedule, &made->schedule) == STEPD_OK ? STEPD_OK
                                                                         : no_memory(reterr);
}

/* ---- Both ------------------------------------------------------------------------------------ */

static enum stepd_status check(const struct change_site *site, const struct making *making,
                               struct stepd_error *reterr)
{
    const struct group_fit fit = {.job = site->job,
                                  .index = site->index,
                                  .now = making->now,
                                  .later = making->made,
                                  .current = making->current,
                                  .fresh = making->fresh};
    enum stepd_status status = group_check_mode(making->made, site->job->consistency.mode, reterr);
    if (status != STEPD_OK)
        return status;
    status = group_check_cycle(making->made, reterr);
    if (status == STEPD_OK)
        status = group_fits(&fit, reterr);
    return status == STEPD_OK ? STEPD_OK
                              : stepd_fail_in(reterr, status, "group '%s'", making->now->name);
}

/* Takes what was made, if it can be. */
static enum stepd_status finish(const struct change_site *site, const struct making *making,
                                struct group_change *ret_change, struct stepd_error *reterr)
{
    const enum stepd_status status = check(site, making, reterr);
    if (status != STEPD_OK)
        return status;
    struct shared_group *shared = malloc(sizeof *shared);
    if (shared == NULL)
        return no_memory(reterr);
    struct stepd_error other;
    *shared = (struct shared_group){.group = *making->made, .refs = 1};
    *ret_change = (struct group_change){
        .index = site->index,
        .fresh = making->fresh,
        .new_schedule =
            schedule_same(&making->now->schedule, &making->made->schedule, &other) != STEPD_OK,
        .group = shared,
    };
    return STEPD_OK;
}

static enum stepd_status refuse_frozen(const struct group *now, struct stepd_error *reterr)
{
    if (!now->frozen)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "group '%s' is frozen: it is never updated, and has no state to begin with; "
                      "define the job anew to train it",
                      now->name);
}

static struct making making_of(const struct change_site *site, struct group *made)
{
    return (struct making){
        .now = site->now,
        .current = index_of(site->now, group_phase(site->now, site->point.clock)),
        .point = site->point,
        .made = made,
    };
}

enum stepd_status group_change_edit(const struct change_site *site, const struct group_edit *edit,
                                    struct group_change *ret_change, struct stepd_error *reterr)
{
    struct group made = {.name = NULL};
    struct making making = making_of(site, &made);
    enum stepd_status status = refuse_frozen(site->now, reterr);
    if (status != STEPD_OK)
        return status;
    status = make_edited(&making, edit, reterr);
    if (status != STEPD_OK)
        (void)stepd_fail_in(reterr, status, "group '%s'", site->now->name);
    else
        status = finish(site, &making, ret_change, reterr);
    if (status != STEPD_OK)
        group_deinit(&made);
    return status;
}

enum stepd_status group_change_to(const struct change_site *site, const struct group *target,
                                  struct group_change *ret_change, struct stepd_error *reterr)
{
    struct group made = {.name = NULL};
    struct making making = making_of(site, &made);
    enum stepd_status status = make_target(&making, target, reterr);
    if (status != STEPD_OK)
        (void)stepd_fail_in(reterr, status, "group '%s'", site->now->name);
    else
        status = finish(site, &making, ret_change, reterr);
    if (status != STEPD_OK)
        group_deinit(&made);
    return status;
}
