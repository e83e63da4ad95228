/* SPDX-License-Identifier: Apache-2.0
 *
 * A client of libstepd without sockets, threads and a clock: its brain, and a body that moves when
 * it is told to. What it sends is read from the caller's arrays only when it is written, and may
 * be answered before.
 */
#ifndef TESTS_FUZZ_GUEST_H
#define TESTS_FUZZ_GUEST_H

#include "client/lib/core/brain.h"
#include "client/lib/core/question.h"
#include "client/lib/core/reader.h"
#include "tests/fuzz/compose.h"

enum {
    GUEST_LINKS = 9, /* control, and shards from 1 on */
    GUEST_ASKS = 6,
    GUEST_WORKS = 3,
    GUEST_TENSORS = 6,
    GUEST_ELEMENTS = 4096, /* of a tensor that it has arrays for */
    GUEST_SENT = 8,
};

struct guest;
struct frame;

/* What a server remembers of a request. */
struct sent {
    uint64_t id;
    enum stepd_message_kind kind;
    uint32_t slice[COMPOSE_LIST_MAX];
    size_t slices;
    uint64_t clock;
};

struct wire {
    struct guest *guest; /* borrowed */
    uint32_t shard;
    struct stepd_reader reader;
    struct frame *frames; /* owned; the first to go */
    struct frame **frames_end;
    struct sent sent[GUEST_SENT]; /* the newest requests, round and round */
    size_t sends;
    uint64_t received;
    bool reading;
    bool closed;
};

/* A question, and what it needs until it is answered. */
struct ask {
    struct stepd_question question; /* first */
    struct guest *guest;
    bool busy;
    bool answered; /* and the guest has not looked at it */
    struct stepd_message message;
    struct stepd_arena arena;
    struct stepd_home *fresh;      /* owned; of GET_LAYOUT */
    struct stepd_outgoing *values; /* owned; of ASSIGN */
    float *floats;                 /* owned */
};

/* A push, a pull or a step, with arrays of just the length that they must have. */
struct work {
    struct stepd_operation operation; /* first */
    bool busy;
    bool done;
    float *grad[GUEST_TENSORS];    /* owned */
    float *weights[GUEST_TENSORS]; /* owned */
    float *second[GUEST_TENSORS];  /* owned */
    struct stepd_hessian hessian[GUEST_TENSORS];
};

struct guest {
    struct stepd_brain brain;
    uint64_t now_ms;
    uint64_t wake_ms;
    uint64_t beat_ms;
    bool connecting[GUEST_LINKS];
    struct wire *wire[GUEST_LINKS]; /* owned */

    struct mapped {
        uint8_t *weights;   /* owned; memory that came with a Welcome, until the next comes */
        uint8_t *gradients; /* owned */
    } mapped[GUEST_LINKS];
    struct stepd_opening opening[GUEST_LINKS];
    bool opens[GUEST_LINKS];
    struct ask ask[GUEST_ASKS];
    struct work work[GUEST_WORKS];
    struct stepd_home *home; /* owned; the newest */
    bool rolled_back;
};

void guest_init(struct guest *guest, bool observer, bool shares_memory);
/* It closes everything: all that is under way ends, each once. */
void guest_deinit(struct guest *guest);

/* ---- What the caller does -------------------------------------------------------------------- */

void guest_open(struct guest *guest, uint32_t shard);
/* Asks control, or a shard, what the input says. */
void guest_ask(struct guest *guest, struct taker *taker);
void guest_withdraw(struct guest *guest, size_t index);
void guest_operate(struct guest *guest, struct taker *taker);

/* ---- What the world does --------------------------------------------------------------------- */

void guest_connect(struct guest *guest); /* all that it wants */
void guest_write(struct wire *wire, size_t frames);
void guest_hear(struct wire *wire, const uint8_t *bytes, size_t n);
void guest_lose(struct guest *guest, uint32_t shard);
void guest_tick(struct guest *guest, uint64_t ms);
/* Its threads look at what has been answered. */
void guest_look(struct guest *guest);

#endif
