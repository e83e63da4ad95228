/* SPDX-License-Identifier: Apache-2.0
 *
 * The made-up home. Everything asserts; it fails only where it was told to.
 */
#include "tests/unit/train/fake_home.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"

static struct fake_home *fake_of(struct home *home)
{
    return (struct fake_home *)home;
}

static uint32_t fake_rank(const struct home *home)
{
    return ((const struct fake_home *)home)->rank;
}

static enum stepd_status fake_define(struct home *home, const struct stepd_job_options *job,
                                     const struct stepd_tensor *tensors, size_t count,
                                     struct stepd_error *reterr)
{
    (void)reterr;
    struct fake_home *const fake = fake_of(home);
    fake->t_max = NAN;
    fake->left = false;
    fake->destroyed = false;
    fake->views[0] = '\0';
    if (job != NULL)
        assert_int_equal(job->groups_count, 1);
    for (size_t i = 0; job != NULL && i < job->groups[0].schedule_params_count; i++)
        if (strcmp(job->groups[0].schedule_params[i].name, "t_max") == 0)
            fake->t_max = job->groups[0].schedule_params[i].value;
    assert_true(count <= FAKE_TENSORS_MAX);
    fake->tensors = count;
    fake->given = 0;
    for (size_t i = 0; i < count; i++) {
        fake->size[i] = 1;
        for (size_t d = 0; d < tensors[i].dims; d++)
            fake->size[i] *= tensors[i].shape[d];
        assert_true(fake->size[i] <= FAKE_VALUES_MAX);
        for (size_t k = 0; k < fake->size[i]; k++) /* something in [a, b), different everywhere */
            fake->weights[i][k] = (float)(tensors[i].a + (tensors[i].b - tensors[i].a) *
                                                             (double)(k * 37 % 101) / 101.0);
    }
    return STEPD_OK;
}

static void give_weights(const struct fake_home *fake, const struct stepd_array *arrays,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        memcpy(arrays[i].weights, fake->weights[arrays[i].tensor],
               fake->size[arrays[i].tensor] * sizeof(float));
}

static enum stepd_status fake_pull(struct home *home, enum stepd_view view,
                                   const struct stepd_array *arrays, size_t count,
                                   uint64_t *ret_version, struct stepd_error *reterr)
{
    (void)reterr;
    struct fake_home *const fake = fake_of(home);
    const size_t pulls = strlen(fake->views);
    assert_true(pulls + 1 < sizeof fake->views);
    fake->views[pulls] = view == STEPD_TRAINING ? 't' : 'e';
    fake->views[pulls + 1] = '\0';
    give_weights(fake, arrays, count);
    for (size_t i = 0; i < count && fake->looks_ahead && view == STEPD_EVALUATION; i++)
        memset(arrays[i].weights, 0, fake->size[arrays[i].tensor] * sizeof(float));
    *ret_version = fake->version;
    return STEPD_OK;
}

/* All parts of a step say the same of it, and a loss wherever there are examples. */
static void note_loss(struct fake_home *fake, size_t part, const struct home_step *step)
{
    assert_true(step->has_loss == (step->examples > 0));
    if (part == 0) /* which is always the first of a step */
        fake->loss = step->has_loss ? step->loss : (double)NAN;
    else if (step->has_loss)
        assert_true(step->loss == fake->loss);
}

static enum stepd_status fake_step_start(struct home *home, size_t part,
                                         const struct stepd_array *arrays, size_t count,
                                         const struct home_step *step, struct stepd_error *reterr)
{
    struct fake_home *const fake = fake_of(home);
    assert_null(fake->under_way[part]);
    const bool last = fake->given + count == fake->tensors; /* the others are on their way */
    if (last && fake->steps_started == fake->fail_at_step)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "the connection is lost");
    fake->under_way[part] = arrays;
    fake->arrays[part] = count;
    fake->parts_started++;
    fake->given = last ? 0 : fake->given + count;
    fake->refused[part] = fake->version == fake->refuse_at_step;
    if (fake->refused[part] && fake->overflow) /* as if it had come so */
        *(float *)(uintptr_t)arrays[0].grad = NAN;
    fake->examples[part] = step->examples;
    note_loss(fake, part, step);
    if (last) {
        fake->steps_started++;
        fake->examples_sum += step->examples;
    }
    return STEPD_OK;
}

/* Reads the gradients now: who wrote over them after the start is found out by not learning. */
static enum stepd_status fake_step_wait(struct home *home, size_t part, uint64_t *ret_version,
                                        struct stepd_error *reterr)
{
    (void)reterr;
    struct fake_home *const fake = fake_of(home);
    const struct stepd_array *const arrays = fake->under_way[part];
    assert_non_null(arrays);
    fake->under_way[part] = NULL;
    if (fake->refused[part])
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "refused");
    for (size_t i = 0; i < fake->arrays[part] && fake->examples[part] > 0; i++)
        for (size_t k = 0; k < fake->size[arrays[i].tensor]; k++)
            fake->weights[arrays[i].tensor][k] -= fake->scale * arrays[i].grad[k];
    give_weights(fake, arrays, fake->arrays[part]);
    if (part == 0)
        fake->version += 1 + fake->others;
    *ret_version = fake->version;
    return STEPD_OK;
}

static uint64_t fake_clock(const struct home *home)
{
    return ((const struct fake_home *)home)->clock;
}

static enum stepd_mode fake_mode(const struct home *home)
{
    return ((const struct fake_home *)home)->mode;
}

static bool fake_packed(const struct home *home, size_t tensor)
{
    (void)tensor;
    return ((const struct fake_home *)home)->packs;
}

static enum stepd_status fake_report(struct home *home, uint64_t step, double loss,
                                     uint64_t examples, struct stepd_error *reterr)
{
    (void)examples;
    (void)reterr;
    assert_true(loss == fake_of(home)->loss);
    assert_false(fake_of(home)->left);
    fake_of(home)->reported = step;
    return STEPD_OK;
}

static enum stepd_status fake_leave(struct home *home, struct stepd_error *reterr)
{
    (void)reterr;
    struct fake_home *const fake = fake_of(home);
    for (size_t part = 0; part < HOME_PARTS_MAX && fake->refuse_at_step == UINT64_MAX; part++)
        assert_null(fake->under_way[part]);
    fake->left = true;
    return STEPD_OK;
}

/* Whoever still waits for weights gets them now. */
static struct home *fake_destroy(struct home *home)
{
    struct fake_home *const fake = fake_of(home);
    for (size_t part = 0; part < HOME_PARTS_MAX; part++)
        if (fake->under_way[part] != NULL)
            give_weights(fake, fake->under_way[part], fake->arrays[part]);
    fake->destroyed = true;
    return NULL;
}

static const struct home_kind fake_kind = {
    .rank = fake_rank,
    .mode = fake_mode,
    .packed = fake_packed,
    .define = fake_define,
    .clock = fake_clock,
    .pull = fake_pull,
    .step_start = fake_step_start,
    .step_wait = fake_step_wait,
    .report = fake_report,
    .leave = fake_leave,
    .destroy = fake_destroy,
};

void fake_home_init(struct fake_home *ret_fake)
{
    *ret_fake = (struct fake_home){
        .home.kind = &fake_kind,
        .fail_at_step = UINT64_MAX,
        .refuse_at_step = UINT64_MAX,
        .scale = 0.5f,
    };
}
