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
#include "server/net/daemons.h"
#include "server/net/deputy.h"
#include "server/net/door.h"
#include "server/net/mailbox.h"
#include "server/net/server.h"
#include "server/net/shard.h"
#include "server/net/shared_memory.h"
#include "server/net/supervisor.h"
#include "server/net/tls.h"
#include "server/net/tls_expiry.h"
#include "server/peer/lent.h"
#include "server/persist/portion.h"

enum server_state {
    SERVER_RUNNING,
    SERVER_KEEPING,  /* the last checkpoints are taken */
    SERVER_DRAINING, /* goodbye was said */
    SERVER_CUT,      /* and time is over */
    SERVER_ENDED,    /* the loop's last handles are closing */
};

/* A job that is open on the shards of a member daemon. */
struct deputy_job {
    struct deputy_job *next;
    struct job *job; /* a reference */
};

struct held_order;
struct opening;
struct peer_note;

/* What a server that is not alone knows of the reign. */
struct server_reign {
    bool begins;               /* jobs are being brought back */
    bool opens;                /* and now the shards open them */
    bool ending;               /* what is of it is still being read */
    size_t writes;             /* checkpoints that are being written */
    struct stepd_error over;   /* why it is ending */
    struct stepd_error failed; /* why none can begin; code OK: it can */
    bool leaves;               /* another daemon is to end, and waits for checkpoints */
    uint32_t *resets;          /* owned; by own shard: that it has not obeyed yet */

    /* Of a member daemon */
    struct deputy_job *job;  /* owned; that are open here */
    struct opening *opening; /* owned; that are being opened */
    struct lent lent;        /* by the shards */
    struct held_order *held; /* owned; orders that wait until nothing is written */
    size_t portions;         /* that are being written */
    uint32_t first;          /* of the shards here, over all daemons; 0 first */
    uint64_t leave_until_ms; /* a member daemon that ends waits for control until then */
    char missing[STEPD_ERROR_TEXT_BYTES]; /* what workers are told meanwhile, or by a member */
};

#define SERVER_STATUS_BYTES 700u /* two addresses and a reason */

struct server {
    struct server_options options;
    struct sockaddr_storage listen;
    uv_loop_t uv;
    struct mailbox mailbox;
    uv_timer_t tick;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    uv_signal_t sighup;
    struct limits limits;        /* what has come to each */
    struct tls_server *tls;      /* owned; NULL: none is spoken */
    struct tls_client *tls_peer; /* owned; to control's daemon; NULL: likewise */
    struct daemons *daemons;     /* owned; NULL: there are no others, or control is not here */
    struct deputy *deputy;       /* owned; NULL: control is here */
    struct tls_expiry expiry;
    struct server_reign reign;
    struct door *door;            /* owned */
    struct control_host *control; /* owned */
    struct shard **shard;         /* owned; options.shards of them */
    struct supervisor supervisor;
    char status[SERVER_STATUS_BYTES]; /* that it was told last */
    struct shared_budget shared;      /* for the workers on this host */
    uint32_t running;                 /* shards whose threads were started and have not ended */
    enum server_state state;
    uint64_t stopped_ms; /* when it was told to end */
    uint64_t drain_until_ms;
    atomic_bool ending; /* what other threads do for control is of no use any more */
    bool broken;        /* a letter was lost */
};

/* What the parts of a server call, with the server as owner. */
void server_admit(void *owner, uint32_t shard, struct caller *caller);
void server_refuse(void *owner, struct caller *caller, const struct stepd_error *error);
void server_join(void *owner, struct caller *caller);
void server_known(void *owner);
void server_gone(void *owner, bool known);
void server_peer_gone(void *owner, bool known);
bool server_make_room(void *owner);
void server_bring_order(void *owner, uint32_t shard, struct order *order);
void server_checkpoint(void *owner, const struct job_snapshot *snapshot, uint64_t step);
enum stepd_status server_fetch(void *owner, struct job *job, uint64_t attempt, bool *ret_fetching);
void server_deliver(void *owner, const struct letter *letter);

/* Is control here, and are there other daemons? */
bool server_is_first(const struct server *server);
uint64_t server_ordered(void *owner);
uint64_t server_arrived(void *owner);
size_t server_daemons(void *owner, struct stepd_daemon_status *daemon, size_t room);

/* ---- server_peers.c -------------------------------------------------------------------------- */

/* Makes what a server that is not alone needs beside. */
enum stepd_status server_peers_create(struct server *server) STEPD_MUST_CHECK;
void server_peers_destroy(struct server *server);

/* Reads the certificates of links, or reads them again. OK without any. */
enum stepd_status server_peers_read_tls(struct server *server,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A shard of this daemon has spoken. Takes ownership. */
void server_peers_notice(struct server *server, uint32_t from, struct notice *notice);

/* A checkpoint is done, or a job is back: a reign that ends may do so now. */
void server_peers_settle(struct server *server);

void server_peers_tick(struct server *server, uint64_t now_ms);

/* This daemon is to end: tells control. False: nobody is to be waited for. */
bool server_peers_leave(struct server *server);
/* May it end now? */
bool server_peers_may_leave(const struct server *server);

/* Does it wait for other daemons? What it does, in words. */
bool server_peers_wait(const struct server *server, char *text, size_t size);

void server_peers_cut(struct server *server);

/* Connections to other daemons that are not gone. */
size_t server_peers_connections(const struct server *server);

/* All shards here forget everything; their numbers begin with this one. */
void server_reset_shards(struct server *server, uint32_t first, const struct stepd_error *why);

/* ---- server_member.c ------------------------------------------------------------------------- */

enum stepd_status server_create_deputy(struct server *server) STEPD_MUST_CHECK;
void server_forget_jobs(struct server *server);
/* Of a member: what is said to who takes it for control's daemon. */
void server_stand_aside(struct server *server);
/* Brings a notice of a shard here to control. Takes ownership. */
void server_send_notice(struct server *server, struct notice *notice);

/* A member daemon: gives an order to all shards here. Takes ownership. */
void server_order_shards(struct server *server, struct order *order);
/* The same of one that control gives, when its turn has come. */
void server_obey(struct server *server, struct order *order);

/* ---- server_openings.c ----------------------------------------------------------------------- */

/* Opens a job with what is to be read first. Takes ownership of the order on success; false: no
 * memory. */
bool server_open_job(struct server *server, struct order *order);
/* Nobody waits for this one any more, or (NULL) for any. */
void server_drop_openings(struct server *server, const char *job_name);
void server_destroy_openings(struct server *server);

/* ---- server_portions.c ----------------------------------------------------------------------- */

/* A member daemon has written its portion, or not. */
void server_take_written(struct server *server, size_t place, const struct peer_note *note);
/* Control asks for one. */
void server_take_request(struct server *server, const struct peer_note *note);
/* A shard here has taken a snapshot, or not. Takes ownership of the notice. */
void server_send_share(struct server *server, struct notice *notice);
/* Must an order wait? Then it is held (false: no memory), and obeyed later. */
bool server_must_hold(const struct server *server, const struct order *order);
bool server_hold(struct server *server, struct order *order);
/* Is nothing read that the shards have lent? If not, it comes to its end. */
bool server_portions_ready(struct server *server);
void server_portions_forget(struct server *server);

/* Stops the server for this reason. */
void server_fail(struct server *server, const struct stepd_error *why);

#endif
