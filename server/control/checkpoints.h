/* SPDX-License-Identifier: Apache-2.0
 *
 * When a job's checkpoints are taken. Control decides, the shards take the snapshot, and whoever
 * io.checkpoint calls writes it down; then control is told, and only then is it durable.
 *
 *     resting --> waiting      ordered ahead, for when the slices get to a multiple of every_steps
 *        |           |         (called off where somebody wants one at once)
 *        +-----------+--> taking --> writing --> resting
 *
 * One of a job is under way at a time. Whatever is asked for meanwhile is one more, afterwards. A
 * checkpoint that could not be written is not tried again, and the next is when it is due: the last
 * good one stays, and the job goes on. Each failure is in the log. Where shards could not lend
 * their shares, for want of memory, the next one that nobody asks for is some seconds later.
 */
#ifndef CONTROL_CHECKPOINTS_H
#define CONTROL_CHECKPOINTS_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/control/control.h"

struct control_job;

enum control_checkpoint_state {
    CHECKPOINT_RESTING,
    CHECKPOINT_WAITING,
    CHECKPOINT_TAKING,
    CHECKPOINT_WRITING,
};

/* How far a job was when one was taken: whether there is anything new to write. */
struct control_reached {
    uint64_t versions; /* of all slices, added up */
    uint64_t changes;  /* that were asked for */
    uint64_t members;  /* epochs of their sessions, added up */
};

struct control_checkpoints {
    enum control_checkpoint_state state;
    uint64_t asked;    /* how many were asked for by somebody who waits, or because the job ends */
    uint64_t awaited;  /* of these, the newest that somebody waits for: it is written in any case */
    uint64_t serves;   /* of these, the newest that the one under way is for */
    uint64_t answered; /* the newest that is done, well or not */
    uint64_t last;     /* of those that were asked for, the one that the daemon's end waits for */
    bool at_the_end;   /* the one of a job that has finished was asked for */
    uint64_t due_ms;   /* the next by time; 0: the job has not been looked at yet */
    uint64_t begun_ms;
    uint64_t not_before_ms; /* one that nobody asks for: after one that was not taken */
    uint64_t step; /* of the one under way, when it is being written, and of the newest after it */
    struct control_reached reaching; /* by the one under way */
    struct control_reached reached;  /* by the newest that was written */
    struct control_written newest;   /* step 0 and no name: there is none */
    struct stepd_error failure;      /* code OK, or why the newest attempt came to nothing */
};

/* Takes what is due. */
void control_checkpoints_on_tick(struct control *control, struct control_job *job);

/*
 * Asks for one as soon as can be; *ret_number: it is done when `answered` has got there.
 * FAILED_PRECONDITION: the daemon keeps none, or the job is not open or has failed.
 */
enum stepd_status control_checkpoint_ask(struct control *control, struct control_job *job,
                                         uint64_t *ret_number,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The daemon ends, or one of several: asks for one where there is anything to keep, unless such a
 * one is still to come. */
void control_checkpoint_last(struct control *control, struct control_job *job);

/* A snapshot for a checkpoint is whole, or there is none: then snapshot is NULL, and error says why
 * not. job may be NULL: it was dropped. */
void control_checkpoint_taken(struct control *control, struct control_job *job,
                              const struct job_snapshot *snapshot, const struct stepd_error *error);

/* The one of a job that is still there was written, or not. */
void control_checkpoint_ended(struct control *control, struct control_job *job,
                              const struct control_written *written);

#endif
