/* SPDX-License-Identifier: Apache-2.0
 *
 * An honest job among hostile ones: two workers who take VICTIM_STEPS steps, whose weights must end
 * with the bits that they end with when nobody else is there, and who are never told of an error.
 *
 * Its work is cut into acts, between which anything may happen to the rest of the daemon; only time
 * passes between two of its steps, because who waits for longer than a deadline is told so.
 */
#ifndef TESTS_FUZZ_VICTIM_H
#define TESTS_FUZZ_VICTIM_H

#include "tests/fuzz/peer.h"

enum { VICTIM_RANKS = 2, VICTIM_STEPS = 3, VICTIM_COURSES = 4, VICTIM_WEIGHTS = 22 };

#define VICTIM_JOB   "victim"
#define VICTIM_TOKEN "stepd_of_the_victim"

struct victim;

struct victim_worker {
    struct victim *victim;
    uint32_t rank;
    uint8_t session[STEPD_SESSION_BYTES];
    bool welcome;
    struct peer peer[BRAINS_HOSTS];
    uint64_t requests;
};

struct victim {
    struct brains *brains; /* borrowed */
    unsigned course;       /* which of VICTIM_COURSES jobs it is */
    struct victim_worker worker[VICTIM_RANKS];
    size_t act;     /* the next one */
    size_t applied; /* slices of pushes that were answered so */
    size_t floats;  /* of weights, that the last pull has brought */
    float weights[VICTIM_WEIGHTS];
};

/* Its job is defined and open, and its workers have joined. */
void victim_init(struct victim *victim, struct brains *brains, unsigned course);
void victim_deinit(struct victim *victim);

/* Its next act. False: it has done its work. */
bool victim_act(struct victim *victim);
/* Goes on to where nobody waits for an answer. */
void victim_rest(struct victim *victim);
/* Its workers say that they are alive. */
void victim_beat(struct victim *victim);

/* Does all that is left to do, and pulls the weights. */
void victim_end(struct victim *victim);

#endif
