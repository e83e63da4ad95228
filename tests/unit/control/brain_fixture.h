/* SPDX-License-Identifier: Apache-2.0
 *
 * A brain without a body: control with two shards that exist only as a list of the orders they got,
 * peers that exist only as a list of the replies they got, and a clock that a test moves. Every
 * reply is encoded and decoded on its way, so a header that is too long or breaks a rule of the
 * wire fails the test that caused it.
 */
#ifndef TESTS_UNIT_CONTROL_BRAIN_FIXTURE_H
#define TESTS_UNIT_CONTROL_BRAIN_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/arena.h"
#include "server/control/control.h"

#define BRAIN_SHARDS      2u
#define BRAIN_LEASE_MS    60000u
#define BRAIN_WAIT_MAX_MS 10000u

struct reply {
    struct reply *next;
    struct stepd_arena arena; /* where message lies */
    struct stepd_message message;
};

struct peer {
    struct peer *next;
    struct brain *brain;
    struct control_conn *conn; /* NULL: closed by either side */
    bool hung_up;              /* by control */
    uint64_t request_id;       /* of its newest request */
    uint8_t session[STEPD_SESSION_BYTES];
    struct reply *replies; /* owned; the oldest first */
};

/* Orders that a test may cause. */
#define BRAIN_ORDERS_MAX 4096u

struct sent_order {
    uint32_t shard;
    struct order *order;
};

struct brain {
    struct control *control;
    uint64_t now_ms;
    const char *certificate; /* that peers show; NULL: none */
    int64_t unix_s;          /* what the machine believes */
    uint8_t newest_random;
    uint8_t creation;   /* what the first incarnation of a job that is made now is above 1 */
    struct peer *peers; /* owned */
    size_t orders;
    struct sent_order order[BRAIN_ORDERS_MAX]; /* owned; the oldest first */
    size_t snapshots; /* that control has told of; the rest is of the newest */
    const struct job_snapshot
        *snapshot; /* control's, until the test has ended it; NULL: see error */
    struct stepd_error snapshot_error;
    size_t checkpoints;                    /* that were to be written */
    const struct job_snapshot *checkpoint; /* the newest of them, control's until it is written */
    uint64_t checkpoint_step;
    bool apart; /* the shards are in other daemons: so many orders have got there */
    uint64_t arrived;
    size_t daemons;     /* that there are, besides the first */
    bool fetches;       /* first weights come from elsewhere */
    uint64_t attempt;   /* that they were asked for last */
    char log[1u << 16]; /* "event facts\n", one line each; behind "warn: " where it is one */
};

/* Options that a test may change before brain_create. */
struct control_options brain_options(void);

struct brain *brain_create(const struct control_options *options);
void brain_destroy(struct brain *brain);

/* For CMocka: *state is a struct brain with brain_options(). */
int brain_setup(void **state);
int brain_teardown(void **state);

/* The same, and checkpoints are kept. */
int brain_setup_keeping(void **state);

/* Moves the clock and ticks. */
static inline void brain_wait(struct brain *brain, uint64_t ms)
{
    brain->now_ms += ms;
    control_on_tick(brain->control, brain->now_ms);
}

/* ---- Shards ---------------------------------------------------------------------------------- */

void brain_forget_orders(struct brain *brain);

/* How many orders of a kind were sent to a shard. */
size_t brain_count(const struct brain *brain, uint32_t shard, enum order_kind kind);

/* The newest order of a kind to a shard; fails the test if there is none. */
const struct order *brain_newest(const struct brain *brain, uint32_t shard, enum order_kind kind);

/* Where in the list the newest order of a kind to shard 0 stands. */
size_t brain_place(const struct brain *brain, enum order_kind kind);

/* A shard says NOTICE_JOB_OPENED with a code, to the newest ORDER_JOB_OPEN that it got if there is
 * any. */
void brain_opened(struct brain *brain, uint32_t shard, const char *job, enum stepd_status code);

/* The same, to an attempt of this number. */
void brain_opened_to(struct brain *brain, uint32_t shard, const char *job, enum stepd_status code,
                     uint64_t attempt);

/* All shards say that the job is open. */
void brain_opened_all(struct brain *brain, const char *job);

/* A shard says NOTICE_HEARD of one rank; without a number it is shard 1. */
void brain_heard(struct brain *brain, const char *job, uint32_t rank, uint64_t clock);
void brain_heard_by(struct brain *brain, uint32_t shard, const char *job, uint32_t rank,
                    uint64_t clock);

/* A shard answers the newest ORDER_QUERY that it got: slices at versions min to max, waiting for
 * one rank (UINT32_MAX: for none). */
void brain_answer(struct brain *brain, uint32_t shard, uint64_t min, uint64_t max, uint32_t rank);

/* A shard answers the newest ORDER_PROPOSE that it got: the newest step here starts from this
 * version. */
void brain_proposed(struct brain *brain, uint32_t shard, uint64_t newest);

/* All shards answer it so. */
void brain_proposed_all(struct brain *brain, uint64_t newest);

/* ---- Peers ----------------------------------------------------------------------------------- */

struct peer *peer_open(struct brain *brain);
void peer_close(struct peer *peer);

/* Sends a request under the next id. Where control wants the connection closed, it is. */
enum stepd_status peer_send(struct peer *peer, struct stepd_message message,
                            struct stepd_error *reterr);

/* The same; fails the test where the connection ends. */
void peer_request(struct peer *peer, struct stepd_message message);

/* Replies to the newest request. */
size_t peer_answers(const struct peer *peer);

/* The newest reply to the newest request; fails the test unless it is of this kind. */
const struct stepd_message *peer_answer(const struct peer *peer, enum stepd_message_kind kind);

/* Fails the test unless the newest request was answered with an Error of this code whose text
 * holds these words. */
void peer_assert_error(const struct peer *peer, enum stepd_status code, const char *words);

/* A Hello of a worker called "w<rank>" or of an observer. */
struct stepd_message hello_worker(const char *job, int32_t rank);
struct stepd_message hello_observer(const char *job);
struct stepd_message hello_resume(const struct peer *peer);

/* Connects and is welcomed. */
struct peer *peer_join(struct brain *brain, struct stepd_message hello);

/* Connects, is refused, and the connection is over. */
void brain_assert_refused(struct brain *brain, struct stepd_message hello, enum stepd_status code,
                          const char *words);

/* ---- Definitions: one group of SGD with lr 0.5 and a drop to a tenth every 10 steps -----------
 */

struct stepd_message define_job(enum stepd_mode mode, uint32_t workers);

/* One tensor "w" of n elements, the last page. Lives in static memory until the next call. */
struct stepd_message define_tensor(uint64_t n);

/* A worker defines a job with one tensor of 1000 elements and settings beside the mode
 * (tests/lib/settings.h), and the shards open it. */
void peer_define_with(struct peer *peer, const char *job, enum stepd_mode mode, uint32_t workers,
                      const char *settings);

/* The same without settings. */
static inline void peer_define(struct peer *peer, const char *job, enum stepd_mode mode,
                               uint32_t workers)
{
    peer_define_with(peer, job, mode, workers, "");
}

static inline struct stepd_message leave_at(uint64_t clock)
{
    return (struct stepd_message){.kind = STEPD_MESSAGE_LEAVE, .body.leave = {.clock = clock}};
}

static inline struct stepd_message get_status(const char *job)
{
    return (struct stepd_message){.kind = STEPD_MESSAGE_GET_STATUS, .body.get_status = {job}};
}

static inline struct stepd_message plain(enum stepd_message_kind kind)
{
    return (struct stepd_message){.kind = kind};
}

#endif
