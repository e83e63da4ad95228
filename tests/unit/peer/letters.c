/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers are drawn from those that are hard to write down: near the ends of their range, doubles
 * of any bits.
 */
#include "tests/unit/peer/letters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/sim/definition.h"
#include "tests/unit/model/same_group.h"

enum { ARENA_MAX_BYTES = 64 << 20, WORKERS = 3 };

struct drawing letters_drawing(uint64_t seed)
{
    struct drawing drawing = {.random = {.state = seed}};
    stepd_arena_init(&drawing.arena, ARENA_MAX_BYTES);
    return drawing;
}

static uint64_t any_u64(struct random *random)
{
    const uint64_t number = random_next(random);
    return random_once_in(random, 2) ? number : number % 1000;
}

static double any_double(struct random *random)
{
    const uint64_t bits = random_next(random);
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static float any_float(struct random *random)
{
    const uint32_t bits = (uint32_t)random_next(random);
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static bool any_bool(struct random *random)
{
    return random_once_in(random, 2);
}

static struct stepd_error any_error(struct random *random)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (any_bool(random))
        (void)stepd_fail(&error, (enum stepd_status)random_between(random, 1, STEPD_ROLLED_BACK),
                         "rank %u of job 'schr\u00e4g' is gone",
                         (unsigned)random_below(random, 1000));
    return error;
}

static char *any_text(struct random *random, const char *text)
{
    char *const copy = any_bool(random) ? strdup(text) : NULL;
    return copy;
}

static uint32_t *any_u32s(struct random *random, uint64_t most, uint32_t below, size_t *ret_count)
{
    *ret_count = (size_t)random_below(random, most + 1);
    uint32_t *const number = *ret_count == 0 ? NULL : calloc(*ret_count, sizeof *number);
    for (size_t i = 0; i < *ret_count; i++)
        number[i] = (uint32_t)random_below(random, below);
    return number;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

struct job *letters_draw_job(struct drawing *drawing, enum stepd_mode mode, uint32_t shards)
{
    const struct definition drawn = definition_draw(drawing, mode, WORKERS);
    struct job_draft *draft = NULL;
    struct job *job = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    enum stepd_status status = job_draft_create("a job", &drawn.job, 0, &draft, &error);
    if (status == STEPD_OK)
        status = job_draft_add(draft, &drawn.page, &error);
    if (status == STEPD_OK) {
        job_draft_set_spare(draft, any_bool(&drawing->random));
        status = job_draft_seal(draft, any_u64(&drawing->random), shards, &job, &error);
    }
    if (status != STEPD_OK)
        fail_msg("%s", error.text);
    (void)job_draft_destroy(draft);
    return job;
}

static void assert_same_tensors(const struct job *a, const struct job *b)
{
    assert_int_equal(a->tensors, b->tensors);
    assert_int_equal(a->elements, b->elements);
    for (size_t i = 0; i < a->tensors; i++) {
        const struct tensor *const x = &a->tensor[i];
        const struct tensor *const y = &b->tensor[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->dims, y->dims);
        assert_memory_equal(x->shape, y->shape, sizeof x->shape);
        assert_int_equal(x->elements, y->elements);
        assert_int_equal(x->group, y->group);
        assert_int_equal(x->init.kind, y->init.kind);
        assert_memory_equal(&x->init.a, &y->init.a, sizeof x->init.a);
        assert_memory_equal(&x->init.b, &y->init.b, sizeof x->init.b);
        assert_int_equal(x->init.seed, y->init.seed);
    }
}

static void assert_same_layout(const struct layout *a, const struct layout *b)
{
    assert_int_equal(a->slices, b->slices);
    assert_int_equal(a->parts, b->parts);
    assert_memory_equal(a->slice, b->slice, a->slices * sizeof *a->slice);
    assert_memory_equal(a->part, b->part, a->parts * sizeof *a->part);
}

void letters_assert_same_job(const struct job *a, const struct job *b)
{
    struct stepd_error error;
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->incarnation, b->incarnation);
    if (consistency_same(&a->consistency, &b->consistency, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(a->workers, b->workers);
    assert_int_equal(a->strict, b->strict);
    assert_int_equal(a->slice_elements, b->slice_elements);
    assert_int_equal(a->shards, b->shards);
    assert_int_equal(a->spare, b->spare);
    assert_int_equal(a->groups, b->groups);
    for (size_t i = 0; i < a->groups; i++) {
        same_group_assert(&a->group[i], &b->group[i]);
        assert_int_equal(a->group_tensors[i], b->group_tensors[i]);
    }
    assert_same_tensors(a, b);
    assert_same_layout(&a->layout, &b->layout);
    const struct job_memory x = job_memory_plan(a);
    const struct job_memory y = job_memory_plan(b);
    assert_memory_equal(&x, &y, sizeof x);
}

/* ---- Orders ---------------------------------------------------------------------------------- */

static struct group_changes *any_changes(struct random *random, const struct job *job)
{
    struct group_changes *const changes = group_changes_create(job->groups);
    assert_non_null(changes);
    changes->number = any_u64(random);
    changes->version = any_u64(random);
    for (size_t i = 0; i < job->groups; i++) {
        struct shared_group *const shared = calloc(1, sizeof *shared);
        assert_non_null(shared);
        assert_int_equal(group_copy(&job->group[i], &shared->group), STEPD_OK);
        shared->group.phase[0].from =
            shared->group.phases == 1 ? any_u64(random) : shared->group.phase[1].from - 1;
        shared->refs = 1;
        changes->change[i] = (struct group_change){.index = (uint32_t)i,
                                                   .fresh = any_bool(random),
                                                   .new_schedule = any_bool(random),
                                                   .group = shared};
    }
    return changes;
}

struct order *letters_draw_order(struct drawing *drawing)
{
    struct random *const random = &drawing->random;
    const enum order_kind kind = (enum order_kind)random_below(random, ORDER_RESET + 1);
    struct order *const order = order_create(kind, any_bool(random) ? "a job" : "");
    assert_non_null(order);
    struct job *const job = letters_draw_job(drawing, (enum stepd_mode)random_below(random, 3),
                                             (uint32_t)random_between(random, 1, 5));
    if (any_bool(random))
        order->groups = any_changes(random, job);
    if (any_bool(random))
        order->job = job_ref(job);
    (void)job_unref(job);
    order->checkpoint = any_text(random, "a job/step-00001200");
    order->first_elsewhere = any_bool(random);
    (void)stepd_format(order->first_sum, sizeof order->first_sum, "%s",
                       order->first_elsewhere ? "0123456789abcdef0123456789abcdef" : "");
    for (size_t i = 0; i < sizeof order->session; i++)
        order->session[i] = (uint8_t)random_next(random);
    order->epoch = any_u64(random);
    order->worker = any_text(random, any_bool(random) ? "host:77" : "");
    order->observer = any_bool(random);
    order->rank = (uint32_t)random_next(random);
    order->from = any_u64(random);
    order->clock = any_u64(random);
    order->last_clock = any_u64(random);
    order->query = any_u64(random);
    order->durable = any_bool(random);
    order->last = any_bool(random);
    order->change = any_bool(random) ? ORDER_CHANGE_GROUPS : ORDER_CHANGE_MEMBER;
    order->version = any_u64(random);
    order->verdict = (enum order_verdict)random_below(random, 3);
    order->error = any_error(random);
    order->factors = (size_t)random_below(random, 4);
    order->factor = order->factors == 0 ? NULL : calloc(order->factors, sizeof *order->factor);
    for (size_t i = 0; i < order->factors; i++)
        order->factor[i] = any_float(random);
    order->rank_list = any_u32s(random, 3, UINT32_MAX, &order->ranks);
    return order;
}

static void assert_same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL)
        assert_string_equal(a, b);
}

static void assert_same_array(const void *a, const void *b, size_t bytes)
{
    assert_int_equal(a == NULL, b == NULL);
    if (bytes > 0)
        assert_memory_equal(a, b, bytes);
}

static void assert_same_error(const struct stepd_error *a, const struct stepd_error *b)
{
    assert_int_equal(a->code, b->code);
    assert_string_equal(a->text, b->text);
}

static void assert_same_changes(const struct group_changes *a, const struct group_changes *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a == NULL)
        return;
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->change[i].index, b->change[i].index);
        assert_int_equal(a->change[i].fresh, b->change[i].fresh);
        assert_int_equal(a->change[i].new_schedule, b->change[i].new_schedule);
        same_group_assert(&a->change[i].group->group, &b->change[i].group->group);
        assert_int_equal(a->change[i].group->group.phase[0].from,
                         b->change[i].group->group.phase[0].from);
    }
}

void letters_assert_same_order(const struct order *a, const struct order *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->job_name, b->job_name);
    assert_int_equal(a->job == NULL, b->job == NULL);
    if (a->job != NULL)
        letters_assert_same_job(a->job, b->job);
    assert_same_text(a->checkpoint, b->checkpoint);
    assert_int_equal(a->first_elsewhere, b->first_elsewhere);
    assert_string_equal(a->first_sum, b->first_sum);
    assert_memory_equal(a->session, b->session, sizeof a->session);
    assert_int_equal(a->epoch, b->epoch);
    assert_same_text(a->worker, b->worker);
    assert_int_equal(a->observer, b->observer);
    assert_int_equal(a->rank, b->rank);
    assert_int_equal(a->from, b->from);
    assert_int_equal(a->clock, b->clock);
    assert_int_equal(a->last_clock, b->last_clock);
    assert_int_equal(a->query, b->query);
    assert_int_equal(a->durable, b->durable);
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->change, b->change);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->verdict, b->verdict);
    assert_same_error(&a->error, &b->error);
    assert_int_equal(a->factors, b->factors);
    assert_same_array(a->factor, b->factor, a->factors * sizeof *a->factor);
    assert_int_equal(a->ranks, b->ranks);
    assert_same_array(a->rank_list, b->rank_list, a->ranks * sizeof *a->rank_list);
    assert_same_changes(a->groups, b->groups);
}

/* ---- Notices --------------------------------------------------------------------------------- */

struct notice *letters_draw_notice(struct drawing *drawing, size_t *ret_sums)
{
    struct random *const random = &drawing->random;
    const enum notice_kind kind = (enum notice_kind)random_below(random, NOTICE_CHANGED + 1);
    struct notice *const notice = notice_create(kind, "a job");
    assert_non_null(notice);
    notice->shard = (uint32_t)random_below(random, STEPD_SHARDS_MAX);
    notice->error = any_error(random);
    notice->rank = any_u32s(random, 3, UINT32_MAX, &notice->ranks);
    if (notice->ranks > 0 && any_bool(random))
        notice->clock = calloc(notice->ranks, sizeof *notice->clock);
    for (size_t i = 0; notice->clock != NULL && i < notice->ranks; i++)
        notice->clock[i] = any_u64(random);
    notice->query = any_u64(random);
    notice->agreed = any_bool(random);
    notice->slices = any_u64(random);
    notice->later_slice = any_u32s(random, 3, UINT32_MAX, &notice->later);
    notice->version_min = any_u64(random);
    notice->version_max = any_u64(random);
    notice->parked = any_u64(random);
    *ret_sums = (size_t)random_below(random, 4);
    notice->sum = *ret_sums == 0 ? NULL : calloc(*ret_sums, sizeof *notice->sum);
    for (size_t i = 0; i < *ret_sums; i++)
        notice->sum[i] = any_double(random);
    return notice;
}

void letters_assert_same_notice(const struct notice *a, const struct notice *b, size_t sums)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->shard, b->shard);
    assert_string_equal(a->job_name, b->job_name);
    assert_same_error(&a->error, &b->error);
    assert_int_equal(a->ranks, b->ranks);
    assert_same_array(a->rank, b->rank, a->ranks * sizeof *a->rank);
    assert_same_array(a->clock, b->clock, a->clock == NULL ? 0 : a->ranks * sizeof *a->clock);
    assert_int_equal(a->query, b->query);
    assert_int_equal(a->agreed, b->agreed);
    assert_int_equal(a->slices, b->slices);
    assert_int_equal(a->later, b->later);
    assert_same_array(a->later_slice, b->later_slice, a->later * sizeof *a->later_slice);
    assert_int_equal(a->version_min, b->version_min);
    assert_int_equal(a->version_max, b->version_max);
    assert_int_equal(a->parked, b->parked);
    assert_same_array(a->sum, b->sum, sums * sizeof *a->sum);
}

/* ---- Both ------------------------------------------------------------------------------------ */

struct peer_letter letters_go_round(struct peer_bytes *bytes)
{
    struct peer_letter letter;
    struct stepd_error error = {.code = STEPD_OK};
    if (peer_letter_unpack(bytes->at, bytes->n, &letter, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return letter;
}
