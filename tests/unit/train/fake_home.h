/* SPDX-License-Identifier: Apache-2.0
 *
 * A home that is made up: plain gradient descent in memory, which writes new weights as late as it
 * may, asserts that it is used as home.h says, and can be told to be ahead, or to fail.
 */
#ifndef TESTS_TRAIN_FAKE_HOME_H
#define TESTS_TRAIN_FAKE_HOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/train/home.h"

#define FAKE_TENSORS_MAX 8u
#define FAKE_VALUES_MAX  256u

struct fake_home {
    struct home home; /* first */
    uint32_t rank;
    uint64_t version;        /* of all weights */
    uint64_t clock;          /* steps of this worker that had counted before */
    uint64_t others;         /* updates that other workers make between two answers */
    uint64_t fail_at_step;   /* UINT64_MAX: never */
    uint64_t refuse_at_step; /* its gradients are refused when they are waited for; likewise */
    bool overflow;           /* the refused gradients hold a NaN */
    float scale;             /* of the steps that are taken */
    double t_max;            /* what the definition said; NAN: nothing */
    size_t tensors;
    size_t size[FAKE_TENSORS_MAX];
    float weights[FAKE_TENSORS_MAX][FAKE_VALUES_MAX];
    const struct stepd_array *under_way[HOME_PARTS_MAX];
    size_t arrays[HOME_PARTS_MAX]; /* under way */
    size_t given;                  /* tensors of the step that is being started */
    size_t parts_started;
    bool packs; /* all weights share a slice */
    uint64_t examples[HOME_PARTS_MAX];
    bool refused[HOME_PARTS_MAX];
    uint64_t steps_started;
    uint64_t examples_sum;
    enum stepd_mode mode;
    uint64_t reported; /* step */
    double loss;       /* of the newest step; NAN: none */
    bool looks_ahead;  /* the weights to test are all 0 */
    char views[64];    /* what was pulled: 't' raining, 'e' valuation */
    bool left;
    bool destroyed;
};

/* Of rank 0, at version 0, that never fails. */
void fake_home_init(struct fake_home *ret_fake);

#endif
