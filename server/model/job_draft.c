/* SPDX-License-Identifier: Apache-2.0
 *
 * Collecting a definition. Every worker sends the same definition, so the second and later ones
 * are comparisons: a draft is kept for as long as its job, and what differs is named, because
 * "different definition" alone would send somebody through four config files.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/error.h"
#include "server/model/differs.h"
#include "server/model/job.h"
#include "server/model/job_internal.h"

#define SHAPE_TEXT_BYTES 128

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the job's definition");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void drop_last_tensor(struct job_draft *draft)
{
    char *name = draft->tensor[--draft->tensors].name;
    (void)tdelete(name, &draft->names, compare_names);
    free(name);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static enum stepd_status check_limits(const struct stepd_define_job *def,
                                      struct stepd_error *reterr)
{
    if (def->workers < 1 || def->workers > STEPD_WORKERS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "workers is %u; it must be 1 to %u",
                          def->workers, STEPD_WORKERS_MAX);
    if (def->groups == 0 || def->groups > STEPD_GROUPS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the job has %zu groups; it needs 1 to %u", def->groups,
                          STEPD_GROUPS_MAX);
    const uint32_t elements = def->slice_elements;
    if (elements != 0 &&
        (elements < LAYOUT_SLICE_ELEMENTS_LEAST || elements > LAYOUT_SLICE_ELEMENTS_MOST))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "slice_elements is %u; it must be %u to %u, or 0 for the default",
                          elements, LAYOUT_SLICE_ELEMENTS_LEAST, LAYOUT_SLICE_ELEMENTS_MOST);
    return STEPD_OK;
}

/* A name that is given; without one a group is called as what it matches. */
static bool is_named(const struct stepd_group *group)
{
    return group->name != NULL && group->name[0] != '\0';
}

/* Changes, status and logs know a group by its name. */
static enum stepd_status check_names(const struct stepd_define_job *def, struct stepd_error *reterr)
{
    for (size_t i = 0; i < def->groups; i++) {
        for (size_t k = 0; k < i && is_named(&def->group[i]); k++) {
            if (is_named(&def->group[k]) && strcmp(def->group[i].name, def->group[k].name) == 0)
                return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                                  "groups %zu and %zu are both called '%s'; give each a name of "
                                  "its own",
                                  k + 1, i + 1, def->group[i].name);
        }
    }
    return STEPD_OK;
}

static enum stepd_status take_groups(struct job_draft *draft, const struct stepd_define_job *def,
                                     struct stepd_error *reterr)
{
    enum stepd_status status = group_check_defaults(&def->defaults, reterr);
    if (status == STEPD_OK)
        status = check_names(def, reterr);
    if (status != STEPD_OK)
        return status;
    draft->group = calloc(def->groups, sizeof *draft->group);
    if (draft->group == NULL)
        return no_memory(reterr);
    while (draft->groups < def->groups && status == STEPD_OK) {
        struct group *const group = &draft->group[draft->groups];
        status = group_init(&def->defaults, &def->group[draft->groups], group, reterr);
        if (status != STEPD_OK)
            return status;
        draft->groups++;
        status = group_check_mode(group, def->mode, reterr);
    }
    return status;
}

static enum stepd_status take_consistency(struct job_draft *draft,
                                          const struct stepd_define_job *def,
                                          struct stepd_error *reterr)
{
    const enum stepd_status status =
        consistency_init(def->mode, &def->settings, &draft->consistency, reterr);
    return status != STEPD_OK
               ? status
               : consistency_check_workers(&draft->consistency, def->workers, reterr);
}

enum stepd_status job_draft_create(const char *name, const struct stepd_define_job *def,
                                   uint32_t slice_elements_default, struct job_draft **ret_draft,
                                   struct stepd_error *reterr)
{
    enum stepd_status status = check_limits(def, reterr);
    if (status != STEPD_OK)
        return status;
    struct job_draft *draft = calloc(1, sizeof *draft);
    if (draft == NULL)
        return no_memory(reterr);
    *draft = (struct job_draft){
        .name = strdup(name),
        .workers = def->workers,
        .strict = def->strict,
        .slice_elements = def->slice_elements != 0 ? def->slice_elements : slice_elements_default,
        .slice_elements_default = slice_elements_default,
    };
    status = draft->name == NULL ? no_memory(reterr) : take_consistency(draft, def, reterr);
    if (status == STEPD_OK)
        status = take_groups(draft, def, reterr);
    if (status != STEPD_OK) {
        (void)job_draft_destroy(draft);
        return status;
    }
    *ret_draft = draft;
    return STEPD_OK;
}

struct job_draft *job_draft_destroy(struct job_draft *draft)
{
    if (draft == NULL)
        return NULL;
    for (size_t i = 0; i < draft->groups; i++)
        group_deinit(&draft->group[i]);
    while (draft->tensors > 0)
        drop_last_tensor(draft);
    free(draft->group);
    free(draft->tensor);
    free(draft->name);
    free(draft);
    return NULL;
}

void job_draft_reset(struct job_draft *draft)
{
    while (draft->tensors > 0)
        drop_last_tensor(draft);
    draft->sealed = false;
    draft->valued = false;
}

void job_draft_set_spare(struct job_draft *draft, bool spare)
{
    draft->spare = spare;
}

uint32_t job_draft_workers(const struct job_draft *draft)
{
    return draft->workers;
}

const struct consistency *job_draft_consistency(const struct job_draft *draft)
{
    return &draft->consistency;
}

enum stepd_mode job_draft_mode(const struct job_draft *draft)
{
    return draft->consistency.mode;
}

size_t job_draft_tensors(const struct job_draft *draft)
{
    return draft->tensors;
}

/* ---- Comparing a job's definition ------------------------------------------------------------ */

typedef enum stepd_status same_fn(const struct group *a, const struct group *b,
                                  struct stepd_error *reterr);

static enum stepd_status same_group(const struct group *a, const struct stepd_define_job *def,
                                    size_t index, same_fn *same, struct stepd_error *reterr)
{
    struct group b;
    enum stepd_status status = group_init(&def->defaults, &def->group[index], &b, reterr);
    if (status != STEPD_OK)
        return status;
    status = same(a, &b, reterr);
    group_deinit(&b);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "group '%s'", a->name);
}

static enum stepd_status same_scalars(const struct job_draft *draft,
                                      const struct stepd_define_job *def,
                                      struct stepd_error *reterr)
{
    const uint32_t slice_elements =
        def->slice_elements != 0 ? def->slice_elements : draft->slice_elements_default;
    if (draft->workers != def->workers)
        return differs_number(reterr, "workers", draft->workers, def->workers);
    if (draft->strict != def->strict)
        return differs_number(reterr, "strict", draft->strict, def->strict);
    if (draft->slice_elements_default != 0 && draft->slice_elements != slice_elements)
        return differs_number(reterr, "slice_elements", draft->slice_elements, slice_elements);
    if (draft->groups != def->groups)
        return differs_number(reterr, "the number of groups", (double)draft->groups,
                              (double)def->groups);
    return STEPD_OK;
}

static enum stepd_status same_job(const struct job_draft *draft, const struct stepd_define_job *def,
                                  same_fn *same, struct stepd_error *reterr)
{
    struct consistency consistency;
    enum stepd_status status = consistency_init(def->mode, &def->settings, &consistency, reterr);
    if (status == STEPD_OK)
        status = consistency_same(&draft->consistency, &consistency, reterr);
    if (status == STEPD_OK)
        status = same_scalars(draft, def, reterr);
    if (status == STEPD_OK)
        status = group_check_defaults(&def->defaults, reterr);
    for (size_t i = 0; i < draft->groups && status == STEPD_OK; i++)
        status = same_group(&draft->group[i], def, i, same, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "job '%s'", draft->name);
}

enum stepd_status job_draft_same(const struct job_draft *draft, const struct stepd_define_job *def,
                                 struct stepd_error *reterr)
{
    return same_job(draft, def, group_same, reterr);
}

enum stepd_status job_draft_same_but_groups(const struct job_draft *draft,
                                            const struct stepd_define_job *def,
                                            struct stepd_error *reterr)
{
    return same_job(draft, def, group_same_tensors, reterr);
}

/* ---- Tensors --------------------------------------------------------------------------------- */

/* "1000x784", or "scalar". */
static void shape_text(const uint64_t *shape, size_t dims, char *text)
{
    (void)snprintf(text, SHAPE_TEXT_BYTES, "scalar");
    size_t at = 0;
    for (size_t i = 0; i < dims && at < SHAPE_TEXT_BYTES; i++) {
        const int n =
            snprintf(text + at, SHAPE_TEXT_BYTES - at, i == 0 ? "%" PRIu64 : "x%" PRIu64, shape[i]);
        at += n < 0 ? 0 : (size_t)n;
    }
}

static enum stepd_status count_elements(const struct stepd_tensor_def *def, uint64_t *ret_elements,
                                        struct stepd_error *reterr)
{
    char text[SHAPE_TEXT_BYTES];
    shape_text(def->shape, def->dims, text);
    uint64_t elements = 1;
    for (size_t i = 0; i < def->dims; i++) {
        if (def->shape[i] == 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "tensor '%s': shape %s has a dimension of 0", def->name, text);
        if (!stepd_bytes_mul(elements, def->shape[i], &elements) ||
            elements > JOB_TENSOR_ELEMENTS_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "tensor '%s': shape %s has more than %" PRIu64 " elements", def->name,
                              text, (uint64_t)JOB_TENSOR_ELEMENTS_MAX);
    }
    *ret_elements = elements;
    return STEPD_OK;
}

static bool same_init(const struct stepd_init *a, const struct stepd_init *b)
{
    return a->kind == b->kind && a->a == b->a && a->b == b->b && a->seed == b->seed;
}

static enum stepd_status same_tensor(const struct job_draft *draft,
                                     const struct stepd_tensor_def *def, size_t index,
                                     struct stepd_error *reterr)
{
    const struct tensor *const have = &draft->tensor[index];
    if (strcmp(have->name, def->name) != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor %zu is defined as '%s', not '%s': all workers must list the "
                          "same tensors in the same order",
                          index, have->name, def->name);
    const bool same_shape =
        have->dims == def->dims &&
        (def->dims == 0 || memcmp(have->shape, def->shape, def->dims * sizeof *def->shape) == 0);
    if (!same_shape) {
        char defined[SHAPE_TEXT_BYTES];
        char wanted[SHAPE_TEXT_BYTES];
        shape_text(have->shape, have->dims, defined);
        shape_text(def->shape, def->dims, wanted);
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s' is defined with shape %s, not %s", def->name, defined,
                          wanted);
    }
    const bool over = draft->valued && have->init.kind == STEPD_INIT_VALUES;
    if (!over && !same_init(&have->init, &def->init))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s' is defined with another initializer or seed", def->name);
    return STEPD_OK;
}

/* First weights must be finite as floats, wherever in their range they fall. */
static enum stepd_status check_init(const struct stepd_tensor_def *def, struct stepd_error *reterr)
{
    const struct stepd_init *init = &def->init;
    const double most = FLT_MAX / 64; /* a normal value is never 64 deviations off */
    if (init->kind == STEPD_INIT_VALUES)
        return STEPD_OK;
    if (!(fabs(init->a) <= most && fabs(init->b) <= most))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s': initial values of %g and %g do not fit a float", def->name,
                          init->a, init->b);
    if (init->kind == STEPD_INIT_UNIFORM && init->a > init->b)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s': uniform initial values need a <= b", def->name);
    if (init->kind == STEPD_INIT_NORMAL && init->b < 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s': the standard deviation is %g; it must not be negative",
                          def->name, init->b);
    return STEPD_OK;
}

static enum stepd_status check_new_tensor(const struct job_draft *draft,
                                          const struct stepd_tensor_def *def,
                                          struct stepd_error *reterr)
{
    if (draft->tensors == STEPD_TENSORS_MAX)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "a job has at most %u tensors",
                          STEPD_TENSORS_MAX);
    if (def->name[0] == '\0')
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor %zu has no name", draft->tensors);
    if (strcmp(def->name, "__metadata__") == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor %zu cannot be called '%s', which means something else in the "
                          "files of a checkpoint; give it another name",
                          draft->tensors, def->name);
    if (def->dims > STEPD_DIMS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s' has %zu dimensions; the most are %u", def->name, def->dims,
                          STEPD_DIMS_MAX);
    const enum stepd_status status = check_init(def, reterr);
    if (status != STEPD_OK)
        return status;
    if (tfind(def->name, &draft->names, compare_names) != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s' is defined already; tensor %zu needs another name",
                          def->name, draft->tensors);
    return STEPD_OK;
}

static enum stepd_status append(struct job_draft *draft, const struct stepd_tensor_def *def,
                                struct stepd_error *reterr)
{
    enum stepd_status status = check_new_tensor(draft, def, reterr);
    if (status != STEPD_OK)
        return status;
    struct tensor tensor = {.dims = def->dims, .init = def->init};
    status = count_elements(def, &tensor.elements, reterr);
    if (status != STEPD_OK)
        return status;
    if (def->dims > 0)
        memcpy(tensor.shape, def->shape, def->dims * sizeof *def->shape);
    if (draft->tensors == draft->tensors_room) {
        const size_t room = draft->tensors_room == 0 ? 16 : draft->tensors_room * 2;
        struct tensor *larger = realloc(draft->tensor, room * sizeof *larger);
        if (larger == NULL)
            return no_memory(reterr);
        draft->tensor = larger;
        draft->tensors_room = room;
    }
    tensor.name = strdup(def->name);
    if (tensor.name == NULL || tsearch(tensor.name, &draft->names, compare_names) == NULL) {
        free(tensor.name);
        return no_memory(reterr);
    }
    draft->tensor[draft->tensors++] = tensor;
    return STEPD_OK;
}

/* Compares what is known and appends the rest. */
static enum stepd_status take_page(struct job_draft *draft, const struct stepd_define_tensors *page,
                                   struct stepd_error *reterr)
{
    for (size_t i = 0; i < page->tensors; i++) {
        const size_t index = page->first + i;
        enum stepd_status status = STEPD_OK;
        if (index < draft->tensors)
            status = same_tensor(draft, &page->tensor[i], index, reterr);
        else if (draft->sealed)
            status = stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                                "the list of tensors was sealed at %zu; '%s' comes too late",
                                draft->tensors, page->tensor[i].name);
        else
            status = append(draft, &page->tensor[i], reterr);
        if (status != STEPD_OK)
            return status;
    }
    const size_t end = page->first + page->tensors;
    if (page->last && end != draft->tensors)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the last page ends at tensor %zu, but %zu tensors are defined", end,
                          draft->tensors);
    return STEPD_OK;
}

/* ---- Of a job -------------------------------------------------------------------------------- */

static enum stepd_status copy_groups(const struct job *job, struct job_draft *draft,
                                     struct stepd_error *reterr)
{
    draft->group = calloc(job->groups, sizeof *draft->group);
    if (draft->group == NULL)
        return no_memory(reterr);
    for (; draft->groups < job->groups; draft->groups++) {
        if (group_copy(&job->group[draft->groups], &draft->group[draft->groups]) != STEPD_OK)
            return no_memory(reterr);
    }
    return STEPD_OK;
}

static enum stepd_status append_all(const struct job *job, struct job_draft *draft,
                                    struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < job->tensors && status == STEPD_OK; i++) {
        const struct tensor *tensor = &job->tensor[i];
        const struct stepd_tensor_def def = {.name = tensor->name,
                                             .dims = tensor->dims,
                                             .shape = tensor->shape,
                                             .init = tensor->init};
        status = append(draft, &def, reterr);
    }
    return status;
}

enum stepd_status job_draft_of(const struct job *job, uint32_t slice_elements,
                               struct job_draft **ret_draft, struct stepd_error *reterr)
{
    struct job_draft *draft = calloc(1, sizeof *draft);
    if (draft == NULL)
        return no_memory(reterr);
    *draft = (struct job_draft){
        .name = strdup(job->name),
        .consistency = job->consistency,
        .workers = job->workers,
        .strict = job->strict,
        .slice_elements = slice_elements,
    };
    enum stepd_status status =
        draft->name == NULL ? no_memory(reterr) : copy_groups(job, draft, reterr);
    if (status == STEPD_OK)
        status = append_all(job, draft, reterr);
    if (status == STEPD_OK)
        *ret_draft = draft;
    else
        (void)job_draft_destroy(draft);
    return status;
}

/* ---- Pages ----------------------------------------------------------------------------------- */

enum stepd_status job_draft_add(struct job_draft *draft, const struct stepd_define_tensors *page,
                                struct stepd_error *reterr)
{
    if (page->first > draft->tensors)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "job '%s': a page starts at tensor %u, but only %zu are known; send the "
                          "pages in order",
                          draft->name, page->first, draft->tensors);
    const size_t before = draft->tensors;
    const enum stepd_status status = take_page(draft, page, reterr);
    if (status == STEPD_OK)
        return STEPD_OK;
    while (draft->tensors > before)
        drop_last_tensor(draft);
    return stepd_fail_in(reterr, status, "job '%s'", draft->name);
}
