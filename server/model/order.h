/* SPDX-License-Identifier: Apache-2.0
 *
 * What control and shards say to each other. Control gives orders, shards give notices; both
 * travel through queues in order and are never answered by a return value, so that a shard may as
 * well sit in another process. Control sends the order about a session before it tells the
 * worker, so a shard knows every session before it can be asked for it.
 *
 * An order or notice is made by its sender and passes to the receiver, which frees it with
 * order_destroy or notice_destroy.
 */
#ifndef MODEL_ORDER_H
#define MODEL_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/types.h>

#include "server/model/first_weights.h"
#include "server/model/group_change.h"
#include "server/model/job.h"
#include "server/model/job_state.h"

enum order_kind {
    ORDER_JOB_OPEN,     /* allocate your slices of this job, then say NOTICE_JOB_OPENED */
    ORDER_JOB_CLOSE,    /* forget the job; its requests end with an error */
    ORDER_JOB_START,    /* enough workers have joined: rounds may close */
    ORDER_SESSION,      /* this session exists, at this epoch; an older connection of it goes */
    ORDER_SESSION_GONE, /* forget it; its connection ends with the error, if there is one */
    ORDER_JOB_FAIL,     /* take nothing more: requests end with the error */
    ORDER_MEMBER,       /* this rank is a member from a version on, and up to a clock */
    ORDER_GIVE_UP,      /* this rank is one no more: rounds that lack it close without it, and its
                         * requests end with the error; say NOTICE_GIVEN_UP */
    ORDER_QUERY,        /* say NOTICE_ANSWER about this job */
    ORDER_COMMIT,       /* close the slices of this version as the verdict says */
    ORDER_WITHOUT,      /* forget what these ranks have contributed to the step from this version
                         * on, and say NOTICE_READY again when it can be made without them */
    ORDER_SNAPSHOT,     /* take the state of this job, each slice as it closes a version or (no
                         * sync job) as it stands, then say NOTICE_SNAPSHOT */
    ORDER_SNAPSHOT_END, /* nobody reads that state any more, or waits for it */
    ORDER_PROPOSE,      /* something is to change from a version on: say NOTICE_PROPOSED, and having
                         * agreed make no step from that version on before ORDER_CHANGE */
    ORDER_CHANGE,       /* all shards have agreed: this changes from that version on */
    ORDER_RESET,        /* forget all jobs and sessions; their connections end with the error, or
                         * are told to connect again. Nobody reads a snapshot any more. Say
                         * NOTICE_RESET */
};

/* CHANGE: what changes. Its values are other fields of the order. */
enum order_change {
    ORDER_CHANGE_MEMBER, /* rank is a member from the version on */
    ORDER_CHANGE_GROUPS, /* groups have other settings; none of them: it was called off */
};

/* COMMIT: what becomes of a step that all shards are ready for. */
enum order_verdict {
    ORDER_APPLY,
    ORDER_SKIP,
    ORDER_HALT, /* skip it, and take no more */
};

struct order {
    enum order_kind kind;
    char *job_name;          /* owned; always set; RESET: "" */
    struct job *job;         /* JOB_OPEN; a reference */
    struct job_state *state; /* JOB_OPEN: a whole one that the slices go on from, a reference; NULL:
                              * they are new */
    struct first_weights *first; /* JOB_OPEN of new ones: what they begin with, a reference; NULL:
                                  * as they are defined */
    char *checkpoint;     /* owned; JOB_OPEN: what `state` is read from, "job/step-00001200", for a
                           * shard of another daemon, which is not given the state; NULL: none */
    bool first_elsewhere; /* JOB_OPEN: `first` is to be fetched, likewise */
    char first_sum[FIRST_WEIGHTS_SUM_BYTES]; /* and what its values must sum to; "": unknown */

    uint32_t becomes; /* RESET: the shard's number from now on, over all daemons */

    /* SESSION, SESSION_GONE */
    uint8_t session[STEPD_SESSION_BYTES];
    uint64_t epoch;
    char *worker; /* owned */
    bool observer;

    /* SESSION, MEMBER, GIVE_UP, CHANGE of a MEMBER */
    uint32_t rank;
    uint64_t from;       /* SNAPSHOT as it stands: not before a slice is at this version */
    uint64_t clock;      /* that it goes on from */
    uint64_t last_clock; /* UINT64_MAX: still a member */

    /* QUERY, JOB_OPEN, PROPOSE, CHANGE, SNAPSHOT: number to answer with; SNAPSHOT_END: that number
     */
    uint64_t query;
    bool durable; /* SNAPSHOT_END: that state would survive a crash now */
    bool last;    /* SNAPSHOT: make no step beyond that state; SNAPSHOT_END: nor from now on, since
                   * the server ends */

    enum order_change change; /* CHANGE */
    uint64_t version;         /* COMMIT, WITHOUT, PROPOSE, CHANGE: that the step starts from;
                               * SNAPSHOT: of the state, or JOB_STATE_AS_IT_STANDS */
    enum order_verdict verdict;
    struct stepd_error error;     /* COMMIT to HALT, JOB_FAIL, GIVE_UP, SESSION_GONE, RESET: why */
    size_t factors;               /* COMMIT: as many as tensors, or 0: 1 for all */
    float *factor;                /* owned */
    size_t ranks;                 /* WITHOUT */
    uint32_t *rank_list;          /* owned */
    struct group_changes *groups; /* owned; CHANGE of GROUPS; their version is filled in */
};

enum notice_kind {
    NOTICE_JOB_OPENED, /* or not: see status */
    NOTICE_HEARD,      /* frames of these ranks came in since the last such notice */
    NOTICE_ANSWER,     /* to ORDER_QUERY */
    NOTICE_READY,      /* all slices here that are stepped can close (sync/gate.h) */
    NOTICE_SNAPSHOT,   /* the state is taken, or cannot be: see error */
    NOTICE_PROPOSED,   /* to ORDER_PROPOSE */
    NOTICE_GIVEN_UP,   /* to ORDER_GIVE_UP: the first versions that are made without the rank */
    NOTICE_CHANGED,    /* to ORDER_CHANGE of GROUPS that was for each slice's next step */
    NOTICE_RESET,      /* to ORDER_RESET: whatever was said before is of no use any more */
};

struct notice {
    enum notice_kind kind;
    uint32_t shard;           /* who speaks */
    char *job_name;           /* owned */
    struct stepd_error error; /* JOB_OPENED, SNAPSHOT: code STEPD_OK, or why not; READY: what is not
                               * finite */

    /* HEARD: who; ANSWER: who is waited for; READY: who contributed to all; GIVEN_UP: the one */
    size_t ranks;
    uint32_t *rank; /* owned */
    /* Owned; HEARD: for each rank the lowest clock counted over the slices that it has pushed
     * here; 0: it has pushed none. */
    uint64_t *clock;

    uint64_t query;  /* ANSWER, JOB_OPENED, PROPOSED, CHANGED, SNAPSHOT */
    bool agreed;     /* PROPOSED: no slice here has made the step from that version on */
    uint64_t slices; /* ANSWER, GIVEN_UP: of this shard; version_min and _max hold when there
                      * are any */
    size_t later;    /* GIVEN_UP: how many slices have version_max where version_min is less */
    uint32_t *later_slice; /* owned */
    uint64_t version_min;  /* READY: that the step starts from; PROPOSED: the oldest of a slice here
                            * that is stepped, UINT64_MAX where there is none */
    uint64_t version_max;  /* PROPOSED: the newest here that a step starts from; CHANGED: the last
                            * of those that the changed slices were at, from version_min on */
    uint64_t parked;       /* requests that wait */
    double *sum;           /* owned; READY: of squares, gate_blocks() of them; NULL: none */

    /* SNAPSHOT; lent, to be read on any thread until ORDER_SNAPSHOT_END; NULL: see error.
     * OUT_OF_RANGE: some slice is past the version; version_max says how far. */
    const struct job_state *state;
};

/* Zeroed but for the copied name. NULL without memory. */
struct order *order_create(enum order_kind kind, const char *job_name);
struct notice *notice_create(enum notice_kind kind, const char *job_name);

/* A copy with everything that it owns; `like` may borrow all of it. NULL without memory. */
struct order *order_copy(const struct order *like);

/* NULL is fine. Returns NULL. */
struct order *order_destroy(struct order *order);
struct notice *notice_destroy(struct notice *notice);

#endif
