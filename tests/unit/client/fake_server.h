/* SPDX-License-Identifier: Apache-2.0
 *
 * A server as small as one can be, for the client's sockets to meet: one job, two shards, and
 * "plus the gradient" for an optimizer. Every slice holds FAKE_SLICE_ELEMENTS elements or the
 * rest of its tensor. A thread accepts, and one thread for each connection answers.
 *
 * What it does wrong, it does when a test asks for it.
 */
#ifndef TESTS_UNIT_CLIENT_FAKE_SERVER_H
#define TESTS_UNIT_CLIENT_FAKE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_SLICE_ELEMENTS 100000u

struct fake_server;

enum fake_fault {
    FAKE_NO_FAULT,
    FAKE_REFUSE_HELLO,  /* Error{PERMISSION_DENIED} and hang up */
    FAKE_MUTE_HELLO,    /* never answers a Hello */
    FAKE_MUTE_DEFINE,   /* never answers a DefineJob */
    FAKE_REFUSE_STEP,   /* Error{DEADLINE_EXCEEDED, "waiting for rank 3"} */
    FAKE_MUTE_STEP,     /* takes steps and never answers */
    FAKE_HANG_UP,       /* closes the connection on a step, before its payload is read */
    FAKE_HALF_ANSWER,   /* closes in the middle of a step's answer */
    FAKE_JOINT_HELLO,   /* answers those to shards when both have come */
    FAKE_HANG_UP_HELLO, /* closes the connection on a Hello */
    FAKE_TAKEN,         /* somebody else has the rank of who rejoins */
    FAKE_MUTE,          /* takes whatever comes and never answers */
    FAKE_MUTE_BEAT,     /* never answers a heartbeat */
    FAKE_FORGET_ASSIGN, /* forgets session and job on an Assign, and closes the connection */
    FAKE_FORGET_LEAVE,  /* takes a Leave, forgets the session and closes the connection */
};

/* Listens on 127.0.0.1 at a free port, or at a Unix socket of this path. */
struct fake_server *fake_server_start(const char *unix_path, uint32_t lease_ms);

/* Closes everything; returns NULL. */
struct fake_server *fake_server_stop(struct fake_server *server);

/* As a client dials it. */
const char *fake_server_address(const struct fake_server *server);

void fake_server_misbehave(struct fake_server *server, enum fake_fault fault);

/* The same on the next so many steps only. */
void fake_server_misbehave_for(struct fake_server *server, enum fake_fault fault, uint64_t steps);

/* Does what the first message of each kind asks, and closes the connection instead of answering. */
void fake_server_lose_first_replies(struct fake_server *server);

/* Closes all connections. */
void fake_server_cut(struct fake_server *server);

/* The job is begun anew under this incarnation, with its first weights. */
void fake_server_begin_anew(struct fake_server *server, uint64_t incarnation);

/* The same, and its first tensor has another name. */
void fake_server_redefine(struct fake_server *server, uint64_t incarnation, const char *name);

/* As begin_anew, and the session is forgotten and all connections are closed. keeps false: the job
 * is gone too. */
void fake_server_go_back(struct fake_server *server, uint64_t incarnation, bool keeps);

/* Listens no more, and closes all connections. */
void fake_server_go_away(struct fake_server *server);

/* An async job where the rank was here before: control tells of one clock, the shards of another.
 */
void fake_server_remember(struct fake_server *server, uint64_t control_clock, uint64_t shard_clock);

/* Waits until so many heartbeats have come. */
void fake_server_await_heartbeats(struct fake_server *server, uint64_t count);

/* Waits until so many workers have said that they end without having left; how many have. */
void fake_server_await_endings(struct fake_server *server, uint64_t count);
uint64_t fake_server_endings(struct fake_server *server);

/* Waits until all connections have been read to their ends. */
void fake_server_await_all_gone(struct fake_server *server);

/* Waits until so many steps have been taken or swallowed. */
void fake_server_await_steps(struct fake_server *server, uint64_t count);

/* Waits until so many Hellos have been said to control. */
void fake_server_await_hellos(struct fake_server *server, uint64_t count);

/* Hellos that were said to control, and to the shards. */
uint64_t fake_server_hellos(struct fake_server *server, bool shards);

/* The clock of the last Step, of the last Leave; 0: none. */
uint64_t fake_server_stepped_at(struct fake_server *server);
uint64_t fake_server_left_at(struct fake_server *server);

/* Barriers that were asked for, repeated ones too; the sequence of the last. */
uint64_t fake_server_barriers(struct fake_server *server);
uint64_t fake_server_barrier_at(struct fake_server *server);

#endif
