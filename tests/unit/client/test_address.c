/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses as people write them, and as they mistype them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/address.h"

static struct stepd_address address;
static struct stepd_error error;

static void parse__host_and_port__are_split(void **state)
{
    (void)state;
    assert_int_equal(stepd_address_parse("ps.example.org:7070", &address, &error), STEPD_OK);
    assert_false(address.local);
    assert_string_equal(address.host, "ps.example.org");
    assert_string_equal(address.port, "7070");
}

static void parse__ipv6_in_brackets__loses_them(void **state)
{
    (void)state;
    assert_int_equal(stepd_address_parse("[::1]:65535", &address, &error), STEPD_OK);
    assert_string_equal(address.host, "::1");
    assert_string_equal(address.port, "65535");
}

static void parse__tls__is_in_front_of_host_and_port(void **state)
{
    (void)state;
    assert_int_equal(stepd_address_parse("tls:[::1]:7", &address, &error), STEPD_OK);
    assert_true(address.tls);
    assert_string_equal(address.host, "::1");
    assert_int_equal(stepd_address_parse("tls:7070", &address, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(stepd_address_parse("host:7", &address, &error), STEPD_OK);
    assert_false(address.tls);
}

static void parse__unix__is_a_path(void **state)
{
    (void)state;
    assert_int_equal(stepd_address_parse("unix:/run/stepd/s:1", &address, &error), STEPD_OK);
    assert_true(address.local);
    assert_string_equal(address.path, "/run/stepd/s:1");
}

static void parse__malformed__says_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "port is missing"},
        {"localhost", "port is missing"},
        {"localhost:", "not a number"},
        {"localhost:0", "not a number"},
        {"localhost:65536", "not a number"},
        {"localhost:99999999999999999999", "not a number"},
        {"localhost:80x", "not a number"},
        {"localhost:-1", "not a number"},
        {":7070", "host is empty"},
        {"[]:7070", "host is empty"},
        {"::1:7070", "brackets"},
        {"unix:", "path is empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(stepd_address_parse(cases[i].text, &address, &error),
                         STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, cases[i].says));
    }
}

static void parse__longest_path__is_taken_and_one_more_refused(void **state)
{
    char text[5 + STEPD_PATH_MAX_BYTES + 2] = "unix:";
    (void)state;
    memset(text + 5, 'p', STEPD_PATH_MAX_BYTES);
    assert_int_equal(stepd_address_parse(text, &address, &error), STEPD_OK);
    assert_int_equal(strlen(address.path), STEPD_PATH_MAX_BYTES);
    text[5 + STEPD_PATH_MAX_BYTES] = 'p';
    assert_int_equal(stepd_address_parse(text, &address, &error), STEPD_INVALID_ARGUMENT);
}

static void stays_here__of_addresses__is_what_no_network_sees(void **state)
{
    static const struct {
        const char *text;
        bool here;
    } cases[] = {
        {"unix:/run/s", true},          {"localhost:1", true}, {"127.0.0.1:1", true},
        {"127.9.9.9:1", true},          {"[::1]:1", true},     {"0.0.0.0:1", false},
        {"192.0.2.7:1", false},         {"host:1", false},     {"127.0.0.1.example:1", false},
        {"localhost.example:1", false}, {"[::2]:1", false},    {"[fe80::1]:1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(stepd_address_parse(cases[i].text, &address, &error), STEPD_OK);
        if (stepd_address_stays_here(&address) != cases[i].here)
            fail_msg("%s", cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__host_and_port__are_split),
        cmocka_unit_test(parse__ipv6_in_brackets__loses_them),
        cmocka_unit_test(parse__tls__is_in_front_of_host_and_port),
        cmocka_unit_test(parse__unix__is_a_path),
        cmocka_unit_test(parse__malformed__says_what_is_wrong),
        cmocka_unit_test(parse__longest_path__is_taken_and_one_more_refused),
        cmocka_unit_test(stays_here__of_addresses__is_what_no_network_sees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
