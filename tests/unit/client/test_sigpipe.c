/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing to who has gone, while SIGPIPE is held back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/lib/net/sigpipe.h"

static volatile sig_atomic_t caught;

static void on_sigpipe(int number)
{
    (void)number;
    caught++;
}

static int setup(void **state)
{
    (void)state;
    caught = 0;
    return signal(SIGPIPE, on_sigpipe) == SIG_ERR;
}

/* Without send()'s flag, as writev() would. */
static void write_to_nobody(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    (void)close(pair[1]);
    assert_int_equal(write(pair[0], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    (void)close(pair[0]);
}

static sigset_t only_sigpipe(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    return set;
}

static void sigpipe__held_back__never_comes(void **state)
{
    (void)state;
    struct stepd_sigpipe sigpipe;
    stepd_sigpipe_hold(&sigpipe);
    write_to_nobody();
    stepd_sigpipe_let_go(&sigpipe);
    assert_int_equal(caught, 0);
    write_to_nobody();
    assert_int_equal(caught, 1); /* the process's handling is as it was */
}

static void sigpipe__that_was_pending__stays_the_processs(void **state)
{
    (void)state;
    struct stepd_sigpipe sigpipe;
    const sigset_t set = only_sigpipe();
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    assert_int_equal(raise(SIGPIPE), 0);
    stepd_sigpipe_hold(&sigpipe);
    write_to_nobody();
    stepd_sigpipe_let_go(&sigpipe);
    assert_int_equal(caught, 0);
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    assert_int_equal(caught, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sigpipe__held_back__never_comes, setup),
        cmocka_unit_test_setup(sigpipe__that_was_pending__stays_the_processs, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
