/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole of libstepd with servers that are given by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/client/client_bench.h"

static void connect__to_a_name__looks_it_up(void **state)
{
    char address[64];
    (void)state;
    struct stepd_options options = bench_options();
    const char *const port = strrchr(options.address, ':');
    (void)snprintf(address, sizeof address, "localhost%s", port);
    options.address = address;
    bench_join(&options);
    fake_server_cut(bench.server);
    assert_int_equal(bench_step(), STEPD_OK);
}

static void connect__to_a_name_that_nobody_has__says_so(void **state)
{
    (void)state;
    struct stepd_options options = bench_options();
    options.address = "nobody.invalid:7070";
    options.connect_timeout_ms = 300;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_UNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup_server, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connect__to_a_name__looks_it_up),
        TEST(connect__to_a_name_that_nobody_has__says_so),
    };
    return cmocka_run_group_tests_name("client_names", tests, NULL, NULL);
}
