/* SPDX-License-Identifier: Apache-2.0
 *
 * What is compared is named, so that a test that fails says which field it is.
 */
#include "tests/lib/manifests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Writing and reading --------------------------------------------------------------------- */

char *manifests_write(const struct job_snapshot *snapshot, const struct job_state *state,
                      const struct manifest_sums *sums, size_t *ret_length)
{
    static const struct manifest_sums none = {.files = 0};
    const struct manifest_source source = {
        .stepd = "1.2.3",
        .snapshot = snapshot,
        .share = &state,
        .shares = 1,
        .sums = sums == NULL ? &none : sums,
    };
    char *text = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    if (manifest_encode(&source, &text, ret_length, &error) != STEPD_OK)
        fail_msg("a manifest cannot be written: %s", error.text);
    return text;
}

struct manifest manifests_read(const char *text, size_t length)
{
    struct manifest manifest = {.stepd = NULL};
    struct stepd_error error = {.code = STEPD_OK};
    if (manifest_parse(text, length, &manifest, &error) != STEPD_OK)
        fail_msg("a manifest cannot be read: %s", error.text);
    return manifest;
}

static const float *copy_floats(const float *from, uint64_t floats, float **at)
{
    float *const to = *at;
    memcpy(to, from, (size_t)floats * sizeof *to);
    *at += floats;
    return to;
}

static void fill_backups(struct slice_state *to, const struct slice_state *from)
{
    for (size_t i = 0; i < to->ranks; i++) {
        to->by_rank[i].backup = malloc(to->elements * sizeof(float));
        assert_non_null(to->by_rank[i].backup);
        memcpy(to->by_rank[i].backup, from->by_rank[i].backup, to->elements * sizeof(float));
    }
}

static void fill_slice(struct slice_state *to, const struct manifest_slice *has,
                       const struct slice_state *from)
{
    uint64_t floats = 1;
    for (size_t v = 0; v < STEPD_VIEWS; v++)
        floats += has->view[v] ? to->elements : 0;
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        floats += to->slot_floats[k];
    float *at = malloc((size_t)floats * sizeof *at);
    assert_non_null(at);
    to->memory = at;
    for (size_t v = 0; v < STEPD_VIEWS; v++) {
        assert_int_equal(has->view[v], from->view[v] != NULL);
        if (has->view[v])
            to->view[v] = copy_floats(from->view[v], to->elements, &at);
    }
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        assert_int_equal(to->slot_floats[k], from->slot_floats[k]);
        if (to->slot_floats[k] > 0)
            to->slot[k] = copy_floats(from->slot[k], to->slot_floats[k], &at);
    }
    assert_int_equal(has->backups, from->by_rank[0].backup != NULL);
    if (has->backups)
        fill_backups(to, from);
}

void manifests_fill(struct manifest *manifest, const struct job_state *state)
{
    assert_int_equal(manifest->state->job->layout.slices, state->job->layout.slices);
    for (size_t i = 0; i < state->job->layout.slices; i++)
        fill_slice(&manifest->state->slice[i], &manifest->slice[i], &state->slice[i]);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static void same(const char *what, uint64_t a, uint64_t b)
{
    if (a != b)
        fail_msg("%s was %llu and is %llu", what, (unsigned long long)a, (unsigned long long)b);
}

#define SAME(field)      same(#field, (uint64_t)a->field, (uint64_t)b->field)
#define SAME_TEXT(field) same_text(#field, a->field, b->field)
#define SAME_BITS(field) same_bits(#field, &a->field, &b->field, sizeof a->field)

static void same_text(const char *what, const char *a, const char *b)
{
    if (strcmp(a, b) != 0)
        fail_msg("%s was '%s' and is '%s'", what, a, b);
}

static void same_bits(const char *what, const void *a, const void *b, size_t n)
{
    if (n > 0 && memcmp(a, b, n) != 0)
        fail_msg("%s is not what it was", what);
}

static void same_error(const char *what, const struct stepd_error *a, const struct stepd_error *b)
{
    same(what, a->code, b->code);
    if (a->code != STEPD_OK)
        same_text(what, a->text, b->text);
}

static void same_schedule(const struct schedule *a, const struct schedule *b)
{
    SAME_TEXT(kind->name);
    SAME(parts);
    for (size_t i = 0; i < a->kind->params; i++) {
        const struct schedule_param_spec *const spec = &a->kind->param[i];
        size_t a_values = 0;
        size_t b_values = 0;
        const double *const x = schedule_get(a, spec, &a_values);
        const double *const y = schedule_get(b, spec, &b_values);
        same(spec->name, x == NULL, y == NULL);
        same(spec->name, a_values, b_values);
        if (x != NULL)
            same_bits(spec->name, x, y, a_values * sizeof *x);
    }
    for (size_t i = 0; i < a->parts; i++)
        same_schedule(&a->part[i], &b->part[i]);
}

static void same_treatment(const struct treatment *a, const struct treatment *b)
{
    SAME(maximize);
    SAME_BITS(clip_norm);
    SAME_BITS(clip_value);
    SAME_BITS(ema_decay);
    SAME(swa);
    SAME(swa_start);
    SAME(swa_every);
}

static void same_group(const struct group *a, const struct group *b)
{
    SAME_TEXT(name);
    SAME_TEXT(match);
    SAME(ndims);
    same_bits("ndim", a->ndim, b->ndim, a->ndims * sizeof a->ndim[0]);
    SAME(frozen);
    SAME(phases);
    for (size_t i = 0; i < a->phases; i++) {
        SAME(phase[i].from);
        SAME_TEXT(phase[i].optimizer->name);
        SAME_BITS(phase[i].hyper);
    }
    same_schedule(&a->schedule, &b->schedule);
    same_treatment(&a->treatment, &b->treatment);
}

static void same_changed(const struct shared_group *a, const struct shared_group *b)
{
    same("a changed group is there", a != NULL, b != NULL);
    if (a != NULL)
        same_group(&a->group, &b->group);
}

static void same_tensor(const struct tensor *a, const struct tensor *b)
{
    SAME_TEXT(name);
    SAME(dims);
    same_bits("shape", a->shape, b->shape, a->dims * sizeof a->shape[0]);
    SAME(elements);
    SAME(group);
    SAME(init.kind);
    SAME_BITS(init.a);
    SAME_BITS(init.b);
    SAME(init.seed);
}

static void same_layout(const struct layout *a, const struct layout *b)
{
    SAME(slices);
    SAME(parts);
    same_bits("layout.slice", a->slice, b->slice, a->slices * sizeof *a->slice);
    same_bits("layout.part", a->part, b->part, a->parts * sizeof *a->part);
}

static void same_job(const struct job *a, const struct job *b)
{
    struct stepd_error error;
    SAME_TEXT(name);
    SAME(consistency.mode);
    if (consistency_same(&a->consistency, &b->consistency, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    SAME(workers);
    SAME(strict);
    SAME(slice_elements);
    SAME(shards);
    SAME(elements);
    SAME(groups);
    SAME(tensors);
    for (size_t i = 0; i < a->groups; i++)
        same_group(&a->group[i], &b->group[i]);
    for (size_t i = 0; i < a->tensors; i++)
        same_tensor(&a->tensor[i], &b->tensor[i]);
    same_layout(&a->layout, &b->layout);
}

static void same_member(const struct member_snapshot *a, const struct member_snapshot *b)
{
    SAME(rank);
    SAME(left);
    same_error("given_up", &a->given_up, &b->given_up);
    SAME(until);
    SAME(from);
    SAME(from_clock);
    SAME(last_clock);
    SAME(reported_clock);
    SAME_BITS(loss);
    SAME(examples);
    SAME_BITS(session);
    SAME(epoch);
    SAME(lease_ms);
    SAME(has_client);
    if (a->has_client)
        SAME_BITS(client);
    SAME_TEXT(worker);
    SAME(former.known);
    if (!a->former.known)
        return;
    SAME_BITS(former.session);
    same_error("former.why", &a->former.why, &b->former.why);
}

static void same_changes(const struct group_changes *a, const struct group_changes *b)
{
    SAME(number);
    SAME(version);
    SAME(count);
    for (size_t i = 0; i < a->count; i++) {
        SAME(change[i].index);
        SAME(change[i].fresh);
        SAME(change[i].new_schedule);
        same_changed(a->change[i].group, b->change[i].group);
    }
}

static void same_record(const struct control_record *a, const struct control_record *b)
{
    SAME(number);
    SAME(group);
    SAME(at_ms);
    SAME(version);
    SAME(version_last);
    SAME_TEXT(by);
    SAME(differences);
    for (size_t i = 0; i < a->differences; i++) {
        SAME_TEXT(difference[i].name);
        SAME_TEXT(difference[i].from);
        SAME_TEXT(difference[i].to);
    }
}

static void same_history(const struct control_history *a, const struct control_history *b)
{
    SAME(numbered);
    SAME(made);
    SAME(groups);
    for (size_t i = 0; i < a->groups; i++) {
        SAME(group[i].number);
        SAME(group[i].version);
        same_changed(a->group[i].past, b->group[i].past);
        same_changed(a->group[i].now, b->group[i].now);
    }
    same("history.coming", control_history_coming(a), control_history_coming(b));
    const struct group_changes *y = b->coming;
    for (const struct group_changes *x = a->coming; x != NULL; x = x->next, y = y->next)
        same_changes(x, y);
    SAME(trail.forgotten);
    SAME(trail.count);
    const struct control_record *s = b->trail.first;
    for (const struct control_record *r = a->trail.first; r != NULL; r = r->next, s = s->next)
        same_record(r, s);
}

static void same_rank(const struct rank_state *a, const struct rank_state *b, size_t elements)
{
    SAME(record.clock);
    for (size_t i = 0; i < RECORD_DEPTH; i++) {
        SAME(record.entry[i].clock);
        SAME(record.entry[i].version);
        SAME(record.entry[i].outcome);
    }
    SAME(backup_version);
    same("backup", a->backup != NULL, b->backup != NULL);
    if (a->backup != NULL)
        same_bits("backup", a->backup, b->backup, elements * sizeof *a->backup);
}

static void same_floats(const char *what, const float *a, const float *b, uint64_t floats)
{
    same(what, a != NULL, b != NULL);
    if (a != NULL)
        same_bits(what, a, b, (size_t)floats * sizeof *a);
}

static void same_slice(const struct slice_state *a, const struct slice_state *b)
{
    SAME(taken);
    SAME(elements);
    SAME(version);
    SAME(t);
    SAME(valued);
    SAME(schedule_state.seen);
    SAME_BITS(schedule_state.best);
    SAME_BITS(schedule_state.sum);
    SAME(schedule_state.rounds);
    SAME(schedule_state.bad);
    SAME(schedule_state.cooling);
    SAME(schedule_state.drops);
    SAME(swa_count);
    same_changed(a->changed, b->changed);
    SAME(change);
    SAME(phase);
    SAME(phase_began);
    for (size_t v = 0; v < STEPD_VIEWS; v++)
        same_floats("view", a->view[v], b->view[v], a->elements);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        SAME(slot_floats[k]);
        same_floats("slot", a->slot[k], b->slot[k], a->slot_floats[k]);
    }
    SAME(scalars);
    same_bits("scalar", a->scalar, b->scalar, a->scalars * sizeof *a->scalar);
    SAME(ranks);
    for (size_t i = 0; i < a->ranks; i++)
        same_rank(&a->by_rank[i], &b->by_rank[i], a->elements);
}

static void same_snapshot(const struct job_snapshot *a, const struct job_snapshot *b)
{
    SAME(version);
    SAME(incarnation);
    SAME(started);
    SAME(taken_ms);
    same("job->incarnation", a->incarnation, b->job->incarnation);
    same_job(a->job, b->job);
    SAME(members);
    for (size_t i = 0; i < a->members; i++)
        same_member(&a->member[i], &b->member[i]);
    same_history(&a->history, &b->history);
}

void manifests_assert_same(const struct job_snapshot *a, const struct job_state *a_state,
                           const struct job_snapshot *b, const struct job_state *b_state)
{
    same_snapshot(a, b);
    same("state.version", a_state->version, b_state->version);
    same_error("halted", &a_state->halted, &b_state->halted);
    for (size_t i = 0; i < a->job->layout.slices; i++)
        same_slice(&a_state->slice[i], &b_state->slice[i]);
}

struct manifest manifests_go_round(const struct job_snapshot *snapshot,
                                   const struct job_state *state)
{
    size_t length = 0;
    size_t again_length = 0;
    char *const text = manifests_write(snapshot, state, NULL, &length);
    struct manifest manifest = manifests_read(text, length);
    assert_int_equal(manifest.snapshot.shares, 0);
    assert_string_equal(manifest.stepd, "1.2.3");
    manifests_fill(&manifest, state);
    manifests_assert_same(snapshot, state, &manifest.snapshot, manifest.state);
    char *const again = manifests_write(&manifest.snapshot, manifest.state, NULL, &again_length);
    assert_int_equal(again_length, length);
    assert_memory_equal(again, text, length);
    free(again);
    free(text);
    return manifest;
}
