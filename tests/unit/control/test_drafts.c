/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory that the definitions of all jobs take together: who is refused, and who gives way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "brain_fixture.h"

/* Room for more than two lists of TENSORS and less than three. */
#define DRAFTS_MAX_BYTES (80u << 10)
#define TENSORS          80u

static int setup(void **state)
{
    struct control_options options = brain_options();
    options.jobs_max = 1000;
    options.drafts_max_bytes = DRAFTS_MAX_BYTES;
    *state = brain_create(&options);
    return 0;
}

/* A page of TENSORS tensors with the longest names, from `first` on; not the last. In static memory
 * until the next call. */
static struct stepd_message page(uint32_t first)
{
    static const uint64_t shape = 1;
    static char names[TENSORS][STEPD_NAME_MAX_BYTES + 1];
    static struct stepd_tensor_def tensors[TENSORS];
    for (uint32_t i = 0; i < TENSORS; i++) {
        (void)snprintf(names[i], sizeof names[i], "%0200u", first + i);
        tensors[i] =
            (struct stepd_tensor_def){.name = names[i], .dims = 1, .shape = &shape, .group = ""};
    }
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.first = first, .tensors = TENSORS, .tensor = tensors},
    };
}

/* A worker has defined the job and sent its first page. */
static struct peer *draft(struct brain *brain, const char *job)
{
    struct peer *peer = peer_join(brain, hello_worker(job, 0));
    peer_request(peer, define_job(STEPD_ASYNC, 1));
    (void)peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED);
    peer_request(peer, page(0));
    return peer;
}

static void assert_taken(const struct peer *peer)
{
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
}

static void assert_no_room(const struct peer *peer)
{
    peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "of at most 80 KiB");
}

static void drafts__of_all_jobs__have_a_bound(void **state)
{
    assert_taken(draft(*state, "a"));
    struct peer *last = draft(*state, "b");
    assert_taken(last);
    struct peer *refused = draft(*state, "c");
    assert_no_room(refused);
    peer_request(last, page(TENSORS));
    assert_no_room(last);
    peer_request(refused, define_tensor(10)); /* for which there is room */
    brain_opened_all(*state, "c");
    assert_taken(refused);
}

static void drafts__same_page_sent_again__takes_nothing(void **state)
{
    struct peer *peer = draft(*state, "a");
    for (int i = 0; i < 10; i++) {
        peer_request(peer, page(0));
        assert_taken(peer);
    }
    assert_taken(draft(*state, "b"));
}

static void drafts__page_that_is_refused__takes_its_room_once(void **state)
{
    struct peer *peer = draft(*state, "a");
    for (int i = 0; i < 10; i++) {
        peer_request(peer, page(2 * TENSORS)); /* leaves a gap */
        peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "");
    }
    peer_request(peer, page(TENSORS));
    assert_taken(peer);
}

/* A job whose one group has all parts, with the longest lists, in its schedule; or the most phases
 * with groups enough that they take as much. */
static struct stepd_message large_definition(bool in_defaults, size_t phases, size_t groups)
{
    static double rising[STEPD_VALUES_MAX];
    static struct stepd_setting milestones;
    static struct stepd_schedule_part part[STEPD_SCHEDULE_PARTS_MAX];
    static struct stepd_phase phase[STEPD_PHASES_MAX];
    static struct stepd_group group[STEPD_GROUPS_MAX];
    for (size_t i = 0; i < STEPD_VALUES_MAX; i++)
        rising[i] = (double)(i + 1);
    milestones = (struct stepd_setting){
        .name = "milestones", .values = STEPD_VALUES_MAX, .value = rising, .word = ""};
    for (size_t i = 0; i < STEPD_SCHEDULE_PARTS_MAX; i++)
        part[i] = (struct stepd_schedule_part){.kind = "multistep",
                                               .settings = {.count = 1, .at = &milestones}};
    for (size_t i = 0; i < STEPD_PHASES_MAX; i++)
        phase[i] = (struct stepd_phase){.from = i + 1, .optimizer = "sgd"};
    for (size_t i = 0; i < groups; i++)
        group[i] = (struct stepd_group){.name = "",
                                        .match = "*",
                                        .optimizer = "sgd",
                                        .schedule = "",
                                        .phases = phases,
                                        .phase = phase};
    struct stepd_message message = define_job(STEPD_SYNC, 1);
    struct stepd_group *const with = in_defaults  ? &message.body.define_job.defaults
                                     : phases > 0 ? NULL
                                                  : &group[0];
    if (with != NULL) {
        with->schedule = "chained";
        with->schedule_parts = STEPD_SCHEDULE_PARTS_MAX;
        with->schedule_part = part;
    }
    message.body.define_job.groups = groups;
    message.body.define_job.group = group;
    return message;
}

/* The first of two fits, and the second does not. */
static void assert_counted(struct brain *brain, struct stepd_message definition)
{
    struct peer *first = peer_join(brain, hello_worker("a", 0));
    peer_request(first, definition);
    (void)peer_answer(first, STEPD_MESSAGE_JOB_DEFINED);
    struct peer *second = peer_join(brain, hello_worker("b", 0));
    peer_request(second, definition);
    assert_no_room(second);
}

static void drafts__with_parts_of_a_schedule__count_them(void **state)
{
    assert_counted(*state, large_definition(false, 0, 1));
}

static void drafts__with_parts_of_the_defaults__count_them(void **state)
{
    assert_counted(*state, large_definition(true, 0, 1));
}

static void drafts__with_phases__count_them(void **state)
{
    assert_counted(*state, large_definition(false, STEPD_PHASES_MAX, 7));
}

static void drafts__of_groups_alone__count(void **state)
{
    struct peer *peer = NULL;
    for (int i = 0; i < 900; i++) {
        char job[8];
        (void)snprintf(job, sizeof job, "%d", i);
        peer = peer_join(*state, hello_worker(job, 0));
        peer_request(peer, define_job(STEPD_ASYNC, 1));
    }
    assert_no_room(peer);
    const struct stepd_message def = define_job(STEPD_ASYNC, 1);
    struct brain *brain = *state;
    assert_int_equal(control_define(brain->control, "j", &def.body.define_job, NULL),
                     STEPD_RESOURCE_EXHAUSTED);
}

static void drafts__of_an_abandoned_job__give_way(void **state)
{
    assert_taken(draft(*state, "a"));
    struct peer *gone = draft(*state, "b");
    peer_close(gone);
    assert_taken(draft(*state, "c"));
    brain_assert_refused(*state, hello_resume(gone), STEPD_NOT_FOUND, "not known");
    assert_no_room(draft(*state, "d"));
}

static void drafts__of_a_finished_job__give_way(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = draft(brain, "a");
    struct stepd_message last = page(0);
    last.body.define_tensors.last = true;
    peer_request(peer, last);
    brain_opened_all(brain, "a");
    assert_taken(peer);
    assert_taken(draft(brain, "b"));
    assert_no_room(draft(brain, "c"));
    peer_request(peer, leave_at(0));
    assert_taken(draft(brain, "d"));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 1);
}

static void drafts__list_that_failed__leaves_its_room_to_the_next(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = draft(brain, "a");
    for (int i = 0; i < 10; i++) {
        struct stepd_message last = page(0);
        last.body.define_tensors.last = true;
        peer_request(peer, last);
        brain_opened(brain, 0, "a", STEPD_RESOURCE_EXHAUSTED);
        brain_opened(brain, 1, "a", STEPD_OK);
        peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "shard 0 cannot");
    }
    peer_request(peer, define_tensor(10));
    assert_taken(draft(brain, "b"));
    assert_no_room(draft(brain, "c")); /* the array of a's long list is there still */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, brain_teardown)
        TEST(drafts__of_all_jobs__have_a_bound),
        TEST(drafts__same_page_sent_again__takes_nothing),
        TEST(drafts__page_that_is_refused__takes_its_room_once),
        TEST(drafts__with_parts_of_a_schedule__count_them),
        TEST(drafts__with_parts_of_the_defaults__count_them),
        TEST(drafts__with_phases__count_them),
        TEST(drafts__of_groups_alone__count),
        TEST(drafts__of_an_abandoned_job__give_way),
        TEST(drafts__of_a_finished_job__give_way),
        TEST(drafts__list_that_failed__leaves_its_room_to_the_next),
    };
    return cmocka_run_group_tests_name("control_drafts", tests, NULL, NULL);
}
