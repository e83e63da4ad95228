/* SPDX-License-Identifier: Apache-2.0
 *
 * GetStatus and GetGroups: what control knows, joined with what the shards answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

#define NOBODY UINT32_MAX

static struct stepd_message get_groups(const char *job)
{
    return (struct stepd_message){.kind = STEPD_MESSAGE_GET_GROUPS, .body.get_groups = {job}};
}

static const struct stepd_server_status *status_of(const struct peer *peer)
{
    return &peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status;
}

static void status__no_jobs__is_answered_at_once(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_observer(""));
    brain->now_ms += 1234;
    peer_request(peer, get_status(""));
    assert_int_equal(peer_answers(peer), 1);
    assert_string_equal(status_of(peer)->server_version, "9.9.9");
    assert_int_equal(status_of(peer)->uptime_ms, 1234);
    assert_int_equal(status_of(peer)->jobs, 0);
    assert_true(status_of(peer)->last);
}

static void opening__of_a_job__logs_the_memory_that_is_planned(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    (void)peer_join(brain, hello_worker("j", 1));
    assert_null(strstr(brain->log, "memory_planned"));
    peer_define(peer, "j", STEPD_SYNC, 2);
    assert_non_null(strstr(
        brain->log, "memory_planned job=\"j\" bytes=16128 weights=4032 "
                    "second_version=4032 views=0 slots=0 sums=0 staging=8064 backups=0 spare=0\n"));
}

static void status__open_job__joins_the_answers_of_all_shards(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    (void)peer_join(brain, hello_worker("j", 1));
    peer_define(peer, "j", STEPD_SYNC, 2);
    brain_heard(brain, "j", 1, 5);
    brain->now_ms += 70;
    peer_request(peer, get_status("j"));
    brain_answer(brain, 0, 4, 6, 1);
    assert_int_equal(peer_answers(peer), 0);
    brain_answer(brain, 1, 5, 7, 0);
    assert_int_equal(peer_answers(peer), 1);
    assert_int_equal(status_of(peer)->jobs, 1);
    const struct stepd_job_status *job = &status_of(peer)->job[0];
    assert_string_equal(job->name, "j");
    assert_int_equal(job->state, STEPD_JOB_RUNNING);
    assert_int_equal(job->mode, STEPD_SYNC);
    assert_int_equal(job->incarnation, 1);
    assert_int_equal(job->workers, 2);
    assert_int_equal(job->tensors, 1);
    assert_int_equal(job->elements, 1000);
    assert_int_equal(job->slices, 1);
    assert_int_equal(job->memory_bytes, 4 * 4 * 1008); /* in whole cache lines */
    assert_int_equal(job->memory.weights, 4 * 1008);
    assert_int_equal(job->memory.second_version, 4 * 1008);
    assert_int_equal(job->memory.staging, 2 * 4 * 1008);
    assert_int_equal(job->version_min, 4);
    assert_int_equal(job->version_max, 7);
    assert_int_equal(job->parked, 6);
    assert_int_equal(job->waited_for.count, 2);
    assert_int_equal(job->waited_for.at[0], 0);
    assert_int_equal(job->waited_for.at[1], 1);
    assert_int_equal(job->members, 2);
    assert_string_equal(job->member[1].worker, "w1");
    assert_int_equal(job->member[1].state, STEPD_MEMBER_PRESENT);
    assert_int_equal(job->member[1].clock, 5);
    assert_int_equal(job->member[1].silent_ms, 70);
}

static void status__shard_without_slices__has_no_say_in_the_versions(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, get_status("j"));
    brain_answer(brain, 0, 4, 6, NOBODY);
    struct notice *empty = notice_create(NOTICE_ANSWER, "j");
    empty->shard = 1;
    empty->query = brain_newest(brain, 1, ORDER_QUERY)->query;
    control_on_notice(brain->control, empty, brain->now_ms);
    assert_int_equal(status_of(peer)->job[0].version_min, 4);
    assert_int_equal(status_of(peer)->job[0].version_max, 6);
}

static void status__all_jobs__come_in_the_order_of_their_names(void **state)
{
    struct brain *brain = *state;
    (void)peer_join(brain, hello_worker("b", 0));
    (void)peer_join(brain, hello_worker("c", 0));
    struct peer *peer = peer_join(brain, hello_worker("a", 0));
    peer_request(peer, define_job(STEPD_ASYNC, 3));
    peer_request(peer, get_status(""));
    assert_int_equal(status_of(peer)->jobs, 3);
    assert_string_equal(status_of(peer)->job[0].name, "a");
    assert_int_equal(status_of(peer)->job[0].state, STEPD_JOB_DEFINED);
    assert_int_equal(status_of(peer)->job[0].mode, STEPD_ASYNC);
    assert_int_equal(status_of(peer)->job[0].workers, 3);
    assert_string_equal(status_of(peer)->job[1].name, "b");
    assert_int_equal(status_of(peer)->job[1].state, STEPD_JOB_CREATED);
    assert_string_equal(status_of(peer)->job[2].name, "c");
}

static void status__member_that_left__has_at_least_the_clock_it_left_at(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    (void)peer_join(brain, hello_worker("j", 1));
    peer_define(peer, "j", STEPD_ASYNC, 2);
    brain_heard(brain, "j", 0, 5);
    peer_request(peer, leave_at(9));
    brain_heard(brain, "j", 1, 5);
    peer_request(peer, get_status("j"));
    brain_answer(brain, 0, 4, 6, NOBODY);
    brain_answer(brain, 1, 4, 6, NOBODY);
    assert_int_equal(status_of(peer)->job[0].member[0].clock, 9);
    assert_int_equal(status_of(peer)->job[0].member[1].clock, 5);
}

static void status__one_job_of_several__comes_alone(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("a", 0));
    peer_define(peer, "a", STEPD_SYNC, 1);
    (void)peer_join(brain, hello_worker("b", 0));
    peer_request(peer, get_status("b"));
    assert_int_equal(brain_count(brain, 0, ORDER_QUERY), 0);
    assert_int_equal(status_of(peer)->jobs, 1);
    assert_string_equal(status_of(peer)->job[0].name, "b");
}

static void status__of_no_such_job__is_not_found(void **state)
{
    struct peer *peer = peer_join(*state, hello_observer(""));
    peer_request(peer, get_status("j"));
    peer_assert_error(peer, STEPD_NOT_FOUND, "there is no job 'j'; `stepctl status` lists those");
}

static void status__shard_does_not_answer__times_out(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, get_status("j"));
    brain_answer(brain, 1, 0, 0, NOBODY);
    brain_wait(brain, 4999);
    assert_int_equal(peer_answers(peer), 0);
    brain_wait(brain, 1);
    peer_assert_error(peer, STEPD_DEADLINE_EXCEEDED, "1 answers of shards are missing");
    brain_answer(brain, 0, 0, 0, NOBODY);
    assert_int_equal(peer_answers(peer), 1);
}

static void status__asked_while_a_query_is_under_way__waits_for_that_one(void **state)
{
    struct brain *brain = *state;
    struct peer *first = peer_join(brain, hello_worker("j", 0));
    peer_define(first, "j", STEPD_SYNC, 1);
    struct peer *second = peer_join(brain, hello_observer("j"));
    peer_request(first, get_status("j"));
    for (unsigned i = 0; i < 4; i++)
        peer_request(second, get_status("j"));
    peer_close(peer_join(brain, hello_observer("j")));
    assert_int_equal(brain_count(brain, 0, ORDER_QUERY), 1);
    brain_answer(brain, 0, 8, 8, NOBODY);
    brain_answer(brain, 1, 9, 9, NOBODY);
    assert_int_equal(status_of(first)->job[0].version_max, 9);
    assert_int_equal(status_of(second)->job[0].version_max, 9);
    peer_request(first, get_status("j"));
    assert_int_equal(brain_count(brain, 0, ORDER_QUERY), 2);
}

static void status__askers_that_hang_up__leave_one_query_under_way(void **state)
{
    struct brain *brain = *state;
    peer_define(peer_join(brain, hello_worker("j", 0)), "j", STEPD_SYNC, 1);
    for (unsigned i = 0; i < 10; i++) {
        struct peer *peer = peer_join(brain, hello_observer(""));
        peer_request(peer, get_status(""));
        peer_close(peer);
    }
    assert_int_equal(brain_count(brain, 0, ORDER_QUERY), 1);
    brain_wait(brain, 5000); /* its time is up */
    peer_request(peer_join(brain, hello_observer("")), get_status(""));
    assert_int_equal(brain_count(brain, 0, ORDER_QUERY), 2);
}

static void status__asked_when_the_time_of_a_query_is_up__asks_again(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, get_status("j"));
    brain->now_ms += 5000;
    peer_request(peer, get_status("j"));
    assert_int_equal(brain_count(brain, 0, ORDER_QUERY), 2);
    brain_answer(brain, 0, 8, 8, NOBODY);
    brain_answer(brain, 1, 9, 9, NOBODY);
    assert_int_equal(status_of(peer)->job[0].version_max, 9);
}

static void status__of_one_and_of_all__do_not_mix(void **state)
{
    struct brain *brain = *state;
    struct peer *first = peer_join(brain, hello_worker("j", 0));
    peer_define(first, "j", STEPD_SYNC, 1);
    struct peer *second = peer_join(brain, hello_observer("j"));
    peer_request(first, get_status("j"));
    peer_request(second, get_status(""));
    brain_answer(brain, 0, 8, 8, NOBODY);
    brain_answer(brain, 1, 9, 9, NOBODY);
    assert_int_equal(peer_answers(first), 0);
    assert_int_equal(status_of(second)->job[0].version_max, 9);
}

static void status__thousand_members__come_in_frames_with_the_job_repeated(void **state)
{
    struct brain *brain = *state;
    char worker[STEPD_NAME_MAX_BYTES + 1];
    for (int32_t rank = 0; rank < 1000; rank++) {
        struct stepd_message hello = hello_worker("j", rank);
        (void)snprintf(worker, sizeof worker, "%0200d", rank);
        hello.body.hello.worker = worker;
        (void)peer_join(brain, hello);
    }
    struct peer *peer = peer_join(brain, hello_observer("j"));
    peer_request(peer, get_status(""));
    assert_true(peer_answers(peer) > 3);
    uint32_t rank = 0;
    size_t lasts = 0;
    for (const struct reply *reply = peer->replies; reply != NULL; reply = reply->next) {
        if (reply->message.request_id != peer->request_id)
            continue;
        assert_int_equal(lasts, 0);
        const struct stepd_server_status *status = &reply->message.body.status;
        assert_int_equal(status->jobs, 1);
        assert_string_equal(status->job[0].name, "j");
        for (size_t i = 0; i < status->job[0].members; i++)
            assert_int_equal(status->job[0].member[i].rank, rank++);
        lasts += status->last;
    }
    assert_int_equal(rank, 1000);
    assert_int_equal(lasts, 1);
}

static void status__thousand_jobs__come_in_frames(void **state)
{
    (void)state;
    struct control_options options = brain_options();
    options.jobs_max = 1000;
    struct brain *brain = brain_create(&options);
    const struct stepd_message def = define_job(STEPD_SYNC, 1);
    char name[STEPD_NAME_MAX_BYTES + 1];
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "%0200u", i * 7 % 1000);
        assert_int_equal(control_define(brain->control, name, &def.body.define_job, NULL),
                         STEPD_OK);
    }
    struct peer *peer = peer_join(brain, hello_observer(""));
    peer_request(peer, get_status(""));
    unsigned jobs = 0;
    for (const struct reply *reply = peer->replies; reply != NULL; reply = reply->next) {
        if (reply->message.request_id != peer->request_id)
            continue;
        for (size_t i = 0; i < reply->message.body.status.jobs; i++) {
            (void)snprintf(name, sizeof name, "%0200u", jobs++);
            assert_string_equal(reply->message.body.status.job[i].name, name);
        }
    }
    assert_int_equal(jobs, 1000);
    assert_true(status_of(peer)->last);
    brain_destroy(brain);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static void groups__open_job__say_what_the_next_update_uses(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, get_groups("j"));
    brain_answer(brain, 0, 25, 27, NOBODY);
    brain_answer(brain, 1, 26, 26, NOBODY);
    const struct stepd_groups *groups = &peer_answer(peer, STEPD_MESSAGE_GROUPS)->body.groups;
    assert_true(groups->last);
    assert_int_equal(groups->tensors, 1);
    const struct stepd_tensor_group *tensor = &groups->tensor[0];
    assert_string_equal(tensor->tensor, "w");
    assert_int_equal(tensor->shape[0], 1000);
    assert_string_equal(tensor->group, "all");
    assert_string_equal(tensor->optimizer, "sgd");
    assert_string_equal(tensor->schedule, "step");
    assert_int_equal(tensor->version, 25);
    assert_true(tensor->lr > 0.00499 && tensor->lr < 0.00501); /* 0.5, dropped at 10 and 20 */
    assert_true(tensor->weight_decay == 0);
}

static void groups__of_a_job_that_is_not_open__are_refused(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_request(peer, get_groups("j"));
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION, "job 'j' is not open yet");
    peer_request(peer, get_groups("other"));
    peer_assert_error(peer, STEPD_NOT_FOUND, "there is no job 'other'");
    peer_request(peer, get_groups(""));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "name the job");
}

static void groups__many_tensors__come_in_frames(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    static struct stepd_tensor_def tensor[2000];
    static char name[2000][STEPD_NAME_MAX_BYTES + 1];
    for (size_t i = 0; i < 2000; i++) {
        (void)snprintf(name[i], sizeof name[i], "%0200zu", i);
        tensor[i] = (struct stepd_tensor_def){.name = name[i], .group = ""};
    }
    const struct stepd_message page = {
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.tensors = 2000, .tensor = tensor, .last = true},
    };
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, page);
    brain_opened_all(brain, "j");
    peer_request(peer, get_groups("j"));
    brain_answer(brain, 0, 0, 0, NOBODY);
    brain_answer(brain, 1, 0, 0, NOBODY);
    size_t tensors = 0;
    for (const struct reply *reply = peer->replies; reply != NULL; reply = reply->next) {
        if (reply->message.request_id != peer->request_id)
            continue;
        for (size_t i = 0; i < reply->message.body.groups.tensors; i++)
            assert_string_equal(reply->message.body.groups.tensor[i].tensor, name[tensors++]);
    }
    assert_int_equal(tensors, 2000);
    assert_true(peer_answers(peer) > 5);
    assert_true(peer_answer(peer, STEPD_MESSAGE_GROUPS)->body.groups.last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(status__no_jobs__is_answered_at_once),
        TEST(opening__of_a_job__logs_the_memory_that_is_planned),
        TEST(status__open_job__joins_the_answers_of_all_shards),
        TEST(status__shard_without_slices__has_no_say_in_the_versions),
        TEST(status__all_jobs__come_in_the_order_of_their_names),
        TEST(status__member_that_left__has_at_least_the_clock_it_left_at),
        TEST(status__one_job_of_several__comes_alone),
        TEST(status__of_no_such_job__is_not_found),
        TEST(status__shard_does_not_answer__times_out),
        TEST(status__asked_while_a_query_is_under_way__waits_for_that_one),
        TEST(status__askers_that_hang_up__leave_one_query_under_way),
        TEST(status__asked_when_the_time_of_a_query_is_up__asks_again),
        TEST(status__of_one_and_of_all__do_not_mix),
        TEST(status__thousand_members__come_in_frames_with_the_job_repeated),
        cmocka_unit_test(status__thousand_jobs__come_in_frames),
        TEST(groups__open_job__say_what_the_next_update_uses),
        TEST(groups__of_a_job_that_is_not_open__are_refused),
        TEST(groups__many_tensors__come_in_frames),
    };
    return cmocka_run_group_tests_name("control_status", tests, NULL, NULL);
}
