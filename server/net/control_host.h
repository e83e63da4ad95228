/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's body: its connections on the main thread's loop, and its arms toward the world
 * (replies, random numbers, the log). server/control decides, this only carries.
 */
#ifndef NET_CONTROL_HOST_H
#define NET_CONTROL_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/control/control.h"
#include "server/net/caller.h"

struct control_host;

struct control_host_options {
    uv_loop_t *uv;         /* borrowed while the host lives */
    const struct log *log; /* likewise; may be NULL */
    struct control_options control;
    uint64_t unsent_max_bytes; /* 0: as conn.h has it */
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t refusals_max_per_s;

    void *owner;

    /* Brings an order to a shard (0 first). Takes ownership. */
    void (*order)(void *owner, uint32_t shard, struct order *order);

    /* As io.checkpoint of control.h; NULL: no checkpoints are kept. */
    void (*checkpoint)(void *owner, const struct job_snapshot *snapshot, uint64_t step);

    /* As io.fetch of control.h; NULL: all jobs begin as they are defined. */
    enum stepd_status (*fetch)(void *owner, struct job *job, uint64_t attempt, bool *ret_fetching);

    /* As io.ordered, io.arrived and io.daemons of control.h; NULL: all shards are here. */
    uint64_t (*ordered)(void *owner);
    uint64_t (*arrived)(void *owner);
    size_t (*daemons)(void *owner, struct stepd_daemon_status *daemon, size_t room);

    /* A caller was let in. NULL: nobody wants to know. */
    void (*known)(void *owner);

    /* A caller that was served or refused is gone, who had been let in or not. */
    void (*gone)(void *owner, bool known);
};

/* RESOURCE_EXHAUSTED: no memory. *ret_host: caller frees with control_host_destroy. */
enum stepd_status control_host_create(const struct control_host_options *options,
                                      struct control_host **ret_host) STEPD_MUST_CHECK;

/* All connections must be gone. NULL is fine. Returns NULL. */
struct control_host *control_host_destroy(struct control_host *host);

/* The control inside, for what needs no connection: control_define, control_on_notice. */
struct control *control_host_control(struct control_host *host);

/* Serves a caller, or tells it an error. Both take ownership of it; gone() follows. */
void control_host_serve(struct control_host *host, struct caller *caller);
void control_host_refuse(struct control_host *host, struct caller *caller,
                         const struct stepd_error *error);

/* As conn_loop_drop_stranger. */
bool control_host_drop_stranger(struct control_host *host);

/* frozen: control itself is left alone. */
void control_host_tick(struct control_host *host, uint64_t now_ms, bool frozen);

/* Ends all connections with this error; control knows none any more. */
void control_host_end(struct control_host *host, const struct stepd_error *why);

/* Says goodbye to all connections; closes them at once. */
void control_host_drain(struct control_host *host);
/* Fills n bytes nobody can guess. Any thread. */
void control_host_random(uint8_t *bytes, size_t n);

void control_host_cut(struct control_host *host);

/* Connections that are not gone. */
size_t control_host_connections(const struct control_host *host);

#endif
