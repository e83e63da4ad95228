/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights in this process: the daemon's own core, with one worker and no wire. A run without a
 * server is the baseline for what distribution costs, and gives the very same bits as one worker
 * with a server. The core takes a step of all tensors at once, so the parts of a step are noted as
 * they are started, and the last of them takes it.
 */
#include "client/train/home.h"

#include <assert.h>
#include <stdlib.h>

#include "client/lib/core/definition.h"
#include "proto/error.h"
#include "server/core/local.h"

#define TENSORS_MAX ((size_t)2 * HOME_PARTS_MAX) /* a part is a weight and a bias */

struct home_local {
    struct home home;    /* first */
    struct local *local; /* owned; NULL: not defined yet */
    size_t tensors;
    size_t noted; /* tensors of the step that is being started */
    const float *grad[TENSORS_MAX];
    float *weights[TENSORS_MAX];
    uint64_t version; /* steps taken */
};

static struct home_local *local_of(struct home *home)
{
    return (struct home_local *)home;
}

static uint32_t local_rank(const struct home *home)
{
    (void)home;
    return 0;
}

/* The messages that libstepd would send, handed to the core as they are. */
static enum stepd_status create_local(const struct stepd_job_options *job,
                                      const struct stepd_tensor *tensors, size_t count,
                                      struct stepd_arena *arena, struct local **ret_local,
                                      struct stepd_error *reterr)
{
    struct stepd_define_job define;
    struct stepd_define_tensors page;
    enum stepd_status status = stepd_definition_of_job(job, arena, &define, reterr);
    if (status == STEPD_OK)
        status = stepd_definition_check(tensors, count, /* has_values= */ true, reterr);
    if (status == STEPD_OK)
        status = stepd_definition_page(tensors, count, 0, arena, &page, reterr);
    if (status != STEPD_OK)
        return status;
    assert(page.last); /* so few tensors are one page */
    return local_create(&define, &page, kernels_choose(), ret_local, reterr);
}

static enum stepd_status local_define(struct home *home, const struct stepd_job_options *job,
                                      const struct stepd_tensor *tensors, size_t count,
                                      struct stepd_error *reterr)
{
    assert(count <= TENSORS_MAX && local_of(home)->local == NULL);
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_DEFINITION_MAX_BYTES);
    local_of(home)->tensors = count;
    const enum stepd_status status =
        create_local(job, tensors, count, &arena, &local_of(home)->local, reterr);
    stepd_arena_deinit(&arena);
    return status;
}

/* Notes where gradients and weights of some tensors are. */
static void note(struct home_local *local, const struct stepd_array *arrays, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert(arrays[i].tensor < local->tensors);
        local->grad[arrays[i].tensor] = arrays[i].grad;
        local->weights[arrays[i].tensor] = arrays[i].weights;
    }
}

static uint64_t local_clock(const struct home *home)
{
    return ((const struct home_local *)home)->version;
}

static enum stepd_status local_pull_all(struct home *home, enum stepd_view view,
                                        const struct stepd_array *arrays, size_t count,
                                        uint64_t *ret_version, struct stepd_error *reterr)
{
    struct home_local *const local = local_of(home);
    assert(count == local->tensors);
    note(local, arrays, count);
    const enum stepd_status status = local_pull(local->local, view, local->weights, reterr);
    if (status == STEPD_OK)
        *ret_version = local->version;
    return status;
}

static enum stepd_status local_step_start(struct home *home, size_t part,
                                          const struct stepd_array *arrays, size_t count,
                                          const struct home_step *step, struct stepd_error *reterr)
{
    (void)part;
    struct home_local *const local = local_of(home);
    note(local, arrays, count);
    local->noted += count;
    if (local->noted < local->tensors)
        return STEPD_OK;
    local->noted = 0;
    const struct local_push push = {
        .grad = local->grad,
        .examples = step->examples,
        .has_loss = step->has_loss,
        .loss = step->loss,
    };
    const enum stepd_status status = local_step(local->local, &push, local->weights, reterr);
    local->version += status == STEPD_OK;
    return status;
}

static enum stepd_status local_step_wait(struct home *home, size_t part, uint64_t *ret_version,
                                         struct stepd_error *reterr)
{
    (void)part;
    (void)reterr;
    *ret_version = local_of(home)->version;
    return STEPD_OK;
}

/* There is nobody to tell. */
static enum stepd_status local_report(struct home *home, uint64_t step, double loss,
                                      uint64_t examples, struct stepd_error *reterr)
{
    (void)home;
    (void)step;
    (void)loss;
    (void)examples;
    (void)reterr;
    return STEPD_OK;
}

/* Of one worker's job it makes no difference. */
static enum stepd_mode local_mode(const struct home *home)
{
    (void)home;
    return STEPD_SYNC;
}

/* Nothing travels. */
static bool local_packed(const struct home *home, size_t tensor)
{
    (void)home;
    (void)tensor;
    return false;
}

static enum stepd_status local_leave(struct home *home, struct stepd_error *reterr)
{
    (void)home;
    (void)reterr;
    return STEPD_OK;
}

static struct home *local_home_destroy(struct home *home)
{
    (void)local_destroy(local_of(home)->local);
    free(local_of(home));
    return NULL;
}

static const struct home_kind local_kind = {
    .rank = local_rank,
    .mode = local_mode,
    .packed = local_packed,
    .define = local_define,
    .clock = local_clock,
    .pull = local_pull_all,
    .step_start = local_step_start,
    .step_wait = local_step_wait,
    .report = local_report,
    .leave = local_leave,
    .destroy = local_home_destroy,
};

enum stepd_status home_local_create(struct home **ret_home, struct stepd_error *reterr)
{
    struct home_local *const local = calloc(1, sizeof *local);
    if (local == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a home");
    local->home.kind = &local_kind;
    *ret_home = &local->home;
    return STEPD_OK;
}
