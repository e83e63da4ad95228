/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots of jobs: a job as of one instant, in memory. What control knows is a plain struct; the
 * slices are in the shares that the shards lend to it (model/job_state.h), and stay theirs.
 *
 *     control_snapshot       ORDER_SNAPSHOT at a version to all shards
 *     NOTICE_SNAPSHOT        a shard has taken its share; or it is past the version already, and
 *                            then all are called off, and the next attempt names a later one
 *     io.snapshot            all shares are there, and control adds its own
 *     control_snapshot_end   ORDER_SNAPSHOT_END: the shards take back what they have lent
 *
 * Of a sync job all shares are of one version. A job whose slices have no version in common is
 * taken shard by shard as each gets to it.
 *
 * Whoever writes a snapshot down, or copies it (job_state_gather), walks these structs; whoever
 * reads one brings them to control_restore.
 */
#ifndef CONTROL_SNAPSHOT_H
#define CONTROL_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/members.h"
#include "server/model/job_state.h"

/* No job was brought back so often: a higher one was not written by us, and would wrap around. */
#define JOB_INCARNATION_MAX (UINT64_C(1) << 62)

/* A rank that has joined, and who holds it. */
struct member_snapshot {
    uint32_t rank;
    bool left;                   /* it has left, with this clock: it owes nothing beyond */
    struct stepd_error given_up; /* code OK, or why it was: it is no member, and fenced */
    uint64_t until;              /* given up: first version that was made without it everywhere */
    uint64_t from;               /* first version that it is a member for */
    uint64_t from_clock;         /* that it goes on from */
    uint64_t last_clock;         /* of its last push; UINT64_MAX: it has not left */
    uint64_t reported_clock;     /* of its newest report, with loss and examples */
    double loss;
    uint64_t examples;

    /* Its session. */
    uint8_t session[STEPD_SESSION_BYTES];
    uint64_t epoch;
    uint32_t lease_ms;
    bool has_client; /* the Hello that made it said who it was */
    uint8_t client[STEPD_CLIENT_BYTES];
    char *worker; /* owned; a name for people */

    struct control_former former; /* who held the rank before */
};

/* The checkpoint that a snapshot was read from. */
struct checkpoint_origin {
    char name[STEPD_CHECKPOINT_NAME_BYTES]; /* "": none */
    uint64_t step;
    uint64_t bytes;  /* of all its files */
    uint64_t age_ms; /* since it was written */
};

struct job_snapshot {
    struct checkpoint_origin origin;
    struct job *job;  /* a reference: the definition as it stands */
    uint64_t version; /* of all slices that are stepped, or JOB_STATE_AS_IT_STANDS */

    /* The highest that the job has been at; the next restore raises it by one. Whoever keeps
     * snapshots of a job in several places sees to it that this is the highest of all: an
     * incarnation that is used twice is a way back that nobody is told of. */
    uint64_t incarnation;

    bool started; /* enough had joined, so that rounds could close; where all have left, it has
                   * finished */
    size_t members;
    struct member_snapshot *member; /* owned; by rising rank, without those that were no members
                                     * yet: they join anew */

    /* What had become of its groups, and was to come; each slice's state says how far it is. */
    struct control_history history; /* owned */
    uint64_t taken_ms;              /* by the clock that the trail's times are by */

    size_t shares;                  /* shards that had the job; 0 of a snapshot that was read */
    const struct job_state **share; /* owned list of what the shards have lent */
};

/* Frees what a snapshot owns; a zeroed one is fine. */
void job_snapshot_deinit(struct job_snapshot *snapshot);

/* Takes what control knows now of a job whose slices are in these shares, at least one.
 * RESOURCE_EXHAUSTED: no memory. The caller frees with job_snapshot_deinit. */
enum stepd_status job_snapshot_init(struct job_snapshot *snapshot, const struct control_job *job,
                                    const struct job_state *const *share, size_t shares,
                                    uint64_t now_ms) STEPD_MUST_CHECK;

/* A copy, without the shares. RESOURCE_EXHAUSTED: no memory. The caller frees with
 * job_snapshot_deinit. */
enum stepd_status job_snapshot_copy(const struct job_snapshot *snapshot,
                                    struct job_snapshot *ret_copy) STEPD_MUST_CHECK;

/* Bytes that a snapshot was read from may say anything: could it be one of this state? Whoever
 * reads one asks, and control_restore asks again. INVALID_ARGUMENT: it could not; the text says
 * why. */
enum stepd_status job_snapshot_check(const struct job_snapshot *snapshot,
                                     const struct job_state *state,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What a snapshot is for, and when it is to be taken. */
struct snapshot_wish {
    bool checkpoint; /* what becomes of it is told to checkpoints.h, and not to io.snapshot */
    uint64_t every;  /* 0: at once; else when the slices get to a multiple of this version, however
                      * long that takes */
    uint64_t behind; /* every: the multiple is beyond this version */
    bool last;       /* the server ends: no step is to be made beyond it */
};

/* As control_snapshot and control_snapshot_end. */
enum stepd_status control_snapshot_begin(struct control *control, const char *job_name,
                                         const struct snapshot_wish *wish,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;
/* The daemon ends: no snapshot is waited for any more by more than some seconds. What a shard
 * cannot take until then is of a round that lacks somebody, and would be sent again anyway. */
void control_snapshots_hurry(struct control *control);

/* durable: it was written down, so that its versions would survive a crash. */
void control_snapshot_close(struct control *control, const struct job_snapshot *whole,
                            bool durable);

/* Says why the one of this job that is being taken is not whole yet: DEADLINE_EXCEEDED. */
enum stepd_status control_snapshot_late(const struct control *control,
                                        const struct control_job *job, struct stepd_error *reterr);

/* Is a snapshot of the job being taken, and not whole yet? */
bool control_snapshot_is_taken(const struct control *control, const struct control_job *job);

/* Nobody wants the one of this job any more that is not whole yet; nobody is told. */
void control_snapshot_call_off(struct control *control, const struct control_job *job);

/* Whose snapshot this is; NULL: the job was dropped. */
struct control_job *control_snapshot_job(const struct control *control,
                                         const struct job_snapshot *whole);

/* A shard has taken its share, or not. One of an attempt that is over changes nothing. notice is
 * borrowed until return. */
void control_snapshot_answered(struct control *control, const struct notice *notice);

/* Finds those whose time is up, and tells shards what they have not been told for want of memory.
 */
void control_snapshots_on_tick(struct control *control);

/* The job is dropped. A snapshot of it that is whole can be read on, any other is called off. */
void control_snapshot_forget_job(struct control *control, const struct control_job *job);

/* Frees all, without a word to the shards. Nobody may read one. */
void control_snapshot_destroy_all(struct control *control);

#endif
