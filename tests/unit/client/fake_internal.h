/* SPDX-License-Identifier: Apache-2.0
 *
 * The insides of the fake server: what its threads (fake_server.c) and its answers
 * (fake_answers.c) share.
 */
#ifndef TESTS_UNIT_CLIENT_FAKE_INTERNAL_H
#define TESTS_UNIT_CLIENT_FAKE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"
#include "tests/unit/client/fake_server.h"

#define FAKE_CONNECTIONS_MAX 1024u
#define FAKE_TENSORS_MAX     8u
#define FAKE_SLICES_MAX      64u

struct fake_slice {
    uint32_t tensor;
    uint64_t offset;
    uint32_t elements;
    uint64_t version;
    uint64_t clock; /* the highest counted */
    float first;    /* what all its elements are at first */
    float *weights; /* owned */
};

struct fake_tensor {
    char name[64];
    uint64_t shape[STEPD_DIMS_MAX];
    size_t dims;
    enum stepd_init_kind init;
    double a;
};

struct fake_server {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t acceptor;
    pthread_t thread[FAKE_CONNECTIONS_MAX];
    int fd[FAKE_CONNECTIONS_MAX];
    size_t connections;
    int listener;
    bool stopping;
    bool away;          /* listens no more */
    bool known;         /* there is a session */
    uint8_t generation; /* of the session */
    uint64_t incarnation;
    uint64_t faulty_steps; /* that are left; 0: the fault stays */
    uint32_t lose;         /* a bit for each kind of message whose first reply is to be lost */
    uint64_t hellos[2];    /* to control, to shards */
    char address[128];
    uint32_t lease_ms;
    enum fake_fault fault;
    enum stepd_mode mode;
    uint64_t control_clock, shard_clock; /* what the Welcomes say */
    uint64_t gone;                       /* connections */
    uint64_t heartbeats, endings, steps, stepped_at, left_at;
    uint64_t barriers, barrier_at; /* requests; the sequence of the last */
    struct fake_tensor tensor[FAKE_TENSORS_MAX];
    size_t tensors;
    struct fake_slice slice[FAKE_SLICES_MAX];
    size_t slices;
};

struct connection {
    struct fake_server *server;
    int fd;
    struct stepd_arena arena;
    struct stepd_message message;
    uint8_t *head;    /* of the frame that was read */
    uint8_t *payload; /* owned */
    size_t payload_bytes;
};

/* Reads the next frame: message, payload_bytes. False: the connection has ended. */
bool fake_read_frame(struct connection *connection);

/* Reads the payload that belongs to it. */
bool fake_read_payload(struct connection *connection);

/* Answers the frame; false: hang up. The server's mutex is held. */
bool fake_answer(struct connection *connection, enum fake_fault fault);

#endif
