/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a client whose job went back, and of what has waited for too long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/brain.h"
#include "client/lib/core/question.h"
#include "tests/unit/client/links_rig.h"
#include "tests/unit/client/rig.h"

static struct links_rig rig;
static struct stepd_brain brain;
static struct stepd_home *home;
static unsigned rolled_back;
static struct stepd_operation operation; /* ends with the links, if not before */

#define ASSERT_DID(what) assert_string_equal(links_did(&rig), what)

static void nothing(void *owner)
{
    (void)owner;
}

static void on_rolled_back(void *owner)
{
    (void)owner;
    rolled_back++;
}

static void no_event(void *owner, const struct stepd_event *event)
{
    (void)owner;
    (void)event;
}

/* Control and both shards stand, in incarnation 1 of the rig's job. */
static int setup(void **state)
{
    struct stepd_error error;
    (void)state;
    brain = (struct stepd_brain){
        .hooks = {.welcomed = nothing, .rolled_back = on_rolled_back, .tell = no_event},
        .self = {.address = "host:1", .job = "job", .worker = "worker", .token = ""},
    };
    rolled_back = 0;
    links_rig_setup_of(&rig, &brain);
    links_rig_stand(&rig, 0);
    home = stepd_home_create();
    assert_non_null(home);
    assert_int_equal(stepd_layout_add(&home->table, rig_page(), &error), STEPD_OK);
    assert_int_equal(stepd_layout_seal(&home->table, brain.self.shards, &error), STEPD_OK);
    home->table.incarnation = 1;
    assert_int_equal(stepd_home_furnish(home, &brain, STEPD_F32, STEPD_F32, &error), STEPD_OK);
    stepd_brain_move(&brain, home, /* back= */ false);
    for (uint32_t shard = 1; shard <= LINKS_RIG_SHARDS; shard++)
        links_rig_stand(&rig, shard);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    links_rig_teardown(&rig);
    stepd_operation_deinit(&operation);
    operation = (struct stepd_operation){.arrays = 0};
    home = stepd_home_destroy(home);
    stepd_brain_deinit(&brain);
    return 0;
}

static struct stepd_message page(uint64_t incarnation)
{
    struct stepd_message message = {.kind = STEPD_MESSAGE_LAYOUT, .body.layout = *rig_page()};
    message.body.layout.incarnation = incarnation;
    return message;
}

/* Control is lost, and welcomes us to the next incarnation. */
static void go_back(void)
{
    links_rig_break(&rig, 0);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 0);
    (void)links_did(&rig);
    links_rig_welcome_to(&rig, 0, 2);
}

static void on_operation(struct stepd_operation *over)
{
    (void)over;
}

/* A pull of all tensors, whose error says what became of it. */
static void pull(void)
{
    static float weights[9];
    struct stepd_error error;
    const struct stepd_array arrays[] = {
        {.tensor = 0, .weights = weights},
        {.tensor = 1, .weights = weights + 6},
        {.tensor = 2, .weights = weights + 8},
    };
    assert_int_equal(
        stepd_operation_init(&operation, STEPD_OPERATION_PULL, &home->table, NULL, &error),
        STEPD_OK);
    assert_int_equal(stepd_operation_fill(&operation, &home->table, arrays, 3, &error), STEPD_OK);
    operation.on_done = on_operation;
    stepd_brain_start(&brain, &operation, rig.now_ms);
}

static void job__that_went_back__has_its_layout_asked_for(void **state)
{
    (void)state;
    pull();
    go_back();
    assert_true(rolled_back > 0);
    assert_int_equal(operation.error.code, STEPD_ROLLED_BACK);
    ASSERT_DID("close 1; close 2; send 0 get_layout");
}

static void job__that_went_back_with_the_same_layout__is_worked_for_again(void **state)
{
    (void)state;
    go_back();
    (void)links_did(&rig);
    assert_int_equal(links_rig_answer(&rig, 0, page(2)), STEPD_OK);
    ASSERT_DID("connect 1; connect 2");
    assert_int_equal(home->exchange.incarnation, 2);
}

static void job__that_went_back_with_another_layout__must_be_defined_again(void **state)
{
    struct stepd_tensor_def tensor[3];
    struct stepd_message other = page(2);
    (void)state;
    go_back();
    assert_int_equal(other.body.layout.tensors, 3);
    for (size_t i = 0; i < other.body.layout.tensors; i++)
        tensor[i] = other.body.layout.tensor[i];
    tensor[0].name = "renamed";
    other.body.layout.tensor = tensor;
    (void)links_did(&rig);
    assert_int_equal(links_rig_answer(&rig, 0, other), STEPD_OK);
    ASSERT_DID("");
    pull();
    assert_int_equal(operation.error.code, STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(operation.error.text, "call stepd_define again"));
}

static unsigned done;

static void on_done(struct stepd_question *question)
{
    (void)question;
    done++;
}

static const struct stepd_message leave = {.kind = STEPD_MESSAGE_LEAVE};

static void leave__that_a_job_that_went_back_has_not_heard__fails(void **state)
{
    struct stepd_question question = {.brain = &brain, .message = &leave, .on_done = on_done};
    (void)state;
    done = 0;
    stepd_question_ask(&question);
    go_back();
    ASSERT_DID("close 1; close 2; send 0 get_layout");
    assert_int_equal(done, 1);
    assert_int_equal(question.error.code, STEPD_ROLLED_BACK);
}

static void leave__after_a_job_went_back__fails_until_the_weights_are_pulled(void **state)
{
    struct stepd_question question = {.brain = &brain, .message = &leave, .on_done = on_done};
    (void)state;
    done = 0;
    go_back();
    (void)links_did(&rig);
    stepd_question_ask(&question);
    assert_int_equal(question.error.code, STEPD_ROLLED_BACK);
    for (size_t i = 0; i < home->table.slices; i++)
        home->exchange.slice[i].fetched = true;
    question.error.code = STEPD_OK;
    stepd_question_ask(&question);
    ASSERT_DID("send 0 leave");
    stepd_question_withdraw(&question);
}

static void layout__of_a_home_that_was_left__is_of_no_interest(void **state)
{
    (void)state;
    go_back();
    stepd_brain_move(&brain, NULL, /* back= */ true);
    stepd_brain_move(&brain, home, /* back= */ false);
    assert_int_equal(links_rig_answer(&rig, 0, page(2)), STEPD_OK);
    assert_int_equal(home->exchange.incarnation, 1);
}

/* The tensors were being defined, and could not be. */
static void layout__of_a_home_that_is_no_more__is_compared_with_nothing(void **state)
{
    (void)state;
    go_back();
    stepd_brain_move(&brain, NULL, /* back= */ true);
    home = stepd_home_destroy(home);
    assert_int_equal(links_rig_answer(&rig, 0, page(2)), STEPD_OK);
    assert_null(brain.home);
}

static void layout__that_is_lost_on_its_way__is_asked_for_again(void **state)
{
    (void)state;
    go_back();
    links_rig_break(&rig, 0);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 0);
    (void)links_did(&rig);
    links_rig_welcome_to(&rig, 0, 2);
    ASSERT_DID("send 0 get_layout");
}

static void home__moved_into_while_a_shard_is_greeted__has_its_links_made(void **state)
{
    static struct stepd_opening opening;
    (void)state;
    links_rig_break(&rig, 1);
    links_rig_wake(&rig);
    links_rig_connect(&rig, 1);
    (void)links_did(&rig);
    stepd_brain_move(&brain, home, /* back= */ false);
    ASSERT_DID("close 1; close 2");
    links_rig_want(&rig, &opening, 1);
    ASSERT_DID("connect 1");
}

static void request__without_an_answer__loses_its_link(void **state)
{
    (void)state;
    pull();
    assert_true(stepd_brain_waits(&brain));
    (void)links_did(&rig);
    stepd_brain_tick(&brain, operation.expires_ms + STEPD_LINKS_OVERDUE_MS - 1);
    ASSERT_DID("");
    stepd_brain_tick(&brain, operation.expires_ms + STEPD_LINKS_OVERDUE_MS + 1);
    ASSERT_DID("close 1; close 2");
}

static void request__that_is_held__ends_when_its_time_is_up(void **state)
{
    (void)state;
    links_rig_break(&rig, 1);
    links_rig_break(&rig, 2);
    pull();
    stepd_brain_tick(&brain, operation.expires_ms);
    assert_int_equal(operation.error.code, STEPD_DEADLINE_EXCEEDED);
    assert_false(stepd_brain_waits(&brain));
}

static void heartbeat__goes_to_control(void **state)
{
    (void)state;
    stepd_brain_beat(&brain);
    ASSERT_DID("send 0 heartbeat");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(job__that_went_back__has_its_layout_asked_for),
        TEST(job__that_went_back_with_the_same_layout__is_worked_for_again),
        TEST(job__that_went_back_with_another_layout__must_be_defined_again),
        TEST(leave__that_a_job_that_went_back_has_not_heard__fails),
        TEST(leave__after_a_job_went_back__fails_until_the_weights_are_pulled),
        TEST(layout__of_a_home_that_was_left__is_of_no_interest),
        TEST(layout__of_a_home_that_is_no_more__is_compared_with_nothing),
        TEST(layout__that_is_lost_on_its_way__is_asked_for_again),
        TEST(home__moved_into_while_a_shard_is_greeted__has_its_links_made),
        TEST(request__without_an_answer__loses_its_link),
        TEST(request__that_is_held__ends_when_its_time_is_up),
        TEST(heartbeat__goes_to_control),
    };
    return cmocka_run_group_tests_name("client_brain", tests, NULL, NULL);
}
