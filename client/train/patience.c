/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread that sleeps on a condition variable until it is told to end, or the time has come.
 */
#include "client/train/patience.h"

#include <errno.h>
#include <time.h>

static void *wait_and_say(void *self)
{
    struct patience *const patience = self;
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    const uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)patience->after_ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    int result = 0;
    (void)pthread_mutex_lock(&patience->mutex);
    while (!patience->ended && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&patience->end, &patience->mutex, &until);
    if (!patience->ended) {
        (void)fprintf(patience->out, "%s\n", patience->text);
        (void)fflush(patience->out);
    }
    (void)pthread_mutex_unlock(&patience->mutex);
    return NULL;
}

void patience_begin(struct patience *patience, FILE *out, const char *text, uint32_t after_ms)
{
    *patience = (struct patience){.out = out, .text = text, .after_ms = after_ms};
    (void)pthread_mutex_init(&patience->mutex, NULL); /* neither fails on Linux */
    (void)pthread_cond_init(&patience->end, NULL);
    patience->running = pthread_create(&patience->thread, NULL, wait_and_say, patience) == 0;
}

void patience_end(struct patience *patience)
{
    (void)pthread_mutex_lock(&patience->mutex);
    patience->ended = true;
    (void)pthread_cond_signal(&patience->end);
    (void)pthread_mutex_unlock(&patience->mutex);
    if (patience->running)
        (void)pthread_join(patience->thread, NULL);
    (void)pthread_cond_destroy(&patience->end);
    (void)pthread_mutex_destroy(&patience->mutex);
}
