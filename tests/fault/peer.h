/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker (or observer) of a daemon in a test's hands: one connection to control, one to shard 1,
 * and messages that a test can spoil before they are sent. What it does by itself it does right.
 *
 * Its job has one tensor `w` of PEER_ELEMENTS ones, sgd with a learning rate of 1/2, and one
 * worker; so a gradient of ones takes 1/2 off every weight.
 */
#ifndef TESTS_FAULT_PEER_H
#define TESTS_FAULT_PEER_H

#include <stdint.h>

#include "tests/lib/wire.h"

enum { PEER_ELEMENTS = 4 };

struct peer {
    uint16_t port;
    const char *job;
    enum stepd_role role;
    struct wire *control; /* owned; NULL: not connected */
    struct wire *shard;   /* likewise */
    uint8_t session[STEPD_SESSION_BYTES];
    uint64_t incarnation;
    uint64_t request_id; /* of the newest request */
    uint64_t clock;      /* of the newest push that counted */
};

/* Connects to control and joins the job. Any step that fails fails the test. */
void peer_join(struct peer *peer, uint16_t port, const char *job, enum stepd_role role);

/* Defines the job and its tensor, as they stand below. */
void peer_define(struct peer *peer);

/* Connects to shard 1. */
void peer_open_shard(struct peer *peer);

/* All three: a worker that is ready to push. */
void peer_ready(struct peer *peer, uint16_t port, const char *job);

/* One Step with a gradient of ones, which must be applied and change the weights as it should. */
void peer_step(struct peer *peer);

void peer_close(struct peer *peer);

/* Messages as they should be. What they point to is static. */
struct stepd_message peer_hello(const struct peer *peer, uint32_t shard);
struct stepd_message peer_define_job(struct peer *peer);
struct stepd_message peer_define_tensors(struct peer *peer);
struct stepd_message peer_push(struct peer *peer);

/* A gradient of ones, as a payload of PEER_ELEMENTS. */
const float *peer_ones(void);

#endif
