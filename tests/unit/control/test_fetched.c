/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs whose first weights come from elsewhere: the shards hear of them when these are there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"
#include "proto/error.h"
#include "server/model/first_weights.h"

/* A worker has defined the job, whose first weights are gone for. */
static struct peer *setup(struct brain *brain)
{
    brain->fetches = true;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, define_tensor(1000));
    return peer;
}

static void bring(struct brain *brain, uint64_t attempt, struct first_weights *first,
                  enum stepd_status code)
{
    struct control_fetched got = {.job_name = "j", .attempt = attempt, .first = first};
    if (code != STEPD_OK)
        (void)stepd_fail(&got.error, code, "it is another model");
    control_fetched(brain->control, &got, brain->now_ms);
}

static void fetched__before_the_shards_open__is_what_they_begin_with(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = setup(brain);
    assert_int_equal(peer_answers(peer), 0);
    assert_non_null(strstr(brain->log, "from=defined to=opening"));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 0);
    struct first_weights *first = first_weights_create(1);
    (void)snprintf(first->text, sizeof first->text, "1 of 1");
    bring(brain, brain->attempt, first, STEPD_OK);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_ptr_equal(brain_newest(brain, shard, ORDER_JOB_OPEN)->first, first);
    assert_null(first_weights_unref(first));
    brain_opened_all(brain, "j");
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
    peer_request(peer, get_status("j"));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_answer(brain, shard, 0, 0, UINT32_MAX);
    assert_string_equal(peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status.job[0].first_weights,
                        "1 of 1");
}

static void fetched__not__is_told_to_who_defined_and_can_be_tried_again(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = setup(brain);
    bring(brain, brain->attempt, NULL, STEPD_FAILED_PRECONDITION);
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION, "it is another model");
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 0);
    peer_request(peer, define_tensor(1000));
    bring(brain, brain->attempt, NULL, STEPD_OK);
    brain_opened_all(brain, "j");
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
}

static void fetched__for_an_attempt_that_is_over__changes_nothing(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = setup(brain);
    const uint64_t first = brain->attempt;
    brain_wait(brain, BRAIN_WAIT_MAX_MS);
    peer_assert_error(peer, STEPD_DEADLINE_EXCEEDED, "have not been read in 10000 ms");
    bring(brain, first, NULL, STEPD_OK);
    peer_request(peer, define_tensor(1000));
    bring(brain, first, NULL, STEPD_OK);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 0);
    bring(brain, brain->attempt, NULL, STEPD_OK);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 1);
    bring(brain, brain->attempt, NULL, STEPD_OK);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 1);
}

static void fetched__late__leaves_the_shards_their_time(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = setup(brain);
    brain_wait(brain, BRAIN_WAIT_MAX_MS - 1);
    bring(brain, brain->attempt, NULL, STEPD_OK);
    brain_wait(brain, BRAIN_WAIT_MAX_MS - 1);
    brain_opened_all(brain, "j");
    peer_request(peer, define_tensor(1000)); /* the first one's own time was over */
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
}

static void fetched__not_yet__is_what_a_request_has_waited_for(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = setup(brain);
    peer_request(peer, (struct stepd_message){.kind = STEPD_MESSAGE_GET_LAYOUT,
                                              .body.get_layout = {.deadline_ms = 500}});
    brain_wait(brain, 500);
    peer_assert_error(peer, STEPD_DEADLINE_EXCEEDED,
                      "first weights (init_from) have not been read");
}

static void fetched__of_no_job__changes_nothing(void **state)
{
    bring(*state, 1, NULL, STEPD_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, brain_setup, brain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fetched__before_the_shards_open__is_what_they_begin_with),
        TEST(fetched__not__is_told_to_who_defined_and_can_be_tried_again),
        TEST(fetched__for_an_attempt_that_is_over__changes_nothing),
        TEST(fetched__late__leaves_the_shards_their_time),
        TEST(fetched__not_yet__is_what_a_request_has_waited_for),
        TEST(fetched__of_no_job__changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
