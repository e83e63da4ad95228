/* SPDX-License-Identifier: Apache-2.0
 *
 * A job travels as its definition and its tensors, and is made of them as it was made first: a
 * draft, one page, and the seal. The cut into slices, which shard has which and what all of it
 * takes depend on nothing else, so both ends come to the same.
 */
#include <string.h>

#include "server/model/definition.h"
#include "server/peer/letter_internal.h"

/* What a tensor takes at least: a name, how many dimensions, and how it begins. */
#define TENSOR_LEAST_BYTES (1u + 1u + 1u + (2u * sizeof(double)) + 1u)

/* ---- Writing --------------------------------------------------------------------------------- */

static void put_definition(struct peer_writer *writer, const struct stepd_define_job *def)
{
    peer_put_number(writer, def->mode);
    peer_put_number(writer, def->workers);
    peer_put_number(writer, def->strict);
    peer_put_number(writer, def->slice_elements);
    peer_put_settings(writer, &def->settings);
    peer_put_number(writer, def->groups);
    for (size_t i = 0; i < def->groups; i++)
        peer_put_group(writer, &def->group[i]);
}

static void put_tensor(struct peer_writer *writer, const struct tensor *tensor)
{
    peer_put_text(writer, tensor->name);
    peer_put_number(writer, tensor->dims);
    for (size_t i = 0; i < tensor->dims; i++)
        peer_put_number(writer, tensor->shape[i]);
    peer_put_number(writer, tensor->init.kind);
    peer_put_double(writer, tensor->init.a);
    peer_put_double(writer, tensor->init.b);
    peer_put_number(writer, tensor->init.seed);
}

void peer_put_job(struct peer_writer *writer, const struct job *job)
{
    struct stepd_arena arena;
    struct stepd_define_job def;
    peer_put_number(writer, job != NULL);
    if (job == NULL)
        return;
    stepd_arena_init(&arena, SIZE_MAX);
    if (definition_of_job(job, &arena, &def) == STEPD_OK)
        put_definition(writer, &def);
    else
        writer->status = STEPD_RESOURCE_EXHAUSTED;
    stepd_arena_deinit(&arena);
    peer_put_text(writer, job->name);
    peer_put_number(writer, job->incarnation);
    peer_put_number(writer, job->shards);
    peer_put_number(writer, job->spare);
    peer_put_number(writer, job->tensors);
    for (size_t i = 0; i < job->tensors; i++)
        put_tensor(writer, &job->tensor[i]);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The slices are cut by the default: a definition that says their size is held to less. */
static struct stepd_define_job take_definition(struct peer_reader *reader,
                                               uint32_t *ret_slice_elements)
{
    struct stepd_define_job def = {
        .mode = (enum stepd_mode)peer_take_number(reader, "mode", STEPD_BOUNDED),
        .workers = peer_take_u32(reader, "workers", STEPD_WORKERS_MAX),
        .defaults = {.name = "", .match = "", .optimizer = "", .schedule = ""},
    };
    def.strict = peer_take_bool(reader, "strict");
    *ret_slice_elements = peer_take_u32(reader, "slice_elements", LAYOUT_SLICE_ELEMENTS_MOST);
    if (*ret_slice_elements == 0)
        peer_reader_fail(reader, "slice_elements", "0, but must be at least 1");
    def.settings = peer_take_settings(reader, "settings of the job");
    const size_t groups = peer_take_count(reader, "groups", STEPD_GROUPS_MAX, 9);
    struct stepd_group *const group = peer_reader_array(reader, groups, sizeof *group);
    for (size_t i = 0; group != NULL && i < groups; i++)
        group[i] = peer_take_group(reader, STEPD_PHASES_MAX);
    def.groups = group == NULL ? 0 : groups;
    def.group = group;
    return def;
}

static struct stepd_tensor_def take_tensor(struct peer_reader *reader)
{
    struct stepd_tensor_def tensor = {
        .name = peer_take_some_text(reader, "tensor", STEPD_NAME_MAX_BYTES),
        .group = "",
    };
    const size_t dims = peer_take_count(reader, tensor.name, STEPD_DIMS_MAX, 1);
    uint64_t *const shape = peer_reader_array(reader, dims, sizeof *shape);
    for (size_t i = 0; shape != NULL && i < dims; i++)
        shape[i] = peer_take_number(reader, tensor.name, UINT64_MAX);
    tensor.dims = shape == NULL ? 0 : dims;
    tensor.shape = shape;
    tensor.init.kind =
        (enum stepd_init_kind)peer_take_number(reader, tensor.name, STEPD_INIT_VALUES);
    tensor.init.a = peer_take_double(reader, tensor.name);
    tensor.init.b = peer_take_double(reader, tensor.name);
    tensor.init.seed = peer_take_number(reader, tensor.name, UINT64_MAX);
    return tensor;
}

static struct stepd_define_tensors take_tensors(struct peer_reader *reader)
{
    const size_t count = peer_take_count(reader, "tensors", STEPD_TENSORS_MAX, TENSOR_LEAST_BYTES);
    struct stepd_tensor_def *const tensor = peer_reader_array(reader, count, sizeof *tensor);
    for (size_t i = 0; tensor != NULL && i < count; i++)
        tensor[i] = take_tensor(reader);
    return (struct stepd_define_tensors){
        .tensors = tensor == NULL ? 0 : count, .tensor = tensor, .last = true};
}

/* What was read of a job. */
struct reading {
    struct stepd_define_job def;
    struct stepd_define_tensors page;
    const char *name;
    uint64_t incarnation;
    uint32_t slice_elements;
    uint32_t shards;
    bool spare;
};

static enum stepd_status seal(const struct reading *read, struct job **ret_job,
                              struct stepd_error *reterr)
{
    struct job_draft *draft = NULL;
    enum stepd_status status =
        job_draft_create(read->name, &read->def, read->slice_elements, &draft, reterr);
    if (status == STEPD_OK)
        status = job_draft_add(draft, &read->page, reterr);
    if (status == STEPD_OK) {
        job_draft_set_spare(draft, read->spare);
        status = job_draft_seal(draft, read->incarnation, read->shards, ret_job, reterr);
    }
    (void)job_draft_destroy(draft);
    return status;
}

struct job *peer_take_job(struct peer_reader *reader)
{
    struct job *job = NULL;
    if (!peer_take_bool(reader, "job"))
        return NULL;
    struct reading read = {.slice_elements = 0};
    read.def = take_definition(reader, &read.slice_elements);
    read.name = peer_take_some_text(reader, "name of the job", STEPD_NAME_MAX_BYTES);
    read.incarnation = peer_take_number(reader, "incarnation", UINT64_MAX);
    read.shards = peer_take_u32(reader, "shards", STEPD_SHARDS_MAX);
    read.spare = peer_take_bool(reader, "spare");
    read.page = take_tensors(reader);
    if (read.shards == 0)
        peer_reader_fail(reader, "shards", "0, but must be at least 1");
    if (reader->status == STEPD_OK)
        reader->status = seal(&read, &job, reader->reterr);
    return job;
}
