/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions, and the way of a job from its first page of tensors to the start on all shards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

static uint32_t tensors_defined(const struct peer *peer)
{
    return peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED)->body.tensors_defined.count;
}

/* ---- DefineJob ------------------------------------------------------------------------------- */

static void define_job__first__defines(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 2));
    const struct stepd_message *answer = peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED);
    assert_int_equal(answer->body.job_defined.world, 2);
    assert_int_equal(answer->body.job_defined.incarnation, 1);
    struct peer *next = peer_join(*state, hello_worker("j", 1));
    const struct stepd_message *welcome = peer_answer(next, STEPD_MESSAGE_WELCOME);
    assert_int_equal(welcome->body.welcome.world, 2);
    assert_int_equal(welcome->body.welcome.incarnation, 1);
}

static void define_job__identical__is_answered_the_same(void **state)
{
    for (int32_t rank = 0; rank < 2; rank++) {
        struct peer *peer = peer_join(*state, hello_worker("j", rank));
        peer_request(peer, define_job(STEPD_SYNC, 2));
        assert_int_equal(peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED)->body.job_defined.world, 2);
    }
}

static void define_job__different__names_the_difference(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    struct peer *other = peer_join(*state, hello_worker("j", 1));
    peer_request(peer, define_job(STEPD_SYNC, 2));
    peer_request(other, define_job(STEPD_SYNC, 3));
    peer_assert_error(other, STEPD_INVALID_ARGUMENT,
                      "workers is defined as 2, not 3; worker 'w0' (rank 0, silent for 0 s) has "
                      "defined it: end that worker, or define the same");
    peer_request(other, define_job(STEPD_SYNC, 0));
    peer_assert_error(other, STEPD_INVALID_ARGUMENT, "workers is defined as 2, not 0");
    assert_null(strstr(peer_answer(other, STEPD_MESSAGE_ERROR)->body.error.text, "'w0'"));
}

static void define_job__impossible__leaves_it_undefined(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 0));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "workers is 0");
    peer_request(peer, define_job(STEPD_SYNC, 1));
    (void)peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED);
}

static void define_job__fewer_workers_than_ranks_that_joined__names_the_rank(void **state)
{
    (void)peer_join(*state, hello_worker("j", 2));
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_ASYNC, 2));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT,
                      "workers is 2, and rank 2 of job 'j' has joined");
    peer_request(peer, define_job(STEPD_ASYNC, 3));
    (void)peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED);
}

static void define_job__by_an_observer__is_denied(void **state)
{
    (void)peer_join(*state, hello_worker("j", 0));
    struct peer *observer = peer_join(*state, hello_observer("j"));
    peer_request(observer, define_job(STEPD_SYNC, 2));
    peer_assert_error(observer, STEPD_PERMISSION_DENIED, "define_job is for workers");
    peer_request(observer, define_tensor(10));
    peer_assert_error(observer, STEPD_PERMISSION_DENIED, "define_tensors is for workers");
}

static void define_job__in_the_config_file__is_what_workers_are_compared_with(void **state)
{
    struct brain *brain = *state;
    const struct stepd_message def = define_job(STEPD_ASYNC, 1);
    assert_int_equal(control_define(brain->control, "j", &def.body.define_job, NULL), STEPD_OK);
    peer_close(peer_join(brain, hello_observer("j")));
    brain_wait(brain, BRAIN_LEASE_MS);
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_WELCOME)->body.welcome.world, 1);
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "mode");
    peer_request(peer, define_tensor(10));
    brain_opened_all(brain, "j");
    assert_int_equal(tensors_defined(peer), 1);
}

static void define_job__in_the_config_file__is_not_logged_before_anything_is_served(void **state)
{
    struct brain *brain = *state;
    const struct stepd_message def = define_job(STEPD_ASYNC, 1);
    assert_int_equal(control_define(brain->control, "j", &def.body.define_job, NULL), STEPD_OK);
    assert_string_equal(brain->log, "");
    (void)peer_join(brain, hello_worker("j", 0));
    assert_string_equal(brain->log, "worker_joined job=\"j\" rank=0 worker=\"w0\"\n");
}

static void define_job__in_the_config_file_and_wrong__leaves_no_job(void **state)
{
    struct brain *brain = *state;
    struct stepd_message def = define_job(STEPD_ASYNC, 0);
    struct stepd_error error;
    assert_int_equal(control_define(brain->control, "j", &def.body.define_job, &error),
                     STEPD_INVALID_ARGUMENT);
    brain_assert_refused(brain, hello_observer("j"), STEPD_NOT_FOUND, "there is no job 'j'");
    def = define_job(STEPD_ASYNC, 1);
    assert_int_equal(control_define(brain->control, "", &def.body.define_job, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_int_equal(control_define(brain->control, "a\nb", &def.body.define_job, &error),
                     STEPD_INVALID_ARGUMENT);
}

/* ---- DefineTensors --------------------------------------------------------------------------- */

static void define_tensors__of_an_undefined_job__is_refused(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_request(peer, define_tensor(10));
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION, "job 'j' is not defined");
}

static void define_tensors__in_pages__are_counted_and_sealed_by_the_last(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    const struct stepd_tensor_def tensor[] = {
        {.name = "a", .group = ""}, {.name = "b", .group = ""}, {.name = "c", .group = ""}};
    struct stepd_message page = {.kind = STEPD_MESSAGE_DEFINE_TENSORS,
                                 .body.define_tensors = {.tensors = 2, .tensor = tensor}};
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, page);
    assert_int_equal(tensors_defined(peer), 2);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 0);
    page.body.define_tensors =
        (struct stepd_define_tensors){.first = 2, .tensors = 1, .tensor = &tensor[2], .last = true};
    peer_request(peer, page);
    assert_int_equal(brain_newest(brain, 1, ORDER_JOB_OPEN)->job->tensors, 3);
    brain_opened_all(brain, "j");
    assert_int_equal(tensors_defined(peer), 3);
}

static void define_tensors__last_page__is_answered_when_all_shards_have_opened(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, define_tensor(10));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 1);
    assert_int_equal(brain_count(brain, 1, ORDER_JOB_OPEN), 1);
    brain_opened(brain, 1, "j", STEPD_OK);
    assert_int_equal(peer_answers(peer), 0);
    brain_opened(brain, 0, "j", STEPD_OK);
    assert_int_equal(peer_answers(peer), 1);
    assert_int_equal(tensors_defined(peer), 1);
}

static void define_tensors__identical_while_opening__is_answered_with_the_first(void **state)
{
    struct brain *brain = *state;
    struct peer *first = peer_join(brain, hello_worker("j", 0));
    struct peer *second = peer_join(brain, hello_worker("j", 1));
    peer_request(first, define_job(STEPD_SYNC, 2));
    peer_request(first, define_tensor(10));
    peer_request(second, define_tensor(10));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 1);
    assert_int_equal(peer_answers(second), 0);
    brain_opened_all(brain, "j");
    assert_int_equal(tensors_defined(first), 1);
    assert_int_equal(tensors_defined(second), 1);
}

static void define_tensors__identical_when_open__is_answered_at_once(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, define_tensor(1000));
    assert_int_equal(tensors_defined(peer), 1);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 1);
}

static void define_tensors__different_shape__is_refused(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, define_tensor(999));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "shape 1000, not 999");
}

static void define_tensors__too_large_for_the_memory__says_the_sum(void **state)
{
    struct brain *brain = *state;
    struct peer *first = peer_join(brain, hello_worker("a", 0));
    peer_request(
        first,
        define_job(STEPD_SYNC, 1)); /* 2 versions and the staging of 1: 12 bytes each, and skews */
    peer_request(first, define_tensor(4u << 20));
    brain_opened_all(brain, "a");
    assert_int_equal(tensors_defined(first), 1);
    struct peer *second = peer_join(brain, hello_worker("b", 0));
    peer_request(second, define_job(STEPD_SYNC, 1));
    peer_request(second, define_tensor(2u << 20));
    peer_assert_error(second, STEPD_RESOURCE_EXHAUSTED,
                      "job 'b' needs 25 MiB, and 15 of 64 MiB are left");
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 1);
}

static void define_tensors__with_a_slice_that_no_frame_holds__is_refused(void **state)
{
    struct control_options options = brain_options();
    options.frame_max_bytes = 1u << 20;
    brain_destroy(*state);
    *state = brain_create(&options);
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    struct stepd_message job = define_job(STEPD_SYNC, 1);
    job.body.define_job.slice_elements = 1u << 18;
    peer_request(peer, job);
    peer_request(peer, define_tensor(1u << 18));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT,
                      "travels whole, with 262144 elements, and a frame of frame_max_bytes = "
                      "1048576 holds at most 2");
    peer_request(peer, define_tensor(1u << 17));
    brain_opened_all(*state, "j");
    assert_int_equal(tensors_defined(peer), 1);
}

static void define_tensors__of_20000_scalars__is_opened_and_listed_whole(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    static struct stepd_tensor_def tensor[20000];
    static char name[20000][8];
    for (size_t i = 0; i < 20000; i++) {
        (void)snprintf(name[i], sizeof name[i], "t%zu", i);
        tensor[i] = (struct stepd_tensor_def){.name = name[i], .group = ""};
    }
    const struct stepd_message page = {
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.tensors = 20000, .tensor = tensor, .last = true},
    };
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, page);
    brain_opened_all(brain, "j");
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 1);
    const size_t before = peer_answers(peer);
    peer_request(peer, plain(STEPD_MESSAGE_GET_LAYOUT));
    assert_true(peer_answers(peer) > before + 1); /* frames, each decoded by the fixture */
}

/* ---- Opening --------------------------------------------------------------------------------- */

static void opening__fails_on_one_shard__is_undone_and_can_be_tried_again(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    struct peer *reader = peer_join(brain, hello_observer("j"));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(reader, plain(STEPD_MESSAGE_GET_LAYOUT));
    peer_request(peer, define_tensor(10));
    brain_opened(brain, 0, "j", STEPD_RESOURCE_EXHAUSTED);
    assert_int_equal(peer_answers(peer), 0);
    brain_opened(brain, 1, "j", STEPD_OK);
    peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "shard 0 cannot");
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_int_equal(brain_count(brain, shard, ORDER_JOB_CLOSE), 1);
    assert_int_equal(brain_count(brain, 0, ORDER_MEMBER), 0);
    assert_int_equal(peer_answers(reader), 0);
    peer_request(peer, define_tensor(10));
    assert_int_equal(brain_count(brain, 1, ORDER_JOB_OPEN), 2);
    brain_opened_all(brain, "j");
    assert_int_equal(tensors_defined(peer), 1);
    (void)peer_answer(reader, STEPD_MESSAGE_LAYOUT);
}

static void opening__takes_too_long__says_how_many_shards_are_missing(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, define_tensor(10));
    brain_opened(brain, 0, "j", STEPD_OK);
    brain_wait(brain, BRAIN_WAIT_MAX_MS - 1);
    assert_int_equal(peer_answers(peer), 0);
    brain_wait(brain, 1);
    peer_assert_error(peer, STEPD_DEADLINE_EXCEEDED, "1 of 2 shards have not answered");
}

static void opening__done__members_are_told_before_the_start(void **state)
{
    struct brain *brain = *state;
    struct peer *first = peer_join(brain, hello_worker("j", 0));
    (void)peer_join(brain, hello_worker("j", 1));
    assert_int_equal(brain_count(brain, 0, ORDER_MEMBER), 0);
    peer_define(first, "j", STEPD_SYNC, 2);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        assert_int_equal(brain_count(brain, shard, ORDER_MEMBER), 2);
        assert_int_equal(brain_count(brain, shard, ORDER_JOB_START), 1);
    }
    assert_true(brain_place(brain, ORDER_JOB_OPEN) < brain_place(brain, ORDER_MEMBER));
    assert_true(brain_place(brain, ORDER_MEMBER) < brain_place(brain, ORDER_JOB_START));
}

static void
opening__fewer_than_enough_have_joined__starts_with_the_one_that_is_missing(void **state)
{
    struct brain *brain = *state;
    peer_define(peer_join(brain, hello_worker("j", 0)), "j", STEPD_SYNC, 2);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 0);
    (void)peer_join(brain, hello_observer("j"));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 0);
    (void)peer_join(brain, hello_worker("j", 1));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 1);
    assert_int_equal(brain_newest(brain, 0, ORDER_MEMBER)->rank, 1);
    assert_true(brain_place(brain, ORDER_MEMBER) < brain_place(brain, ORDER_JOB_START));
}

static void opening__given_up__a_late_answer_is_none_to_the_next_attempt(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, define_tensor(10));
    const uint64_t first = brain_newest(brain, 0, ORDER_JOB_OPEN)->query;
    brain_wait(brain, BRAIN_WAIT_MAX_MS);
    peer_assert_error(peer, STEPD_DEADLINE_EXCEEDED, "2 of 2 shards have not answered");
    assert_int_equal(brain_count(brain, 1, ORDER_JOB_CLOSE), 1);
    peer_request(peer, define_tensor(20));
    brain_opened_to(brain, 0, "j", STEPD_OK, first);
    brain_opened_to(brain, 1, "j", STEPD_OK, first);
    assert_int_equal(peer_answers(peer), 0);
    brain_opened_all(brain, "j");
    assert_int_equal(tensors_defined(peer), 1);
}

static void opening__failed__another_list_can_be_defined(void **state)
{
    struct brain *brain = *state;
    const struct stepd_message def = define_job(STEPD_ASYNC, 1);
    assert_int_equal(control_define(brain->control, "j", &def.body.define_job, NULL), STEPD_OK);
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_tensor(64u << 20)); /* does not fit */
    peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "MiB are left");
    peer_request(peer, define_tensor(20));
    brain_opened(brain, 0, "j", STEPD_OK);
    brain_opened(brain, 1, "j", STEPD_INTERNAL);
    peer_assert_error(peer, STEPD_INTERNAL, "shard 1 cannot");
    peer_request(peer, define_tensor(30));
    brain_opened_all(brain, "j");
    assert_int_equal(tensors_defined(peer), 1);
}

static void sealing__failed__another_list_can_be_defined(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    struct stepd_message def = define_job(STEPD_SYNC, 1);
    struct stepd_group group = def.body.define_job.group[0];
    group.match = "v";
    def.body.define_job.group = &group;
    peer_request(peer, def);
    peer_request(peer, define_tensor(10));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "'w'");
    struct stepd_message tensors = define_tensor(10);
    struct stepd_tensor_def tensor = tensors.body.define_tensors.tensor[0];
    tensor.name = "v";
    tensors.body.define_tensors.tensor = &tensor;
    peer_request(peer, tensors);
    brain_opened_all(brain, "j");
    assert_int_equal(tensors_defined(peer), 1);
}

static void tensors__of_a_config_job_whose_workers_have_gone__are_forgotten(void **state)
{
    struct brain *brain = *state;
    const struct stepd_message def = define_job(STEPD_ASYNC, 1);
    assert_int_equal(control_define(brain->control, "j", &def.body.define_job, NULL), STEPD_OK);
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    struct stepd_message page = define_tensor(10);
    page.body.define_tensors.last = false;
    peer_request(peer, page);
    peer_close(peer);
    brain_wait(brain, BRAIN_LEASE_MS);
    peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_tensor(20));
    brain_opened_all(brain, "j");
    assert_int_equal(tensors_defined(peer), 1);
}

static void opening__of_another_job__changes_nothing(void **state)
{
    struct brain *brain = *state;
    peer_define(peer_join(brain, hello_worker("j", 0)), "j", STEPD_SYNC, 1);
    brain_opened(brain, 0, "j", STEPD_INTERNAL);
    brain_opened(brain, 0, "unheard of", STEPD_INTERNAL);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(define_job__first__defines),
        TEST(define_job__identical__is_answered_the_same),
        TEST(define_job__different__names_the_difference),
        TEST(define_job__impossible__leaves_it_undefined),
        TEST(define_job__fewer_workers_than_ranks_that_joined__names_the_rank),
        TEST(define_job__by_an_observer__is_denied),
        TEST(define_job__in_the_config_file__is_what_workers_are_compared_with),
        TEST(define_job__in_the_config_file__is_not_logged_before_anything_is_served),
        TEST(define_job__in_the_config_file_and_wrong__leaves_no_job),
        TEST(define_tensors__of_an_undefined_job__is_refused),
        TEST(define_tensors__in_pages__are_counted_and_sealed_by_the_last),
        TEST(define_tensors__last_page__is_answered_when_all_shards_have_opened),
        TEST(define_tensors__identical_while_opening__is_answered_with_the_first),
        TEST(define_tensors__identical_when_open__is_answered_at_once),
        TEST(define_tensors__different_shape__is_refused),
        TEST(define_tensors__too_large_for_the_memory__says_the_sum),
        TEST(define_tensors__with_a_slice_that_no_frame_holds__is_refused),
        TEST(define_tensors__of_20000_scalars__is_opened_and_listed_whole),
        TEST(opening__fails_on_one_shard__is_undone_and_can_be_tried_again),
        TEST(opening__takes_too_long__says_how_many_shards_are_missing),
        TEST(opening__done__members_are_told_before_the_start),
        TEST(opening__fewer_than_enough_have_joined__starts_with_the_one_that_is_missing),
        TEST(opening__given_up__a_late_answer_is_none_to_the_next_attempt),
        TEST(opening__failed__another_list_can_be_defined),
        TEST(sealing__failed__another_list_can_be_defined),
        TEST(tensors__of_a_config_job_whose_workers_have_gone__are_forgotten),
        TEST(opening__of_another_job__changes_nothing),
    };
    return cmocka_run_group_tests_name("control_define", tests, NULL, NULL);
}
