/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's core without a daemon: control's orders are given by the test, connections are peers
 * by number, payloads are arrays of floats, and replies are kept to be looked at. Time moves only
 * when the test moves it.
 */
#ifndef TESTS_LIB_SHARD_H
#define TESTS_LIB_SHARD_H

#include "server/core/core.h"

enum { SHARD_PEERS = 16, SHARD_REPLIES = 64, SHARD_SLICES = 16 };

struct shard_reply {
    uint64_t request_id;
    enum stepd_message_kind kind;
    enum stepd_status code;            /* of an error */
    char text[STEPD_ERROR_TEXT_BYTES]; /* of an error */
    size_t waited_for;
    uint32_t waited[4];

    struct { /* of a welcome */
        uint64_t epoch;
        uint32_t rank;
        uint32_t world;
        uint64_t incarnation;
        uint64_t clock;
        uint64_t weights_bytes;
        uint64_t gradients_bytes;
    } welcome;

    size_t slices;
    uint32_t slice[SHARD_SLICES];
    enum stepd_outcome outcome[SHARD_SLICES];
    uint64_t version[SHARD_SLICES];
    size_t places; /* as many as slices, or none */
    uint64_t place[SHARD_SLICES];
    uint64_t durable_version;
    bool last;
    size_t bytes;  /* payload */
    size_t values; /* the same in floats */
    float *value;  /* owned */
};

struct shard_peer {
    struct core_conn *conn; /* NULL: closed or hung up */
    bool hung_up;
    bool held; /* nothing more of its bytes is to be brought */
    bool full; /* the test: it takes no replies */
    bool gives_way;
    bool cut;           /* its connection is to be closed: shard_close_cut */
    uint8_t *gradients; /* owned; what is lent to it, as long as its connection stands; or NULL */
    size_t replies;
    struct shard_reply reply[SHARD_REPLIES];
};

struct shard {
    struct core *core;
    struct job *job;
    uint32_t index; /* of this shard, 0 first */
    uint64_t now_ms;
    bool shares;               /* every peer says that it shares memory */
    bool lacks_memory;         /* ... but there is none for weights */
    bool lends_nothing;        /* ... or none for who comes now */
    struct core_memory memory; /* the job's weights; at NULL: they are not shared */
    struct shard_peer peer[SHARD_PEERS];
    /* Where replies go instead of being kept, once the test has set it; they have no payload. */
    void (*watch)(void *watcher, const struct stepd_message *message);
    void *watcher;
    bool hold; /* keep the pieces of replies instead of giving them back at once */
    size_t held;
    struct weights *held_piece[SHARD_REPLIES];
    const struct shard_peer *held_of[SHARD_REPLIES]; /* whose it is */
    struct stepd_error opened;                       /* what NOTICE_JOB_OPENED said */
    size_t heard;                                    /* ranks in the newest NOTICE_HEARD */
    uint32_t heard_rank[4];
    uint64_t heard_clock[4];
    size_t answers;      /* NOTICE_ANSWER so far; the rest is of the newest */
    uint64_t waited_for; /* bit set of ranks */
    uint64_t answer_slices;
    uint64_t answer_min;
    uint64_t answer_max;
    uint64_t answer_parked;
    uint64_t changed; /* number of the newest NOTICE_CHANGED, and what it said */
    uint64_t changed_min;
    uint64_t changed_max;
    struct notice *ready; /* owned; the newest NOTICE_READY, until the test has taken it */
    size_t proposals;     /* NOTICE_PROPOSED so far; the rest is of the newest */
    uint64_t proposal;    /* its number */
    uint64_t newest_step;
    bool agreed;
    uint64_t without_min; /* of the newest NOTICE_GIVEN_UP */
    uint64_t without_max;
    size_t later;
    uint32_t later_slice;    /* the first of them */
    size_t resets;           /* NOTICE_RESET so far */
    size_t snapshots;        /* NOTICE_SNAPSHOT so far */
    struct notice *snapshot; /* owned; the newest */
};

/* What a test says of its job. One group of sgd with this learning rate, unless optimizer is set;
 * or the groups as they stand. */
struct shard_job {
    enum stepd_mode mode;
    struct stepd_settings settings; /* beside the mode */
    uint32_t workers;
    const char *optimizer; /* NULL: sgd */
    double lr;
    size_t groups; /* 0: the one above */
    const struct stepd_group *group;
    uint32_t slice_elements; /* 0: the default */
    uint32_t shards;         /* 0: one */
    uint32_t shard;          /* which of them this is */
    bool shares;             /* its peers are on this host, and share memory */
    bool lacks_memory;       /* ... of which there is none */
    struct limits *limits;   /* of the shard; borrowed while it lives; may be NULL */
    size_t tensors;
    const struct stepd_tensor_def *tensor;
    struct first_weights *first; /* that it begins with; NULL: as it is defined */
};

/* Opens the job, a session and membership for each worker, and starts it. */
void shard_setup(struct shard *shard, const struct shard_job *job);
void shard_teardown(struct shard *shard);

/* Only the job, without sessions, members or start; that it opens at all is for the test to see.
 * state: borrowed until return; NULL: the job begins anew. */
void shard_open_job(struct shard *shard, const struct shard_job *job);
void shard_try_open(struct shard *shard, const struct shard_job *job, struct job_state *state);
void shard_session(struct shard *shard, uint32_t rank, uint64_t epoch, bool observer);
void shard_member(struct shard *shard, uint32_t rank, uint64_t from, uint64_t last_clock);
/* A member that has not left; of a sync job, it goes on from the clock of its first version. */
void shard_member_from(struct shard *shard, uint32_t rank, uint64_t from);
void shard_session_gone(struct shard *shard, uint32_t rank);
void shard_start(struct shard *shard);
/* An order about the whole job. */
void shard_order(struct shard *shard, enum order_kind kind);
void shard_query(struct shard *shard);
/* Any other order; borrowed until return. */
void shard_give(struct shard *shard, const struct order *like);

/* Orders a snapshot of the job at a version. */
void shard_snapshot_order(struct shard *shard, uint64_t version);
/* The shard has nothing else to do, for long enough. */
void shard_spare(const struct shard *shard);
/* Both; and the end of it. */
void shard_snapshot(struct shard *shard, uint64_t version);
void shard_snapshot_end(struct shard *shard);
/* The same, when it was written down. */
void shard_snapshot_written(struct shard *shard);
/* The same of the last one of a server that ends. */
void shard_snapshot_last(struct shard *shard, uint64_t version);
void shard_snapshot_last_written(struct shard *shard);
/* A copy of what the newest snapshot has taken, behind idle moments, which must be all of the job.
 * Caller frees with job_state_unref. */
struct job_state *shard_state(const struct shard *shard);
/* As shard_setup, but the job goes on from a state, under the next incarnation. */
void shard_restore(struct shard *shard, const struct shard_job *job, struct job_state *state);

/* Opens a peer's connection, which must say Hello yet. */
void shard_open(struct shard *shard, size_t peer);
/* Says Hello as it stands, on an open connection. */
enum stepd_status shard_say_hello(struct shard *shard, size_t peer, const struct stepd_hello *hello,
                                  struct stepd_error *reterr);
/* The Hello of a rank's session; `session` is filled in and must outlive it. */
struct stepd_hello shard_hello_of(uint32_t rank, uint8_t session[STEPD_SESSION_BYTES]);

/* Opens a peer's connection and says Hello for a rank's session. */
enum stepd_status shard_hello(struct shard *shard, size_t peer, uint32_t rank,
                              struct stepd_error *reterr);
/* The same, and it must succeed. */
void shard_connect(struct shard *shard, size_t peer, uint32_t rank);
void shard_close(struct shard *shard, size_t peer);

/* Sends a message and n payload bytes of the `total` that the frame claims. */
enum stepd_status shard_send(struct shard *shard, size_t peer, const struct stepd_message *message,
                             const void *payload, size_t n, size_t total,
                             struct stepd_error *reterr);

/* Whole requests. The payload is `values` floats; slices 0 .. slices-1. */
struct shard_push {
    uint64_t id;
    uint64_t clock;
    uint64_t base_version;
    uint64_t examples;
    size_t slices;
    const uint32_t *slice; /* NULL: 0, 1, ... */
    const float *grad;
    size_t values;
    bool placed;            /* the gradients lie in shared memory */
    enum stepd_dtype dtype; /* that it says they have */
    uint64_t incarnation;   /* 0: the job's */
    bool step;              /* also pull */
    enum stepd_dtype pull_dtype;
    enum stepd_view view;
    uint32_t deadline_ms;
    bool has_loss;
    double loss;
    double loss_scale; /* 0: 1 */
};

void shard_push(struct shard *shard, size_t peer, const struct shard_push *push);
void shard_pull(struct shard *shard, size_t peer, uint64_t id, uint64_t min_version, size_t slices);
void shard_pull_view(struct shard *shard, size_t peer, enum stepd_view view, size_t slices);

/* ---- Shared memory --------------------------------------------------------------------------- */

/* The slice's place in what was lent to a peer; the fixture fails without. */
float *shard_gradient(const struct shard *shard, size_t peer, uint32_t slice);
/* The weights of the i-th slice of a reply with places, in the memory of the job. */
const float *shard_placed(const struct shard *shard, const struct shard_reply *reply, size_t i);

/* The newest reply of a peer; fails the test if there is none. */
const struct shard_reply *shard_last(const struct shard *shard, size_t peer);

/* Gives held pieces back; those of a peer. */
void shard_release(struct shard *shard);
void shard_release_of(struct shard *shard, size_t peer);
/* Closes the connections that the core has cut, and gives back what they held. */
void shard_close_cut(struct shard *shard);

/* A tensor with constant first weights. */
struct stepd_tensor_def shard_tensor(const char *name, const uint64_t *shape, size_t dims,
                                     double value);

#endif
