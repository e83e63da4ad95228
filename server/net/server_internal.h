/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the server share: server_create.c makes and frees it, server.c runs it.
 */
#ifndef NET_SERVER_INTERNAL_H
#define NET_SERVER_INTERNAL_H

#include <stdatomic.h>
#include <uv.h>

#include "server/base/limit.h"
#include "server/net/control_host.h"
#include "server/net/door.h"
#include "server/net/mailbox.h"
#include "server/net/server.h"
#include "server/net/shard.h"
#include "server/net/shared_memory.h"
#include "server/net/supervisor.h"
#include "server/net/tls.h"

enum server_state {
    SERVER_RUNNING,
    SERVER_KEEPING,  /* the last checkpoints are taken */
    SERVER_DRAINING, /* goodbye was said */
    SERVER_CUT,      /* and time is over */
    SERVER_ENDED,    /* the loop's last handles are closing */
};

struct server {
    struct server_options options;
    struct sockaddr_storage listen;
    uv_loop_t uv;
    struct mailbox mailbox;
    uv_timer_t tick;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    uv_signal_t sighup;
    struct limits limits;         /* what has come to each */
    struct tls_server *tls;       /* owned; NULL: none is spoken */
    struct door *door;            /* owned */
    struct control_host *control; /* owned */
    struct shard **shard;         /* owned; options.shards of them */
    struct supervisor supervisor;
    struct shared_budget shared; /* for the workers on this host */
    uint32_t running;            /* shards whose threads were started and have not ended */
    enum server_state state;
    uint64_t drain_until_ms;
    atomic_bool ending; /* what other threads do for control is of no use any more */
    bool broken;        /* a letter was lost */
};

/* What the parts of a server call, with the server as owner. */
void server_admit(void *owner, uint32_t shard, struct caller *caller);
void server_refuse(void *owner, struct caller *caller, const struct stepd_error *error);
void server_known(void *owner);
void server_gone(void *owner, bool known);
bool server_make_room(void *owner);
void server_bring_order(void *owner, uint32_t shard, struct order *order);
void server_checkpoint(void *owner, const struct job_snapshot *snapshot, uint64_t step);
enum stepd_status server_fetch(void *owner, struct job *job, uint64_t attempt, bool *ret_fetching);
void server_deliver(void *owner, const struct letter *letter);

#endif
