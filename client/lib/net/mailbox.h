/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the callers' threads and the client's own: letters go in, and flags that somebody waits
 * for come out. One mutex; nothing else in the client is locked.
 *
 * A letter is embedded in what it is about (an operation, a call), so that posting one allocates
 * nothing and cannot fail.
 */
#ifndef CLIENT_LIB_NET_MAILBOX_H
#define CLIENT_LIB_NET_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

struct stepd_loop;

struct stepd_mail {
    struct stepd_mail *next;
    /* Called once, in the thread that runs the loop. */
    void (*deliver)(struct stepd_loop *loop, struct stepd_mail *letter);
};

struct stepd_mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* a flag was raised, or nobody runs the loop any more */
    pthread_cond_t due;     /* there is something for the client's own thread to do */
    struct stepd_mail *first, *last;
};

/* RESOURCE_EXHAUSTED: the system has no more of these. */
enum stepd_status stepd_mailbox_init(struct stepd_mailbox *mailbox) STEPD_MUST_CHECK;

void stepd_mailbox_deinit(struct stepd_mailbox *mailbox);

/* Appends a letter (borrowed until it is delivered). The caller holds the mutex. */
void stepd_mailbox_put(struct stepd_mailbox *mailbox, struct stepd_mail *letter);

/* Takes all letters, oldest first; NULL if there are none. */
struct stepd_mail *stepd_mailbox_take(struct stepd_mailbox *mailbox);

/* Raises a flag. Whoever waits for it may free it as soon as stepd_loop_await returns. */
void stepd_mailbox_raise(struct stepd_mailbox *mailbox, atomic_bool *flag);

/* Waits for one of the conditions, until until_ms (stepd_clock_ms) at most, or for ever (0); may
 * return earlier. The caller holds the mutex. False: the time is over. */
bool stepd_mailbox_wait(struct stepd_mailbox *mailbox, pthread_cond_t *what, uint64_t until_ms);

#endif
