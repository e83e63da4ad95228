/* SPDX-License-Identifier: Apache-2.0
 *
 * Coming to a step: the first one, or the one that a job goes on from that has gone back, or that
 * another worker of this rank has left it at. In sync mode the version of the weights says which
 * examples come next, so a step that is taken again has the same gradients; in the other modes
 * versions count everybody's steps, and this worker's own are as many as the server has counted.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "client/train/define.h"
#include "client/train/evaluation.h"
#include "client/train/train_internal.h"
#include "proto/error.h"

/* Each time the daemon may have gone back once more meanwhile. */
#define ATTEMPTS_MAX 16u

static struct batch_plan plan_of(const struct train_options *options, const struct train_data *data)
{
    return (struct batch_plan){
        .seed = options->seed,
        .examples = (uint32_t)data->train.examples,
        .world = options->world,
        .sizes = options->batch,
    };
}

static enum stepd_status build_model(struct training *t, struct stepd_error *reterr)
{
    const size_t own = t->options->batch[t->rank];
    const size_t batch_max = own < EVALUATION_BATCH ? EVALUATION_BATCH : own;
    const struct model_task task = {
        .image = {.channels = 1, .height = t->data->train.height, .width = t->data->train.width},
        .classes = DATASET_CLASSES,
    };
    const enum stepd_status status =
        model_create(t->options->model, &task, batch_max, &t->model, reterr);
    if (status != STEPD_OK)
        return status;
    t->rows = malloc(batch_max * sizeof *t->rows);
    t->labels = malloc(batch_max * sizeof *t->labels);
    if (t->rows == NULL || t->labels == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a batch");
    t->result.parameters = model_parameters(t->model);
    return STEPD_OK;
}

/* Defines the job, and fetches its weights. */
static enum stepd_status fetch(struct training *t, uint64_t *ret_version,
                               struct stepd_error *reterr)
{
    enum stepd_status status = define_job(t->home, t->options, t->model, t->total, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "define");
    traffic_init(t->model, t->home, &t->meter, !t->options->no_overlap, &t->traffic);
    if (t->rank == 0 && t->options->eval_view != STEPD_EVALUATION)
        status = traffic_pull(&t->traffic, t->options->eval_view, ret_version,
                              reterr); /* is there such a view? */
    if (status == STEPD_OK)
        status = traffic_pull(&t->traffic, STEPD_TRAINING, ret_version, reterr);
    return status;
}

/* To the step that follows from the weights of this version, which have been fetched. */
static void come_to(struct training *t, uint64_t version)
{
    t->step = t->mode == STEPD_SYNC ? version : home_clock(t->home);
    t->updates = version;
}

enum stepd_status train_begin(struct training *t, struct stepd_error *reterr)
{
    t->rank = home_rank(t->home);
    t->result.rank = t->rank;
    if (t->rank >= t->options->world)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the server gave rank %u, but --world is %u", t->rank, t->options->world);
    t->plan = plan_of(t->options, t->data);
    t->pace.factor = t->options->slow[t->rank];
    t->total = t->options->steps != 0 ? t->options->steps
                                      : t->options->epochs * batch_steps_per_epoch(&t->plan);
    enum stepd_status status = build_model(t, reterr);
    if (status == STEPD_OK)
        status = curve_open(t->rank == 0 ? t->options->csv : NULL, &t->curve, reterr);
    if (status != STEPD_OK)
        return status;

    uint64_t version = 0;
    status = fetch(t, &version, reterr);
    if (status != STEPD_OK)
        return status;
    t->mode = t->options->defined ? home_mode(t->home) : t->options->mode;
    come_to(t, version);
    if (t->options->share && t->mode == STEPD_SYNC)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "--share is for the modes async and bounded, and the job's mode is sync");
    return STEPD_OK;
}

static void say_so(const struct training *t, uint64_t before)
{
    if (t->rank != 0)
        return;
    (void)fprintf(stderr,
                  "%sstepd-train: the job went back from step %" PRIu64 " to step %" PRIu64
                  "; going on from there\n",
                  t->progress.terminal ? "\r\x1b[K" : "", before, t->step);
}

enum stepd_status train_begin_again(struct training *t, struct stepd_error *reterr)
{
    const uint64_t before = t->step;
    const struct stepd_error why = *reterr;
    enum stepd_status status = STEPD_ROLLED_BACK;
    for (unsigned i = 0; i < ATTEMPTS_MAX && status == STEPD_ROLLED_BACK; i++) {
        uint64_t version = 0;
        traffic_drop(&t->traffic);
        status = fetch(t, &version, reterr);
        if (status != STEPD_OK)
            continue;
        come_to(t, version);
        t->noted = version;
    }
    if (status != STEPD_OK)
        return status;
    if (t->updates == 0 && before > 0) /* to train all of it again is for a person to decide */
        return stepd_fail(reterr, STEPD_DATA_LOSS, "%s", why.text);
    curve_cut(&t->curve, t->step);
    t->newest.step = t->reported; /* what it was of is void */
    say_so(t, before);
    return STEPD_OK;
}
