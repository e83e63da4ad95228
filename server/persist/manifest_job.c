/* SPDX-License-Identifier: Apache-2.0
 *
 * The definition of the job, in the words of the config file, and its tensors. What is read goes
 * the way of a definition that a client sends: a draft, all tensors in one page, and the seal. It
 * is sealed for as many shards as it had, which only says where slices were.
 */
#include "server/persist/manifest_internal.h"

#include <math.h>

#include "proto/error.h"
#include "proto/mode.h"

/* As many as a daemon may have threads, and more. */
#define SHARDS_MAX 4096u

static const char *const init_words[] = {
    [STEPD_INIT_CONSTANT] = "constant",
    [STEPD_INIT_UNIFORM] = "uniform",
    [STEPD_INIT_NORMAL] = "normal",
    [STEPD_INIT_VALUES] = "values",
};

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *of_shape(const struct tensor *tensor)
{
    json_t *const list = json_array();
    bool added = list != NULL;
    for (size_t i = 0; i < tensor->dims && added; i++)
        added = json_array_append_new(list, manifest_of_u64(tensor->shape[i])) == 0;
    if (added)
        return list;
    json_decref(list);
    return NULL;
}

/* What an initializer does not look at is left out where it is 0. */
static json_t *of_tensor(const struct tensor *tensor)
{
    const struct stepd_init *const init = &tensor->init;
    json_t *const made = json_pack("{s:s, s:o, s:s}", "name", tensor->name, "shape",
                                   of_shape(tensor), "init", init_words[init->kind]);
    bool added = made != NULL;
    if (init->a != 0.0 || signbit(init->a))
        added = added && json_object_set_new(made, "a", manifest_of_double(init->a)) == 0;
    if (init->b != 0.0 || signbit(init->b))
        added = added && json_object_set_new(made, "b", manifest_of_double(init->b)) == 0;
    if (init->seed != 0)
        added = added && json_object_set_new(made, "seed", manifest_of_u64(init->seed)) == 0;
    if (added)
        return made;
    json_decref(made);
    return NULL;
}

static json_t *of_scalars(const struct job *job)
{
    struct stepd_setting setting[CONSISTENCY_SETTINGS_MAX];
    const struct stepd_settings settings = {
        .count = consistency_settings(&job->consistency, setting), .at = setting};
    json_t *const made =
        json_pack("{s:s, s:s, s:I, s:b, s:I, s:I}", "name", job->name, "mode",
                  stepd_mode_name(job->consistency.mode), "workers", (json_int_t)job->workers,
                  "strict", (int)job->strict, "slice_elements", (json_int_t)job->slice_elements,
                  "shards", (json_int_t)job->shards);
    if (made != NULL && manifest_add_settings(made, &settings))
        return made;
    json_decref(made);
    return NULL;
}

static json_t *of_group(const struct group *group)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, SIZE_MAX);
    json_t *made = json_object();
    if (!manifest_add_group(made, group, &arena)) {
        json_decref(made);
        made = NULL;
    }
    stepd_arena_deinit(&arena);
    return made;
}

void manifest_write_job(struct manifest_text *text, const struct job *job)
{
    manifest_text_open(text, "job", '{');
    manifest_text_pairs(text, of_scalars(job));
    manifest_text_open(text, "groups", '[');
    for (size_t i = 0; i < job->groups; i++)
        manifest_text_value(text, /* key= */ NULL, of_group(&job->group[i]));
    manifest_text_close(text, ']');
    manifest_text_open(text, "tensors", '[');
    for (size_t i = 0; i < job->tensors; i++)
        manifest_text_value(text, /* key= */ NULL, of_tensor(&job->tensor[i]));
    manifest_text_close(text, ']');
    manifest_text_close(text, '}');
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* A definition that is being read; its lists are in the arena. */
struct reading {
    struct stepd_arena arena;
    const char *name;
    struct stepd_define_job def;
    struct stepd_define_tensors page;
    uint32_t slice_elements;
    uint32_t shards;
    struct stepd_error *reterr;
};

static enum stepd_status read_shape(const json_t *list, struct stepd_arena *arena,
                                    struct manifest_object *object, struct stepd_tensor_def *def)
{
    uint64_t *const shape = stepd_arena_calloc(arena, json_array_size(list), sizeof *shape);
    if (shape == NULL)
        manifest_object_no_memory(object);
    for (size_t i = 0; i < json_array_size(list) && object->status == STEPD_OK; i++) {
        if (!manifest_read_u64(json_array_get(list, i), &shape[i]))
            manifest_object_fail(object, "shape", "must be a list of whole numbers");
    }
    def->dims = json_array_size(list);
    def->shape = shape;
    return object->status;
}

static enum stepd_status read_tensor(const json_t *json, struct reading *reading,
                                     struct stepd_tensor_def *def)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reading->reterr);
    def->name = manifest_take_name(&object, "name", STEPD_NAME_MAX_BYTES);
    const json_t *const shape = manifest_take_list(&object, "shape", STEPD_DIMS_MAX);
    (void)read_shape(shape, &reading->arena, &object, def);
    def->init.kind = (enum stepd_init_kind)manifest_take_word(
        &object, "init", init_words, sizeof init_words / sizeof init_words[0]);
    if (manifest_object_has(&object, "a"))
        def->init.a = manifest_take_double(&object, "a");
    if (manifest_object_has(&object, "b"))
        def->init.b = manifest_take_double(&object, "b");
    if (manifest_object_has(&object, "seed"))
        def->init.seed = manifest_take_u64(&object, "seed");
    return manifest_object_end(&object);
}

static enum stepd_status read_tensors(const json_t *list, struct reading *reading)
{
    const size_t count = json_array_size(list);
    struct stepd_tensor_def *const tensor =
        stepd_arena_calloc(&reading->arena, count, sizeof *tensor);
    enum stepd_status status = STEPD_OK;
    if (tensor == NULL)
        return stepd_fail(reading->reterr, STEPD_RESOURCE_EXHAUSTED,
                          "no memory to read %zu tensors", count);
    for (size_t i = 0; i < count && status == STEPD_OK; i++) {
        status = read_tensor(json_array_get(list, i), reading, &tensor[i]);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reading->reterr, status, "tensors[%zu]", i);
    }
    reading->page = (struct stepd_define_tensors){.tensors = count, .tensor = tensor, .last = true};
    return status;
}

static enum stepd_status read_groups(const json_t *list, struct reading *reading)
{
    const size_t count = json_array_size(list);
    struct stepd_group *const group = stepd_arena_calloc(&reading->arena, count, sizeof *group);
    enum stepd_status status = STEPD_OK;
    if (group == NULL)
        return stepd_fail(reading->reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read %zu groups",
                          count);
    for (size_t i = 0; i < count && status == STEPD_OK; i++) {
        struct manifest_object object;
        manifest_object_begin(&object, json_array_get(list, i), reading->reterr);
        group[i] = manifest_take_group(&object, &reading->arena);
        status = manifest_object_end(&object);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reading->reterr, status, "groups[%zu]", i);
    }
    reading->def.groups = count;
    reading->def.group = group;
    return status;
}

static enum stepd_mode take_mode(struct manifest_object *object)
{
    const char *word[STEPD_MODES];
    for (unsigned i = 0; i < STEPD_MODES; i++)
        word[i] = stepd_mode_name((enum stepd_mode)i);
    return (enum stepd_mode)manifest_take_word(object, "mode", word, STEPD_MODES);
}

static enum stepd_status read_definition(const json_t *json, struct reading *reading)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reading->reterr);
    struct stepd_define_job *const def = &reading->def;
    reading->name = manifest_take_name(&object, "name", STEPD_NAME_MAX_BYTES);
    def->mode = take_mode(&object);
    def->workers = (uint32_t)manifest_take_between(&object, "workers", 1, STEPD_WORKERS_MAX);
    def->strict = manifest_take_bool(&object, "strict");
    reading->slice_elements =
        (uint32_t)manifest_take_between(&object, "slice_elements", 1, LAYOUT_SLICE_ELEMENTS_MOST);
    reading->shards = (uint32_t)manifest_take_between(&object, "shards", 1, SHARDS_MAX);
    const json_t *const groups = manifest_take_list(&object, "groups", STEPD_GROUPS_MAX);
    const json_t *const tensors = manifest_take_list(&object, "tensors", STEPD_TENSORS_MAX);
    def->settings = manifest_take_settings(&object, &reading->arena);
    enum stepd_status status = manifest_object_end(&object);
    if (status == STEPD_OK)
        status = read_groups(groups, reading);
    return status == STEPD_OK ? read_tensors(tensors, reading) : status;
}

static enum stepd_status seal(struct reading *reading, uint64_t incarnation, struct job **ret_job)
{
    struct job_draft *draft = NULL;
    enum stepd_status status = job_draft_create(reading->name, &reading->def,
                                                reading->slice_elements, &draft, reading->reterr);
    if (status == STEPD_OK)
        status = job_draft_add(draft, &reading->page, reading->reterr);
    if (status == STEPD_OK)
        status = job_draft_seal(draft, incarnation, reading->shards, ret_job, reading->reterr);
    (void)job_draft_destroy(draft);
    return status;
}

enum stepd_status manifest_read_job(const json_t *json, uint64_t incarnation, struct job **ret_job,
                                    struct stepd_error *reterr)
{
    struct reading reading = {
        .reterr = reterr,
        .def = {.defaults = {.name = "", .match = "", .optimizer = "", .schedule = ""}},
    };
    stepd_arena_init(&reading.arena, SIZE_MAX);
    enum stepd_status status = read_definition(json, &reading);
    if (status == STEPD_OK)
        status = seal(&reading, incarnation, ret_job);
    stepd_arena_deinit(&reading.arena);
    return status;
}
