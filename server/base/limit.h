/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of a daemon, and what has come to each: how much of it is used, and how often somebody
 * met it. Whoever holds to a limit counts; status shows. Every limit has the name of its key in the
 * config, so that who reads a counter knows what to raise.
 *
 * The numbers are counted with atomics and order nothing: each is right by itself.
 */
#ifndef BASE_LIMIT_H
#define BASE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, key of the config), in the order of status */
#define LIMIT_MAP(X)                                                                               \
    X(CONNECTIONS, connections_max)                                                                \
    X(UNAUTHENTICATED, unauthenticated_max)                                                        \
    X(HELLO_TIME, hello_timeout_ms)                                                                \
    X(HELLO_BYTES, hello_max_bytes)                                                                \
    X(HANDSHAKE_BYTES, handshake_max_bytes)                                                        \
    X(FRAME_BYTES, frame_max_bytes)                                                                \
    X(READ_TIME, read_timeout_ms)                                                                  \
    X(WRITE_TIME, write_timeout_ms)                                                                \
    X(IDLE_TIME, idle_timeout_ms)                                                                  \
    X(UNSENT_BYTES, unsent_max_bytes)                                                              \
    X(REFUSALS, refusals_max_per_s)                                                                \
    X(REQUESTS, requests_max)                                                                      \
    X(OBSERVERS, observers_max)                                                                    \
    X(JOBS, jobs_max)                                                                              \
    X(TENSORS, tensors_max)                                                                        \
    X(DEFINITIONS, definitions_max_bytes)                                                          \
    X(JOB_MEMORY, job_memory_max_bytes)                                                            \
    X(MEMORY, memory_max_bytes)                                                                    \
    X(OLD_VERSIONS, old_versions_max_bytes)                                                        \
    X(SHARED, shared_max_bytes)

enum limit {

#define X(NAME, key) LIMIT_##NAME,
    LIMIT_MAP(X)
#undef X
        LIMITS /* how many */
};

struct limits {
    uint64_t max[LIMITS];             /* written before threads start */
    _Atomic uint64_t used[LIMITS];    /* now, of those that are of the whole daemon */
    _Atomic uint64_t refused[LIMITS]; /* how often, since the start */
};

/* "connections_max": its key in the config. Static; any thread. */
static inline const char *limit_key(enum limit limit)
{
    static const char *const keys[] = {
#define X(NAME, key) #key,
        LIMIT_MAP(X)
#undef X
    };
    return keys[limit];
}

/* Somebody has met a limit. limits may be NULL: nobody counts. Any thread. */
static inline void limit_refused(struct limits *limits, enum limit limit)
{
    if (limits != NULL)
        (void)atomic_fetch_add_explicit(&limits->refused[limit], 1, memory_order_relaxed);
}

/* Takes so much of a limit that several threads share. False: there is not so much left, or limits
 * is NULL, and nothing is taken. What was taken goes back with limit_give. Any thread. */
static inline bool limit_take(struct limits *limits, enum limit limit, uint64_t amount)
{
    if (limits == NULL)
        return false;
    _Atomic uint64_t *const at = &limits->used[limit];
    uint64_t used = atomic_load_explicit(at, memory_order_relaxed);
    do {
        if (used > limits->max[limit] || amount > limits->max[limit] - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(at, &used, used + amount, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static inline void limit_give(struct limits *limits, enum limit limit, uint64_t amount)
{
    if (limits != NULL)
        (void)atomic_fetch_sub_explicit(&limits->used[limit], amount, memory_order_relaxed);
}

/* So much of it is used now. Likewise. */
static inline void limit_set(struct limits *limits, enum limit limit, uint64_t used)
{
    if (limits != NULL)
        atomic_store_explicit(&limits->used[limit], used, memory_order_relaxed);
}

#endif
