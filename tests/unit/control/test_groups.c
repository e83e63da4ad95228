/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups as control sees them: one that gets no tensor is an error or a warning in the log, and
 * GetGroups says what phases and frozen groups come to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"
#include "tests/lib/settings.h"

#define NOBODY UINT32_MAX

static struct stepd_group matching(const char *name, const char *match, const char *optimizer)
{
    struct stepd_group group = settings_group(optimizer, "");
    group.name = name;
    group.match = match;
    return group;
}

/* A sync job of one worker with these groups. */
static struct stepd_message define(const struct stepd_group *group, size_t groups)
{
    struct stepd_message message = define_job(STEPD_SYNC, 1);
    message.body.define_job.groups = groups;
    message.body.define_job.group = group;
    return message;
}

/* Defines it with the tensor "w" of 1000 elements, and the shards open it. */
static struct peer *open_job(struct brain *brain, const struct stepd_message *definition)
{
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, *definition);
    peer_request(peer, define_tensor(1000));
    brain_opened_all(brain, "j");
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
    return peer;
}

/* ---- A group that gets nothing --------------------------------------------------------------- */

static void define_tensors__of_which_a_group_gets_none__opens_the_job_and_warns(void **state)
{
    struct brain *brain = *state;
    const struct stepd_group group[] = {matching("some", "w", "sgd"),
                                        matching("no \"thing\"", "fc*.bias", "sgd"),
                                        matching("rest", "*", "sgd")};
    const struct stepd_message definition = define(group, 3);
    (void)open_job(brain, &definition);
    assert_non_null(strstr(brain->log,
                           "warn: group_matches_nothing job=\"j\" group=\"no \\\"thing\\\"\" "
                           "match=\"fc*.bias\"\n"));
    assert_non_null(
        strstr(brain->log, "warn: group_matches_nothing job=\"j\" group=\"rest\" match=\"*\"\n"));
    assert_null(strstr(brain->log, "group_matches_nothing job=\"j\" group=\"some\""));
}

static void define_tensors__of_a_strict_job_of_which_a_group_gets_none__is_refused(void **state)
{
    struct brain *brain = *state;
    const struct stepd_group group[] = {matching("some", "w", "sgd"),
                                        matching("biases", "*.bias", "sgd")};
    struct stepd_message definition = define(group, 2);
    definition.body.define_job.strict = true;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, definition);
    peer_request(peer, define_tensor(1000));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT,
                      "job 'j': group 'biases': no tensor matches '*.bias' that an earlier group "
                      "has not taken (the job is strict)");
    assert_null(strstr(brain->log, "group_matches_nothing"));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_OPEN), 0);
}

static void define_tensors__that_no_group_takes__are_refused(void **state)
{
    struct brain *brain = *state;
    const struct stepd_group group = matching("biases", "*.bias", "sgd");
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define(&group, 1));
    peer_request(peer, define_tensor(1000));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT,
                      "job 'j': no group matches tensor 'w' (1 dimension)");
}

/* ---- What is said of them -------------------------------------------------------------------- */

/* What GetGroups says of the tensor, when its slowest slice is at this version. */
static struct stepd_tensor_group group_at(struct brain *brain, struct peer *peer, uint64_t version)
{
    peer_request(
        peer, (struct stepd_message){.kind = STEPD_MESSAGE_GET_GROUPS, .body.get_groups = {"j"}});
    brain_answer(brain, 0, version, version, NOBODY);
    brain_answer(brain, 1, version, version, NOBODY);
    const struct stepd_groups *groups = &peer_answer(peer, STEPD_MESSAGE_GROUPS)->body.groups;
    assert_int_equal(groups->tensors, 1);
    return groups->tensor[0];
}

static void groups__in_a_later_phase__say_its_optimizer_and_its_rate(void **state)
{
    struct brain *brain = *state;
    const struct stepd_phase phase = settings_phase(10, "momentum", "lr=0.5 weight_decay=0.25");
    struct stepd_group group = matching("all", "*", "adam");
    group.phases = 1;
    group.phase = &phase;
    group.schedule = "step";
    group.schedule_settings = settings_of("step_size=20 gamma=0.5");
    const struct stepd_message definition = define(&group, 1);
    struct peer *peer = open_job(brain, &definition);
    const struct stepd_tensor_group before = group_at(brain, peer, 9);
    assert_string_equal(before.optimizer, "adam");
    assert_true(before.lr == 1e-3 && before.weight_decay == 0.0);
    const struct stepd_tensor_group after = group_at(brain, peer, 20);
    assert_string_equal(after.optimizer, "momentum");
    assert_true(after.lr == 0.25 && after.weight_decay == 0.25);
}

static void groups__that_are_frozen__say_so(void **state)
{
    struct brain *brain = *state;
    struct stepd_group group = matching("all", "*", "adamw");
    group.frozen = true;
    const struct stepd_message definition = define(&group, 1);
    struct peer *peer = open_job(brain, &definition);
    const struct stepd_tensor_group tensor = group_at(brain, peer, 3);
    assert_string_equal(tensor.optimizer, "frozen");
    assert_true(tensor.lr == 0.0 && tensor.weight_decay == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(define_tensors__of_which_a_group_gets_none__opens_the_job_and_warns),
        TEST(define_tensors__of_a_strict_job_of_which_a_group_gets_none__is_refused),
        TEST(define_tensors__that_no_group_takes__are_refused),
        TEST(groups__in_a_later_phase__say_its_optimizer_and_its_rate),
        TEST(groups__that_are_frozen__say_so),
    };
    return cmocka_run_group_tests_name("control_groups", tests, NULL, NULL);
}
