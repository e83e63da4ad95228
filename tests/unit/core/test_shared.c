/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients that lie in memory which a worker shares, and weights that it reads where they stand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/settings.h"
#include "tests/unit/core/shared.h"

enum { PAGE = 4096 };

/* ---- What is lent ---------------------------------------------------------------------------- */

static void hello__of_a_worker_that_shares__is_told_of_both_memories(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    const struct shard_reply *const reply = shard_last(&shard, 0);
    assert_int_equal(reply->welcome.gradients_bytes, SHARED_SLICES * PAGE);
    assert_int_equal(reply->welcome.weights_bytes, 2 * SHARED_SLICES * PAGE); /* two versions */
    assert_ptr_not_equal(shard.peer[0].gradients, shard.peer[1].gradients);
    shard_teardown(&shard);
}

static void assert_nothing_is_lent(const struct shard *shard, size_t peer)
{
    const struct shard_reply *const reply = shard_last(shard, peer);
    assert_int_equal(reply->kind, STEPD_MESSAGE_WELCOME);
    assert_int_equal(reply->welcome.gradients_bytes, 0);
    assert_int_equal(reply->welcome.weights_bytes, 0);
    assert_null(shard->peer[peer].gradients);
}

static void hello__without_shares_memory__brings_none(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shard_setup(&shard, &job);
    shard.shares = false;
    shard_connect(&shard, 0, 0);
    assert_nothing_is_lent(&shard, 0);
    assert_true(shared_weight(&shard, 0) == 10.0F);
    assert_int_equal(shard_last(&shard, 0)->places, 0);
    shard_teardown(&shard);
}

static void hello__of_an_observer__brings_none(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shard_setup(&shard, &job);
    shard_session(&shard, 5, 1, true);
    shard_connect(&shard, 5, 5);
    assert_nothing_is_lent(&shard, 5);
    assert_true(shared_weight(&shard, 5) == 10.0F);
    assert_int_equal(shard_last(&shard, 5)->places, 0);
    shard_teardown(&shard);
}

static void job__without_memory_to_share__trains_by_payloads(void **state)
{
    (void)state;
    static const float grad[SHARED_ELEMENTS] = {1};
    struct shard shard;
    struct shard_job job = shared_job(1);
    job.lacks_memory = true;
    shared_setup(&shard, &job);
    assert_nothing_is_lent(&shard, 0);
    struct shard_push push = shared_push(1);
    push.placed = false;
    push.grad = grad;
    push.values = SHARED_ELEMENTS;
    push.step = true;
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_int_equal(shard_last(&shard, 0)->places, 0);
    assert_true(shared_weight(&shard, 0) == 9.0F);
    assert_int_equal(shard_last(&shard, 0)->places, 0);
    shard_teardown(&shard);
}

/* Each would take pages of its own, which nobody has counted. */
static void job__of_many_tiny_slices__shares_nothing(void **state)
{
    (void)state;
    static const uint64_t shape[] = {256 * 400};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 10.0);
    struct shard shard;
    struct shard_job job = shared_job(1);
    job.tensor = &tensor;
    job.slice_elements = 256;
    shard_setup(&shard, &job);
    assert_int_equal(shard.job->layout.slices, 400);
    assert_null(shard.memory.at);
    shard_connect(&shard, 0, 0);
    assert_nothing_is_lent(&shard, 0);
    assert_true(shared_weight(&shard, 0) == 10.0F);
    shard_teardown(&shard);
}

static void connection__without_memory_to_share__goes_by_payloads(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shard_setup(&shard, &job);
    shard.lends_nothing = true;
    shard_connect(&shard, 0, 0);
    assert_nothing_is_lent(&shard, 0);
    shard.lends_nothing = false;
    shard_connect(&shard, 1, 1);
    assert_non_null(shard.peer[1].gradients);
    assert_true(shared_weight(&shard, 0) == 10.0F);
    assert_int_equal(shard_last(&shard, 0)->places, 0);
    assert_true(shared_weight(&shard, 1) == 10.0F);
    assert_int_equal(shard_last(&shard, 1)->places, 1);
    shard_teardown(&shard);
}

static void connection__that_replaces_another__has_memory_of_its_own(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    shard_session(&shard, 0, 2, false);
    assert_true(shard.peer[0].hung_up);
    shard_connect(&shard, 1, 0);
    shared_step(&shard, 1, 1, 3.0F);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    assert_true(*shard_placed(&shard, shard_last(&shard, 1), 0) == 7.0F);
    shard_teardown(&shard);
}

/* ---- Gradients ------------------------------------------------------------------------------- */

/* Two workers' steps; the weights after them. */
static void train(bool placed, const struct stepd_group *group, float *ret_weights)
{
    static float grad[SHARED_ELEMENTS];
    struct shard shard;
    struct shard_job job = shared_job(2);
    job.groups = 1;
    job.group = group;
    shared_setup(&shard, &job);
    for (uint64_t clock = 1; clock <= 3; clock++) {
        for (size_t peer = 0; peer < 2; peer++) {
            struct shard_push push = shared_push(clock);
            shared_write(&shard, peer, (float)clock * 0.37F + (float)peer);
            for (uint32_t slice = 0; slice < SHARED_SLICES; slice++)
                memcpy(grad + slice * SHARED_SLICE, shard_gradient(&shard, peer, slice),
                       SHARED_SLICE * sizeof *grad);
            push.examples = 3 - peer;
            push.loss_scale = 4.0;
            push.placed = placed;
            push.grad = grad;
            push.values = placed ? 0 : SHARED_ELEMENTS;
            shard_push(&shard, peer, &push);
        }
        shard_query(&shard);
        assert_int_equal(shard.answer_min, clock);
    }
    shard.shares = false;
    shard_session(&shard, 5, 1, true);
    shard_connect(&shard, 5, 5);
    shard_pull(&shard, 5, 999, 3, SHARED_SLICES);
    assert_int_equal(shard_last(&shard, 5)->values, SHARED_ELEMENTS);
    memcpy(ret_weights, shard_last(&shard, 5)->value, SHARED_ELEMENTS * sizeof *ret_weights);
    shard_teardown(&shard);
}

static void placed_push__of_two_workers__has_the_bits_of_payloads(void **state)
{
    (void)state;
    static float placed[SHARED_ELEMENTS], payload[SHARED_ELEMENTS];
    const struct stepd_group group = settings_group("adamw", "lr=0.1");
    train(true, &group, placed);
    train(false, &group, payload);
    assert_memory_equal(placed, payload, sizeof placed);
    assert_true(placed[0] != 10.0F);
}

/* What is written later is of a later push. */
static void placed_push__overwritten_behind__counts_as_it_was(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    shared_step(&shard, 0, 1, 2.0F);
    shared_write(&shard, 0, NAN);
    shared_step(&shard, 1, 1, 4.0F);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(*shard_placed(&shard, shard_last(&shard, 1), 0) == 7.0F);
    shard_teardown(&shard);
}

static void placed_push__with_nan__names_it_and_counts_the_other_slice(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    shared_write(&shard, 0, 1.0F);
    shard_gradient(&shard, 0, 1)[7] = NAN;
    struct shard_push push = shared_push(1);
    shard_push(&shard, 0, &push);
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->kind, STEPD_MESSAGE_ERROR);
    assert_int_equal(reply->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(reply->text, "'w'"));
    assert_non_null(strstr(reply->text, "307"));
    shared_write(&shard, 0, 1.0F);
    shard_push(&shard, 0, &push);
    reply = shard_last(&shard, 0);
    assert_int_equal(reply->outcome[0], STEPD_DUPLICATE);
    assert_int_equal(reply->outcome[1], STEPD_APPLIED);
    shard_teardown(&shard);
}

/* It is looked at piece by piece. */
static void placed_push__with_nan_deep_in_it__names_the_first(void **state)
{
    (void)state;
    static const uint64_t shape[] = {10000};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 10.0);
    struct shard shard;
    struct shard_job job = shared_job(1);
    job.tensor = &tensor;
    job.slice_elements = 10000;
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    shard_gradient(&shard, 0, 0)[5000] = INFINITY;
    shard_gradient(&shard, 0, 0)[9900] = NAN;
    struct shard_push push = shared_push(1);
    push.slices = 1;
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_ERROR);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "5000"));
    shard_teardown(&shard);
}

static void placed_push__without_examples__reads_nothing(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    shared_write(&shard, 0, NAN);
    struct shard_push push = shared_push(1);
    push.examples = 0;
    shard_push(&shard, 0, &push);
    shared_step(&shard, 1, 1, 4.0F);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(*shard_placed(&shard, shard_last(&shard, 1), 0) == 6.0F);
    shard_teardown(&shard);
}

/* Refused with this text; what comes next is taken. */
static void assert_refused(struct shard *shard, const struct shard_push *wrong,
                           enum stepd_status code, const char *text)
{
    shard_push(shard, 0, wrong);
    const struct shard_reply *reply = shard_last(shard, 0);
    assert_int_equal(reply->kind, STEPD_MESSAGE_ERROR);
    assert_int_equal(reply->code, code);
    if (strstr(reply->text, text) == NULL)
        fail_msg("'%s' says nothing of '%s'", reply->text, text);
    shard_query(shard);
    assert_int_equal(shard->answer_max, 0);
    assert_non_null(shard->peer[0].conn);
}

static void placed_push__in_16_bits_or_with_a_payload__is_refused(void **state)
{
    (void)state;
    static const float grad[SHARED_ELEMENTS];
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    shared_write(&shard, 0, 1.0F);
    struct shard_push push = shared_push(1);
    push.dtype = STEPD_F16;
    assert_refused(&shard, &push, STEPD_INVALID_ARGUMENT, "f16");
    push = shared_push(1);
    push.grad = grad;
    push.values = SHARED_ELEMENTS;
    assert_refused(&shard, &push, STEPD_INVALID_ARGUMENT, "2400");
    shared_step(&shard, 0, 1, 1.0F);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

static void placed_push__where_nothing_is_lent__is_refused(void **state)
{
    (void)state;
    static const float grad[SHARED_ELEMENTS];
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shard_setup(&shard, &job);
    shard.shares = false;
    shard_connect(&shard, 0, 0);
    struct shard_push push = shared_push(1);
    assert_refused(&shard, &push, STEPD_FAILED_PRECONDITION, "send them as the payload");
    push.placed = false;
    push.grad = grad;
    push.values = SHARED_ELEMENTS;
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

static void placed_push__with_a_hessian__is_refused(void **state)
{
    (void)state;
    static const uint64_t two[] = {2};
    const struct stepd_tensor_def tensor = shard_tensor("w", two, 1, 1.0);
    const struct stepd_group group = settings_group("newton", "lr=1");
    struct shard shard;
    struct shard_job job = shared_job(1);
    job.tensor = &tensor;
    job.groups = 1;
    job.group = &group;
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    struct shard_push push = shared_push(1);
    push.slices = 1;
    assert_refused(&shard, &push, STEPD_INVALID_ARGUMENT, "group 'g' wants a Hessian");
    shard_teardown(&shard);
}

/* Opens the fixture's job again, under the next incarnation. */
static void open_again(struct shard *shard)
{
    struct order order = {.kind = ORDER_JOB_OPEN, .job_name = shard->job->name};
    shard->job->incarnation++;
    order.job = shard->job;
    shard_give(shard, &order);
    assert_int_equal(shard->opened.code, STEPD_OK);
    shard_member(shard, 0, 0, UINT64_MAX);
    shard_start(shard);
}

static void connection__of_a_job_that_was_opened_again__shares_nothing(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    shared_step(&shard, 0, 1, 1.0F);
    assert_int_equal(shard_last(&shard, 0)->places, SHARED_SLICES);
    shard_order(&shard, ORDER_JOB_CLOSE);
    assert_null(shard.memory.at);
    open_again(&shard);
    const struct shard_push push = shared_push(1);
    assert_refused(&shard, &push, STEPD_FAILED_PRECONDITION, "incarnation");
    assert_true(shared_weight(&shard, 0) == 10.0F);
    assert_int_equal(shard_last(&shard, 0)->places, 0);
    shard_close(&shard, 0);
    shard_connect(&shard, 0, 0);
    shared_step(&shard, 0, 1, 1.0F);
    assert_true(*shard_placed(&shard, shard_last(&shard, 0), 0) == 9.0F);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello__of_a_worker_that_shares__is_told_of_both_memories),
        cmocka_unit_test(hello__without_shares_memory__brings_none),
        cmocka_unit_test(hello__of_an_observer__brings_none),
        cmocka_unit_test(job__without_memory_to_share__trains_by_payloads),
        cmocka_unit_test(job__of_many_tiny_slices__shares_nothing),
        cmocka_unit_test(connection__without_memory_to_share__goes_by_payloads),
        cmocka_unit_test(connection__that_replaces_another__has_memory_of_its_own),
        cmocka_unit_test(placed_push__of_two_workers__has_the_bits_of_payloads),
        cmocka_unit_test(placed_push__overwritten_behind__counts_as_it_was),
        cmocka_unit_test(placed_push__with_nan__names_it_and_counts_the_other_slice),
        cmocka_unit_test(placed_push__with_nan_deep_in_it__names_the_first),
        cmocka_unit_test(placed_push__without_examples__reads_nothing),
        cmocka_unit_test(placed_push__in_16_bits_or_with_a_payload__is_refused),
        cmocka_unit_test(placed_push__where_nothing_is_lent__is_refused),
        cmocka_unit_test(placed_push__with_a_hessian__is_refused),
        cmocka_unit_test(connection__of_a_job_that_was_opened_again__shares_nothing),
    };
    return cmocka_run_group_tests_name("core/shared", tests, NULL, NULL);
}
