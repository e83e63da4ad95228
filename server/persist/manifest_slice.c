/* SPDX-License-Identifier: Apache-2.0
 *
 * What a slice says: how far it is, which phase of which group it is in, which arrays it has in the
 * other files, and by rank the pushes that count. Which slots there are follows from the phase;
 * they are named all the same, so that an optimizer that came to keep others is noticed.
 */
#include "server/persist/manifest_slice.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

static const char *const view_words[] = {
    [STEPD_TRAINING] = "training",
    [STEPD_EVALUATION] = "evaluation",
    [STEPD_EMA] = "ema",
    [STEPD_SWA] = "swa",
};

static_assert(sizeof view_words / sizeof view_words[0] == STEPD_VIEWS, "name every view");

static const char *const outcome_words[] = {
    [STEPD_NONE] = "none",           [STEPD_APPLIED] = "applied",
    [STEPD_DUPLICATE] = "duplicate", [STEPD_LATE_DROPPED] = "late_dropped",
    [STEPD_SKIPPED] = "skipped",     [STEPD_STALE] = "stale",
    [STEPD_FENCED] = "fenced",       [STEPD_ACCUMULATED] = "accumulated",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A list to which `added` says whether all was added, or NULL. */
static json_t *whole_list(json_t *list, bool added)
{
    if (added)
        return list;
    json_decref(list);
    return NULL;
}

/* ---- Counts ---------------------------------------------------------------------------------- */

static uint64_t count_of(const struct manifest_slice_key *key, const struct slice_state *state)
{
    uint64_t count;
    memcpy(&count, (const char *)state + key->offset, sizeof count);
    return count;
}

static bool same_count(const struct manifest_slice_key *key, const struct slice_state *a,
                       const struct slice_state *b)
{
    return count_of(key, a) == count_of(key, b);
}

static json_t *make_count(const struct manifest_slice_key *key,
                          const struct manifest_slice_writing *writing)
{
    return manifest_of_u64(count_of(key, writing->state));
}

/* One more is a count too. */
static void take_count(const struct manifest_slice_key *key, struct manifest_object *from,
                       const struct manifest_slice_reading *reading)
{
    const uint64_t count = manifest_take_between(from, key->name, 0, INT64_MAX);
    memcpy((char *)reading->state + key->offset, &count, sizeof count);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool same_valued(const struct manifest_slice_key *key, const struct slice_state *a,
                        const struct slice_state *b)
{
    (void)key;
    return a->valued == b->valued;
}

static json_t *make_valued(const struct manifest_slice_key *key,
                           const struct manifest_slice_writing *writing)
{
    (void)key;
    return json_boolean(writing->state->valued);
}

static void take_valued(const struct manifest_slice_key *key, struct manifest_object *from,
                        const struct manifest_slice_reading *reading)
{
    reading->state->valued = manifest_take_bool(from, key->name);
}

static bool same_views(const struct manifest_slice_key *key, const struct slice_state *a,
                       const struct slice_state *b)
{
    bool same = true;
    (void)key;
    for (size_t v = 0; v < STEPD_VIEWS; v++)
        same = same && (a->view[v] == NULL) == (b->view[v] == NULL);
    return same;
}

static json_t *make_views(const struct manifest_slice_key *key,
                          const struct manifest_slice_writing *writing)
{
    json_t *const list = json_array();
    bool added = list != NULL;
    (void)key;
    for (size_t v = 0; v < STEPD_VIEWS && added; v++) {
        if (writing->state->view[v] != NULL)
            added = json_array_append_new(list, json_string(view_words[v])) == 0;
    }
    return whole_list(list, added);
}

static void take_views(const struct manifest_slice_key *key, struct manifest_object *from,
                       const struct manifest_slice_reading *reading)
{
    const json_t *const list = manifest_take_list(from, key->name, STEPD_VIEWS);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *const word = json_array_get(list, i);
        size_t v = 0;
        while (v < STEPD_VIEWS &&
               !(json_is_string(word) && strcmp(json_string_value(word), view_words[v]) == 0))
            v++;
        if (v == STEPD_VIEWS || reading->slice->view[v])
            manifest_object_fail(from, key->name,
                                 "must be a list of training, evaluation, ema and swa, each at "
                                 "most once");
        else
            reading->slice->view[v] = true;
    }
}

/* ---- Groups and phases ----------------------------------------------------------------------- */

static bool same_changed(const struct manifest_slice_key *key, const struct slice_state *a,
                         const struct slice_state *b)
{
    (void)key;
    return manifest_same_changed(a->changed, b->changed);
}

static json_t *make_changed(const struct manifest_slice_key *key,
                            const struct manifest_slice_writing *writing)
{
    (void)key;
    return manifest_of_changed(writing->changed, writing->state->changed);
}

static void take_changed(const struct manifest_slice_key *key, struct manifest_object *from,
                         const struct manifest_slice_reading *reading)
{
    struct shared_group *const shared =
        manifest_take_changed(from, key->name, reading->changed, reading->plan->group);
    reading->state->changed = shared == NULL ? NULL : shared_group_ref(shared);
}

static const struct group *group_of(const struct job *job, uint32_t group,
                                    const struct slice_state *state)
{
    return state->changed != NULL ? &state->changed->group : &job->group[group];
}

static bool same_phase(const struct manifest_slice_key *key, const struct slice_state *a,
                       const struct slice_state *b)
{
    (void)key;
    return a->phase == b->phase;
}

static json_t *make_phase(const struct manifest_slice_key *key,
                          const struct manifest_slice_writing *writing)
{
    (void)key;
    return manifest_of_u64(writing->state->phase);
}

static void take_phase(const struct manifest_slice_key *key, struct manifest_object *from,
                       const struct manifest_slice_reading *reading)
{
    const struct group *const group = group_of(reading->job, reading->plan->group, reading->state);
    reading->state->phase = manifest_take_between(from, key->name, 0, group->phases - 1);
}

/* ---- What the schedule has heard ------------------------------------------------------------- */

static bool same_schedule(const struct manifest_slice_key *key, const struct slice_state *a,
                          const struct slice_state *b)
{
    const struct schedule_state *const x = &a->schedule_state;
    const struct schedule_state *const y = &b->schedule_state;
    (void)key;
    return x->seen == y->seen && manifest_same_double(x->best, y->best) &&
           manifest_same_double(x->sum, y->sum) && x->rounds == y->rounds && x->bad == y->bad &&
           x->cooling == y->cooling && x->drops == y->drops;
}

/* Mostly it has heard nothing. */
static json_t *make_schedule(const struct manifest_slice_key *key,
                             const struct manifest_slice_writing *writing)
{
    static const struct slice_state nothing = {.taken = false};
    const struct schedule_state *const state = &writing->state->schedule_state;
    if (same_schedule(key, writing->state, &nothing))
        return json_null();
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "seen", (int)state->seen, "best",
                     manifest_of_double(state->best), "sum", manifest_of_double(state->sum),
                     "rounds", manifest_of_u64(state->rounds), "bad", manifest_of_u64(state->bad),
                     "cooling", manifest_of_u64(state->cooling), "drops",
                     manifest_of_u64(state->drops));
}

static enum stepd_status read_schedule(const json_t *json, struct schedule_state *state,
                                       struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    state->seen = manifest_take_bool(&object, "seen");
    state->best = manifest_take_double(&object, "best");
    state->sum = manifest_take_double(&object, "sum");
    state->rounds = manifest_take_between(&object, "rounds", 0, INT64_MAX);
    state->bad = manifest_take_between(&object, "bad", 0, INT64_MAX);
    state->cooling = manifest_take_between(&object, "cooling", 0, INT64_MAX);
    state->drops = manifest_take_between(&object, "drops", 0, INT64_MAX);
    return manifest_object_end(&object);
}

static void take_schedule(const struct manifest_slice_key *key, struct manifest_object *from,
                          const struct manifest_slice_reading *reading)
{
    const json_t *const json = manifest_take(from, key->name);
    if (json == NULL || json_is_null(json))
        return;
    from->status = read_schedule(json, &reading->state->schedule_state, from->reterr);
    if (from->status != STEPD_OK)
        (void)stepd_fail_in(from->reterr, from->status, "%s", key->name);
}

/* ---- The optimizer's state ------------------------------------------------------------------- */

static bool same_slots(const struct manifest_slice_key *key, const struct slice_state *a,
                       const struct slice_state *b)
{
    bool same = manifest_same_changed(a->changed, b->changed) && a->phase == b->phase;
    (void)key;
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        same = same && (a->slot_floats[k] > 0) == (b->slot_floats[k] > 0);
    return same;
}

static json_t *make_slots(const struct manifest_slice_key *key,
                          const struct manifest_slice_writing *writing)
{
    const struct slice_state *const state = writing->state;
    const struct group *const group = group_of(writing->job, writing->group, state);
    const struct optimizer *const optimizer = group->phase[state->phase].optimizer;
    json_t *const list = json_array();
    bool added = list != NULL;
    (void)key;
    for (size_t k = 0; k < optimizer_slots(optimizer) && added; k++) {
        if (state->slot_floats[k] > 0)
            added = json_array_append_new(list, json_string(optimizer->slot[k].name)) == 0;
    }
    return whole_list(list, added);
}

/* Those that the phase has, in its order. */
static void take_slots(const struct manifest_slice_key *key, struct manifest_object *from,
                       const struct manifest_slice_reading *reading)
{
    const json_t *const list = manifest_take_list(from, key->name, OPTIMIZER_SLOTS_MAX);
    const struct group *const group = group_of(reading->job, reading->plan->group, reading->state);
    const struct phase *const phase = &group->phase[reading->state->phase];
    const size_t slots = group->frozen ? 0 : optimizer_slots(phase->optimizer);
    size_t said = 0;
    for (size_t k = 0; k < slots && from->status == STEPD_OK; k++) {
        const uint64_t floats = job_slot_floats(reading->job, reading->plan, phase, k);
        const char *const name = json_string_value(json_array_get(list, said));
        reading->state->slot_floats[k] = floats;
        if (floats == 0)
            continue;
        if (name == NULL || strcmp(name, phase->optimizer->slot[k].name) != 0)
            manifest_object_fail(from, key->name, "%zu must be \"%s\", as %s keeps it", said,
                                 phase->optimizer->slot[k].name, phase->optimizer->name);
        said++;
    }
    if (from->status == STEPD_OK && said != json_array_size(list))
        manifest_object_fail(from, key->name, "has %zu, and %s keeps %zu", json_array_size(list),
                             phase->optimizer->name, said);
}

static bool same_scalars(const struct manifest_slice_key *key, const struct slice_state *a,
                         const struct slice_state *b)
{
    (void)key;
    return a->scalars == b->scalars &&
           (a->scalars == 0 || memcmp(a->scalar, b->scalar, a->scalars * sizeof *a->scalar) == 0);
}

static json_t *make_scalars(const struct manifest_slice_key *key,
                            const struct manifest_slice_writing *writing)
{
    json_t *const list = json_array();
    bool added = list != NULL;
    (void)key;
    for (size_t i = 0; i < writing->state->scalars && added; i++)
        added = json_array_append_new(list, manifest_of_double(writing->state->scalar[i])) == 0;
    return whole_list(list, added);
}

static void take_scalars(const struct manifest_slice_key *key, struct manifest_object *from,
                         const struct manifest_slice_reading *reading)
{
    struct slice_state *const state = reading->state;
    const size_t most = (size_t)OPTIMIZER_SCALARS_MAX * LAYOUT_PACK_PARTS_MAX;
    const json_t *const list = manifest_take_list(from, key->name, most);
    const size_t count = json_array_size(list);
    if (count == 0)
        return;
    state->scalars_memory = calloc(count, sizeof *state->scalars_memory);
    if (state->scalars_memory == NULL) {
        manifest_object_no_memory(from);
        return;
    }
    state->scalar = state->scalars_memory;
    state->scalars = count;
    for (size_t i = 0; i < count; i++) {
        if (!manifest_read_double(json_array_get(list, i), &state->scalars_memory[i]))
            manifest_object_fail(from, key->name, "must be a list of numbers");
    }
}

/* ---- Ranks ----------------------------------------------------------------------------------- */

static bool same_backups(const struct manifest_slice_key *key, const struct slice_state *a,
                         const struct slice_state *b)
{
    (void)key;
    return (a->by_rank[0].backup == NULL) == (b->by_rank[0].backup == NULL);
}

static json_t *make_backups(const struct manifest_slice_key *key,
                            const struct manifest_slice_writing *writing)
{
    (void)key;
    return json_boolean(writing->state->by_rank[0].backup != NULL);
}

static void take_backups(const struct manifest_slice_key *key, struct manifest_object *from,
                         const struct manifest_slice_reading *reading)
{
    reading->slice->backups = manifest_take_bool(from, key->name);
}

static bool same_rank(const struct rank_state *a, const struct rank_state *b)
{
    bool same = a->record.clock == b->record.clock && a->backup_version == b->backup_version;
    for (size_t i = 0; i < RECORD_DEPTH; i++) {
        const struct record_entry *const x = &a->record.entry[i];
        const struct record_entry *const y = &b->record.entry[i];
        same = same && x->clock == y->clock && x->version == y->version && x->outcome == y->outcome;
    }
    return same;
}

static bool same_ranks(const struct manifest_slice_key *key, const struct slice_state *a,
                       const struct slice_state *b)
{
    (void)key;
    bool same = a->ranks == b->ranks;
    for (size_t i = 0; same && i < a->ranks; i++)
        same = same_rank(&a->by_rank[i], &b->by_rank[i]);
    return same;
}

/* From the oldest to the newest. */
static json_t *of_results(const struct record *record)
{
    json_t *const list = json_array();
    bool added = list != NULL;
    for (size_t i = 1; i <= RECORD_DEPTH && added; i++) {
        const struct record_entry *const entry = &record->entry[(record->clock + i) % RECORD_DEPTH];
        if (entry->clock == 0)
            continue;
        added = json_array_append_new(list, json_pack("[o, o, s]", manifest_of_u64(entry->clock),
                                                      manifest_of_u64(entry->version),
                                                      outcome_words[entry->outcome])) == 0;
    }
    return whole_list(list, added);
}

static json_t *of_rank(const struct rank_state *rank, size_t index)
{
    json_t *const made =
        json_pack("{s:I, s:o, s:o}", "rank", (json_int_t)index, "clock",
                  manifest_of_u64(rank->record.clock), "results", of_results(&rank->record));
    if (rank->backup_version == UINT64_MAX ||
        json_object_set_new(made, "backup_version", manifest_of_u64(rank->backup_version)) == 0)
        return made;
    json_decref(made);
    return NULL;
}

/* Those of whom there is something to say. */
static json_t *make_ranks(const struct manifest_slice_key *key,
                          const struct manifest_slice_writing *writing)
{
    static const struct rank_state nothing = {.backup_version = UINT64_MAX};
    const struct slice_state *const state = writing->state;
    json_t *const list = json_array();
    bool added = list != NULL;
    (void)key;
    for (size_t i = 0; i < state->ranks && added; i++) {
        if (!same_rank(&state->by_rank[i], &nothing))
            added = json_array_append_new(list, of_rank(&state->by_rank[i], i)) == 0;
    }
    return whole_list(list, added);
}

static bool read_result(const json_t *json, struct record *record)
{
    struct record_entry entry = {.clock = 0};
    const char *const word = json_string_value(json_array_get(json, 2));
    size_t outcome = 0;
    while (outcome < COUNT(outcome_words) &&
           (word == NULL || strcmp(word, outcome_words[outcome]) != 0))
        outcome++;
    const bool read = json_array_size(json) == 3 && outcome < COUNT(outcome_words) &&
                      manifest_read_u64(json_array_get(json, 0), &entry.clock) &&
                      manifest_read_u64(json_array_get(json, 1), &entry.version);
    entry.outcome = (enum stepd_outcome)outcome;
    struct record_entry *const place = &record->entry[entry.clock % RECORD_DEPTH];
    if (!read || entry.clock == 0 || entry.clock > record->clock || place->clock != 0)
        return false;
    *place = entry;
    return true;
}

static enum stepd_status read_rank(const json_t *json, const struct manifest_slice_reading *reading,
                                   struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    const size_t index = manifest_take_between(&object, "rank", 0, reading->state->ranks - 1);
    struct rank_state *const rank = &reading->state->by_rank[index];
    if (object.status == STEPD_OK && (rank->record.clock > 0 || rank->backup_version != UINT64_MAX))
        manifest_object_fail(&object, "rank", "is there twice");
    rank->record.clock = manifest_take_between(&object, "clock", 0, INT64_MAX);
    if (manifest_object_has(&object, "backup_version"))
        rank->backup_version = manifest_take_between(&object, "backup_version", 0, INT64_MAX);
    const json_t *const list = manifest_take_list(&object, "results", RECORD_DEPTH);
    for (size_t i = 0; i < json_array_size(list) && object.status == STEPD_OK; i++) {
        if (!read_result(json_array_get(list, i), &rank->record))
            manifest_object_fail(&object, "results",
                                 "%zu must be [clock, version, outcome], of a clock from 1 to the "
                                 "rank's, and no other may be 8 clocks from it",
                                 i);
    }
    return manifest_object_end(&object);
}

static void take_ranks(const struct manifest_slice_key *key, struct manifest_object *from,
                       const struct manifest_slice_reading *reading)
{
    const json_t *const list = manifest_take_list(from, key->name, reading->state->ranks);
    for (size_t i = 0; i < json_array_size(list) && from->status == STEPD_OK; i++) {
        from->status = read_rank(json_array_get(list, i), reading, from->reterr);
        if (from->status != STEPD_OK)
            (void)stepd_fail_in(from->reterr, from->status, "%s[%zu]", key->name, i);
    }
}

/* ---- The table ------------------------------------------------------------------------------- */

#define COUNTED(field)                                                                             \
    {                                                                                              \
        .name = #field, .offset = offsetof(struct slice_state, field), .same = same_count,         \
        .make = make_count, .take = take_count                                                     \
    }
#define KEY(key, what)                                                                             \
    {                                                                                              \
        .name = (key), .same = same_##what, .make = make_##what, .take = take_##what               \
    }

const struct manifest_slice_key manifest_slice_key[MANIFEST_SLICE_KEYS] = {
    COUNTED(version),        COUNTED(t),
    KEY("valued", valued),   KEY("views", views),
    KEY("changed", changed), COUNTED(change),
    KEY("phase", phase),     COUNTED(phase_began),
    COUNTED(swa_count),      KEY("schedule_state", schedule),
    KEY("slots", slots),     KEY("scalars", scalars),
    KEY("backups", backups), KEY("ranks", ranks),
};
