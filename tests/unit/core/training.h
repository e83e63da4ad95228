/* SPDX-License-Identifier: Apache-2.0
 *
 * A job in this process that a test trains step by step with gradients of its choice, and looks at
 * between the steps. Whatever is not said to be refused must succeed.
 */
#ifndef TESTS_UNIT_CORE_TRAINING_H
#define TESTS_UNIT_CORE_TRAINING_H

#include "server/core/local.h"
#include "tests/lib/settings.h"
#include "tests/lib/shard.h"

enum { TRAINING_TENSORS = 4, TRAINING_ELEMENTS = 8 };

/* An array of every tensor. */
struct training_arrays {
    float at[TRAINING_TENSORS][TRAINING_ELEMENTS];
};

struct training {
    struct local *local;
    size_t tensors;
    struct training_arrays weights; /* what the newest step has answered: the view TRAINING */
};

/* Tensors of at most TRAINING_ELEMENTS elements. */
void training_open(struct training *training, const struct stepd_define_job *def,
                   const struct stepd_tensor_def *tensor, size_t tensors);
void training_close(struct training *training);

/* A sync job of one group, and the vector "w" of TRAINING_ELEMENTS elements at `start`. */
void training_open_group(struct training *training, const struct stepd_group *group, double start);

/* A step of all tensors, of one example. */
void training_step(struct training *training, const struct training_arrays *grad);

/* A step of the one tensor, all of whose gradients are this number. */
void training_step_all(struct training *training, float grad);

/* A step without examples: the round closes and no update comes of it. */
void training_skip(struct training *training);

/* A step as it stands, its gradient aside. */
enum stepd_status training_push(struct training *training, struct local_push push,
                                const struct training_arrays *grad, struct stepd_error *reterr);

/* A view of all tensors. */
struct training_arrays training_view(struct training *training, enum stepd_view view);

/* The first weight of the first tensor, as evaluation sees it. */
float training_weight(struct training *training);

/* Fails the test unless got is right but for some roundings to float. */
void assert_close(double got, double right);

#endif
