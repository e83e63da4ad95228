/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client says of itself, and what it takes from control's Welcome.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/self.h"

static struct stepd_self self;
static struct stepd_error error;
static const uint8_t session[STEPD_SESSION_BYTES] = {7};

static int setup(void **state)
{
    (void)state;
    self = (struct stepd_self){
        .address = "host:1", .job = "job", .worker = "worker", .token = "", .rank = -1};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stepd_self_deinit(&self);
    return 0;
}

static struct stepd_welcome welcome_of(uint32_t rank)
{
    static const char *const address[] = {"", "other:2"};
    return (struct stepd_welcome){
        .session = {.count = sizeof session, .at = session},
        .rank = rank,
        .clock = 4,
        .lease_ms = 3000,
        .shards = 2,
        .shard_address = address,
    };
}

static enum stepd_status take(uint32_t rank)
{
    const struct stepd_welcome welcome = welcome_of(rank);
    return stepd_self_welcome(&self, &welcome, &error);
}

static void hello__that_resumes__says_the_session(void **state)
{
    (void)state;
    assert_int_equal(take(3), STEPD_OK);
    const struct stepd_message hello = stepd_self_hello(&self, 1, STEPD_GREET_RESUME);
    assert_int_equal(hello.body.hello.session.count, STEPD_SESSION_BYTES);
    assert_memory_equal(hello.body.hello.session.at, session, STEPD_SESSION_BYTES);
    assert_int_equal(hello.body.hello.rank, 3);
    assert_false(hello.body.hello.rejoins);
}

static void hello__that_rejoins__says_so_and_no_session(void **state)
{
    (void)state;
    const struct stepd_message hello = stepd_self_hello(&self, 0, STEPD_GREET_REJOIN);
    assert_int_equal(hello.body.hello.session.count, 0);
    assert_true(hello.body.hello.rejoins);
}

static bool says_that_it_shares(uint32_t shard)
{
    return stepd_self_hello(&self, shard, STEPD_GREET_NEW).body.hello.shares_memory;
}

/* Shard 1 is where control is, shard 2 is elsewhere. */
static void hello__to_a_shard_at_a_unix_socket__says_that_it_shares_memory(void **state)
{
    (void)state;
    self.address = "unix:/run/stepd";
    self.shares_memory = true;
    assert_int_equal(take(3), STEPD_OK);
    assert_false(says_that_it_shares(0));
    assert_true(says_that_it_shares(1));
    assert_false(says_that_it_shares(2));
    self.observer = true;
    assert_false(says_that_it_shares(1));
    self.observer = false;
    self.shares_memory = false;
    assert_false(says_that_it_shares(1));
}

static void hello__of_an_observer__states_no_rank_and_rejoins_nothing(void **state)
{
    (void)state;
    self.observer = true;
    self.rank = 2;
    const struct stepd_message hello = stepd_self_hello(&self, 0, STEPD_GREET_REJOIN);
    assert_int_equal(hello.body.hello.rank, -1);
    assert_false(hello.body.hello.rejoins);
}

static void welcome__of_control__is_taken_whole(void **state)
{
    (void)state;
    assert_int_equal(take(0), STEPD_OK);
    assert_int_equal(self.clock, 4);
    assert_int_equal(self.beat_ms, 1000);
    assert_int_equal(self.frame_max_bytes, STEPD_FRAME_MAX_BYTES);
    assert_string_equal(stepd_self_address(&self, 0), "host:1");
    assert_string_equal(stepd_self_address(&self, 1), "host:1");
    assert_string_equal(stepd_self_address(&self, 2), "other:2");
    assert_string_equal(stepd_self_address(&self, 3), "host:1");
}

static void welcome__with_another_rank__is_refused_and_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(take(0), STEPD_OK);
    self.clock = 9;
    assert_int_equal(take(1), STEPD_INTERNAL);
    assert_string_equal(error.text, "the server gave rank 1, not 0");
    assert_int_equal(self.clock, 9);
}

static void welcome__without_a_session__is_refused(void **state)
{
    struct stepd_welcome welcome = welcome_of(0);
    (void)state;
    welcome.session.count = 0;
    assert_int_equal(stepd_self_welcome(&self, &welcome, &error), STEPD_INTERNAL);
    assert_int_equal(self.rank, -1);
}

static void welcome__with_too_many_shards__is_refused(void **state)
{
    struct stepd_welcome welcome = welcome_of(0);
    (void)state;
    welcome.shards = 5000; /* more addresses than are there: none may be read */
    assert_int_equal(stepd_self_welcome(&self, &welcome, &error), STEPD_INTERNAL);
    assert_int_equal(self.shards, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(hello__that_resumes__says_the_session),
        TEST(hello__that_rejoins__says_so_and_no_session),
        TEST(hello__to_a_shard_at_a_unix_socket__says_that_it_shares_memory),
        TEST(hello__of_an_observer__states_no_rank_and_rejoins_nothing),
        TEST(welcome__of_control__is_taken_whole),
        TEST(welcome__with_another_rank__is_refused_and_changes_nothing),
        TEST(welcome__without_a_session__is_refused),
        TEST(welcome__with_too_many_shards__is_refused),
    };
    return cmocka_run_group_tests_name("client_self", tests, NULL, NULL);
}
