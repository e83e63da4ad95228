/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions that somebody thinks better of, before the list of tensors is sealed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

static void define_job__different_where_nobody_else_has_defined__takes_its_place(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    (void)peer_join(brain, hello_worker("j", 1)); /* has not defined anything */
    peer_request(peer, define_job(STEPD_SYNC, 2));
    peer_request(peer, define_job(STEPD_ASYNC, 3));
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED)->body.job_defined.world, 3);
    peer_request(peer, define_job(STEPD_ASYNC, 1));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "rank 1 of job 'j' has joined");
    struct peer *next = peer_join(brain, hello_worker("j", 2));
    peer_request(next, define_job(STEPD_ASYNC, 3));
    (void)peer_answer(next, STEPD_MESSAGE_JOB_DEFINED);
    peer_request(peer, define_job(STEPD_SYNC, 3));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "worker 'w2' (rank 2, ");
}

static void define_job__different_where_the_other_has_ended__takes_its_place(void **state)
{
    struct brain *brain = *state;
    struct peer *first = peer_join(brain, hello_worker("j", 0));
    struct peer *peer = peer_join(brain, hello_worker("j", 1));
    peer_request(first, define_job(STEPD_SYNC, 2));
    peer_request(first, (struct stepd_message){.kind = STEPD_MESSAGE_HEARTBEAT,
                                               .body.heartbeat.last = true});
    peer_request(peer, define_job(STEPD_SYNC, 3));
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED)->body.job_defined.world, 3);
}

static void define_job__different_where_the_list_is_sealed__is_refused(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, define_job(STEPD_SYNC, 2));
    peer_assert_error(
        peer, STEPD_INVALID_ARGUMENT,
        "workers is defined as 1, not 2; the job is under way, or was left so: define "
        "the same, change it (stepctl change), or name another job");
}

/* A list that is begun again, by whoever alone has sent some of it. */
static void define_tensors__of_another_list__takes_the_place_of_ones_own(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    struct stepd_message page = define_tensor(10);
    page.body.define_tensors.last = false;
    peer_request(peer, define_job(STEPD_SYNC, 2));
    peer_request(peer, page);
    struct stepd_message other = define_tensor(20);
    other.body.define_tensors.last = false;
    peer_request(peer, other);
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED)->body.tensors_defined.count,
                     1);
    struct peer *second = peer_join(brain, hello_worker("j", 1));
    peer_request(second, define_job(STEPD_SYNC, 2));
    peer_request(second, define_tensor(10));
    peer_assert_error(second, STEPD_INVALID_ARGUMENT, "is defined with shape 20, not 10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(define_job__different_where_nobody_else_has_defined__takes_its_place),
        TEST(define_job__different_where_the_other_has_ended__takes_its_place),
        TEST(define_job__different_where_the_list_is_sealed__is_refused),
        TEST(define_tensors__of_another_list__takes_the_place_of_ones_own),
    };
    return cmocka_run_group_tests_name("control_define_anew", tests, NULL, NULL);
}
