/* SPDX-License-Identifier: Apache-2.0
 *
 * A lookup has two halves, one of the loop's thread and one that is shared with the thread that
 * looks up. That thread wakes the loop under the shared half's mutex, and only as long as nobody
 * has cancelled, so it never touches a handle that is closed; whoever lets go last frees the
 * shared half.
 */
#include "client/lib/net/lookup.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "proto/error.h"

struct shared {
    pthread_mutex_t mutex;
    unsigned holders;
    uv_async_t *wake; /* NULL: cancelled */
    bool found_out;
    struct stepd_address address;
    int result; /* of getaddrinfo */
    struct addrinfo *found;
};

struct stepd_lookup {
    uv_async_t wake;
    stepd_lookup_done *done;
    void *user;
    struct shared *shared;
};

static int look_up(const struct stepd_address *address, int flags, struct addrinfo **ret_found)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    return getaddrinfo(address->host, address->port, &hints, ret_found);
}

static void destroy_shared(struct shared *shared)
{
    if (shared == NULL)
        return;
    if (shared->found != NULL)
        freeaddrinfo(shared->found);
    (void)pthread_mutex_destroy(&shared->mutex);
    free(shared);
}

/* The mutex is held, and let go of. */
static void leave(struct shared *shared)
{
    const bool last = --shared->holders == 0;
    (void)pthread_mutex_unlock(&shared->mutex);
    if (last)
        destroy_shared(shared);
}

static void *run(void *self)
{
    struct shared *const shared = self;
    struct addrinfo *found = NULL;
    const int result = look_up(&shared->address, 0, &found);
    (void)pthread_mutex_lock(&shared->mutex);
    shared->result = result;
    shared->found = result == 0 ? found : NULL;
    shared->found_out = true;
    if (shared->wake != NULL)
        (void)uv_async_send(shared->wake);
    leave(shared);
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void let_go(struct stepd_lookup *lookup)
{
    (void)pthread_mutex_lock(&lookup->shared->mutex);
    lookup->shared->wake = NULL;
    leave(lookup->shared);
    uv_close((uv_handle_t *)&lookup->wake, on_closed);
}

struct stepd_lookup *stepd_lookup_cancel(struct stepd_lookup *lookup)
{
    if (lookup != NULL)
        let_go(lookup);
    return NULL;
}

static void on_wake(uv_async_t *wake)
{
    struct stepd_lookup *const lookup = wake->data;
    struct shared *const shared = lookup->shared;
    struct stepd_error error = {.code = STEPD_OK};
    (void)pthread_mutex_lock(&shared->mutex);
    const bool found_out = shared->found_out;
    struct addrinfo *const found = shared->found;
    shared->found = NULL;
    if (found_out && found == NULL)
        (void)stepd_fail(&error, STEPD_UNAVAILABLE, "cannot find host '%s': %s",
                         shared->address.host, gai_strerror(shared->result));
    (void)pthread_mutex_unlock(&shared->mutex);
    if (!found_out)
        return;
    stepd_lookup_done *const done = lookup->done;
    void *const user = lookup->user;
    let_go(lookup);
    done(user, found, &error);
}

/* A thread that nobody waits for, with all signals blocked: the process's handlers are not ours. */
static bool start_thread(struct shared *shared)
{
    pthread_attr_t detached;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&detached) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread, &detached, run, shared);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&detached);
    return failed == 0;
}

static struct shared *create_shared(const struct stepd_address *address, uv_async_t *wake)
{
    struct shared *const shared = calloc(1, sizeof *shared);
    if (shared == NULL)
        return NULL;
    if (pthread_mutex_init(&shared->mutex, NULL) != 0) {
        free(shared);
        return NULL;
    }
    shared->holders = 2;
    shared->wake = wake;
    shared->address = *address;
    return shared;
}

/* Numbers need no thread. */
static void begin(struct stepd_lookup *lookup, bool *ret_started)
{
    struct shared *const shared = lookup->shared;
    *ret_started = true;
    shared->result = look_up(&shared->address, AI_NUMERICHOST, &shared->found);
    if (shared->result != 0) {
        *ret_started = start_thread(shared);
        if (*ret_started)
            return;
    }
    shared->holders--;
    shared->found_out = true;
    (void)uv_async_send(&lookup->wake);
}

enum stepd_status stepd_lookup_start(uv_loop_t *uv, const struct stepd_address *address,
                                     stepd_lookup_done *done, void *user,
                                     struct stepd_lookup **ret_lookup, struct stepd_error *reterr)
{
    struct stepd_lookup *const lookup = calloc(1, sizeof *lookup);
    struct shared *const shared = lookup == NULL ? NULL : create_shared(address, &lookup->wake);
    if (shared == NULL || uv_async_init(uv, &lookup->wake, on_wake) != 0) {
        destroy_shared(shared);
        free(lookup);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to connect");
    }
    lookup->wake.data = lookup;
    lookup->done = done;
    lookup->user = user;
    lookup->shared = shared;
    bool started;
    begin(lookup, &started);
    if (started) {
        *ret_lookup = lookup;
        return STEPD_OK;
    }
    let_go(lookup);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "the system has no thread to look a host up");
}
