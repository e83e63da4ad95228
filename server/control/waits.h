/* SPDX-License-Identifier: Apache-2.0
 *
 * Parked requests. Each waits for one named thing, has a deadline, and is answered by one function:
 * when what it waits for has come, or with an error that says what has not.
 */
#ifndef CONTROL_WAITS_H
#define CONTROL_WAITS_H

#include <stdint.h>

#include "server/control/brain.h"
#include "server/control/jobs.h"

/* Requests of one connection that may be parked at a time: few, because what they wait for answers
 * all of them at once, and each answer may be hundreds of kilobytes. */
#define CONTROL_WAITS_MAX 4u

enum control_wait_kind {
    CONTROL_WAIT_LAYOUT,     /* GetLayout: until the job is open */
    CONTROL_WAIT_OPENED,     /* the last page of DefineTensors: until the shards have answered */
    CONTROL_WAIT_STATUS,     /* GetStatus: until the shards have answered the query */
    CONTROL_WAIT_GROUPS,     /* GetGroups: the same */
    CONTROL_WAIT_MEMBER,     /* Hello: until the shards have agreed from which version on it is one,
                              * and those of other daemons know of its session */
    CONTROL_WAIT_CHANGE,     /* ChangeJob: until it is decided */
    CONTROL_WAIT_BARRIER,    /* Barrier: until all members have come */
    CONTROL_WAIT_CHECKPOINT, /* Checkpoint: until it is done */
};

struct control_edited;
struct control_query;

struct control_wait {
    struct control_wait *next;
    enum control_wait_kind kind;
    struct control_conn *conn;
    uint64_t request_id;
    uint64_t deadline_ms;
    struct control_job *job;       /* STATUS: NULL for all */
    struct control_query *query;   /* to give back; STATUS, GROUPS */
    struct control_edited *edited; /* owned; CHANGE: what became of it */
    uint64_t sequence;             /* BARRIER; CHECKPOINT: that control_checkpoint_ask gave it */
    bool settles;                  /* MEMBER: it is one, and so many orders must arrive first */
    uint64_t orders;
};

/*
 * Parks a request for at most deadline_ms from now (0, or above the server's longest: that).
 * like names kind, conn, request_id, job, and query or edited; takes ownership of these, on failure
 * too.
 * RESOURCE_EXHAUSTED: the connection has CONTROL_WAITS_MAX parked already, or no memory.
 */
enum stepd_status control_wait_park(const struct control_wait *like, uint32_t deadline_ms,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Answers all whose time has come, the oldest first. */
void control_waits_release(struct control *control);

/* The job is dropped: whoever waits for it alone gets an error. */
void control_waits_drop_job(struct control *control, const struct control_job *job);

/* The connection is gone: forgets what it waits for. */
void control_waits_drop(struct control_conn *conn);

#endif
