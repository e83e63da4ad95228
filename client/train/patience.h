/* SPDX-License-Identifier: Apache-2.0
 *
 * Says what is waited for, once, when it takes longer than people wait without asking. Connecting
 * is tried again for many seconds, and a worker that is mute meanwhile looks as if it hung.
 */
#ifndef TRAIN_PATIENCE_H
#define TRAIN_PATIENCE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct patience {
    FILE *out;        /* borrowed until patience_end */
    const char *text; /* borrowed until patience_end */
    uint32_t after_ms;
    bool running; /* the thread is there to be joined */
    bool ended;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t end;
};

/* From now on: prints "<text>\n" after after_ms, unless it was ended before. Where the system has
 * no thread for it, nothing is ever said. Ended with patience_end. */
void patience_begin(struct patience *patience, FILE *out, const char *text, uint32_t after_ms);

/* Returns when nothing is printed any more. */
void patience_end(struct patience *patience);

#endif
