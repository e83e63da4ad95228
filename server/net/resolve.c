/* SPDX-License-Identifier: Apache-2.0
 *
 * The question and its answer are shared by who asks and the thread that looks up; whoever lets go
 * last frees them. The thread is detached and touches nothing else, so it may outlive everything.
 */
#include "server/net/resolve.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/error.h"

#define PORT_BYTES 8

struct lookup {
    pthread_mutex_t mutex;
    pthread_cond_t answered; /* by the monotonic clock */
    unsigned holders;
    bool done;
    struct address address;
    char port[PORT_BYTES];
    int result; /* of getaddrinfo */
    struct addrinfo *found;
};

/* ---- Both threads ---------------------------------------------------------------------------- */

static int look_up(const struct lookup *lookup, int flags, struct addrinfo **ret_found)
{
    const struct addrinfo wanted = {.ai_flags = AI_NUMERICSERV | flags, .ai_socktype = SOCK_STREAM};
    return getaddrinfo(lookup->address.host, lookup->port, &wanted, ret_found);
}

static void destroy(struct lookup *lookup)
{
    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    (void)pthread_cond_destroy(&lookup->answered);
    (void)pthread_mutex_destroy(&lookup->mutex);
    free(lookup);
}

/* The mutex is held, and let go of. */
static void leave(struct lookup *lookup)
{
    const bool last = --lookup->holders == 0;
    (void)pthread_mutex_unlock(&lookup->mutex);
    if (last)
        destroy(lookup);
}

/* ---- The thread that looks up ---------------------------------------------------------------- */

static void *run(void *self)
{
    struct lookup *const lookup = self;
    struct addrinfo *found = NULL;
    const int result = look_up(lookup, 0, &found);
    (void)pthread_mutex_lock(&lookup->mutex);
    lookup->result = result;
    lookup->found = result == 0 ? found : NULL;
    lookup->done = true;
    (void)pthread_cond_signal(&lookup->answered);
    leave(lookup);
    return NULL;
}

/* Nobody waits for it, and signals are for the threads that handle them. */
static bool start(struct lookup *lookup)
{
    pthread_attr_t detached;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    if (pthread_attr_init(&detached) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(&thread, &detached, run, lookup) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&detached);
    return started;
}

/* ---- Who asks -------------------------------------------------------------------------------- */

static bool init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0)
        return false;
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    const bool made = pthread_cond_init(condition, &monotonic) == 0;
    (void)pthread_condattr_destroy(&monotonic);
    return made;
}

/* NULL: no memory. */
static struct lookup *create(const struct address *address)
{
    struct lookup *const lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        return NULL;
    lookup->holders = 1;
    lookup->address = *address;
    (void)snprintf(lookup->port, sizeof lookup->port, "%u", (unsigned)address->port);
    if (pthread_mutex_init(&lookup->mutex, NULL) != 0) {
        free(lookup);
        return NULL;
    }
    if (init_condition(&lookup->answered))
        return lookup;
    (void)pthread_mutex_destroy(&lookup->mutex);
    free(lookup);
    return NULL;
}

static struct timespec later(struct timespec at, uint32_t ms)
{
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* The mutex is held. Until there is an answer, or nobody waits for it any more. */
static enum stepd_status await(struct lookup *lookup, uint32_t limit_ms, const atomic_bool *stop,
                               struct stepd_error *reterr)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    uint32_t left_ms = limit_ms;
    while (!lookup->done && left_ms > 0 && !atomic_load(stop)) {
        const uint32_t slice_ms = left_ms < RESOLVE_SLICE_MS ? left_ms : RESOLVE_SLICE_MS;
        int failure = 0;
        at = later(at, slice_ms);
        while (!lookup->done && failure == 0)
            failure = pthread_cond_timedwait(&lookup->answered, &lookup->mutex, &at);
        left_ms -= slice_ms;
    }
    if (lookup->done)
        return STEPD_OK;
    if (left_ms > 0)
        return stepd_fail(reterr, STEPD_CANCELLED, "nobody wants it any more");
    return stepd_fail(reterr, STEPD_UNAVAILABLE,
                      "the resolver has not answered for %u ms, asked for host %.80s; look at "
                      "/etc/resolv.conf, or list the host's address",
                      (unsigned)limit_ms, lookup->address.host);
}

/* Of a name. The mutex is held. */
static enum stepd_status ask(struct lookup *lookup, uint32_t limit_ms, const atomic_bool *stop,
                             struct stepd_error *reterr)
{
    lookup->holders++;
    if (start(lookup))
        return await(lookup, limit_ms, stop, reterr);
    lookup->holders--;
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "the system has no thread to look a host up");
}

enum stepd_status resolve_host(const struct address *address, uint32_t limit_ms,
                               const atomic_bool *stop, struct addrinfo **ret_found,
                               struct stepd_error *reterr)
{
    struct lookup *const lookup = create(address);
    enum stepd_status status = STEPD_OK;
    if (lookup == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to look a host up");
    (void)pthread_mutex_lock(&lookup->mutex);
    lookup->result = look_up(lookup, AI_NUMERICHOST, &lookup->found);
    if (lookup->result != 0) {
        lookup->found = NULL;
        status = ask(lookup, limit_ms, stop, reterr);
    }
    if (status == STEPD_OK && lookup->result != 0)
        status = stepd_fail(reterr, STEPD_UNAVAILABLE, "host %.80s is not known: %s", address->host,
                            gai_strerror(lookup->result));
    if (status == STEPD_OK) {
        *ret_found = lookup->found;
        lookup->found = NULL;
    }
    leave(lookup);
    return status;
}
