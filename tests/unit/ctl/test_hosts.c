/* SPDX-License-Identifier: Apache-2.0
 *
 * Which hosts a list and a file name, and which ranks they get.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/ctl/hosts.h"

static void assert_host(const struct hosts *hosts, size_t i, const char *name, unsigned slots)
{
    assert_true(i < hosts->count);
    assert_string_equal(hosts->host[i].name, name);
    assert_int_equal(hosts->host[i].slots, slots);
}

static void list__of_all_kinds_of_names__is_read(void **state)
{
    struct hosts hosts = {.count = 0};
    (void)state;
    assert_int_equal(hosts_add(&hosts, "a,b.example:3,me@c:2,10.0.0.1:4,[fd00::1]:5", NULL),
                     STEPD_OK);
    assert_int_equal(hosts_add(&hosts, "fd00::2,me@[fd00::3],[fe80::1%eth0]:4096", NULL), STEPD_OK);
    assert_int_equal(hosts.count, 8);
    assert_host(&hosts, 0, "a", 1);
    assert_host(&hosts, 1, "b.example", 3);
    assert_host(&hosts, 2, "me@c", 2);
    assert_host(&hosts, 3, "10.0.0.1", 4);
    assert_host(&hosts, 4, "fd00::1", 5);
    assert_host(&hosts, 5, "fd00::2", 1);
    assert_host(&hosts, 6, "me@fd00::3", 1);
    assert_host(&hosts, 7, "fe80::1%eth0", 4096);
    assert_int_equal(hosts.slots, 1 + 3 + 2 + 4 + 5 + 1 + 1 + 4096);
    hosts_deinit(&hosts);
}

static void list__with_what_is_no_host__is_refused(void **state)
{
    static const char *const lists[] = {
        "",       ",",   "a,",   "a,,b", "-a",   "a b",     "a;b", "$(id)",   "a:",           "a:0",
        "a:4097", "a:x", "a:1x", "a:-1", "[::1", "[::1]:0", "a,a", "a:2,a:3", "a:99999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct hosts hosts = {.count = 0};
        struct stepd_error error = {.text = ""};
        if (hosts_add(&hosts, lists[i], &error) != STEPD_INVALID_ARGUMENT)
            fail_msg("'%s' was taken", lists[i]);
        assert_true(error.text[0] != '\0');
        hosts_deinit(&hosts);
    }
}

static void ranks__are_dealt__host_by_host(void **state)
{
    struct hosts hosts = {.count = 0};
    unsigned workers = 0;
    (void)state;
    assert_int_equal(hosts_add(&hosts, "a:2,b:4,c", NULL), STEPD_OK);
    assert_int_equal(hosts_deal(&hosts, 0, &workers, NULL), STEPD_OK);
    assert_int_equal(workers, 7);
    assert_int_equal(hosts.host[1].first, 2);
    assert_int_equal(hosts.host[1].workers, 4);
    assert_int_equal(hosts.host[2].first, 6);
    assert_int_equal(hosts_deal(&hosts, 3, &workers, NULL), STEPD_OK);
    assert_int_equal(workers, 3);
    assert_int_equal(hosts.count, 2);
    assert_int_equal(hosts.host[1].workers, 1);
    hosts_deinit(&hosts);
}

static void ranks__that_are_too_many__are_refused(void **state)
{
    struct hosts hosts = {.count = 0};
    unsigned workers = 77;
    struct stepd_error error;
    (void)state;
    assert_int_equal(hosts_deal(&hosts, 0, &workers, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(hosts_add(&hosts, "a:4096,b:2", NULL), STEPD_OK);
    assert_int_equal(hosts_deal(&hosts, 4099, &workers, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(hosts_deal(&hosts, 0, &workers, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "4098 workers are more than 4096"));
    assert_int_equal(workers, 77);
    hosts_deinit(&hosts);
}

/* Reads a file with this text. The error, if any, is the caller's to look at. */
static enum stepd_status read_text(const char *text, struct hosts *hosts, struct stepd_error *error)
{
    char path[] = "/tmp/stepd-test-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    const enum stepd_status status = hosts_read(hosts, path, error);
    assert_int_equal(unlink(path), 0);
    return status;
}

static void file__with_comments_and_both_notations__is_read(void **state)
{
    struct hosts hosts = {.count = 0};
    (void)state;
    assert_int_equal(read_text("# ours\n\n a:2 # two\nb slots=3\r\n\tc\n#d\ne", &hosts, NULL),
                     STEPD_OK);
    assert_int_equal(hosts.count, 4);
    assert_host(&hosts, 0, "a", 2);
    assert_host(&hosts, 1, "b", 3);
    assert_host(&hosts, 2, "c", 1);
    assert_host(&hosts, 3, "e", 1);
    hosts_deinit(&hosts);
}

static void file__with_a_mistake__names_its_line(void **state)
{
    static const char *const texts[] = {"a\nb c", "a\nb slots=0", "a\n-b", "a\na",
                                        "a\nb slots=1 x"};
    char long_line[1024];
    struct stepd_error error;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct hosts hosts = {.count = 0};
        assert_int_equal(read_text(texts[i], &hosts, &error), STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, ":2: "));
        hosts_deinit(&hosts);
    }
    struct hosts hosts = {.count = 0};
    memset(long_line, 'h', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = '\0';
    assert_int_equal(read_text(long_line, &hosts, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "too long"));
    assert_int_equal(read_text("\n# nobody\n", &hosts, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "names no host"));
    assert_int_equal(read_text("a slots=zz", &hosts, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "host 'a': behind slots= "));
    assert_int_equal(hosts_read(&hosts, "/no/such/file", &error), STEPD_NOT_FOUND);
    hosts_deinit(&hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list__of_all_kinds_of_names__is_read),
        cmocka_unit_test(list__with_what_is_no_host__is_refused),
        cmocka_unit_test(ranks__are_dealt__host_by_host),
        cmocka_unit_test(ranks__that_are_too_many__are_refused),
        cmocka_unit_test(file__with_comments_and_both_notations__is_read),
        cmocka_unit_test(file__with_a_mistake__names_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
