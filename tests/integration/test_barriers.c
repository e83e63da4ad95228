/* SPDX-License-Identifier: Apache-2.0
 *
 * Barriers through libstepd, the wire and the daemon: a worker in a thread of its own waits for the
 * other one.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/integration/pair.h"

static void define(struct pair *pair)
{
    static const struct stepd_param lr = {.name = "lr", .value = 1};
    static const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = &lr, .params_count = 1};
    pair_define_one(pair, &group);
}

/* What a worker's thread does: it comes to barriers of one name, one after the other. */
struct comer {
    struct stepd_client *client;
    int times;
    enum stepd_status status; /* of the last */
    struct stepd_error error;
};

static void *come(void *arg)
{
    struct comer *const comer = arg;
    for (int i = 0; i < comer->times && comer->status == STEPD_OK; i++)
        comer->status = stepd_barrier(comer->client, "epoch", PAIR_PATIENCE_MS, &comer->error);
    return NULL;
}

static void barrier__both_come_again_and_again__both_pass(void **state)
{
    struct pair *const pair = *state;
    struct comer comer[PAIR_WORKERS];
    pthread_t thread;
    define(pair);
    for (int i = 0; i < PAIR_WORKERS; i++)
        comer[i] = (struct comer){.client = pair->worker[i].client, .times = 100};
    assert_int_equal(pthread_create(&thread, NULL, come, &comer[1]), 0);
    (void)come(&comer[0]);
    (void)pthread_join(thread, NULL);
    assert_int_equal(comer[0].status, STEPD_OK);
    assert_int_equal(comer[1].status, STEPD_OK);
}

static void barrier__one_does_not_come__the_other_is_told_who(void **state)
{
    struct pair *const pair = *state;
    define(pair);
    assert_int_equal(stepd_barrier(pair->worker[0].client, "epoch", 300, &pair->error),
                     STEPD_DEADLINE_EXCEEDED);
    pair_expect_text(pair, "barrier 'epoch': waiting for rank 1 (silent for ");
}

static void barrier__one_leaves__the_other_passes(void **state)
{
    struct pair *const pair = *state;
    struct comer comer = {.client = pair->worker[1].client, .times = 1};
    pthread_t thread;
    define(pair);
    assert_int_equal(pthread_create(&thread, NULL, come, &comer), 0);
    assert_int_equal(stepd_leave(pair->worker[0].client, &pair->error), STEPD_OK);
    (void)pthread_join(thread, NULL);
    assert_int_equal(comer.status, STEPD_OK);
}

static void barrier__before_the_job_is_defined__is_refused(void **state)
{
    struct pair *const pair = *state;
    assert_int_equal(stepd_barrier(pair->worker[0].client, "epoch", 300, &pair->error),
                     STEPD_FAILED_PRECONDITION);
    pair_expect_text(pair, "call stepd_define before a barrier");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, pair_set_up, pair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(barrier__both_come_again_and_again__both_pass),
        TEST(barrier__one_does_not_come__the_other_is_told_who),
        TEST(barrier__one_leaves__the_other_passes),
        TEST(barrier__before_the_job_is_defined__is_refused),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
