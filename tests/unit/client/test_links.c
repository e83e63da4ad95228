/* SPDX-License-Identifier: Apache-2.0
 *
 * Links and the connections that they are made of. When an attempt is due and what becomes of the
 * session is tested with the keeper.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/arena.h"
#include "tests/unit/client/links_rig.h"

static struct links_rig rig;
static struct stepd_opening control, shard;

#define ASSERT_DID(what) assert_string_equal(links_did(&rig), what)

static int setup(void **state)
{
    (void)state;
    links_rig_setup(&rig);
    return 0;
}

static int setup_standing(void **state)
{
    (void)setup(state);
    links_rig_stand(&rig, 0);
    links_rig_stand(&rig, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    links_rig_teardown(&rig);
    return 0;
}

/* ---- Attempts -------------------------------------------------------------------------------- */

static void link__that_is_welcomed__stands(void **state)
{
    (void)state;
    links_rig_want(&rig, &control, 0);
    ASSERT_DID("connect 0");
    links_rig_connect(&rig, 0);
    ASSERT_DID("hello 0 new; send 0 hello");
    links_rig_welcome(&rig, 0);
    ASSERT_DID("welcome 0; done 0 OK");
    assert_false(stepd_links_hold(rig.links, 0));
}

static void connection__that_is_refused__is_tried_again_when_it_is_time(void **state)
{
    (void)state;
    links_rig_want(&rig, &control, 0);
    links_rig_break(&rig, 0);
    ASSERT_DID("connect 0");
    links_rig_wake(&rig);
    ASSERT_DID("connect 0");
    assert_true(rig.now_ms > 1000);
}

static void connection__that_breaks_before_its_welcome__forgets_the_hello(void **state)
{
    (void)state;
    links_rig_want(&rig, &control, 0);
    links_rig_connect(&rig, 0);
    links_rig_break(&rig, 0);
    assert_int_equal(rig.pending->count, 0);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 0);
    links_rig_welcome(&rig, 0);
    ASSERT_DID(
        "connect 0; hello 0 new; send 0 hello; connect 0; hello 0 new; send 0 hello; welcome 0; "
        "done 0 OK");
}

static void hello__that_is_refused__closes_and_tells_who_waits(void **state)
{
    const struct stepd_message refusal = {
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = STEPD_PERMISSION_DENIED, .text = "no"},
    };
    (void)state;
    links_rig_want(&rig, &control, 0);
    links_rig_connect(&rig, 0);
    (void)links_did(&rig);
    assert_int_equal(links_rig_answer(&rig, 0, refusal), STEPD_OK);
    ASSERT_DID("close 0; done 0 PERMISSION_DENIED");
}

static void hello__answered_with_something_else__is_a_breach_of_the_protocol(void **state)
{
    const struct stepd_message ack = {.kind = STEPD_MESSAGE_ACK};
    (void)state;
    links_rig_want(&rig, &control, 0);
    links_rig_connect(&rig, 0);
    assert_int_equal(links_rig_answer(&rig, 0, ack), STEPD_INTERNAL);
}

/* Of a shard that shares memory, of which this comes. */
static void welcome_with_memory(enum stepd_status mapped)
{
    rig.shares = true;
    rig.map = mapped;
    links_rig_want(&rig, &shard, 2);
    links_rig_connect(&rig, 2);
    ASSERT_DID("connect 2; hello 2 resume; send 2 sharing hello");
    links_rig_welcome_as(&rig, 2, mapped);
}

static void memory__that_has_come__is_mapped_before_the_welcome_is_taken(void **state)
{
    (void)state;
    welcome_with_memory(STEPD_OK);
    ASSERT_DID("map 2; welcome 2 with memory; done 2 OK");
}

static void memory__that_cannot_be_mapped__is_done_without_from_then_on(void **state)
{
    (void)state;
    welcome_with_memory(STEPD_RESOURCE_EXHAUSTED);
    ASSERT_DID("map 2; close 2; tell 0 unshared; connect 2");
    links_rig_connect(&rig, 2);
    ASSERT_DID("hello 2 resume; send 2 hello");
    links_rig_welcome(&rig, 2);
    ASSERT_DID("welcome 2; done 2 OK");
    links_rig_break(&rig, 2);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 2);
    ASSERT_DID("connect 2; hello 2 resume; send 2 hello");
}

static void memory__that_is_no_such_memory__fails_the_attempt(void **state)
{
    (void)state;
    welcome_with_memory(STEPD_INTERNAL);
    ASSERT_DID("map 2; close 2");
}

static void memory__done_without__leaves_the_next_failure_to_the_keeper(void **state)
{
    (void)state;
    welcome_with_memory(STEPD_RESOURCE_EXHAUSTED);
    (void)links_did(&rig);
    links_rig_break(&rig, 2);
    ASSERT_DID("");
    links_rig_wake(&rig);
    ASSERT_DID("connect 2");
}

static void hello__that_cannot_be_sent__fails_the_attempt(void **state)
{
    (void)state;
    rig.no_memory = true;
    links_rig_want(&rig, &control, 0);
    links_rig_connect(&rig, 0);
    ASSERT_DID("connect 0; hello 0 new; close 0; done 0 RESOURCE_EXHAUSTED");
}

static void attempt__without_an_answer__is_given_up(void **state)
{
    (void)state;
    links_rig_want(&rig, &control, 0);
    links_rig_connect(&rig, 0);
    (void)links_did(&rig);
    links_rig_wake(&rig);
    ASSERT_DID("close 0");
    assert_int_equal(rig.now_ms, 1000 + STEPD_KEEPER_ATTEMPT_MS);
}

static void waiting__that_is_over__says_what_is_wrong(void **state)
{
    (void)state;
    links_rig_want(&rig, &control, 0);
    links_rig_connect(&rig, 0);
    stepd_links_stop_waiting(rig.links, &control);
    assert_int_equal(control.error.code, STEPD_UNAVAILABLE);
    assert_string_equal(control.error.text,
                        "control:1 does not answer: it is busy, stopped or full, or no stepd");
}

/* ---- Use ------------------------------------------------------------------------------------- */

static unsigned sent_again, ended;

static bool on_lost(struct stepd_request *lost)
{
    (void)lost;
    return true;
}

static void send_again(struct stepd_request *held)
{
    sent_again++;
    stepd_pending_add(rig.pending, 1, held);
    held->written = true;
}

static void on_end(struct stepd_request *over, const struct stepd_error *error)
{
    over->id = 0;
    ended += error != NULL;
}

static const struct stepd_request_kind kind = {
    .on_end = on_end, .on_lost = on_lost, .send = send_again};
static struct stepd_request request; /* outlives its test: what is under way ends with the links */

static void request__of_a_link_that_breaks__is_sent_again_behind_the_welcome(void **state)
{
    (void)state;
    sent_again = 0;
    request = (struct stepd_request){.kind = &kind};
    stepd_pending_add(rig.pending, 1, &request);
    links_rig_break(&rig, 1);
    assert_true(stepd_links_hold(rig.links, 1));
    links_rig_wake(&rig);
    links_rig_connect(&rig, 1);
    assert_int_equal(sent_again, 0);
    links_rig_welcome(&rig, 1);
    assert_int_equal(sent_again, 1);
    assert_false(rig.first);
}

static void control__made_again__has_the_shards_links_made_behind_it(void **state)
{
    (void)state;
    links_rig_break(&rig, 0);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 0);
    ASSERT_DID("connect 0; hello 0 resume; send 0 hello");
    links_rig_welcome(&rig, 0);
    ASSERT_DID("welcome 0; close 1; connect 1");
}

static void frame__for_a_link_that_does_not_stand__is_refused(void **state)
{
    struct stepd_error error;
    struct stepd_outgoing *const outgoing = stepd_outgoing_create(STEPD_F32, 0);
    (void)state;
    links_rig_want(&rig, &shard, 2);
    links_rig_connect(&rig, 2);
    assert_int_equal(stepd_links_send(rig.links, 2, outgoing, &error), STEPD_UNAVAILABLE);
    (void)stepd_outgoing_destroy(outgoing);
}

static void link__overdue__is_closed_and_made_again(void **state)
{
    (void)state;
    stepd_links_overdue(rig.links, 1);
    links_rig_wake(&rig);
    ASSERT_DID("close 1; connect 1");
}

static void links__that_are_stopped__fail_what_is_under_way_and_wake_nobody(void **state)
{
    const struct stepd_error closed = {.code = STEPD_CANCELLED, .text = "closed"};
    (void)state;
    links_rig_want(&rig, &shard, 2);
    (void)links_did(&rig);
    ended = 0;
    request = (struct stepd_request){.kind = &kind};
    stepd_pending_add(rig.pending, 1, &request);
    stepd_links_stop(rig.links, &closed);
    rig.wake_ms = UINT64_MAX;
    stepd_links_rolled_back(rig.links); /* would be acted upon at once */
    assert_int_equal(rig.wake_ms, UINT64_MAX);
    assert_int_equal(ended, 1);
    ASSERT_DID("close 0; close 1; done 2 CANCELLED; gone back 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name, begin) cmocka_unit_test_setup_teardown(name, begin, teardown)
        TEST(link__that_is_welcomed__stands, setup),
        TEST(connection__that_is_refused__is_tried_again_when_it_is_time, setup),
        TEST(connection__that_breaks_before_its_welcome__forgets_the_hello, setup),
        TEST(hello__that_is_refused__closes_and_tells_who_waits, setup),
        TEST(hello__answered_with_something_else__is_a_breach_of_the_protocol, setup),
        TEST(memory__that_has_come__is_mapped_before_the_welcome_is_taken, setup_standing),
        TEST(memory__that_cannot_be_mapped__is_done_without_from_then_on, setup_standing),
        TEST(memory__that_is_no_such_memory__fails_the_attempt, setup_standing),
        TEST(memory__done_without__leaves_the_next_failure_to_the_keeper, setup_standing),
        TEST(hello__that_cannot_be_sent__fails_the_attempt, setup),
        TEST(attempt__without_an_answer__is_given_up, setup),
        TEST(waiting__that_is_over__says_what_is_wrong, setup),
        TEST(request__of_a_link_that_breaks__is_sent_again_behind_the_welcome, setup_standing),
        TEST(control__made_again__has_the_shards_links_made_behind_it, setup_standing),
        TEST(frame__for_a_link_that_does_not_stand__is_refused, setup_standing),
        TEST(link__overdue__is_closed_and_made_again, setup_standing),
        TEST(links__that_are_stopped__fail_what_is_under_way_and_wake_nobody, setup_standing),
    };
    return cmocka_run_group_tests_name("client_links", tests, NULL, NULL);
}
