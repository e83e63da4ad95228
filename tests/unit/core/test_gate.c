/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices that close together: two shards with one gate between them, where control would be. The
 * model is a matrix of 9000 elements, which is cut into two slices, and two small biases in one.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/sync/gate.h"
#include "tests/lib/shard.h"

enum { SHARDS = 2, WORKERS = 2, OBSERVER = 7, LARGE = 9000, SMALL = 5 };

/* Both shards, each with a connection of either worker, and the gate. */
struct pair {
    struct shard shard[SHARDS];
    struct gate *gate;
    uint64_t request;
};

static const uint64_t large[] = {90, 100};
static const uint64_t small[] = {SMALL};

static struct pair *setup(const struct stepd_setting *setting, size_t settings,
                          const struct stepd_group *group)
{
    const struct stepd_tensor_def tensor[] = {shard_tensor("w", large, 2, 0.0),
                                              shard_tensor("b", small, 1, 0.0),
                                              shard_tensor("c", small, 1, 0.0)};
    struct shard_job job = {.settings = {.count = settings, .at = setting},
                            .workers = WORKERS,
                            .lr = 1.0,
                            .groups = group == NULL ? 0 : 1,
                            .group = group,
                            .slice_elements = 8192,
                            .shards = SHARDS,
                            .tensors = 3,
                            .tensor = tensor};
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    for (uint32_t s = 0; s < SHARDS; s++) {
        job.shard = s;
        shard_setup(&pair->shard[s], &job);
        for (uint32_t rank = 0; rank < WORKERS; rank++)
            shard_connect(&pair->shard[s], rank, rank);
    }
    assert_true(job_is_gated(pair->shard[0].job));
    assert_int_equal(gate_create(pair->shard[0].job, &pair->gate), STEPD_OK);
    return pair;
}

static void teardown(struct pair *pair)
{
    (void)gate_destroy(pair->gate);
    for (uint32_t s = 0; s < SHARDS; s++)
        shard_teardown(&pair->shard[s]);
    free(pair);
}

/* The slices of a shard. */
static size_t slices_of(const struct pair *pair, uint32_t shard, uint32_t *slice)
{
    const struct layout *layout = &pair->shard[0].job->layout;
    size_t slices = 0;
    for (uint32_t i = 0; i < layout->slices; i++) {
        if (layout->slice[i].shard == shard)
            slice[slices++] = i;
    }
    return slices;
}

/* Of a slice's gradient: `each` in the matrix, `bias` in b, a tenth of that in c. */
static float *fill_grad(const struct layout *layout, uint32_t slice, float each, float bias,
                        float *at)
{
    const struct slice_plan *plan = &layout->slice[slice];
    const float value[] = {each, bias, bias / 10.0F};
    for (uint32_t i = 0; i < plan->parts; i++) {
        const struct part *part = &layout->part[plan->first_part + i];
        for (uint32_t k = 0; k < part->elements; k++)
            *at++ = value[part->tensor];
    }
    return at;
}

/* A rank pushes to a shard's slices, or to one of them alone. */
static void push_slices(struct pair *pair, uint32_t shard, uint32_t rank, uint64_t clock,
                        const struct stepd_u32s *slices, float each, float bias)
{
    const struct layout *layout = &pair->shard[0].job->layout;
    float *grad = malloc((size_t)(LARGE + 2 * SMALL) * sizeof *grad);
    assert_non_null(grad);
    float *end = grad;
    for (size_t i = 0; i < slices->count; i++)
        end = fill_grad(layout, slices->at[i], each, bias, end);
    const struct shard_push push = {.id = ++pair->request,
                                    .clock = clock,
                                    .base_version = clock - 1,
                                    .examples = 1,
                                    .slices = slices->count,
                                    .slice = slices->at,
                                    .grad = grad,
                                    .values = (size_t)(end - grad)};
    shard_push(&pair->shard[shard], rank, &push);
    free(grad);
}

static void push_to(struct pair *pair, uint32_t shard, uint32_t rank, uint64_t clock, float each,
                    float bias)
{
    uint32_t slice[SHARD_SLICES];
    const struct stepd_u32s all = {.count = slices_of(pair, shard, slice), .at = slice};
    push_slices(pair, shard, rank, clock, &all, each, bias);
}

static void push(struct pair *pair, uint64_t clock, float each, float bias)
{
    for (uint32_t s = 0; s < SHARDS; s++) {
        for (uint32_t rank = 0; rank < WORKERS; rank++)
            push_to(pair, s, rank, clock, each, bias);
    }
}

/* Takes what the shards have reported, and gives them what the gate decides. False: it waits. */
static bool decide(struct pair *pair, struct order *ret_order)
{
    bool all = false;
    for (uint32_t s = 0; s < SHARDS; s++) {
        if (pair->shard[s].ready != NULL)
            all = gate_take(pair->gate, pair->shard[s].ready);
        pair->shard[s].ready = notice_destroy(pair->shard[s].ready);
    }
    if (!all)
        return false;
    *ret_order = (struct order){.job_name = pair->shard[0].job->name};
    gate_decide(pair->gate, ret_order);
    for (uint32_t s = 0; s < SHARDS; s++)
        shard_give(&pair->shard[s], ret_order);
    return true;
}

/* A weight of a slice, wherever that is. */
static float weight_seen(struct pair *pair, size_t peer, uint32_t slice, size_t element)
{
    struct shard *shard = &pair->shard[pair->shard[0].job->layout.slice[slice].shard];
    const struct stepd_message pull = {
        .request_id = ++pair->request,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = 1, .slices = {.count = 1, .at = &slice}}};
    assert_int_equal(shard_send(shard, peer, &pull, NULL, 0, 0, NULL), STEPD_OK);
    assert_int_equal(shard_last(shard, peer)->kind, STEPD_MESSAGE_RESULT);
    return shard_last(shard, peer)->value[element];
}

static float weight_at(struct pair *pair, uint32_t slice, size_t element)
{
    return weight_seen(pair, 0, slice, element);
}

/* The slices are the two of the matrix, and that of both biases. */
static float weight(struct pair *pair, uint32_t tensor)
{
    static const uint32_t slice[] = {0, 2, 2};
    static const size_t element[] = {0, 0, SMALL};
    return weight_at(pair, slice[tensor], element[tensor]);
}

static const double one = 1.0;

static struct stepd_setting clip_to_one(const char *name)
{
    return (struct stepd_setting){.name = name, .values = 1, .value = &one, .word = ""};
}

static struct stepd_setting word(const char *name, const char *text)
{
    return (struct stepd_setting){.name = name, .word = text};
}

/* ---- Together -------------------------------------------------------------------------------- */

static void slices__full_on_one_shard__wait_for_the_other(void **state)
{
    (void)state;
    const struct stepd_setting setting = clip_to_one("clip_global_norm");
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        push_to(pair, 0, rank, 1, 1.0F, 1.0F);
    assert_non_null(pair->shard[0].ready);
    assert_false(decide(pair, &order));
    shard_query(&pair->shard[0]);
    assert_int_equal(pair->shard[0].answer_max, 0);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        push_to(pair, 1, rank, 1, 1.0F, 1.0F);
    assert_true(decide(pair, &order));
    for (uint32_t s = 0; s < SHARDS; s++) {
        shard_query(&pair->shard[s]);
        assert_int_equal(pair->shard[s].answer_min, 1);
        assert_int_equal(shard_last(&pair->shard[s], 1)->outcome[0], STEPD_APPLIED);
    }
    teardown(pair);
}

/* Its mean was taken: who is missing in it cannot count for it. */
static void push__to_slices_that_were_reported__is_too_late(void **state)
{
    (void)state;
    const struct stepd_setting settings[] = {
        clip_to_one("clip_global_norm"),
        {.name = "backup", .values = 1, .value = &one, .word = ""}};
    struct pair *pair = setup(settings, 2, NULL);
    struct order order;
    push_to(pair, 0, 0, 1, 1.0F, 1.0F);
    assert_non_null(pair->shard[0].ready);
    push_to(pair, 0, 1, 1, 1.0F, 1.0F);
    assert_int_equal(shard_last(&pair->shard[0], 1)->outcome[0], STEPD_LATE_DROPPED);
    assert_int_equal(shard_last(&pair->shard[0], 1)->version[0], 1); /* to go on from */
    push_to(pair, 1, 0, 1, 1.0F, 1.0F);
    assert_true(decide(pair, &order));
    assert_int_equal(shard_last(&pair->shard[0], 0)->outcome[0], STEPD_APPLIED);
    teardown(pair);
}

static void wait__at_its_deadline__names_the_other_shards(void **state)
{
    (void)state;
    const struct stepd_setting setting = clip_to_one("clip_global_norm");
    struct pair *pair = setup(&setting, 1, NULL);
    struct shard *shard = &pair->shard[0];
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        push_to(pair, 0, rank, 1, 1.0F, 1.0F);
    shard->now_ms += 10000;
    core_on_tick(shard->core, shard->now_ms);
    assert_non_null(strstr(shard_last(shard, 0)->text, "waiting for other shards"));
    teardown(pair);
}

static void wait__for_a_worker__names_its_rank(void **state)
{
    (void)state;
    const struct stepd_setting setting = clip_to_one("clip_global_norm");
    struct pair *pair = setup(&setting, 1, NULL);
    struct shard *shard = &pair->shard[0];
    push_to(pair, 0, 1, 1, 1.0F, 1.0F);
    shard->now_ms += 10000;
    core_on_tick(shard->core, shard->now_ms);
    assert_non_null(strstr(shard_last(shard, 1)->text, "waiting for rank 0"));
    assert_int_equal(shard_last(shard, 1)->waited[0], 0);
    teardown(pair);
}

/* ---- Norms ----------------------------------------------------------------------------------- */

static float clipped(double gradient, double most, double norm)
{
    const double factor = most / (norm + 1e-6);
    return -(float)(factor < 1.0 ? factor : 1.0) * (float)gradient;
}

static void clip_global_norm__above__scales_all_by_one_factor(void **state)
{
    (void)state;
    const struct stepd_setting setting = clip_to_one("clip_global_norm");
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    push(pair, 1, 0.5F, 2.0F);
    assert_true(decide(pair, &order));
    const double tenth = (double)(2.0F / 10.0F);
    const double norm = sqrt(LARGE * 0.25 + SMALL * 4.0 + SMALL * tenth * tenth);
    assert_true(weight(pair, 0) == clipped(0.5, 1.0, norm));
    assert_true(weight_at(pair, 0, 8191) == clipped(0.5, 1.0, norm));
    assert_true(weight_at(pair, 1, 807) == clipped(0.5, 1.0, norm));
    assert_true(weight(pair, 1) == clipped(2.0, 1.0, norm));
    assert_true(weight(pair, 2) == clipped(tenth, 1.0, norm));
    teardown(pair);
}

static void clip_global_norm__below__leaves_the_bits_alone(void **state)
{
    (void)state;
    const struct stepd_setting setting = clip_to_one("clip_global_norm");
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    push(pair, 1, 1e-3F, 1e-2F);
    assert_true(decide(pair, &order));
    assert_true(weight(pair, 0) == -1e-3F);
    assert_true(weight(pair, 1) == -1e-2F);
    teardown(pair);
}

static void clip_norm__of_a_group__scales_each_tensor_by_its_own(void **state)
{
    (void)state;
    const struct stepd_setting settings[] = {{.name = "lr", .values = 1, .value = &one, .word = ""},
                                             clip_to_one("clip_norm")};
    const struct stepd_group group = {.name = "all",
                                      .match = "*",
                                      .optimizer = "sgd",
                                      .settings = {.count = 2, .at = settings},
                                      .schedule = ""};
    struct pair *pair = setup(NULL, 0, &group);
    struct order order;
    push(pair, 1, 0.5F, 2.5F);
    assert_true(decide(pair, &order));
    assert_true(weight(pair, 0) == clipped(0.5, 1.0, sqrt(LARGE * 0.25)));
    assert_true(weight_at(pair, 0, 8191) == weight(pair, 0));
    assert_true(weight(pair, 1) == clipped(2.5, 1.0, sqrt(SMALL * 6.25)));
    assert_true(weight(pair, 2) == -0.25F); /* its norm is below 1 */
    teardown(pair);
}

static void clip_norm__that_becomes_another__scales_all_slices_of_a_tensor_by_that(void **state)
{
    (void)state;
    const struct stepd_setting setting = {
        .name = "clip_global_norm", .values = 1, .value = &(double){1e9}, .word = ""};
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    push(pair, 1, 0.5F, 2.5F);
    assert_true(decide(pair, &order));
    assert_true(weight(pair, 0) == -0.5F);
    gate_set_clip_norm(pair->gate, 0, 1.0);
    push(pair, 2, 0.5F, 2.5F);
    assert_true(decide(pair, &order));
    const float right = -0.5F + clipped(0.5, 1.0, sqrt(LARGE * 0.25));
    assert_true(weight(pair, 0) == right);
    assert_true(weight_at(pair, 0, 8191) == right);
    assert_true(weight_at(pair, 1, 807) == right);
    teardown(pair);
}

/* ---- What is not finite ---------------------------------------------------------------------- */

static void nonfinite__to_be_skipped__skips_the_step_for_all(void **state)
{
    (void)state;
    const struct stepd_setting setting = word("nonfinite", "skip");
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    for (uint32_t s = 0; s < SHARDS; s++) {
        push_to(pair, s, 0, 1, 1.0F, 1.0F);
        push_to(pair, s, 1, 1, 1.0F, NAN);
    }
    assert_true(decide(pair, &order));
    assert_int_equal(order.verdict, ORDER_SKIP);
    assert_non_null(strstr(order.error.text, "tensor 'b' from rank 1"));
    for (uint32_t s = 0; s < SHARDS; s++)
        assert_int_equal(shard_last(&pair->shard[s], 0)->outcome[0], STEPD_SKIPPED);
    assert_true(weight(pair, 0) == 0.0F);
    push(pair, 2, 1.0F, 1.0F);
    assert_true(decide(pair, &order));
    assert_int_equal(order.verdict, ORDER_APPLY);
    assert_true(weight(pair, 0) == -1.0F);
    teardown(pair);
}

static void nonfinite__to_halt__ends_the_job_and_says_why(void **state)
{
    (void)state;
    const struct stepd_setting setting = word("nonfinite", "halt");
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    for (uint32_t s = 0; s < SHARDS; s++) {
        push_to(pair, s, 0, 1, INFINITY, 1.0F);
        push_to(pair, s, 1, 1, 1.0F, 1.0F);
    }
    assert_true(decide(pair, &order));
    assert_int_equal(order.verdict, ORDER_HALT);
    push_to(pair, 0, 0, 2, 1.0F, 1.0F);
    const struct shard_reply *reply = shard_last(&pair->shard[0], 0);
    assert_int_equal(reply->request_id, pair->request);
    assert_int_equal(reply->code, STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(reply->text, "is halted at version 0: the gradient of tensor 'w'"));
    shard_session(&pair->shard[0], OBSERVER, 1, /* observer= */ true);
    shard_connect(&pair->shard[0], OBSERVER, OBSERVER);
    assert_true(weight_seen(pair, OBSERVER, 0, 0) == 0.0F); /* who looks on may pull */
    teardown(pair);
}

/* ---- Whole or not at all --------------------------------------------------------------------- */

static void atomic__of_a_rank_that_died_on_the_way__goes_without_it_everywhere(void **state)
{
    (void)state;
    const struct stepd_setting setting = word("atomic", "job");
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    push_to(pair, 0, 0, 1, 1.0F, 1.0F);
    push_to(pair, 0, 1, 1, 5.0F, 5.0F); /* and dies before it has sent shard 1 its part */
    push_to(pair, 1, 0, 1, 1.0F, 1.0F);
    for (uint32_t s = 0; s < SHARDS; s++) {
        shard_close(&pair->shard[s], 1);
        shard_member(&pair->shard[s], 1, 0, 1);
    }
    assert_true(decide(pair, &order));
    assert_int_equal(order.kind, ORDER_WITHOUT);
    assert_int_equal(order.ranks, 1);
    assert_int_equal(order.rank_list[0], 1);
    assert_true(weight(pair, 0) == 0.0F);
    assert_true(decide(pair, &order));
    assert_int_equal(order.kind, ORDER_COMMIT);
    assert_true(weight(pair, 0) == -1.0F);
    assert_true(weight(pair, 1) == -1.0F);
    teardown(pair);
}

/* ---- Readers --------------------------------------------------------------------------------- */

static void commit__while_readers_hold_the_weights__closes_when_they_let_go(void **state)
{
    (void)state;
    const struct stepd_setting setting = word("nonfinite", "skip");
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    pair->shard[0].hold = true;
    (void)weight(pair, 0);
    (void)weight(pair, 1);
    push(pair, 1, 1.0F, 1.0F);
    assert_true(decide(pair, &order));
    (void)weight(pair, 0);
    (void)weight(pair, 1);
    push(pair, 2, 1.0F, 1.0F);
    assert_true(decide(pair, &order));
    shard_query(&pair->shard[0]);
    assert_int_equal(pair->shard[0].answer_min, 1); /* both buffers are on their way to readers */
    pair->shard[0].hold = false;
    shard_release(&pair->shard[0]);
    for (uint32_t s = 0; s < SHARDS; s++) {
        shard_query(&pair->shard[s]);
        assert_int_equal(pair->shard[s].answer_min, 2);
    }
    assert_true(weight(pair, 0) == -2.0F);
    teardown(pair);
}

static void commit__while_others_have_gone_on__waits_for_the_last(void **state)
{
    (void)state;
    const struct stepd_setting setting = word("nonfinite", "skip");
    struct pair *pair = setup(&setting, 1, NULL);
    struct order order;
    uint32_t slice[SHARD_SLICES];
    assert_int_equal(slices_of(pair, 0, slice), 1);
    assert_int_equal(slices_of(pair, 1, slice), 2);
    const struct stepd_u32s first = {.count = 1, .at = slice};
    const struct stepd_u32s second = {.count = 1, .at = slice + 1};
    struct shard *shard = &pair->shard[1];
    shard->hold = true; /* of the first slice of shard 1, both buffers */
    (void)weight_at(pair, slice[0], 0);
    push(pair, 1, 1.0F, 1.0F);
    assert_true(decide(pair, &order));
    (void)weight_at(pair, slice[0], 0);
    push(pair, 2, 1.0F, 1.0F);
    assert_true(decide(pair, &order));
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        push_slices(pair, 1, rank, 3, &second, 1.0F, 1.0F);
    shard->hold = false;
    shard_release(shard);
    assert_null(shard->ready);
    for (uint32_t rank = 0; rank < WORKERS; rank++) {
        push_slices(pair, 1, rank, 3, &first, 1.0F, 1.0F);
        push_to(pair, 0, rank, 3, 1.0F, 1.0F);
    }
    assert_true(decide(pair, &order));
    assert_true(weight(pair, 0) == -3.0F);
    teardown(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices__full_on_one_shard__wait_for_the_other),
        cmocka_unit_test(push__to_slices_that_were_reported__is_too_late),
        cmocka_unit_test(wait__at_its_deadline__names_the_other_shards),
        cmocka_unit_test(wait__for_a_worker__names_its_rank),
        cmocka_unit_test(clip_global_norm__above__scales_all_by_one_factor),
        cmocka_unit_test(clip_global_norm__below__leaves_the_bits_alone),
        cmocka_unit_test(clip_norm__of_a_group__scales_each_tensor_by_its_own),
        cmocka_unit_test(clip_norm__that_becomes_another__scales_all_slices_of_a_tensor_by_that),
        cmocka_unit_test(nonfinite__to_be_skipped__skips_the_step_for_all),
        cmocka_unit_test(nonfinite__to_halt__ends_the_job_and_says_why),
        cmocka_unit_test(atomic__of_a_rank_that_died_on_the_way__goes_without_it_everywhere),
        cmocka_unit_test(commit__while_others_have_gone_on__waits_for_the_last),
        cmocka_unit_test(commit__while_readers_hold_the_weights__closes_when_they_let_go),
    };
    return cmocka_run_group_tests_name("core/gate", tests, NULL, NULL);
}
