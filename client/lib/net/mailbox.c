/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags are raised and looked at under the mutex, so that when await has returned, raise has let
 * go of the flag: it may live on the stack of the one who waits. They are atomic only so that
 * stepd_done() may peek without the mutex.
 */
#include "client/lib/net/mailbox.h"

#include <stddef.h>
#include <time.h>

enum stepd_status stepd_mailbox_init(struct stepd_mailbox *mailbox)
{
    pthread_condattr_t monotonic;
    *mailbox = (struct stepd_mailbox){.first = NULL};
    if (pthread_condattr_init(&monotonic) != 0)
        return STEPD_RESOURCE_EXHAUSTED;
    int failed = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    if (failed == 0)
        failed = pthread_cond_init(&mailbox->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (failed != 0)
        return STEPD_RESOURCE_EXHAUSTED;
    if (pthread_mutex_init(&mailbox->mutex, NULL) == 0)
        return STEPD_OK;
    (void)pthread_cond_destroy(&mailbox->changed);
    return STEPD_RESOURCE_EXHAUSTED;
}

void stepd_mailbox_deinit(struct stepd_mailbox *mailbox)
{
    (void)pthread_mutex_destroy(&mailbox->mutex);
    (void)pthread_cond_destroy(&mailbox->changed);
}

void stepd_mailbox_put(struct stepd_mailbox *mailbox, struct stepd_letter *letter)
{
    letter->next = NULL;
    (void)pthread_mutex_lock(&mailbox->mutex);
    if (mailbox->last == NULL)
        mailbox->first = letter;
    else
        mailbox->last->next = letter;
    mailbox->last = letter;
    (void)pthread_mutex_unlock(&mailbox->mutex);
}

struct stepd_letter *stepd_mailbox_take(struct stepd_mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->mutex);
    struct stepd_letter *const first = mailbox->first;
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

bool stepd_mailbox_await(struct stepd_mailbox *mailbox, const atomic_bool *flag, uint64_t until_ms)
{
    const struct timespec until = {
        .tv_sec = (time_t)(until_ms / 1000),
        .tv_nsec = (long)(until_ms % 1000) * 1000000,
    };
    (void)pthread_mutex_lock(&mailbox->mutex);
    int waited = 0;
    while (!atomic_load(flag) && waited == 0) {
        if (until_ms == 0)
            (void)pthread_cond_wait(&mailbox->changed, &mailbox->mutex);
        else
            waited = pthread_cond_timedwait(&mailbox->changed, &mailbox->mutex, &until);
    }
    const bool raised = atomic_load(flag);
    (void)pthread_mutex_unlock(&mailbox->mutex);
    return raised;
}
