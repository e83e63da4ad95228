/* SPDX-License-Identifier: Apache-2.0
 *
 * A job's entry: what changes of a job, beside the struct job that does not. It is made by the
 * first worker's Hello or by the config file, and goes through these states:
 *
 *     CREATED --> DEFINED --> OPENING --> READY --> RUNNING --> FINISHED
 *                    ^           |
 *                    +-----------+  a shard could not open it
 *
 *     CREATED   workers have named it; nobody has defined it
 *     DEFINED   mode and groups are known; tensors are being collected
 *     OPENING   the tensors are sealed; the shards allocate their slices
 *     READY     open on all shards; fewer workers have joined than it needs
 *     RUNNING   enough have joined: the shards have been told to start
 *     FAILED    beside FINISHED, from RUNNING: a worker was lost that the job cannot be without, or
 *               a step was halted; nothing more is taken
 *     FINISHED  all members have left; the weights stay for who wants to pull them, until
 *               somebody needs the name or the room (finished.h); then the entry goes, or starts
 *               afresh: CREATED, or DEFINED where the config file has defined it
 *
 * An entry that never got as far as READY goes with its last session, so that a wrong definition
 * can be corrected by starting the workers again; and without a connection, already while the
 * leases of its workers run, where another job needs its place. One from the config file stays,
 * with the config file's definition and no tensors.
 */
#ifndef CONTROL_JOBS_H
#define CONTROL_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/brain.h"
#include "server/control/checkpoints.h"
#include "server/control/history.h"
#include "server/model/first_weights.h"
#include "server/model/job.h"
#include "server/model/order.h"

struct control_member;
struct gate;

/* X(STATE, name in the log, what a client sees of it, successors as a mask) */
#define CONTROL_JOB_STATE_MAP(X)                                                                   \
    X(CREATED, created, STEPD_JOB_CREATED, 1u << CONTROL_JOB_DEFINED)                              \
    X(DEFINED, defined, STEPD_JOB_DEFINED, 1u << CONTROL_JOB_OPENING)                              \
    X(OPENING, opening, STEPD_JOB_DEFINED, 1u << CONTROL_JOB_READY | 1u << CONTROL_JOB_DEFINED)    \
    X(READY, ready, STEPD_JOB_DEFINED, 1u << CONTROL_JOB_RUNNING)                                  \
    X(RUNNING, running, STEPD_JOB_RUNNING, 1u << CONTROL_JOB_FINISHED | 1u << CONTROL_JOB_FAILED)  \
    X(FINISHED, finished, STEPD_JOB_FINISHED,                                                      \
      1u << CONTROL_JOB_CREATED | 1u << CONTROL_JOB_DEFINED)                                       \
    X(FAILED, failed, STEPD_JOB_FAILED, 1u << CONTROL_JOB_CREATED | 1u << CONTROL_JOB_DEFINED)

enum control_job_state {

#define X(STATE, name, seen, successors) CONTROL_JOB_##STATE,
    CONTROL_JOB_STATE_MAP(X)
#undef X
};

/* Bytes that a draft is reckoned to take (drafts.h). */
struct control_drafted {
    uint64_t groups;
    uint64_t tensors;
    uint64_t tensors_most; /* since the draft was made */
};

/* Changes that wait for the shards to agree on a version (changes.h). */
struct control_changes {
    struct control_change *first; /* owned; the oldest, which is being proposed */
    uint64_t highest;             /* version that a shard has told, of any slice */
    uint64_t number;              /* of the newest proposal; 0: there is none */
    uint64_t version;             /* that it names */
    uint32_t left;                /* shards that have not answered it */
    bool refused;                 /* by one of them */
    uint32_t refusals;            /* of the first change, one after the other */
    uint64_t ask_again_ms;        /* when it counts as not answered */
    uint64_t oldest;              /* version of a slice that is stepped, by the answers so far */
    uint64_t told; /* number of the newest change of groups that the shards know of */
};

struct control_job {
    struct control_job *next;
    char *name;                   /* owned */
    enum control_job_state state; /* changed by control_job_move only */
    bool from_config;
    uint64_t incarnation;    /* raised each time that it begins anew */
    uint64_t finished_as;    /* FINISHED: it was the how many-th job to finish */
    struct job_draft *draft; /* owned; NULL while CREATED; changed by drafts.h only */
    struct control_drafted drafted;
    struct job *job;       /* a reference; NULL until the tensors are sealed */
    struct gate *gate;     /* owned; NULL: its slices close one by one */
    struct order decision; /* the gate's newest; borrows from it */
    bool decision_untold;
    struct stepd_error failure; /* FAILED, or unrestored: why */
    bool failure_untold;        /* the shards do not know it yet */
    struct control_changes changes;
    struct control_history history;
    struct control_checkpoints checkpoints;

    size_t ranks;                   /* length of member: the highest rank that joined, plus 1 */
    struct control_member **member; /* owned, as are they; by rank, NULL where nobody joined */
    size_t observers;               /* sessions that are no members */

    struct job_state
        *restored; /* OPENING: what its slices go on from, a reference; NULL: new ones */
    const struct stepd_define_job
        *file_says; /* restored: what the config file has made of its definition meanwhile,
                     * borrowed until the job is open; NULL: the same */
    const struct stepd_define_job
        *file_has;   /* restored: its definition in the config file, likewise; NULL: none */
    bool *answered;  /* owned; restored and OPENING: by shard, whether it has answered */
    bool unrestored; /* DEFINED: it could not be opened as restored, and `failure` says why; nobody
                      * gets into it */
    uint32_t lacks;  /* and which shard it was that could not */
    uint64_t begun_ms;       /* restored and OPENING: since when */
    struct stepd_error late; /* and whom it waits for, when that takes long; code OK: it does not */
    bool started;  /* restored: its rounds could close before, and need not wait for all to join */
    bool fetching; /* OPENING: its first weights are gone for (io.fetch), and the shards do not know
                    * of it yet */

    uint64_t opening;              /* OPENING: number of the attempt */
    uint64_t opening_until_ms;     /* OPENING: when it counts as failed; of a restored one, which
                                    * is waited for, when the log says so again */
    uint32_t opening_left;         /* OPENING: shards that have not answered */
    struct stepd_error open_error; /* why the newest opening failed; code OK: it did not */
    bool close_untold;             /* it failed, and the shards do not know yet */
    char first_weights[FIRST_WEIGHTS_TEXT_BYTES]; /* what these came to; "": it began as defined, or
                                                   * goes on from a snapshot */
};

/* NULL: no such job. */
struct control_job *control_job_find(const struct control *control, const char *name);

/*
 * Makes an entry in state CREATED; control owns it. Where there are jobs_max, another one makes
 * room for it (finished.h). INVALID_ARGUMENT: no good name. RESOURCE_EXHAUSTED: jobs_max, or no
 * memory.
 */
enum stepd_status control_job_create(struct control *control, const char *name,
                                     struct control_job **ret_job,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* It never became READY, the shards have no business with it, and nobody is connected to it; its
 * members' leases may still run. */
bool control_job_is_abandoned(const struct control_job *job);

/* Forgets the entry if it is abandoned and its members' leases have run out, so that nobody is left
 * who could bring it on; one from the config file is emptied. */
void control_job_forget_if_idle(struct control *control, struct control_job *job);

/* Ends all sessions of the job and what waits for it, and forgets its members and its tensors; its
 * definition too, unless that is from the config file. The shards must have closed it or never
 * opened it, and the caller sees to its state. */
void control_job_empty(struct control *control, struct control_job *job);

/* The same, and frees the entry. */
void control_job_forget(struct control *control, struct control_job *job);

/* Forgets the tensors, sealed or not, so that others can be defined; the definition stays. */
void control_job_reset_tensors(struct control_job *job);

/* Frees an entry and its members without a word to the shards. Returns NULL. */
struct control_job *control_job_destroy(struct control_job *job);

/* The one place that changes a job's state; asserts that the table above allows it, and logs. */
void control_job_move(struct control *control, struct control_job *job,
                      enum control_job_state state);

/* Open on all shards: READY, RUNNING, FINISHED or FAILED. */
bool control_job_is_open(const struct control_job *job);

/* FINISHED or FAILED: only its weights are left. */
bool control_job_is_over(const struct control_job *job);

/* The job ends where it is. shards_know: they have found out by themselves. */
void control_job_fail(struct control *control, struct control_job *job,
                      const struct stepd_error *why, bool shards_know);

/* Must all shards agree on the version from which on a rank joins? */
bool control_job_joins_at_version(const struct control_job *job);

/* What a client is told of the state. */
enum stepd_job_state control_job_state_seen(const struct control_job *job);

/* How many ranks the job has, from 0 on: its workers, or STEPD_WORKERS_MAX as long as nobody has
 * said how many. The memory plan covers these and no more. */
uint32_t control_job_ranks(const struct control_job *job);

/* May a rank that has left be taken again? Not in a sync job that has started, whose number of
 * workers is fixed: rounds would wait for it that its worker did not mean to make. */
bool control_job_takes_ranks_back(const struct control_job *job);

/*
 * Sends the shards what they have not been told yet: that an opening failed; of an open job its
 * members, and that enough of them have joined. Whatever memory runs out for is tried again at the
 * next call.
 */
void control_job_tell_shards(struct control *control, struct control_job *job);

#endif
