/* SPDX-License-Identifier: Apache-2.0
 *
 * One message and its reply, over a link that may be lost in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "client/lib/core/question.h"
#include "tests/unit/client/links_rig.h"
#include "tests/unit/client/rig.h"

static struct links_rig rig;
static struct stepd_brain brain;
static struct stepd_question question;
static unsigned done, pages, again;

#define ASSERT_DID(what) assert_string_equal(links_did(&rig), what)

static void nothing(void *owner)
{
    (void)owner;
}

static void no_event(void *owner, const struct stepd_event *event)
{
    (void)owner;
    (void)event;
}

static int setup(void **state)
{
    (void)state;
    brain = (struct stepd_brain){
        .hooks = {.welcomed = nothing, .rolled_back = nothing, .tell = no_event},
        .self = {.address = "host:1", .job = "job", .worker = "worker", .token = ""},
    };
    links_rig_setup_of(&rig, &brain);
    links_rig_stand(&rig, 0);
    done = pages = again = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    links_rig_teardown(&rig);
    stepd_brain_deinit(&brain);
    return 0;
}

static void on_done(struct stepd_question *asked)
{
    (void)asked;
    done++;
}

static enum stepd_status on_reply(void *user, const struct stepd_message *reply,
                                  struct stepd_error *reterr)
{
    (void)user;
    (void)reply;
    (void)reterr;
    pages++;
    return STEPD_OK;
}

static void on_again(void *user)
{
    (void)user;
    again++;
}

static void ask(const struct stepd_message *message)
{
    question = (struct stepd_question){
        .brain = &brain, .message = message, .on_reply = on_reply, .on_done = on_done};
    stepd_question_ask(&question);
}

static const struct stepd_message layout_wanted = {.kind = STEPD_MESSAGE_GET_LAYOUT};
static const struct stepd_message leave = {.kind = STEPD_MESSAGE_LEAVE};
static const struct stepd_message ack = {.kind = STEPD_MESSAGE_ACK};

static struct stepd_message page_of(bool last)
{
    struct stepd_message message = {.kind = STEPD_MESSAGE_LAYOUT, .body.layout = *rig_page()};
    message.body.layout.last = last;
    return message;
}

static void come_back(void)
{
    links_rig_break(&rig, 0);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 0);
    links_rig_welcome(&rig, 0);
}

static void question__with_several_pages__is_done_with_the_last(void **state)
{
    (void)state;
    ask(&layout_wanted);
    assert_int_equal(links_rig_answer(&rig, 0, page_of(false)), STEPD_OK);
    assert_int_equal(done, 0);
    assert_int_equal(links_rig_answer(&rig, 0, page_of(true)), STEPD_OK);
    assert_int_equal(done, 1);
    assert_int_equal(pages, 2);
    assert_int_equal(question.error.code, STEPD_OK);
}

static void question__of_a_lost_link__goes_out_again(void **state)
{
    (void)state;
    ask(&leave);
    links_rig_break(&rig, 0);
    (void)links_did(&rig);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 0);
    links_rig_welcome(&rig, 0);
    ASSERT_DID("connect 0; send 0 hello; send 0 leave");
    assert_int_equal(done, 0);
    assert_int_equal(links_rig_answer(&rig, 0, ack), STEPD_OK);
    assert_int_equal(done, 1);
}

static void question__asked_while_the_link_is_lost__waits_for_it(void **state)
{
    (void)state;
    links_rig_break(&rig, 0);
    ask(&leave);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 0);
    ASSERT_DID("connect 0; send 0 hello");
    links_rig_welcome(&rig, 0);
    ASSERT_DID("send 0 leave");
}

static void reply__cut_between_its_pages__begins_anew(void **state)
{
    (void)state;
    ask(&layout_wanted);
    question.on_again = on_again;
    assert_int_equal(links_rig_answer(&rig, 0, page_of(false)), STEPD_OK);
    come_back();
    assert_int_equal(again, 1);
    assert_int_equal(links_rig_answer(&rig, 0, page_of(true)), STEPD_OK);
    assert_int_equal(done, 1);
}

static void reply__cut_between_its_pages__fails_where_it_cannot_begin_anew(void **state)
{
    (void)state;
    ask(&layout_wanted);
    assert_int_equal(links_rig_answer(&rig, 0, page_of(false)), STEPD_OK);
    links_rig_break(&rig, 0);
    assert_int_equal(done, 1);
    assert_int_equal(question.error.code, STEPD_UNAVAILABLE);
}

static void leave__that_goes_out_again__names_the_clock_that_it_had(void **state)
{
    (void)state;
    brain.self.clock = 5;
    ask(&leave);
    assert_int_equal(rig.sent_clock, 5);
    links_rig_break(&rig, 0);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 0);
    rig.sent_clock = 0;
    links_rig_welcome(&rig, 0); /* whose clock is 0 */
    assert_int_equal(rig.sent_clock, 5);
}

static void question__withdrawn__is_told_nothing(void **state)
{
    (void)state;
    ask(&leave);
    stepd_question_withdraw(&question);
    assert_int_equal(links_rig_answer(&rig, 0, ack), STEPD_OK);
    assert_int_equal(done, 0);
}

static void reply__of_another_kind__is_a_breach_of_the_protocol(void **state)
{
    (void)state;
    ask(&layout_wanted);
    assert_int_equal(links_rig_answer(&rig, 0, ack), STEPD_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(question__with_several_pages__is_done_with_the_last),
        TEST(question__of_a_lost_link__goes_out_again),
        TEST(question__asked_while_the_link_is_lost__waits_for_it),
        TEST(reply__cut_between_its_pages__begins_anew),
        TEST(reply__cut_between_its_pages__fails_where_it_cannot_begin_anew),
        TEST(leave__that_goes_out_again__names_the_clock_that_it_had),
        TEST(question__withdrawn__is_told_nothing),
        TEST(reply__of_another_kind__is_a_breach_of_the_protocol),
    };
    return cmocka_run_group_tests_name("client_question", tests, NULL, NULL);
}
