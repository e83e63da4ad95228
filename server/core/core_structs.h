/* SPDX-License-Identifier: Apache-2.0
 *
 * What a shard's brain is made of. What belongs to what:
 *
 *     core  -- jobs -- slices -- waiters (borrowed: they belong to requests)
 *           |- sessions
 *           `- connections -- requests -- waiters, one for each slice that a request names
 *
 * A waiter is a slice of a request that has not been answered. It stands in its slice's list from
 * the moment it has to wait until it is ready, and goes out with the next reply of its request.
 *
 * What the files of core/ do with these is in core_internal.h.
 */
#ifndef CORE_CORE_STRUCTS_H
#define CORE_CORE_STRUCTS_H

#include "server/core/core.h"
#include "server/model/slice.h"
#include "server/model/staging.h"
#include "server/sync/policy.h"

struct core_snapshot;
struct request;

enum waiter_state {
    WAITER_UNREAD,  /* its part of the payload has not come in whole */
    WAITER_ROUND,   /* its push counts; the round is open */
    WAITER_VERSION, /* the slice has not the version that is wanted */
    WAITER_READY,   /* its result stands; it goes out with the next flush */
    WAITER_SENT,
};

struct waiter {
    struct request *request;
    struct core_slice *slice;
    enum waiter_state state;
    bool discard;          /* UNREAD: its payload is not wanted */
    uint64_t base_version; /* push: version that the gradient was computed at */
    enum stepd_outcome outcome;
    uint64_t version;
    struct waiter *prev; /* in the slice's list, while ROUND or VERSION */
    struct waiter *next;
};

/* A Push, Pull, Step or Assign that has not been answered in full. */
struct request {
    struct core_conn *conn;
    struct core_job *job;
    uint64_t id;
    enum stepd_message_kind kind;
    uint64_t clock;
    uint64_t examples;
    bool has_loss;
    double loss;       /* mean over the examples */
    double loss_scale; /* what the gradient was multiplied by */
    uint64_t min_version;
    enum stepd_dtype dtype;      /* of the payload that comes in */
    bool placed;                 /* none does: the gradients lie in shared memory */
    enum stepd_dtype pull_dtype; /* of the payload that goes out */
    bool wants_weights;
    enum stepd_view view; /* of the weights that it wants */
    uint64_t deadline_ms;
    struct stepd_error error; /* code OK, or how the request is to end */
    bool dirty;               /* stands in core->dirty */
    struct request *next_dirty;
    bool due; /* stands in its connection's list of those whose turn has not come */
    struct request *prev_due;
    struct request *next_due;
    struct request *prev; /* in the connection's list */
    struct request *next;
    size_t unsent; /* waiters that are not SENT */
    size_t count;
    struct waiter waiter[];
};

/* What a step is made of, in staging or in the shard's sum; the step may change it. */
struct gradient {
    float *grad;         /* of the slice's elements, and plan->extra floats behind them */
    double loss;         /* mean over the examples; NAN: not known */
    uint64_t staleness;  /* versions that have been made since it was computed; 0 of a mean */
    const float *backup; /* the weights it was computed at, where its delay is to be compensated */
    const float *factor; /* by tensor: what clipping by norms multiplies it by; NULL: 1 */
};

struct core_slice {
    struct slice slice; /* first: weights know the core's slice by it */
    struct core_job *job;
    struct round round;
    struct staging_stack *staging; /* the job's, of its length; NULL: it is frozen */
    struct waiter *waiters;
    bool blocked;            /* the round is full, but readers hold both versions of the weights */
    bool full;               /* of a gated job: counted in gate.full */
    struct gradient waiting; /* of a gated job that has reported; grad NULL: no examples */

    struct { /* the first that came in for the open round, where it does not refuse the push */
        bool found;
        uint32_t rank;
        uint32_t index;
    } nonfinite;

    uint64_t durable;   /* version that would survive a crash; 0: none */
    uint64_t listed;    /* number of the request that listed it last: finds repetitions */
    size_t gradient_at; /* byte where its gradient begins in memory that a worker shares */
};

enum gate_state {
    GATE_COLLECTING,
    GATE_REPORTED,
    GATE_COMMITTED,
};

/* Of a job whose slices close together; see gate.c. */
struct core_gate {
    bool gated;
    enum gate_state state;
    uint64_t version;           /* that the open step starts from */
    size_t slices;              /* here that are stepped */
    size_t full;                /* of these */
    size_t blocks;              /* whose sums a report holds */
    enum order_verdict verdict; /* COMMITTED */
    struct stepd_error why;     /* COMMITTED to HALT */
    float *factor;              /* owned; COMMITTED: by tensor; NULL: 1 */
};

/* What control has proposed and this shard agreed to; see change.c. */
struct core_proposal {
    bool open;        /* control has not decided */
    uint64_t version; /* no step from this one on is made meanwhile */
};

struct core_job {
    struct core_job *next;
    struct job *job; /* a reference */
    const struct sync_policy *policy;
    struct members members;
    struct core_proposal proposal;
    struct core_proposal last;     /* the server ends; see snapshot.h */
    struct stepd_error failure;    /* code OK, or why nothing is taken any more */
    struct group_changes *changes; /* owned; that some slices here have not got to, in order */
    struct core_slice **slice; /* owned; by index in the layout, NULL where another shard owns it */
    struct block block;        /* owned; versions and slots of all slices, in the layout's order */
    struct block spare;        /* owned; likewise the room of each for a snapshot, or nothing */
    struct staging staging;    /* owned */
    struct core_memory *shared; /* owned; where its weights stand, which workers on this host can
                                 * read; NULL: the slices' own */
    size_t gradients_bytes;     /* of one such worker's gradients here */
    struct core_gate gate;
    struct core_snapshot *snapshot; /* owned; snapshot.h; NULL: none is taken or read */
    size_t pieces; /* references to weights that replies and ranks hold, and one for the snapshot */
    bool closing;  /* to be freed with the last piece */
};

/* What the shard remembers of a worker across connections. */
struct session {
    struct session *next;
    uint8_t id[STEPD_SESSION_BYTES];
    uint64_t epoch;
    char *job_name; /* owned */
    char *worker;   /* owned */
    uint32_t rank;
    bool observer;
    struct core_conn *conn;    /* the living connection, or NULL */
    uint64_t heard_ms;         /* when a frame of it came in last */
    bool heard;                /* since control was told last */
    struct stepd_error fenced; /* code OK, or why nothing of it is taken any more */
};

/* Slices that may wait for an answer on one connection. */
#define CONN_WAITERS_MAX (1u << 18)

struct core_conn {
    struct core *core;
    void *peer;
    struct session *session; /* NULL before Hello */
    uint32_t frame_max_bytes;
    struct core_conn *prev;
    struct core_conn *next;
    struct request *requests;
    size_t requests_count;
    size_t waiters;            /* of all its requests */
    struct request *due_first; /* what is ready, while the peer does not take its replies */
    struct request *due_last;
    struct request *receiving; /* whose payload is coming in, or NULL */
    size_t receiving_at;       /* its waiter that the next byte belongs to */
    uint64_t received;         /* bytes of that waiter's part that are in */
    size_t looked;             /* floats of it that have been looked through, */
    size_t bad;                /* and the first that is not finite, or SIZE_MAX */
    bool held;                 /* there is no buffer for that waiter's part yet; in core->held */
    struct core_conn *next_held;
    uint64_t discard;          /* bytes of a refused request's payload that are still to come */
    const uint8_t *gradients;  /* borrowed from io: what its worker writes; NULL: nothing is lent */
    uint64_t lent_incarnation; /* of the job that it was lent for */
};

struct core {
    struct core_options options;
    struct core_io io;
    uint64_t now_ms;
    uint64_t told_ms; /* when control was told last who is alive */
    struct core_job *jobs;
    struct session *sessions;
    struct core_conn *conns;
    struct core_conn *held; /* who waits for a buffer to receive into, in the order of coming */
    struct request *dirty;
    uint64_t requests_made;
    size_t snapshots;  /* of all jobs, under way or being read */
    bool reset_untold; /* control waits for NOTICE_RESET, for which there was no memory */

    /* Owned; what any slice here needs while it is stepped, as long as the one that needs most. */
    struct core_buffer {
        float *floats;
        size_t count;
    } sum; /* where gradients are added up */

    struct core_buffer scratch; /* for optimizers that see whole tensors */

    /* Owned; room for the lists of one reply, as long as the longest request. */
    struct reply_room {
        size_t count;
        uint32_t *slice;
        uint32_t *outcome;
        uint64_t *version;
        uint64_t *place;
        struct core_piece *piece;
    } room;
};

static inline bool core_job_adds_on_arrival(const struct core_job *job)
{
    return job->job->consistency.reduction == CONSISTENCY_ARRIVAL;
}

/* What the policy decides from. */
static inline struct scene slice_scene(const struct core_slice *slice)
{
    return (struct scene){
        .consistency = &slice->job->job->consistency,
        .members = &slice->job->members,
        .round = &slice->round,
        .version = slice->slice.version,
        .ranks = slice->slice.ranks,
        .by_rank = slice->slice.by_rank,
    };
}

#endif
