/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's dealings with control: Hello, with its session as soon as it has one; the definition,
 * which every worker sends; the layout; and at the end Leave. What is lost on the way is asked
 * again, and in between it beats and asks for the status.
 *
 *     HELLO --> JOB --> TENSORS --> LAYOUT --> IN --> LEAVE --> LEFT
 */
#ifndef TESTS_SIM_ENROL_H
#define TESTS_SIM_ENROL_H

#include "tests/lib/random.h"
#include "tests/sim/link.h"

enum enrol_step {
    ENROL_HELLO,
    ENROL_JOB,
    ENROL_TENSORS,
    ENROL_LAYOUT,
    ENROL_IN,
    ENROL_LEAVE,
    ENROL_LEFT,
};

struct enrolment {
    const struct plan *plan;
    struct random *random;
    uint32_t rank;
    bool replaces; /* it takes the rank of a process that has died */
    bool begun;    /* it has said Hello without a session, and its rank may have one */
    bool again;    /* and more than once: there may be a session before its own */
    enum enrol_step step;
    struct link *link; /* borrowed from the cluster; NULL: none */
    bool welcome;      /* on this connection */
    uint64_t asked;    /* id of the question that is under way; 0: none */
    bool leaving;      /* that is its Leave */
    uint64_t requests; /* made so far */
    uint64_t resumes;
    uint8_t session[STEPD_SESSION_BYTES]; /* from the first Welcome on */
    uint64_t clock;                       /* that the first Welcome says to go on from */
    size_t tensors;                       /* defined */
    size_t tensors_sent;                  /* defined, and on their way */
    size_t slices;                        /* of the layout so far */
};

/* plan and random are borrowed. */
void enrol_init(struct enrolment *enrolment, const struct plan *plan, uint32_t rank, bool replaces,
                struct random *random);

/* A new connection to control is there, or it is lost. */
void enrol_connect(struct enrolment *enrolment, struct link *link);
void enrol_disconnect(struct enrolment *enrolment);

/* Asks control what comes next, if anything. clock: the highest that was used, for Leave. */
void enrol_ask(struct enrolment *enrolment, uint64_t clock);

void enrol_on_message(struct enrolment *enrolment, const struct stepd_message *message);

#endif
