/* SPDX-License-Identifier: Apache-2.0
 *
 * What has become of the job's groups, what is to come, and the audit trail. Whether it is the
 * history of such a job is asked by job_snapshot_check when all is read; here it must only be one
 * that can be asked.
 */
#include <stdlib.h>

#include "proto/error.h"
#include "server/persist/manifest_internal.h"

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *of_group(const struct control_group *group, const struct manifest_changed *changed)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "past", manifest_of_changed(changed, group->past),
                     "now", manifest_of_changed(changed, group->now), "number",
                     manifest_of_u64(group->number), "version",
                     manifest_of_u64_or_none(group->version));
}

static json_t *of_change(const struct group_change *change, const struct manifest_changed *changed)
{
    return json_pack("{s:I, s:b, s:b, s:o}", "group", (json_int_t)change->index, "fresh",
                     (int)change->fresh, "new_schedule", (int)change->new_schedule, "changed",
                     manifest_of_changed(changed, change->group));
}

static json_t *of_changes(const struct group_changes *changes,
                          const struct manifest_changed *changed)
{
    json_t *const list = json_array();
    bool added = list != NULL;
    for (size_t i = 0; i < changes->count && added; i++)
        added = json_array_append_new(list, of_change(&changes->change[i], changed)) == 0;
    json_t *const made =
        json_pack("{s:o, s:o, s:O}", "number", manifest_of_u64(changes->number), "version",
                  manifest_of_u64(changes->version), "changes", added ? list : NULL);
    json_decref(list);
    return made;
}

static json_t *of_record(const struct control_record *record)
{
    json_t *const list = json_array();
    bool added = list != NULL;
    for (size_t i = 0; i < record->differences && added; i++) {
        const struct difference *const difference = &record->difference[i];
        added = json_array_append_new(list, json_pack("[s, s, s]", difference->name,
                                                      difference->from, difference->to)) == 0;
    }
    json_t *const made =
        json_pack("{s:o, s:I, s:o, s:o, s:o, s:s, s:O}", "number", manifest_of_u64(record->number),
                  "group", (json_int_t)record->group, "at_ms", manifest_of_u64(record->at_ms),
                  "version", manifest_of_u64_or_none(record->version), "version_last",
                  manifest_of_u64_or_none(record->version_last), "by", record->by, "differences",
                  added ? list : NULL);
    json_decref(list);
    return made;
}

void manifest_write_history(struct manifest_text *text, const struct control_history *history,
                            const struct manifest_changed *changed)
{
    manifest_text_open(text, "history", '{');
    manifest_text_value(text, "numbered", manifest_of_u64(history->numbered));
    manifest_text_value(text, "made", manifest_of_u64(history->made));
    manifest_text_open(text, "groups", '[');
    for (size_t i = 0; i < history->groups; i++)
        manifest_text_value(text, /* key= */ NULL, of_group(&history->group[i], changed));
    manifest_text_close(text, ']');
    manifest_text_open(text, "coming", '[');
    for (const struct group_changes *at = history->coming; at != NULL; at = at->next)
        manifest_text_value(text, /* key= */ NULL, of_changes(at, changed));
    manifest_text_close(text, ']');
    manifest_text_value(text, "forgotten", manifest_of_u64(history->trail.forgotten));
    manifest_text_open(text, "trail", '[');
    for (const struct control_record *at = history->trail.first; at != NULL; at = at->next)
        manifest_text_value(text, /* key= */ NULL, of_record(at));
    manifest_text_close(text, ']');
    manifest_text_close(text, '}');
}

/* ---- Reading --------------------------------------------------------------------------------- */

struct reading {
    const struct manifest_changed *changed;
    const struct job *job;
    struct control_history *history;
    struct stepd_error *reterr;
};

/* Reads one value of a list. */
typedef enum stepd_status read_fn(const json_t *json, struct reading *reading, uint32_t index);

static struct shared_group *ref(struct shared_group *shared)
{
    return shared == NULL ? NULL : shared_group_ref(shared);
}

static enum stepd_status read_group(const json_t *json, struct reading *reading, uint32_t index)
{
    struct control_group *const group = &reading->history->group[index];
    struct manifest_object object;
    manifest_object_begin(&object, json, reading->reterr);
    group->past = ref(manifest_take_changed(&object, "past", reading->changed, index));
    group->now = ref(manifest_take_changed(&object, "now", reading->changed, index));
    group->number = manifest_take_u64(&object, "number");
    group->version = manifest_take_u64_or_none(&object, "version");
    return manifest_object_end(&object);
}

static enum stepd_status read_change(const json_t *json, const struct reading *reading,
                                     struct group_change *change)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reading->reterr);
    change->index = (uint32_t)manifest_take_between(&object, "group", 0, reading->job->groups - 1);
    change->fresh = manifest_take_bool(&object, "fresh");
    change->new_schedule = manifest_take_bool(&object, "new_schedule");
    change->group = ref(manifest_take_changed(&object, "changed", reading->changed, change->index));
    if (object.status == STEPD_OK && change->group == NULL)
        manifest_object_fail(&object, "changed", "must be the index of what the group becomes");
    return manifest_object_end(&object);
}

static enum stepd_status read_changes_list(const json_t *list, const struct reading *reading,
                                           struct group_changes *changes)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < changes->count && status == STEPD_OK; i++) {
        status = read_change(json_array_get(list, i), reading, &changes->change[i]);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reading->reterr, status, "changes[%zu]", i);
    }
    return status;
}

static struct group_changes **end_of(struct control_history *history)
{
    struct group_changes **at = &history->coming;
    while (*at != NULL)
        at = &(*at)->next;
    return at;
}

static enum stepd_status read_changes(const json_t *json, struct reading *reading, uint32_t index)
{
    struct manifest_object object;
    (void)index;
    manifest_object_begin(&object, json, reading->reterr);
    const uint64_t number = manifest_take_u64(&object, "number");
    const uint64_t version = manifest_take_between(&object, "version", 0, INT64_MAX);
    const json_t *const list = manifest_take_list(&object, "changes", STEPD_GROUPS_MAX);
    if (reading->history->groups == 0)
        manifest_object_fail(&object, "changes",
                             "must come with a list of what the groups are now");
    enum stepd_status status = manifest_object_end(&object);
    if (status != STEPD_OK)
        return status;
    struct group_changes *changes = group_changes_create(json_array_size(list));
    if (changes == NULL)
        return stepd_fail(reading->reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read a change");
    changes->number = number;
    changes->version = version;
    status = read_changes_list(list, reading, changes);
    if (status == STEPD_OK)
        *end_of(reading->history) = changes; /* whole, or the history could not be cleared */
    else
        (void)group_changes_destroy(changes);
    return status;
}

static enum stepd_status read_difference(const json_t *json, struct difference *difference,
                                         struct stepd_error *reterr)
{
    const struct {
        char *text;
        size_t room;
    } of[] = {
        {difference->name, sizeof difference->name},
        {difference->from, sizeof difference->from},
        {difference->to, sizeof difference->to},
    };

    bool read = json_array_size(json) == sizeof of / sizeof of[0];
    for (size_t i = 0; i < sizeof of / sizeof of[0] && read; i++) {
        const json_t *const text = json_array_get(json, i);
        read = json_is_string(text) && json_string_length(text) < of[i].room;
        if (read)
            (void)stepd_format(of[i].text, of[i].room, "%s", json_string_value(text));
    }
    return read ? STEPD_OK
                : stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                             "it must be a list of three texts: a name of at most %zu bytes, and "
                             "from what to what, each of at most %zu",
                             of[0].room - 1, of[1].room - 1);
}

static enum stepd_status read_differences(const json_t *list, struct difference *difference,
                                          struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < json_array_size(list) && status == STEPD_OK; i++) {
        status = read_difference(json_array_get(list, i), &difference[i], reterr);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reterr, status, "differences[%zu]", i);
    }
    return status;
}

static enum stepd_status read_record(const json_t *json, struct reading *reading, uint32_t index)
{
    struct control_record said = {.next = NULL};
    struct difference difference[DIFFERENCES_MAX];
    struct manifest_object object;
    (void)index;
    manifest_object_begin(&object, json, reading->reterr);
    said.number = manifest_take_u64(&object, "number");
    said.group = (uint32_t)manifest_take_between(&object, "group", 0, reading->job->groups - 1);
    said.at_ms = manifest_take_u64(&object, "at_ms");
    said.version = manifest_take_u64_or_none(&object, "version");
    said.version_last = manifest_take_u64_or_none(&object, "version_last");
    const char *const by = manifest_take_text(&object, "by", STEPD_NAME_MAX_BYTES);
    const json_t *const list = manifest_take_list(&object, "differences", DIFFERENCES_MAX);
    enum stepd_status status = manifest_object_end(&object);
    if (status == STEPD_OK)
        status = read_differences(list, difference, reading->reterr);
    if (status != STEPD_OK)
        return status;
    struct control_record *const record =
        control_record_create(said.group, by, difference, json_array_size(list));
    if (record == NULL)
        return stepd_fail(reading->reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read a record");
    record->number = said.number;
    record->at_ms = said.at_ms;
    record->version = said.version;
    record->version_last = said.version_last;
    control_trail_add(&reading->history->trail, record);
    return STEPD_OK;
}

static enum stepd_status read_list(const json_t *list, const char *key, struct reading *reading,
                                   read_fn *read)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < json_array_size(list) && status == STEPD_OK; i++) {
        status = read(json_array_get(list, i), reading, (uint32_t)i);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reading->reterr, status, "%s[%zu]", key, i);
    }
    return status;
}

/* None, or one for each of the job's. */
static enum stepd_status read_groups(const json_t *list, struct reading *reading)
{
    const size_t count = json_array_size(list);
    if (count == 0)
        return STEPD_OK;
    if (count != reading->job->groups)
        return stepd_fail(reading->reterr, STEPD_INVALID_ARGUMENT,
                          "groups has %zu, and the job %zu", count, reading->job->groups);
    if (control_history_begin(reading->history, count) != STEPD_OK)
        return stepd_fail(reading->reterr, STEPD_RESOURCE_EXHAUSTED,
                          "no memory to read what has become of %zu groups", count);
    return read_list(list, "groups", reading, read_group);
}

enum stepd_status manifest_read_history(const json_t *json, const struct manifest_changed *changed,
                                        struct job_snapshot *snapshot, struct stepd_error *reterr)
{
    struct reading reading = {
        .changed = changed, .job = snapshot->job, .history = &snapshot->history, .reterr = reterr};
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    snapshot->history.numbered = manifest_take_u64(&object, "numbered");
    snapshot->history.made = manifest_take_u64(&object, "made");
    const uint64_t forgotten = manifest_take_u64(&object, "forgotten");
    const json_t *const groups = manifest_take_list(&object, "groups", STEPD_GROUPS_MAX);
    const json_t *const coming = manifest_take_list(&object, "coming", CONTROL_COMING_MAX);
    const json_t *const trail = manifest_take_list(&object, "trail", CONTROL_TRAIL_MAX);
    enum stepd_status status = manifest_object_end(&object);
    if (status == STEPD_OK)
        status = read_groups(groups, &reading);
    if (status == STEPD_OK)
        status = read_list(coming, "coming", &reading, read_changes);
    if (status == STEPD_OK)
        status = read_list(trail, "trail", &reading, read_record);
    snapshot->history.trail.forgotten = forgotten;
    return status;
}
