/* SPDX-License-Identifier: Apache-2.0
 *
 * What all files of control share: the brain itself and its connections, and how it speaks to the
 * log. Where to read on:
 *
 *     control.c      the public functions        dispatch.c   message -> row of a table -> reply
 *     jobs.h         what changes of a job       members.h    its ranks
 *     login.h        who may come in             observers.h  who only looks
 *     sessions.h     who may speak
 *     waits.h        parked requests             query.h      asking the shards how far they are
 *     barriers.h     who waits for all others
 *     drafts.h       what definitions take       opening.h    sealed -> on all shards
 *     finished.h     room for other jobs         orders.h     one order to all shards
 *     snapshot.h     a job as of one instant     restore.c    and back
 *     changes.h      of all shards at one version
 *     history.h      what has become of groups, and is to
 *     reign.c        the shards of several daemons
 *     handle_*.c     one file for requests that belong together
 */
#ifndef CONTROL_BRAIN_H
#define CONTROL_BRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "server/base/text.h"
#include "server/control/control.h"

struct access_grant;
struct access_list;
struct control_job;
struct control_query;
struct control_session;
struct control_snapshot;
struct control_wait;

struct control {
    struct control_options options;
    struct control_io io;
    uint64_t now_ms;   /* of the call that is under way */
    uint64_t begin_ms; /* of the first call that told the time; UINT64_MAX: none yet */
    size_t conns;
    size_t jobs;
    struct access_list *access;              /* owned; who may come in; NULL: everybody */
    struct control_job *first_job;           /* owned; linked in the order of their names */
    struct control_session *first_session;   /* owned; the newest first */
    struct control_wait *first_wait;         /* owned; the oldest first */
    struct control_query *first_query;       /* owned; see query.h */
    struct control_snapshot *first_snapshot; /* owned; see snapshot.h */
    uint64_t query;                          /* number of the newest query, or attempt to open */
    uint64_t finished;                       /* how many jobs have */
    bool ends;                               /* the daemon does: see control_snapshots_hurry */
    struct order **order;                    /* owned; one for each shard, while an order is made */
    const char **shard_address;              /* owned; one for each shard, as Welcome states them */
    uint64_t memory_each; /* memory_max_bytes by shard, as the options have both */
    const char *missing;  /* borrowed; whom a reign waits for; "": for nobody */
    uint32_t place;       /* of several daemons, this one's; 0 alone has control of any job */
    /* By which the daemon of each place was let in last; NULL: likewise, see login.h. */
    const struct access_grant *daemon_grant[STEPD_DAEMONS_MAX];
};

struct control_conn {
    struct control *control;
    void *peer;                      /* the caller's name for it */
    struct control_session *session; /* NULL before its Hello */
    size_t waits;                    /* parked requests of this connection */
};

/* Ends a connection from our side: flushes, closes and frees it; its session stays. */
void control_hang_up(struct control_conn *conn);

/* A name as it may stand in the log's facts. */
struct control_quoted {
    char text[TEXT_QUOTED_BYTES(STEPD_NAME_MAX_BYTES)];
};

struct control_quoted control_quote(const char *name);

/* Tells the operator, once the first call has told the time. fmt is a list of logfmt fields; names
 * in it have been quoted. */
void control_log(const struct control *control, const char *event, const char *fmt, ...)
    STEPD_PRINTF(3, 4);

/* The same of what is probably not meant so. */
void control_warn(const struct control *control, const char *event, const char *fmt, ...)
    STEPD_PRINTF(3, 4);

#endif
