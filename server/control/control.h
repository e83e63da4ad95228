/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's brain: jobs, definitions, sessions, membership, leases, layout, status. It knows
 * no weights. Like a shard's core it sees no socket, no clock, no thread and no file.
 *
 * A connection to control, from the caller's side:
 *
 *     conn = control_open(control, peer, now)
 *     for each frame:  control_on_message(conn, message, now)     // payloads are refused
 *     control_close(conn, now)
 *
 * The first message must be a Hello with shard 0. A Hello for a shard never comes here: the door
 * hands that connection to the shard, which knows the session from control's order.
 *
 * All functions of one control are called from one thread.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"
#include "server/base/log.h"
#include "server/model/order.h"

struct access_grant;
struct access_list;
struct control;
struct control_conn;
struct first_weights;
struct job;
struct job_snapshot;
struct limits;

/* What became of a checkpoint that io.checkpoint began to write. */
struct control_written {
    struct stepd_error error; /* code OK, or why it was not written; the rest is nothing then */
    char name[STEPD_CHECKPOINT_NAME_BYTES];
    uint64_t step;
    uint64_t bytes;
    uint64_t at_ms; /* filled in by control */
};

/* What became of first weights that io.fetch went for. */
struct control_fetched {
    const char *job_name;
    uint64_t attempt;
    struct stepd_error error;    /* code OK, or why there are none */
    struct first_weights *first; /* a reference, which stays the caller's */
};

/* A single job's definition takes at most some 30 MiB. */
#define CONTROL_DRAFTS_MAX_BYTES (UINT64_C(256) << 20)

/* The first incarnation of a job is 1 more than a random number of so many bytes; each time that it
 * begins anew raises it, and so does a restore. */
#define CONTROL_INCARNATION_BYTES 6u

struct control_options {
    uint32_t shards;
    uint32_t slice_elements; /* default of jobs that leave it open */
    uint32_t lease_ms;       /* default of workers that leave it open */
    uint32_t wait_max_ms;
    uint32_t frame_max_bytes;
    uint32_t jobs_max;
    uint64_t memory_max_bytes;     /* for the slices of all jobs */
    uint64_t job_memory_max_bytes; /* for those of one; 0: as of all */
    uint64_t drafts_max_bytes;  /* for the definitions of all jobs; 0: CONTROL_DRAFTS_MAX_BYTES */
    uint32_t tensors_max;       /* of one job; 0: STEPD_TENSORS_MAX */
    uint32_t observers_max;     /* 0: CONTROL_OBSERVERS_MAX */
    struct limits *limits;      /* where it counts who meets one; borrowed likewise; may be NULL */
    const char *server_version; /* borrowed as long as control lives */
    uint64_t checkpoint_every_steps; /* versions; 0: none is taken for how far a job is */
    uint64_t checkpoint_every_ms;    /* 0: none is taken for the time */
    bool checkpoint_on_exit;         /* and when a job has finished */
};

/* Who is at the other end of a connection, as far as the body knows. */
struct control_caller {
    const char *address;     /* for the log; this and the next borrowed until control returns */
    const char *certificate; /* the name in the one that it has shown, or "", or NULL */
};

struct control_io {
    void *owner;

    /* Sends one reply. The message is borrowed until return. */
    void (*reply)(void *owner, void *peer, const struct stepd_message *message);

    /* Flush what was replied, then close; control has forgotten this peer. */
    void (*hang_up)(void *owner, void *peer);

    /* Takes ownership of the order and brings it to a shard (0 first). */
    void (*order)(void *owner, uint32_t shard, struct order *order);

    /* A snapshot that control_snapshot has begun is whole, to be read on any thread until
     * control_snapshot_end; or snapshot is NULL, and error says why there is none. error is
     * borrowed until return. NULL where nobody begins any. */
    void (*snapshot)(void *owner, const struct job_snapshot *snapshot,
                     const struct stepd_error *error);

    /* A snapshot is to be written down as the checkpoint of this step, beside all else; to be read
     * on any thread until control_checkpoint_written, which is not before this has returned. NULL:
     * no checkpoints are kept. */
    void (*checkpoint)(void *owner, const struct job_snapshot *snapshot, uint64_t step);

    /* Are the first weights of a job to come from elsewhere than its definition? They are gone for
     * on another thread then, *ret_fetching is true, and control_fetched follows, not before this
     * has returned. job: the callee takes a reference. RESOURCE_EXHAUSTED: no memory to go for
     * them. NULL: those of no job are. */
    enum stepd_status (*fetch)(void *owner, struct job *job, uint64_t attempt, bool *ret_fetching);

    /* Who is at the other end. NULL: nobody knows. */
    struct control_caller (*caller)(void *owner, void *peer);

    /* Orders go to shards of other daemons too, which learn of them later than the worker of what
     * its Hello came to. `ordered` counts all that were given; `arrived` says how many of these, in
     * their order, all those daemons have. Whoever is let in is told so when the daemons know;
     * control_settled() says that more have arrived. NULL: all shards are in this process. */
    uint64_t (*ordered)(void *owner);
    uint64_t (*arrived)(void *owner);

    /* Fills in what is known of the daemons that serve the jobs together, at most room of them, and
     * returns how many they are; the texts are good until control returns. NULL: there is but one.
     */
    size_t (*daemons)(void *owner, struct stepd_daemon_status *daemon, size_t room);

    /* Seconds since 1970, as the machine believes. NULL: 0. */
    int64_t (*unix_s)(void *owner);

    /* Fills n bytes nobody can guess. */
    void (*random)(void *owner, uint8_t *bytes, size_t n);

    /* Something that the operator should read in the log: a fact in logfmt's words, such as
     * event "worker_joined" with "job=mnist rank=3". LOG_WARN: something is probably not meant so.
     * Both texts borrowed until return. */
    void (*log)(void *owner, enum log_level level, const char *event, const char *facts);
};

/* io and options are copied. *ret_control: caller frees with control_destroy. */
enum stepd_status control_create(const struct control_options *options, const struct control_io *io,
                                 struct control **ret_control) STEPD_MUST_CHECK;

/* All connections must be closed. NULL is fine. Returns NULL. */
struct control *control_destroy(struct control *control);

/*
 * Who may come in from now on; NULL, which is how it begins: everybody. Takes ownership of the
 * list. Sessions that would not be let in any more end with the next tick.
 */
void control_admit(struct control *control, struct access_list *list);

/* Defines a job from the config file, as DefineJob of a client would. Of one that was restored
 * before def may say other things about groups, which are changed when the job is open; def is
 * borrowed until then. Logs nothing as long as no call has told the time: the file may only be
 * checked. */
enum stepd_status control_define(struct control *control, const char *name,
                                 const struct stepd_define_job *def,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The config file says this of one of its jobs now. A job that nobody has joined yet is defined so;
 * one that is open is changed as ChangeJob would, where anything is other than it runs, and the log
 * says what it came to. INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION: it cannot be, and
 * everything stays as it is.
 */
enum stepd_status control_redefine(struct control *control, const char *name,
                                   const struct stepd_define_job *def,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The shards of several daemons. Before a reign begins, workers are refused with UNAVAILABLE and
 * this text, which says who is missing ("" from then on); observers of no job are let in, and told
 * so of each job that is not known. The text is borrowed as long as control lives.
 */
void control_gather(struct control *control, const char *missing);

/* This daemon is a member, of a place above 0: control is elsewhere, and this text says where.
 * There are no jobs here. Observers of no job are let in, to ask for the daemon's status, which has
 * the text; all else is refused with FAILED_PRECONDITION and without it, as it has addresses. The
 * text is borrowed as long as control lives. */
void control_stand_aside(struct control *control, uint32_t place, const char *where);

/* As many shards as there are now, each with as much memory as one had before, and the addresses
 * that a Welcome states for them ("": that of the connection to control), borrowed as long as these
 * shards are. There are no jobs. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status control_take_shards(struct control *control, uint32_t shards,
                                      const char *const *address) STEPD_MUST_CHECK;

/* Forgets all jobs and sessions, without a word to the shards. All connections must be closed, and
 * nobody may read a snapshot. Who may come in stays. */
void control_forget_all(struct control *control);

/* More orders have arrived at other daemons. */
void control_settled(struct control *control, uint64_t now_ms);

/* The definition of a job that has been sealed; NULL: there is none. Borrowed until the next call.
 */
struct job *control_sealed_job(const struct control *control, const char *name);

/* May this daemon join the server, by the list of who may come in? token: as its Join has it.
 * *ret_grant: its line, borrowed until control_admit; NULL: there is no list. UNAUTHENTICATED,
 * PERMISSION_DENIED: the log has the reason. */
enum stepd_status control_admits_daemon(const struct control *control,
                                        const struct control_caller *caller,
                                        const struct stepd_join *join,
                                        const struct access_grant **ret_grant,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The daemon of this place has joined by this line. */
void control_daemon_came(struct control *control, size_t place, const struct access_grant *grant);

/* May the daemon that came to this place last still be there, now that the list may be another one
 * and time has passed? Errors as control_admits_daemon. */
enum stepd_status control_keeps_daemon(const struct control *control, size_t place,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* peer is the caller's name for the connection in control_io. NULL: no memory. */
struct control_conn *control_open(struct control *control, void *peer, uint64_t now_ms);
void control_close(struct control_conn *conn, uint64_t now_ms);

/* Not OK: answer Error{request_id 0} with *reterr, then control_close and close the socket. */
enum stepd_status control_on_message(struct control_conn *conn, const struct stepd_message *message,
                                     uint64_t now_ms, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A shard says something. Takes ownership of the notice. */
void control_on_notice(struct control *control, struct notice *notice, uint64_t now_ms);

/* Time has passed: leases and deadlines run out. Every 100 ms or so. */
void control_on_tick(struct control *control, uint64_t now_ms);

/*
 * Begins a snapshot of an open job (snapshot.h); io.snapshot says what becomes of it, within
 * wait_max_ms and not before this has returned. OK: the caller ends it with control_snapshot_end,
 * when it has been told so. NOT_FOUND, FAILED_PRECONDITION: no such job, it is not open, or a
 * snapshot of it is under way. RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status control_snapshot(struct control *control, const char *job_name, uint64_t now_ms,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Nobody reads that snapshot any more, whose pointer is of no use then. */
void control_snapshot_end(struct control *control, const struct job_snapshot *snapshot,
                          uint64_t now_ms);

/* A checkpoint was written, or not; its snapshot is of no use then. written is borrowed until
 * return. */
void control_checkpoint_written(struct control *control, const struct job_snapshot *snapshot,
                                const struct control_written *written, uint64_t now_ms);

/* First weights are there, or not. got is borrowed until return. */
void control_fetched(struct control *control, const struct control_fetched *got, uint64_t now_ms);

/* Before the daemon ends: asks for a checkpoint of every job that has begun, where that is wanted.
 * Those that somebody has asked for are waited for either way, and no longer than the last ones,
 * since the daemon's end waits for them. control_checkpoints_left: how many are not done yet, well
 * or not.
 */
void control_checkpoint_all(struct control *control, uint64_t now_ms);
size_t control_checkpoints_left(const struct control *control);

/* A job of control_restore that not all shards have opened. */
struct control_returning {
    const char *job_name;            /* borrowed until the next call, like the next two */
    const char *checkpoint;          /* that it goes on from; "": none is known */
    const struct stepd_error *error; /* failed: why a shard could not open it */
    bool failed;                     /* nobody gets into it any more; else it is waited for */
    uint32_t place;     /* of the daemon that could not, or that has not answered (0 first) */
    uint64_t waited_ms; /* 0: not for long */
};

/* The first one that has failed, or else the first that is waited for. False: there is none. */
bool control_returning(const struct control *control, struct control_returning *ret_job);

/*
 * Brings a job back as a snapshot has it, into a control that has no job of that name but one that
 * has failed to come back, which it takes the place of, under the
 * incarnation after the snapshot's; raises the snapshot's own, so that no two restores of it ever
 * get the same one. state: the shards' shares, whole; its slices may go to another number of
 * shards. The job is opened then as any other, however long that takes; where a shard cannot, the
 * log says so and nobody gets into it.
 * ALREADY_EXISTS: there is such a job. INVALID_ARGUMENT: snapshot and state are of two jobs.
 * RESOURCE_EXHAUSTED: it does not fit, or no memory.
 */
enum stepd_status control_restore(struct control *control, struct job_snapshot *snapshot,
                                  struct job_state *state, uint64_t now_ms,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
