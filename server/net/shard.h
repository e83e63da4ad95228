/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's body: a thread, its loop, its connections, and the core that decides (server/core).
 * Everything comes to it through its mailbox: orders of control, callers from the door, and the
 * word to end. What it has to say goes to the main thread's mailbox.
 */
#ifndef NET_SHARD_H
#define NET_SHARD_H

#include <stdint.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/core/core.h"
#include "server/net/mailbox.h"

struct shard;

struct shard_options {
    struct core_options core;
    uint64_t unsent_max_bytes; /* 0: as conn.h has it */
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t refusals_max_per_s;
    uint32_t busy_poll_us;        /* see busy_poll.h */
    struct shared_budget *shared; /* borrowed while the shard lives; NULL: workers on this host
                                   * share no memory with it */
    const struct log *log;        /* borrowed while the shard lives; may be NULL */
    struct mailbox *main;         /* likewise: NOTICE, GONE, ENDED, BEAT and LOST go there */
};

/* A shard that does not run yet. RESOURCE_EXHAUSTED. *ret_shard: caller frees with shard_destroy.
 */
enum stepd_status shard_create(const struct shard_options *options,
                               struct shard **ret_shard) STEPD_MUST_CHECK;

/* Starts its thread. RESOURCE_EXHAUSTED: the system has no more threads. */
enum stepd_status shard_start(struct shard *shard) STEPD_MUST_CHECK;

/* Takes ownership of what the letter carries. Any thread, until shard_destroy. */
void shard_post(struct shard *shard, struct letter letter);

/* Waits for its thread, which ends after LETTER_DRAIN or LETTER_CUT and says LETTER_ENDED. */
void shard_join(struct shard *shard);

/* Not started, or joined. NULL is fine. Returns NULL. */
struct shard *shard_destroy(struct shard *shard);

#endif
