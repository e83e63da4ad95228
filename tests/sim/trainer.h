/* SPDX-License-Identifier: Apache-2.0
 *
 * A training loop in a process of its own (client.h), as somebody would write it with libstepd:
 *
 *     connect, define (rank 0 with values), pull, step, step, ..., leave, pull the last version
 *
 * A step that fails for want of time is made again, as it was or from another pull; one that fails
 * because the job went back is begun again with a pull, and what the server has lost is defined
 * again. The loop counts its steps by what it pulls, and computes its
 * gradients from it. Whatever comes is held against the replay of the incarnation that it is of,
 * and a version that is lower than the last one must have been announced.
 */
#ifndef TESTS_SIM_TRAINER_H
#define TESTS_SIM_TRAINER_H

#include "client/lib/core/question.h"
#include "tests/sim/client.h"
#include "tests/sim/lineages.h"

enum { TRAINER_SLICES_MAX = 64 };

enum trainer_step {
    TRAINER_CONNECT,
    TRAINER_DEFINE_JOB,
    TRAINER_DEFINE_TENSORS,
    TRAINER_LAYOUT,
    TRAINER_SHARDS,
    TRAINER_ASSIGN,
    TRAINER_PULL,
    TRAINER_TRAIN,
    TRAINER_LEAVE,
    TRAINER_FINAL,
    TRAINER_DONE,
    TRAINER_DEAD, /* the process has given up; another one takes its place */
};

struct trainer {
    struct client client; /* first */
    const struct plan *plan;
    struct lineages *lineages;
    enum trainer_step step;
    bool waiting;             /* something is under way */
    bool answered;            /* it is over, with: */
    struct stepd_error error; /* code OK: well */
    uint64_t steps;           /* taken in all, by this process */
    unsigned timeouts;        /* in a row */
    bool repeats;             /* the next step is the last one, with its gradients */
    bool attaches;            /* it has left, and defines nothing any more */

    struct stepd_opening opening;
    uint32_t shard; /* that is opened, or assigned to */
    struct stepd_question question;
    struct stepd_message message;
    struct stepd_outgoing *values; /* owned; of an Assign, with the array that it is sent from */
    float *first;                  /* owned */
    uint32_t slice[TRAINER_SLICES_MAX];
    struct stepd_home *home;  /* owned; the newest, with those before it */
    struct stepd_home *fresh; /* owned; being settled in */

    struct stepd_operation operation;
    bool operates;                      /* the operation is to be released */
    unsigned rollbacks;                 /* that were told when it began, and when weights came */
    uint64_t lineage;                   /* that the last operation was answered in */
    uint64_t clock[TRAINER_SLICES_MAX]; /* of its pushes */
    uint64_t held[TRAINER_SLICES_MAX];  /* versions that the weights below are of */
    float *weights[DEFINITION_TENSORS_MAX]; /* owned */
    float *grad[DEFINITION_TENSORS_MAX];    /* owned */
    size_t hessians;
    struct stepd_hessian hessian[DEFINITION_GROUPS_MAX];
    float second[DEFINITION_GROUPS_MAX][PLAN_FLOATS_MAX]; /* derivatives, in the same order */
};

void trainer_init(struct trainer *trainer, struct client_world *world, struct lineages *lineages,
                  uint32_t rank);

/* The process dies. */
void trainer_deinit(struct trainer *trainer);

/* Goes on, if there is anything to do. */
void trainer_act(struct trainer *trainer);

/* In words, for a run that is stuck. */
void trainer_explain(const struct trainer *trainer, char *text, size_t size);

#endif
