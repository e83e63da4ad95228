/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses: what is one, what is loopback, and how they are written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "server/net/address.h"

static void address__parsed__gives_host_and_port(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
    } good[] = {
        {"127.0.0.1:7070", "127.0.0.1", 7070},
        {"localhost:0", "localhost", 0},
        {"[::1]:65535", "::1", 65535},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
        {"a:007", "a", 7},
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct address address;
        assert_int_equal(address_parse(good[i].text, &address, NULL), STEPD_OK);
        assert_string_equal(address.host, good[i].host);
        assert_int_equal(address.port, good[i].port);
    }
}

static void address__malformed__is_refused_with_what_is_wanted(void **state)
{
    static const char *const bad[] = {
        "",         "7070",       ":7070",     "host",      "host:",
        "host:-1",  "host:65536", "host:x",    "host: 1",   "host:1 ",
        "::1:7070", "[::1]",      "[::1]7070", "[::1:7070", "[]:1",
        "host:1:2", "host:+1",    "host:1x",   "[::1]:",    "host:99999999999999999999",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address address;
        struct stepd_error error;
        assert_int_equal(address_parse(bad[i], &address, &error), STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "write host:port"));
    }
}

static void address__host_too_long__is_refused(void **state)
{
    char text[ADDRESS_HOST_BYTES + 8];
    struct address address;
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + ADDRESS_HOST_BYTES - 1, ":1", 3);
    assert_int_equal(address_parse(text, &address, NULL), STEPD_OK);
    memset(text, 'a', sizeof text);
    memcpy(text + ADDRESS_HOST_BYTES, ":1", 3);
    assert_int_equal(address_parse(text, &address, NULL), STEPD_INVALID_ARGUMENT);
}

static struct sockaddr_storage resolved(const char *text)
{
    struct address address;
    struct sockaddr_storage socket_address;
    assert_int_equal(address_parse(text, &address, NULL), STEPD_OK);
    assert_int_equal(address_resolve(&address, &socket_address, NULL), STEPD_OK);
    return socket_address;
}

static void address__written__reads_as_given(void **state)
{
    static const char *const texts[] = {"127.0.0.1:7070", "0.0.0.0:0", "[::1]:1", "[::]:7070"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct sockaddr_storage socket_address = resolved(texts[i]);
        char text[ADDRESS_TEXT_BYTES];
        address_write((const struct sockaddr *)&socket_address, text, sizeof text);
        assert_string_equal(text, texts[i]);
    }
}

static void address__port__is_what_was_given(void **state)
{
    const struct sockaddr_storage v4 = resolved("127.0.0.1:7070");
    const struct sockaddr_storage v6 = resolved("[::1]:7071");
    (void)state;
    assert_int_equal(address_port((const struct sockaddr *)&v4), 7070);
    assert_int_equal(address_port((const struct sockaddr *)&v6), 7071);
}

static void address__loopback__is_what_no_other_machine_reaches(void **state)
{
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {
        {"127.0.0.1:1", true},          {"127.255.0.3:1", true}, {"[::1]:1", true},
        {"[::ffff:127.0.0.1]:1", true}, {"0.0.0.0:1", false},    {"[::]:1", false},
        {"10.0.0.1:1", false},          {"128.0.0.1:1", false},  {"[fe80::1]:1", false},
        {"[::ffff:10.0.0.1]:1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sockaddr_storage address = resolved(cases[i].text);
        assert_int_equal(address_is_loopback((const struct sockaddr *)&address), cases[i].loopback);
    }
}

static void address__unix_socket__is_loopback_and_written_so(void **state)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[ADDRESS_TEXT_BYTES];
    (void)state;
    assert_true(address_is_loopback((const struct sockaddr *)&address));
    address_write((const struct sockaddr *)&address, text, sizeof text);
    assert_string_equal(text, "unix");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address__parsed__gives_host_and_port),
        cmocka_unit_test(address__malformed__is_refused_with_what_is_wanted),
        cmocka_unit_test(address__host_too_long__is_refused),
        cmocka_unit_test(address__written__reads_as_given),
        cmocka_unit_test(address__port__is_what_was_given),
        cmocka_unit_test(address__loopback__is_what_no_other_machine_reaches),
        cmocka_unit_test(address__unix_socket__is_loopback_and_written_so),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
