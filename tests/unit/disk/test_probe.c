/* SPDX-License-Identifier: Apache-2.0
 *
 * One folder is known for one, and another is not taken for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/disk/file.h"
#include "server/disk/probe.h"
#include "tests/unit/disk/scratch.h"

static struct store *open_store(const struct scratch *scratch)
{
    struct store *store = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    if (store_open(scratch_path(scratch, "store"), &store, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return store;
}

static bool count(void *owner, const char *name)
{
    size_t *const names = owner;
    *names += strncmp(name, ".probe-", 7) == 0;
    return true;
}

static size_t count_probes(const struct store *store)
{
    size_t names = 0;
    assert_true(file_walk(store_folder(store), count, &names));
    return names;
}

static void probe__in_the_same_folder__is_seen(void **state)
{
    struct store *store = open_store(*state);
    char name[PROBE_NAME_BYTES];
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(probe_write(store, name, &error), STEPD_OK);
    assert_int_equal(strlen(name), PROBE_NAME_BYTES - 1);
    if (probe_see(scratch_path(*state, "store"), name, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(symlink("store", scratch_path(*state, "other")), 0); /* another way to it */
    assert_int_equal(probe_see(scratch_path(*state, "other"), name, &error), STEPD_OK);
    assert_int_equal(count_probes(store), 1);
    probe_remove(store, name);
    probe_remove(store, name);
    assert_int_equal(count_probes(store), 0);
    assert_int_equal(probe_see(scratch_path(*state, "store"), name, &error), STEPD_NOT_FOUND);
    (void)store_close(store);
}

static void probe__from_another_folder__is_not_seen(void **state)
{
    struct store *store = open_store(*state);
    char name[PROBE_NAME_BYTES];
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(probe_write(store, name, &error), STEPD_OK);
    assert_int_equal(mkdir(scratch_path(*state, "elsewhere"), 0700), 0);
    assert_int_equal(probe_see(scratch_path(*state, "elsewhere"), name, &error), STEPD_NOT_FOUND);
    assert_int_equal(probe_see(scratch_path(*state, "nowhere"), name, &error),
                     STEPD_FAILED_PRECONDITION);
    assert_null(strstr(error.text, "nowhere")); /* the text goes to a peer */
    (void)store_close(store);
}

static void probe__of_a_name_that_leads_elsewhere__is_none(void **state)
{
    static const char *const names[] = {
        "",
        "lock",
        "..",
        ".probe-",
        ".probe-0123456789abcdef0123456789abcde",
        ".probe-0123456789abcdef0123456789abcdef0",
        ".probe-0123456789abcdef0123456789abcdeX",
        "../.probe-0123456789abcdef0123456789abcdef",
    };
    struct store *store = open_store(*state);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stepd_error error;
        assert_int_equal(probe_see(scratch_path(*state, "store"), names[i], &error),
                         STEPD_INVALID_ARGUMENT);
        probe_remove(store, names[i]);
    }
    assert_true(scratch_has(*state, "store/lock"));
    (void)store_close(store);
}

static void probe__of_a_daemon_that_died__is_removed_by_the_next(void **state)
{
    struct store *store = open_store(*state);
    char name[2][PROBE_NAME_BYTES];
    struct stepd_error error = {.code = STEPD_OK};
    scratch_write(*state, "store/.probe-thesis", "somebody else's");
    assert_int_equal(probe_write(store, name[0], &error), STEPD_OK);
    assert_int_equal(probe_write(store, name[1], &error), STEPD_OK);
    assert_string_not_equal(name[0], name[1]);
    assert_int_equal(probe_see(scratch_path(*state, "store"), name[0], &error), STEPD_NOT_FOUND);
    assert_int_equal(probe_see(scratch_path(*state, "store"), name[1], &error), STEPD_OK);
    assert_true(scratch_has(*state, "store/.probe-thesis"));
    (void)store_close(store);
}

static void probe__in_a_folder_that_cannot_be_written_to__says_so(void **state)
{
    struct store *store = open_store(*state);
    char name[PROBE_NAME_BYTES];
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(probe_write(store, name, &error), STEPD_OK);
    if (geteuid() == 0) { /* whom nothing is forbidden */
        (void)store_close(store);
        skip();
    }
    assert_int_equal(chmod(scratch_path(*state, "store"), 0500), 0);
    assert_int_equal(probe_see(scratch_path(*state, "store"), name, &error),
                     STEPD_PERMISSION_DENIED);
    assert_int_equal(chmod(scratch_path(*state, "store"), 0700), 0);
    (void)store_close(store);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(probe__in_the_same_folder__is_seen),
        TEST(probe__from_another_folder__is_not_seen),
        TEST(probe__of_a_name_that_leads_elsewhere__is_none),
        TEST(probe__of_a_daemon_that_died__is_removed_by_the_next),
        TEST(probe__in_a_folder_that_cannot_be_written_to__says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
