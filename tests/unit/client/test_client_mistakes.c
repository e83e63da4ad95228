/* SPDX-License-Identifier: Apache-2.0
 *
 * What a program asks of libstepd that the protocol forbids, or in structs of another version: it
 * is told what is wrong before anything is sent, and its client goes on. Over real sockets, against
 * a server of the test's own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stepd/client.h>

#include "tests/unit/client/fake_server.h"

enum { NAME_TOO_LONG = STEPD_NAME_MAX_BYTES + 1, LIST_TOO_LONG = 257, LISTS_TOO_LONG = 65 };

struct bench {
    struct fake_server *server;
    struct stepd_client *client;
    struct stepd_error error;
};

static struct bench bench;
static const struct stepd_tensor tensor = {.name = "w"};

static int setup(void **state)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    (void)state;
    bench.server = fake_server_start(NULL, 60000);
    options.address = fake_server_address(bench.server);
    options.job = "test";
    options.rank = 0;
    return stepd_connect(&options, &bench.client, &bench.error) == STEPD_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    bench.client = stepd_close(bench.client);
    bench.server = fake_server_stop(bench.server);
    return 0;
}

static enum stepd_status define(const struct stepd_param_group *group,
                                const struct stepd_param_group *defaults)
{
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.groups = group;
    job.groups_count = 1;
    job.defaults = defaults;
    return stepd_define(bench.client, &job, &tensor, 1, &bench.error);
}

/* Refuses these definitions in these words, and then takes one that is right. */
static void assert_refused(const struct stepd_param_group *group,
                           const struct stepd_param_group *defaults, const char *text)
{
    static const struct stepd_param_group right = {.match = "*", .optimizer = "sgd"};
    assert_int_equal(define(group, defaults), STEPD_INVALID_ARGUMENT);
    assert_int_equal(bench.error.code, STEPD_INVALID_ARGUMENT);
    if (strstr(bench.error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, bench.error.text);
    assert_int_equal(define(&right, NULL), STEPD_OK);
}

/* A group that is right but for its parameters. */
static struct stepd_param_group group_of(const struct stepd_param *params, size_t count)
{
    return (struct stepd_param_group){
        .match = "*", .optimizer = "sgd", .params = params, .params_count = count};
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void define__parameter_that_is_no_number__is_refused_and_may_be_repeated(void **state)
{
    (void)state;
    const struct stepd_param lr = {.name = "lr", .value = NAN};
    const struct stepd_param_group group = group_of(&lr, 1);
    assert_refused(&group, NULL, "groups[0].settings[0].values[0]: not a finite number");
}

static void define__list_that_is_too_long__is_refused_and_may_be_repeated(void **state)
{
    (void)state;
    static const double numbers[LIST_TOO_LONG] = {0};
    const struct stepd_param list = {.name = "milestones", .list = numbers, .count = LIST_TOO_LONG};
    const struct stepd_param_group group = group_of(&list, 1);
    assert_refused(&group, NULL, "groups[0].settings[0].values: 257 is above the limit of 256");
}

static void define__empty_word__is_refused_and_may_be_repeated(void **state)
{
    (void)state;
    const struct stepd_param word = {.name = "form", .word = ""};
    const struct stepd_param_group group = group_of(&word, 1);
    assert_refused(&group, NULL, "groups[0].settings[0].values: a setting has a number or a word");
}

static void define__too_many_parameters__are_refused_and_may_be_repeated(void **state)
{
    (void)state;
    static struct stepd_param params[LISTS_TOO_LONG];
    for (size_t i = 0; i < LISTS_TOO_LONG; i++)
        params[i] = (struct stepd_param){.name = "lr"};
    const struct stepd_param_group group = group_of(params, LISTS_TOO_LONG);
    assert_refused(&group, NULL, "groups[0].settings: 65 is above the limit of 64");
}

static void define__name_that_is_too_long__is_refused_and_may_be_repeated(void **state)
{
    (void)state;
    static char name[NAME_TOO_LONG + 1];
    memset(name, 'n', NAME_TOO_LONG);
    const struct stepd_param_group group = {.name = name, .match = "*", .optimizer = "sgd"};
    assert_refused(&group, NULL, "groups[0].name: 201 bytes");
}

static void define__phases_that_go_back__are_refused_and_may_be_repeated(void **state)
{
    (void)state;
    const struct stepd_param_phase phases[] = {{.from = 9, .optimizer = "adam"},
                                               {.from = 8, .optimizer = "sgd"}};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .phases = phases, .phases_count = 2};
    assert_refused(&group, NULL, "groups[0].phases[1].from: 8 is not above 9");
}

static void define__dimensions_that_cannot_be__are_refused_and_may_be_repeated(void **state)
{
    (void)state;
    const uint32_t ndim[] = {2, 9};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .ndim = ndim, .ndim_count = 2};
    assert_refused(&group, NULL, "groups[0].ndim[1]: 9 is above the limit of 8");
}

static void define__frozen_defaults__are_refused_and_may_be_repeated(void **state)
{
    (void)state;
    const struct stepd_param_group group = {.match = "*", .optimizer = "sgd"};
    const struct stepd_param_group defaults = {.optimizer = "sgd", .frozen = true};
    assert_refused(&group, &defaults, "defaults: name, match, ndim, frozen and phases belong to");
}

static void define__tensor_without_a_name__is_refused_and_may_be_repeated(void **state)
{
    (void)state;
    const struct stepd_tensor nameless = {.name = ""};
    assert_int_equal(stepd_define(bench.client, NULL, &nameless, 1, &bench.error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(bench.error.text, "tensors[0].name: empty"));
    assert_int_equal(stepd_define(bench.client, NULL, &tensor, 1, &bench.error), STEPD_OK);
}

static void connect__name_with_a_line_break__is_refused_at_once(void **state)
{
    (void)state;
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_client *client = NULL;
    options.address = fake_server_address(bench.server);
    options.job = "test";
    options.worker = "two\nlines";
    assert_int_equal(stepd_connect(&options, &client, &bench.error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(bench.error.text, "hello.worker: not UTF-8, or with"));
    assert_null(client);
}

static void connect__with_a_token_to_another_host__is_refused_unless_insecure(void **state)
{
    (void)state;
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_client *client = NULL;
    options.address = "0.0.0.0:1"; /* whatever that is here: it does not say loopback */
    options.job = "test";
    options.token = "secret";
    options.connect_timeout_ms = 1;
    assert_int_equal(stepd_connect(&options, &client, &bench.error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(bench.error.text, "a token would go to 0.0.0.0:1 in clear"));
    assert_null(strstr(bench.error.text, "secret"));
    options.insecure = true;
    assert_int_equal(stepd_connect(&options, &client, &bench.error), STEPD_UNAVAILABLE);
    options.insecure = false;
    options.token = "";
    assert_int_equal(stepd_connect(&options, &client, &bench.error), STEPD_UNAVAILABLE);
    assert_null(client);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static void define__job_options_of_a_newer_program__are_refused(void **state)
{
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    (void)state;
    job.size += sizeof(void *);
    assert_int_equal(stepd_define(bench.client, &job, &tensor, 1, &bench.error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(bench.error.text, "STEPD_JOB_OPTIONS_INIT"));
}

/* Nothing of ours lies behind the struct, and nothing behind it is read. */
static void define__job_options_of_an_older_program__are_read_as_far_as_they_go(void **state)
{
    const size_t known = offsetof(struct stepd_job_options, groups);
    struct stepd_job_options *const older = malloc(known);
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    (void)state;
    assert_non_null(older);
    job.size = known;
    memcpy(older, &job, known);
    const enum stepd_status status =
        stepd_define(bench.client, older, &tensor, 1, &bench.error); /* has no groups */
    free(older);
    assert_int_equal(status, STEPD_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(define__parameter_that_is_no_number__is_refused_and_may_be_repeated),
        TEST(define__list_that_is_too_long__is_refused_and_may_be_repeated),
        TEST(define__empty_word__is_refused_and_may_be_repeated),
        TEST(define__too_many_parameters__are_refused_and_may_be_repeated),
        TEST(define__name_that_is_too_long__is_refused_and_may_be_repeated),
        TEST(define__phases_that_go_back__are_refused_and_may_be_repeated),
        TEST(define__dimensions_that_cannot_be__are_refused_and_may_be_repeated),
        TEST(define__frozen_defaults__are_refused_and_may_be_repeated),
        TEST(define__tensor_without_a_name__is_refused_and_may_be_repeated),
        TEST(connect__name_with_a_line_break__is_refused_at_once),
        TEST(connect__with_a_token_to_another_host__is_refused_unless_insecure),
        TEST(define__job_options_of_a_newer_program__are_refused),
        TEST(define__job_options_of_an_older_program__are_read_as_far_as_they_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
