/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags are raised and looked at under the mutex, so that when stepd_loop_await has returned, raise
 * has let go of the flag: it may live on the stack of the one who waits. They are atomic only so
 * that stepd_done() may peek without the mutex.
 */
#include "client/lib/net/mailbox.h"

#include <stddef.h>
#include <time.h>

static int make_conds(struct stepd_mailbox *mailbox)
{
    pthread_condattr_t monotonic;
    int failed = pthread_condattr_init(&monotonic);
    if (failed != 0)
        return failed;
    failed = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    if (failed == 0)
        failed = pthread_cond_init(&mailbox->changed, &monotonic);
    if (failed == 0) {
        failed = pthread_cond_init(&mailbox->due, &monotonic);
        if (failed != 0)
            (void)pthread_cond_destroy(&mailbox->changed);
    }
    (void)pthread_condattr_destroy(&monotonic);
    return failed;
}

enum stepd_status stepd_mailbox_init(struct stepd_mailbox *mailbox)
{
    *mailbox = (struct stepd_mailbox){.first = NULL};
    if (make_conds(mailbox) != 0)
        return STEPD_RESOURCE_EXHAUSTED;
    if (pthread_mutex_init(&mailbox->mutex, NULL) == 0)
        return STEPD_OK;
    (void)pthread_cond_destroy(&mailbox->changed);
    (void)pthread_cond_destroy(&mailbox->due);
    return STEPD_RESOURCE_EXHAUSTED;
}

void stepd_mailbox_deinit(struct stepd_mailbox *mailbox)
{
    (void)pthread_mutex_destroy(&mailbox->mutex);
    (void)pthread_cond_destroy(&mailbox->changed);
    (void)pthread_cond_destroy(&mailbox->due);
}

void stepd_mailbox_put(struct stepd_mailbox *mailbox, struct stepd_mail *letter)
{
    letter->next = NULL;
    if (mailbox->last == NULL)
        mailbox->first = letter;
    else
        mailbox->last->next = letter;
    mailbox->last = letter;
}

struct stepd_mail *stepd_mailbox_take(struct stepd_mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->mutex);
    struct stepd_mail *const first = mailbox->first;
    mailbox->first = NULL;
    mailbox->last = NULL;
    (void)pthread_mutex_unlock(&mailbox->mutex);
    return first;
}

void stepd_mailbox_raise(struct stepd_mailbox *mailbox, atomic_bool *flag)
{
    (void)pthread_mutex_lock(&mailbox->mutex);
    atomic_store(flag, true);
    (void)pthread_cond_broadcast(&mailbox->changed);
    (void)pthread_mutex_unlock(&mailbox->mutex);
}

bool stepd_mailbox_wait(struct stepd_mailbox *mailbox, pthread_cond_t *what, uint64_t until_ms)
{
    const struct timespec until = {
        .tv_sec = (time_t)(until_ms / 1000),
        .tv_nsec = (long)(until_ms % 1000) * 1000000,
    };
    return until_ms == 0 ? pthread_cond_wait(what, &mailbox->mutex) == 0
                         : pthread_cond_timedwait(what, &mailbox->mutex, &until) == 0;
}
