/* SPDX-License-Identifier: Apache-2.0
 *
 * The limit of descriptors against the number of connections. The limit of a process cannot be
 * raised again by everybody who lowers it, so each test lowers that of a child.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/net/limits.h"

/* What a child found out. */
enum found {
    FOUND_ENOUGH,
    FOUND_RAISED,  /* enough, and the soft limit is the hard one now */
    FOUND_TOO_FEW, /* refused, with the numbers in the text */
    FOUND_OTHER,
};

/* In a child: asks for 500 connections and 2 shards under these limits. */
static enum found ask(rlim_t soft, rlim_t hard)
{
    const struct rlimit lowered = {.rlim_cur = soft, .rlim_max = hard};
    struct rlimit now;
    uint64_t spare = UINT64_MAX;
    struct stepd_error error;
    if (setrlimit(RLIMIT_NOFILE, &lowered) != 0)
        return FOUND_OTHER;
    const enum stepd_status status = limits_raise_descriptors(500, 2, &spare, &error);
    if (status == STEPD_FAILED_PRECONDITION)
        return strstr(error.text, "connections_max 500 needs 580 descriptors") != NULL &&
                       strstr(error.text, "the limit is 579") != NULL
                   ? FOUND_TOO_FEW
                   : FOUND_OTHER;
    if (status != STEPD_OK || getrlimit(RLIMIT_NOFILE, &now) != 0 || spare != now.rlim_cur - 580)
        return FOUND_OTHER;
    return now.rlim_cur == hard && soft < hard ? FOUND_RAISED : FOUND_ENOUGH;
}

static enum found ask_child(rlim_t soft, rlim_t hard)
{
    int status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(ask(soft, hard));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return (enum found)WEXITSTATUS(status);
}

static void limits__enough__are_left(void **state)
{
    (void)state;
    assert_int_equal(ask_child(580, 580), FOUND_ENOUGH);
}

static void limits__soft_limit_too_low__is_raised(void **state)
{
    (void)state;
    assert_int_equal(ask_child(64, 580), FOUND_RAISED);
}

static void limits__hard_limit_too_low__is_refused_with_the_numbers(void **state)
{
    (void)state;
    assert_int_equal(ask_child(64, 579), FOUND_TOO_FEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits__enough__are_left),
        cmocka_unit_test(limits__soft_limit_too_low__is_raised),
        cmocka_unit_test(limits__hard_limit_too_low__is_refused_with_the_numbers),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
