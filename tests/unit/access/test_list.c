/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of those who are known: what its lines say, and what is no line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/access/list.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000"
#define A     "sha256:" ZEROS "00a"
#define B     "sha256:" ZEROS "00B"

static struct access_list *list_of(const char *text)
{
    struct access_list *list = NULL;
    struct stepd_error error = {.text = ""};
    if (access_list_read(text, strlen(text), &list, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return list;
}

static const struct access_grant *find(const struct access_list *list, const char *key)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    assert_true(token_key_read(key, hash));
    return access_list_find(list, hash);
}

static void list__of_lines__is_found_by_their_keys(void **state)
{
    (void)state;
    struct access_list *const list = list_of("# who role jobs until key\n"
                                             "\n"
                                             "  alice\twork mnist,ab* 1970-01-02 " A "\r\n"
                                             "bob admin * never " B);
    assert_int_equal(access_list_count(list), 2);
    const struct access_grant *const alice = find(list, A);
    assert_non_null(alice);
    assert_string_equal(alice->who, "alice");
    assert_int_equal(alice->role, ACCESS_WORK);
    assert_int_equal(alice->until_s, 86400);
    assert_int_equal(alice->line, 3);
    const struct access_grant *const bob = find(list, B);
    assert_non_null(bob);
    assert_string_equal(bob->who, "bob");
    assert_int_equal(bob->role, ACCESS_ADMIN);
    assert_int_equal(bob->until_s, ACCESS_FOREVER);
    assert_null(find(list, "sha256:" ZEROS "00c"));
    access_list_destroy(list);
}

static void name__of_a_certificate__is_found_by_it_alone(void **state)
{
    (void)state;
    struct access_list *const list = list_of("a work * never certificate:node7\n"
                                             "b work * never sha256:" ZEROS "000");
    assert_string_equal(access_list_find_name(list, "node7")->who, "a");
    assert_null(access_list_find_name(list, "node"));
    assert_string_equal(find(list, "sha256:" ZEROS "000")->who,
                        "b"); /* a certificate has no hash */
    assert_ptr_equal(access_list_find_like(list, access_list_find_name(list, "node7")),
                     access_list_find_name(list, "node7"));
    access_list_destroy(list);
}

static void grant__of_some_jobs__covers_these_and_no_others(void **state)
{
    (void)state;
    struct access_list *const list = list_of("a work mnist,ab*,a?b never " A);
    const struct access_grant *const grant = find(list, A);
    assert_true(access_grant_covers(grant, "mnist"));
    assert_true(access_grant_covers(grant, "abc"));
    assert_true(access_grant_covers(grant, "a b"));
    assert_true(access_grant_covers(grant, "")); /* about no job */
    assert_false(access_grant_covers(grant, "mnist2"));
    assert_false(access_grant_covers(grant, "a"));
    access_list_destroy(list);
}

static void grant__at_its_last_second__is_over_with_the_next(void **state)
{
    (void)state;
    struct access_list *const list =
        list_of("a work * 1970-01-02T00:00:00Z " A "\nb work * never " B);
    assert_false(access_grant_is_over(find(list, A), 86399));
    assert_true(access_grant_is_over(find(list, A), 86400));
    assert_false(access_grant_is_over(find(list, B), INT64_C(1) << 50));
    access_list_destroy(list);
}

static void list__without_lines__knows_nobody(void **state)
{
    (void)state;
    struct access_list *const list = list_of("# nobody\n");
    assert_int_equal(access_list_count(list), 0);
    assert_null(find(list, A));
    access_list_destroy(list);
}

static void line__that_is_none__is_named_by_its_number_without_its_key(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"a work * never", "line 2: a line has 5 words"},
        {"a work * never " A " more", "a line has 5 words"},
        {"a boss * never " A, "there is no role \"boss\": it is observe, work, admin or peer"},
        {"a rolestepd_secret * never " A,
         "there is no role (a token or a key): it is observe, work, admin or peer"},
        {"a work * " A " never", "(a token or a key) is no date: write 2027-01-31, "
                                 "2027-01-31T12:00:00Z or never"},
        {"a work * tomorrow " A, "\"tomorrow\" is no date"},
        {"a work * never sha256:abc", "the last word is no key"},
        {"a work * never md5:" ZEROS, "the last word is no key"},
        {"a work * never certificate:", "the last word is no key"},
        {"a work a,,b never " A, "one of the jobs is empty"},
        {"a work a, never " A, "one of the jobs is empty"},
        {"a\x01 work * never " A, "the first word is a name"},
        {"first observe x never sha256:" ZEROS "00d", "line 1 has the same key"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct access_list *list = NULL;
        struct stepd_error error = {.text = ""};
        (void)snprintf(text, sizeof text, "z work * never sha256:" ZEROS "00d\n%s\n",
                       cases[i].line);
        assert_int_equal(access_list_read(text, strlen(text), &list, &error),
                         STEPD_INVALID_ARGUMENT);
        assert_null(list);
        if (strstr(error.text, cases[i].says) == NULL || strstr(error.text, ZEROS) != NULL)
            fail_msg("%s: %s", cases[i].line, error.text);
    }
}

static void list__with_a_nul__is_refused(void **state)
{
    (void)state;
    struct access_list *list = NULL;
    struct stepd_error error;
    assert_int_equal(access_list_read("#\0a", 3, &list, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "NUL"));
}

static void list__too_long__is_refused(void **state)
{
    (void)state;
    struct access_list *list = NULL;
    struct stepd_error error;
    char *const text = malloc(ACCESS_TEXT_MAX_BYTES + 1);
    assert_non_null(text);
    memset(text, '#', ACCESS_TEXT_MAX_BYTES + 1);
    assert_int_equal(access_list_read(text, ACCESS_TEXT_MAX_BYTES + 1, &list, &error),
                     STEPD_RESOURCE_EXHAUSTED);
    assert_int_equal(access_list_read(text, ACCESS_TEXT_MAX_BYTES, &list, &error), STEPD_OK);
    access_list_destroy(list);
    free(text);
}

static void line__of_too_many_jobs__is_refused(void **state)
{
    char text[1024] = "a work ";
    struct access_list *list = NULL;
    struct stepd_error error;
    (void)state;
    for (size_t i = 0; i < ACCESS_JOBS_MAX; i++)
        (void)strcat(text, "j,");
    (void)strcat(text, "j never " A);
    assert_int_equal(access_list_read(text, strlen(text), &list, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "65 jobs; at most 64"));
}

static void role__by_its_name__is_found(void **state)
{
    (void)state;
    enum access_role role = ACCESS_OBSERVE;
    assert_true(access_role_find("admin", &role));
    assert_int_equal(role, ACCESS_ADMIN);
    assert_string_equal(access_role_name(ACCESS_WORK), "work");
    assert_false(access_role_find("Admin", &role));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list__of_lines__is_found_by_their_keys),
        cmocka_unit_test(name__of_a_certificate__is_found_by_it_alone),
        cmocka_unit_test(grant__of_some_jobs__covers_these_and_no_others),
        cmocka_unit_test(grant__at_its_last_second__is_over_with_the_next),
        cmocka_unit_test(list__without_lines__knows_nobody),
        cmocka_unit_test(line__that_is_none__is_named_by_its_number_without_its_key),
        cmocka_unit_test(list__with_a_nul__is_refused),
        cmocka_unit_test(list__too_long__is_refused),
        cmocka_unit_test(line__of_too_many_jobs__is_refused),
        cmocka_unit_test(role__by_its_name__is_found),
    };
    return cmocka_run_group_tests_name("access_list", tests, NULL, NULL);
}
