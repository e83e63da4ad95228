/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/net/sigpipe.h"

#include <stddef.h>
#include <time.h>

static bool is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

static sigset_t only_sigpipe(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    return set;
}

void stepd_sigpipe_hold(struct stepd_sigpipe *sigpipe)
{
    const sigset_t set = only_sigpipe();
    sigpipe->pending = is_pending();
    (void)pthread_sigmask(SIG_BLOCK, &set, &sigpipe->before);
}

void stepd_sigpipe_let_go(const struct stepd_sigpipe *sigpipe)
{
    static const struct timespec at_once = {.tv_sec = 0};
    const sigset_t set = only_sigpipe();
    if (!sigpipe->pending && is_pending())
        (void)sigtimedwait(&set, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &sigpipe->before, NULL);
}
