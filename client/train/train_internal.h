/* SPDX-License-Identifier: Apache-2.0
 *
 * What train.c, which takes the steps, and train_begin.c, which comes to the first of them, share.
 */
#ifndef TRAIN_TRAIN_INTERNAL_H
#define TRAIN_TRAIN_INTERNAL_H

#include "client/train/batch.h"
#include "client/train/curve.h"
#include "client/train/meter.h"
#include "client/train/model.h"
#include "client/train/pace.h"
#include "client/train/progress.h"
#include "client/train/traffic.h"
#include "client/train/train.h"

struct training {
    const struct train_task *task;       /* borrowed */
    const struct train_options *options; /* of the task */
    const struct train_data *data;       /* of the task */
    struct home *home;                   /* owned */
    uint32_t rank;
    struct batch_plan plan;
    struct pace pace;
    uint64_t total;      /* steps */
    uint64_t step;       /* number of the next step, 0 first */
    uint64_t sent;       /* steps whose gradients were sent */
    uint64_t updates;    /* of the job: the version of layer 0's newest weights */
    uint64_t noted;      /* updates that progress knows of, where the steps are shared */
    struct model *model; /* owned */
    struct traffic traffic;
    struct meter meter;
    uint32_t *rows;  /* (batch_max,), owned */
    uint8_t *labels; /* (batch_max,), owned */
    struct curve curve;
    struct progress progress;
    double began;
    double began_cpu;
    enum stepd_mode mode;      /* of the job */
    struct curve_point newest; /* the last step with examples; step 0: none */
    uint64_t reported;         /* the step that the home was told of last; 0: none */
    double reported_at;
    struct train_result result;
};

/* Makes the model, defines the job, and fetches the weights that the first step is taken with. */
enum stepd_status train_begin(struct training *t, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The job went back, as *reterr says: fetches the weights that it has now, and goes on from the
 * step that they are of. Whatever was under way is void. DATA_LOSS: nothing is left of the
 * training. */
enum stepd_status train_begin_again(struct training *t,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
