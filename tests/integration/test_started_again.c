/* SPDX-License-Identifier: Apache-2.0
 *
 * A daemon that is killed and started again without its state. The job is defined anew, and who
 * only looks on must be told so: its weights are older than those that it had.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <stepd/client.h>

#include "tests/lib/daemon.h"

enum { STEPS = 3, PATIENCE_MS = 20000 };

static const float grad[1] = {1};

/* A daemon on a Unix socket, which stays the same when the daemon is another. */
struct stage {
    char folder[64];
    char path[96];
    char address[112];
    struct daemon daemon;
    struct stepd_error error;
};

static void start_daemon(struct stage *stage)
{
    daemon_start(&stage->daemon, (const char *const[]){"--unix", stage->path, NULL});
}

static int set_up(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    *state = stage;
    (void)snprintf(stage->folder, sizeof stage->folder, "/tmp/stepd-again-XXXXXX");
    assert_non_null(mkdtemp(stage->folder));
    (void)snprintf(stage->path, sizeof stage->path, "%s/socket", stage->folder);
    (void)snprintf(stage->address, sizeof stage->address, "unix:%s", stage->path);
    start_daemon(stage);
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    const int ended = daemon_stop(&stage->daemon);
    daemon_kill(&stage->daemon);
    (void)unlink(stage->path);
    (void)rmdir(stage->folder);
    free(stage);
    return ended;
}

static void must(const struct stage *stage, enum stepd_status status)
{
    if (status != STEPD_OK)
        fail_msg("%s", stage->error.text);
}

static struct stepd_client *connect_as(struct stage *stage, bool observer)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_client *client = NULL;
    options.address = stage->address;
    options.job = "again";
    options.rank = 0;
    options.observer = observer;
    must(stage, stepd_connect(&options, &client, &stage->error));
    return client;
}

/* The only worker of the job, which it defines and takes through some steps. */
static struct stepd_client *train(struct stage *stage, size_t steps)
{
    static const struct stepd_param lr = {.name = "lr", .value = 1};
    static const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = &lr, .params_count = 1};
    const struct stepd_tensor tensor = {.name = "w"};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_client *worker = connect_as(stage, false);
    float weight[1];
    const struct stepd_array array = {.tensor = 0, .grad = grad, .weights = weight};
    job.groups = &group;
    job.groups_count = 1;
    must(stage, stepd_define(worker, &job, &tensor, 1, &stage->error));
    must(stage, stepd_pull(worker, &array, 1, NULL, &stage->error));
    for (size_t i = 0; i < steps; i++)
        must(stage, stepd_step(worker, &array, 1, NULL, &stage->error));
    return worker;
}

static void observer__of_a_job_that_a_new_daemon_began_anew__is_rolled_back(void **state)
{
    struct stage *stage = *state;
    float weight[1];
    const struct stepd_array array = {.tensor = 0, .weights = weight};
    struct stepd_client *worker = train(stage, STEPS);
    struct stepd_client *observer = connect_as(stage, true);
    must(stage, stepd_attach(observer, PATIENCE_MS, &stage->error));
    must(stage, stepd_pull(observer, &array, 1, NULL, &stage->error));
    assert_true(weight[0] == -(float)STEPS);
    daemon_signal(&stage->daemon, SIGKILL);
    (void)daemon_wait(&stage->daemon);
    (void)stepd_close(worker);
    start_daemon(stage);
    worker = train(stage, 1);
    assert_int_equal(stepd_pull(observer, &array, 1, NULL, &stage->error), STEPD_ROLLED_BACK);
    must(stage, stepd_pull(observer, &array, 1, NULL, &stage->error));
    assert_true(weight[0] == -1.0F);
    (void)stepd_close(observer);
    (void)stepd_close(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            observer__of_a_job_that_a_new_daemon_began_anew__is_rolled_back, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("integration/started_again", tests, NULL, NULL);
}
