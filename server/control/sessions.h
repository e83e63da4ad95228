/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions: what is remembered of a peer across its connections. A worker's session holds its rank
 * until another worker takes it, which it may once the lease has run out; so a worker that was cut
 * off for longer than its lease may resume as long as nobody has taken its place, and there is at
 * most one session for each rank. An observer's session goes with its control connection
 * (observers.h).
 *
 * The shards are told of a session before its peer is, each time with a higher epoch.
 */
#ifndef CONTROL_SESSIONS_H
#define CONTROL_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/brain.h"

/* A lease is at least a second, so that a loaded network loses nobody, and at most an hour. */
#define CONTROL_LEASE_LEAST_MS UINT32_C(1000)
#define CONTROL_LEASE_MOST_MS  UINT32_C(3600000)

struct member_snapshot;

/* The newest barrier that a worker has come to (barriers.h). */
struct control_arrival {
    uint64_t sequence; /* 0: it has come to none */
    uint64_t until_ms; /* when it waits no more */
    bool passed;
    char name[STEPD_BARRIER_NAME_MAX_BYTES + 1];
};

struct control_session {
    struct control_session *next;
    uint8_t id[STEPD_SESSION_BYTES];
    uint8_t client[STEPD_CLIENT_BYTES]; /* who said the Hello that made it */
    bool has_client;                    /* it said who it is */
    uint64_t epoch;                     /* 1, and one more for each time that it was resumed */
    enum stepd_role role;
    char *worker; /* owned; a name for people */
    uint32_t lease_ms;
    uint64_t heard_ms;
    bool restored; /* from a snapshot, and nobody has been heard of it since */
    bool entered;  /* somebody was let in for it, by a list of who is known */
    bool authored; /* it has said the draft of its job as it stands, or tensors of it */
    bool ended; /* its worker has said that it ends, without having left; resuming it undoes that */
    struct control_job *job;       /* NULL: an observer that named none */
    struct control_member *member; /* NULL: an observer */
    uint32_t rank;                 /* a worker's; 0 otherwise */
    struct control_conn *conn;     /* its control connection; NULL: closed */
    struct control_arrival arrival;
    const struct access_grant *grant; /* by which it was let in; NULL: see login.h */
};

/* Nobody can come back: the leases of those who are awaited begin anew. */
void control_sessions_hold(const struct control *control);

/* NULL: not known. id has STEPD_SESSION_BYTES bytes. */
struct control_session *control_session_find(const struct control *control, const uint8_t *id);

/* The session by which this client holds a rank of the job, or NULL: it holds none or has left, or
 * the Hello does not say who it is. */
struct control_session *control_session_of_client(const struct control *control,
                                                  const struct control_job *job,
                                                  const struct stepd_hello *hello);

/*
 * Makes a session at epoch 1 with a new id, for what hello says (job may be NULL), and tells the
 * shards. Control owns it. RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status control_session_create(struct control *control, struct control_job *job,
                                         uint32_t rank, const struct stepd_hello *hello,
                                         struct control_session **ret_session,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Makes a session again that a snapshot has, with its id and epoch, for a job that is restored, and
 * tells the shards. Control owns it. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status control_session_restore(struct control *control, struct control_job *job,
                                          const struct member_snapshot *from,
                                          struct control_session **ret_session,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Raises the epoch, tells the shards, and ends an older control connection. RESOURCE_EXHAUSTED: no
 * memory, and nothing has changed. */
enum stepd_status control_session_resume(struct control *control, struct control_session *session,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Tells the shards to forget the session and ends its connections, which are told why (NULL: they
 * are not). The session itself is freed by
 * control_session_drop, or for a member when its rank passes to another session. */
enum stepd_status control_session_retire(struct control *control, struct control_session *session,
                                         const struct stepd_error *why,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Retires and frees a session, whatever the shards could be told. */
void control_session_drop(struct control *control, struct control_session *session);

/* Frees a session without a word to anybody. Its connection must be closed. */
void control_session_free(struct control *control, struct control_session *session);

uint64_t control_session_silent_ms(const struct control_session *session, uint64_t now_ms);

/* This daemon has no control of any job (control_stand_aside): FAILED_PRECONDITION, and the text.
 */
extern const char control_aside[];
enum stepd_status control_refuse_aside(struct stepd_error *reterr);

/* No job of this name is known. NOT_FOUND; UNAVAILABLE: there may be one,
 * when all daemons have come that serve the jobs, and these are back from their checkpoints.
 * FAILED_PRECONDITION: this is not the daemon to ask. */
enum stepd_status control_no_such_job(const struct control *control, const char *name,
                                      struct stepd_error *reterr);

/* The job that a request of this connection names; "": its own. INVALID_ARGUMENT: it has none.
 * Else: as control_no_such_job. */
enum stepd_status control_session_job(const struct control_conn *conn, const char *name,
                                      struct control_job **ret_job,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Has the lease run out, or its worker ended it? */
bool control_session_is_over(const struct control_session *session, uint64_t now_ms);

/* Ends the lease of a worker that ends without having left. */
void control_session_end(struct control *control, struct control_session *session);

/* What is known of a worker whose session is over: "was silent for 61000 ms". The text is borrowed
 * until `room` goes. */
#define CONTROL_SILENCE_TEXT_BYTES 64
const char *control_session_silence(const struct control_session *session, uint64_t now_ms,
                                    char room[CONTROL_SILENCE_TEXT_BYTES]);

/* The lease that a Hello gets. */
uint32_t control_session_lease_ms(const struct control *control, uint32_t asked_ms);

#endif
