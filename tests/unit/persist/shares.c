/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/persist/shares.h"

#include "tests/lib/settings.h"

void shares_setup_tensors(struct shares *shares, const struct stepd_define_job *def,
                          const struct stepd_tensor_def *tensor, size_t tensors)
{
    *shares = (struct shares){.job = draft_job(def, tensor, tensors)};
    const size_t slices = shares->job->layout.slices;
    shares->slice = calloc(slices, sizeof *shares->slice);
    shares->block = calloc(slices, sizeof *shares->block);
    shares->made = calloc(slices, sizeof *shares->made);
    assert_true(shares->slice != NULL && shares->block != NULL && shares->made != NULL);
    for (uint32_t i = 0; i < slices; i++)
        assert_int_equal(draft_slice_init(&shares->slice[i], shares->job, i, &shares->block[i]),
                         STEPD_OK);
}

void shares_setup(struct shares *shares, const struct stepd_define_job *def)
{
    static const uint64_t big[] = {30, 50};
    static const uint64_t tiny[] = {4};
    static const uint64_t two[] = {2, 3};
    const struct stepd_tensor_def tensor[SHARES_TENSORS] = {
        draft_tensor("big", big, 2), draft_tensor("tiny", tiny, 1), draft_tensor("two", two, 2),
        draft_tensor("scalar", NULL, 0)};
    shares_setup_tensors(shares, def, tensor, SHARES_TENSORS);
}

void shares_setup_group(struct shares *shares, const char *optimizer, const char *settings)
{
    const struct stepd_group group = settings_group(optimizer, settings);
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.workers = 2;
    shares_setup(shares, &def);
}

/* ---- Filling --------------------------------------------------------------------------------- */

/* Numbers that are told apart, some of which are no numbers: bits are what counts. */
static void fill(float *floats, uint64_t n, uint32_t *next)
{
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t bits = 0x7fc00000U - 1000U + (*next)++;
        memcpy(&floats[i], &bits, sizeof bits);
    }
}

static void fill_slice(struct slice *slice, const bool made[STEPD_VIEWS], uint32_t *next)
{
    for (int v = 0; v < STEPD_VIEWS && slice->valued; v++) {
        struct published *const view = &slice->view[v];
        if (made[v] && view->current == NULL)
            view->current = weights_ref(&view->buffer[0]);
        if (view->current != NULL)
            fill(view->current->values, slice->plan->elements, next);
    }
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX && slice->valued; k++)
        if (slice->slot[k] != NULL)
            fill(slice->slot[k], job_slot_floats(slice->job, slice->plan, slice->phase, k), next);
    for (size_t i = 0; i < slice->ranks; i++)
        if (slice->by_rank[i].backup != NULL && slice->by_rank[i].backup_version != UINT64_MAX)
            fill(slice->by_rank[i].backup, slice->plan->elements, next);
}

void shares_take(struct shares *shares)
{
    uint32_t next = 0;
    for (size_t i = 0; i < SHARES; i++)
        assert_int_equal(job_state_create(shares->job, JOB_STATE_AS_IT_STANDS, &shares->share[i]),
                         STEPD_OK);
    for (size_t i = 0; i < shares->job->layout.slices; i++) {
        struct slice_state *const state = &shares->share[i % SHARES]->slice[i];
        fill_slice(&shares->slice[i], shares->made[i], &next);
        assert_int_equal(slice_state_init(state, &shares->slice[i], NULL), STEPD_OK);
        slice_state_take(state);
        slice_state_keep(state);
    }
}

void shares_teardown(struct shares *shares)
{
    for (size_t i = 0; i < SHARES; i++)
        (void)job_state_unref(shares->share[i]);
    for (size_t i = 0; i < shares->job->layout.slices; i++)
        draft_slice_deinit(&shares->slice[i], &shares->block[i]);
    free(shares->slice);
    free(shares->block);
    free(shares->made);
    (void)job_unref(shares->job);
}

const struct slice_state *shares_slice(const struct shares *shares, size_t slice)
{
    return &shares->share[slice % SHARES]->slice[slice];
}

/* ---- Writing --------------------------------------------------------------------------------- */

struct arrays *shares_map(const struct shares *shares)
{
    const struct job_state *const share[SHARES] = {shares->share[0], shares->share[1]};
    struct arrays *arrays = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    if (arrays_create(share, SHARES, &arrays, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return arrays;
}

uint8_t *shares_write(const struct arrays *arrays, enum arrays_file file, size_t *ret_bytes)
{
    const struct arrays_list *const list = &arrays->file[file];
    uint8_t *head = NULL;
    size_t n = 0;
    assert_int_equal(arrays_head(arrays, file, NULL, &head, &n, NULL), STEPD_OK);
    uint8_t *const bytes = realloc(head, n + list->bytes + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < list->count; i++)
        array_encode(&list->array[i], 0, list->array[i].floats, bytes + n + list->array[i].begin);
    *ret_bytes = n + list->bytes;
    return bytes;
}

/* ---- Reading --------------------------------------------------------------------------------- */

void shares_blank_slice(const struct slice_state *from, struct slice_state *slice)
{
    *slice = (struct slice_state){
        .taken = true,
        .elements = from->elements,
        .valued = from->valued,
        .changed = from->changed == NULL ? NULL : shared_group_ref(from->changed),
        .phase = from->phase,
        .by_rank = calloc(from->ranks, sizeof *slice->by_rank),
    };
    assert_non_null(slice->by_rank);
    for (; slice->ranks < from->ranks; slice->ranks++)
        slice->by_rank[slice->ranks].backup_version = from->by_rank[slice->ranks].backup_version;
}

struct job_state *shares_blank(const struct shares *shares)
{
    struct job_state *state = NULL;
    assert_int_equal(job_state_create(shares->job, JOB_STATE_AS_IT_STANDS, &state), STEPD_OK);
    for (size_t i = 0; i < shares->job->layout.slices; i++)
        shares_blank_slice(shares_slice(shares, i), &state->slice[i]);
    return state;
}

/* In pieces, as a file is read. */
static void read_array(const struct array *array, const uint8_t *bytes)
{
    const uint64_t most = 7;
    for (uint64_t at = 0; at < array->floats; at += most) {
        const uint64_t left = array->floats - at;
        array_decode(array, at, left < most ? left : most, bytes + array->begin + 4 * at);
    }
}

static void read_file(struct arrays *arrays, const struct arrays *written, enum arrays_file file)
{
    struct safetensors head;
    struct stepd_error error = {.code = STEPD_OK};
    size_t n = 0;
    size_t json = 0;
    uint8_t *const bytes = shares_write(written, file, &n);
    assert_int_equal(safetensors_json_bytes(bytes, n, &json, NULL), STEPD_OK);
    assert_int_equal(safetensors_decode(bytes + 8, json, n, &head, NULL), STEPD_OK);
    if (arrays_match(arrays, file, &head, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < arrays->file[file].count; i++)
        read_array(&arrays->file[file].array[i], bytes + head.begins_at);
    safetensors_deinit(&head);
    free(bytes);
}

void shares_read(struct job_state *state, const struct shares *shares)
{
    const struct job_state *const whole = state;
    struct arrays *arrays = NULL;
    struct arrays *const written = shares_map(shares);
    assert_int_equal(arrays_create(&whole, 1, &arrays, NULL), STEPD_OK);
    read_file(arrays, written, ARRAYS_MODEL);
    read_file(arrays, written, ARRAYS_OPTIMIZER);
    (void)arrays_destroy(arrays);
    (void)arrays_destroy(written);
}
