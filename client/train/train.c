/* SPDX-License-Identifier: Apache-2.0
 *
 * The training loop. A step goes through the layers three times, and traffic goes on meanwhile:
 *
 *     forward    wait for the weights of layer l, compute layer l           l = 0, 1, 2, ...
 *     backward   what the loss is by the output of layer l                  l = ..., 2, 1, 0
 *     gradients  compute the gradients of layer l, send them off            as traffic.h says
 *
 * so while the gradients of a layer travel, those of the next are computed, and the first layer's,
 * whose weights are needed first, are sent first. New weights are written over
 * the old ones only after the backward pass has read them for the last time.
 *
 * Which examples a step takes follows from its number alone (batch.h). In sync mode the number is
 * the version of the weights, on which all workers agree; in async mode each counts for itself, and
 * ends when it has taken its steps or, where they are shared, when all together have: the version
 * that comes with weights is the number of updates that have been made.
 * Rank 0 also keeps the curve, evaluates, and writes the files.
 */
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "client/train/evaluation.h"
#include "client/train/plot.h"
#include "client/train/train_internal.h"
#include "client/train/weights_file.h"
#include "proto/error.h"

#define REPORT_EVERY_S 1.0

static double now_seconds(const struct training *t)
{
    return t->pace.clock->now();
}

/* That processors have worked for this process. */
static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* The home goes first: parts may be under way, and it reads and writes the model's arrays. */
static void tear_down(struct training *t)
{
    home_destroy(t->home);
    curve_close(&t->curve);
    free(t->labels);
    free(t->rows);
    model_destroy(t->model);
}

/* ---- How far it is --------------------------------------------------------------------------- */

/* Shared steps are all workers' together, and each is an update of the job. */
static uint64_t steps_to_take(const struct training *t)
{
    return t->options->share ? t->total * t->options->world : t->total;
}

static bool is_done(const struct training *t)
{
    return (t->options->share ? t->updates : t->step) >= steps_to_take(t);
}

/* Takes the step that is under way into account, for which there is no answer yet. */
static struct progress_step progress_of(struct training *t, double loss)
{
    struct progress_step progress = {
        .step = t->step + 1,
        .loss = loss,
        .examples = batch_examples(&t->plan, t->step),
        .now = now_seconds(t),
    };
    if (t->options->share) {
        progress.step = t->updates + 1;
        progress.examples = progress.examples * (progress.step - t->noted) / t->options->world;
        t->noted = progress.step;
    }
    return progress;
}

/* ---- A step ---------------------------------------------------------------------------------- */

/* Waits for the weights of layer l, if they are under way. Those of layer 0 tell the next step. */
static enum stepd_status wait_for_layer(struct training *t, size_t l, struct stepd_error *reterr)
{
    bool came = false;
    uint64_t version = 0;
    const enum stepd_status status = traffic_await(&t->traffic, l, &came, &version, reterr);
    if (status == STEPD_OK && came && l == 0) {
        t->step++;
        t->updates = version;
        if (t->mode == STEPD_SYNC && version > t->step)
            t->step = version;
    }
    return status;
}

static enum stepd_status wait_for_all(struct training *t, struct stepd_error *reterr)
{
    for (size_t l = 0; l < t->model->layers; l++) {
        const enum stepd_status status = wait_for_layer(t, l, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

static enum stepd_status forward(struct training *t, size_t batch, struct stepd_error *reterr)
{
    for (size_t l = 0; l < t->model->layers; l++) {
        const enum stepd_status status = wait_for_layer(t, l, reterr);
        if (status != STEPD_OK)
            return status;
        pace_begin(&t->pace);
        model_forward(t->model, l, batch);
        pace_end(&t->pace);
    }
    return STEPD_OK;
}

static enum stepd_status backward(struct training *t, size_t batch, double loss,
                                  struct stepd_error *reterr)
{
    const struct home_step step = {.examples = batch, .has_loss = batch > 0, .loss = loss};
    t->sent = t->step + 1;
    for (size_t l = t->model->layers; l-- > 0;) {
        pace_begin(&t->pace);
        model_backward(t->model, l, batch);
        pace_end(&t->pace);
    }
    for (size_t i = 0; i < t->model->layers; i++) {
        const size_t l = t->traffic.order[i];
        pace_begin(&t->pace);
        model_gradients(t->model, l, batch);
        pace_end(&t->pace);
        const enum stepd_status status = traffic_send(&t->traffic, l, &step, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

/* ---- Divergence ------------------------------------------------------------------------------ */

/* A refusal that says that training has diverged is no failure: gradients hold what no server
 * takes. */
static enum stepd_status judge(struct training *t, enum stepd_status status)
{
    if (status != STEPD_INVALID_ARGUMENT || t->sent == 0 || model_gradients_are_finite(t->model))
        return status;
    t->result.diverged_at = t->sent;
    return STEPD_OK;
}

/* ---- Taking note ----------------------------------------------------------------------------- */

/* Tells the home the loss of the newest step, once. */
static enum stepd_status report(struct training *t, struct stepd_error *reterr)
{
    const struct curve_point *const newest = &t->newest;
    if (newest->step == t->reported)
        return STEPD_OK;
    t->reported = newest->step;
    t->reported_at = now_seconds(t);
    const enum stepd_status status =
        home_report(t->home, newest->step, newest->loss, newest->examples, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "report");
}

/* Takes note of step `step`, whose gradients are on their way. */
static enum stepd_status note_step(struct training *t, double loss, size_t batch,
                                   struct stepd_error *reterr)
{
    const struct progress_step progress = progress_of(t, loss);
    t->result.steps++;
    t->result.examples += batch;
    t->result.examples_all += progress.examples;
    progress_update(&t->progress, &progress);
    if (batch == 0)
        return STEPD_OK;
    t->newest = (struct curve_point){
        .step = t->step + 1,
        .epoch = t->step / batch_steps_per_epoch(&t->plan) + 1,
        .loss = loss,
        .examples = batch,
        .seconds = progress.now - t->began,
    };
    if (progress.now - t->reported_at >= REPORT_EVERY_S) {
        const enum stepd_status status = report(t, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return curve_append(&t->curve, &t->newest, reterr);
}

static enum stepd_status take_step(struct training *t, struct stepd_error *reterr)
{
    const size_t batch = batch_rows(&t->plan, t->step, t->rank, t->rows);
    dataset_gather(&t->data->train, &t->data->scale, t->rows, batch, model_input(t->model),
                   t->labels);
    enum stepd_status status = forward(t, batch, reterr);
    if (status != STEPD_OK)
        return status;
    const double loss = batch == 0 ? NAN : model_loss(t->model, t->labels, batch);
    if (batch > 0 && !isfinite(loss)) {
        t->result.diverged_at = t->step + 1;
        return STEPD_OK;
    }
    status = backward(t, batch, loss, reterr);
    return status == STEPD_OK ? note_step(t, loss, batch, reterr) : status;
}

/* ---- Evaluation and results ------------------------------------------------------------------ */

/* The test set, with the weights as they are; none may be under way. */
static void evaluate(struct training *t)
{
    const struct evaluation evaluation =
        evaluation_of(t->model, &t->data->test, &t->data->scale, t->rows, t->labels);
    t->result.tested = true;
    t->result.test_loss = evaluation.loss;
    t->result.test_accuracy = evaluation.accuracy;
}

/* After the last step comes conclude(). */
static bool evaluation_due(const struct training *t)
{
    const uint64_t every = t->options->eval_every;
    return t->rank == 0 && every != 0 && !is_done(t) && t->step % every == 0;
}

/* Whether the weights to test and those to train with differ is the server's to know: both are
 * fetched, which takes no time beside a pass over the test set. */
static enum stepd_status evaluate_on_the_way(struct training *t, struct stepd_error *reterr)
{
    uint64_t version = 0;
    enum stepd_status status = wait_for_all(t, reterr);
    if (status == STEPD_OK)
        status = traffic_pull(&t->traffic, t->options->eval_view, &version, reterr);
    if (status != STEPD_OK)
        return status;
    evaluate(t);
    if (!t->options->quiet)
        (void)fprintf(stderr, "%sstep %llu  test loss %.4f  test accuracy %.4f\n",
                      t->progress.terminal ? "\r\x1b[K" : "", (unsigned long long)t->step,
                      t->result.test_loss, t->result.test_accuracy);
    status = traffic_pull(&t->traffic, STEPD_TRAINING, &version, reterr);
    if (status != STEPD_OK)
        return status;
    if (version > t->updates) /* it is the oldest of all layers' */
        t->updates = version;
    if (t->mode == STEPD_SYNC && version > t->step)
        t->step = version;
    return STEPD_OK;
}

static enum stepd_status draw(const struct training *t, struct stepd_error *reterr)
{
    char title[256];
    char note[512];
    char recipe[RECIPE_TEXT_BYTES] = "as the server's file says";
    if (!t->options->defined)
        recipe_format(&t->options->recipe, recipe, sizeof recipe);
    (void)snprintf(title, sizeof title, "%s: %s", t->options->job, t->options->model);
    (void)snprintf(note, sizeof note, "%s, %u worker%s, %.1f s: test accuracy %.4f, test loss %.4f",
                   recipe, t->options->world, t->options->world == 1 ? "" : "s", t->result.seconds,
                   t->result.test_accuracy, t->result.test_loss);
    const struct plot_series series = {
        .label = "",
        .value = "",
        .curve = &t->curve,
        .diverged = t->result.diverged_at != 0,
    };
    return plot_write(t->options->plot,
                      &(struct plot){.title = title, .note = note, .series = &series, .count = 1},
                      reterr);
}

/* What rank 0 makes of the final weights. */
static enum stepd_status conclude(struct training *t, struct stepd_error *reterr)
{
    if (t->result.diverged_at == 0) {
        evaluate(t);
        if (!isfinite(t->result.test_loss)) /* the last step blew them up */
            t->result.diverged_at = t->step;
    }
    enum stepd_status status = STEPD_OK;
    if (t->options->save_weights != NULL && t->result.diverged_at == 0)
        status = weights_file_write(t->options->save_weights, t->model, reterr);
    return status == STEPD_OK && t->options->plot != NULL ? draw(t, reterr) : status;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static bool told_to_stop(const struct training *t)
{
    return t->task->stop != NULL && atomic_load(t->task->stop);
}

/* Takes the steps that are left, or ends before: diverged, or told to stop. */
static enum stepd_status take_steps(struct training *t, struct stepd_error *reterr)
{
    while (!is_done(t) && !told_to_stop(t)) {
        (void)meter_enter(&t->meter, METER_COMPUTING);
        enum stepd_status status = take_step(t, reterr);
        if (status == STEPD_OK && t->result.diverged_at == 0)
            status = wait_for_layer(t, 0, reterr);
        (void)meter_enter(&t->meter, METER_OTHER);
        if (status == STEPD_OK && t->result.diverged_at == 0 && evaluation_due(t))
            status = evaluate_on_the_way(t, reterr);
        if (status != STEPD_OK || t->result.diverged_at != 0)
            return status;
    }
    return wait_for_all(t, reterr);
}

/* Takes the steps, says what came of them, fetches the final weights where they will be looked at,
 * and leaves: before the evaluation, so that nobody waits for it. */
static enum stepd_status finish_steps(struct training *t, struct stepd_error *reterr)
{
    uint64_t version;
    enum stepd_status status = judge(t, take_steps(t, reterr));
    if (status == STEPD_OK)
        status = report(t, reterr); /* what status shows of the job from now on */
    if (status == STEPD_OK && t->rank == 0 && t->result.diverged_at == 0)
        status = traffic_pull(&t->traffic, t->options->eval_view, &version, reterr);
    if (status != STEPD_OK)
        return status;
    status = home_leave(t->home, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "leave");
}

/* Trains, however often the job goes back. */
static enum stepd_status train_to_the_end(struct training *t, struct stepd_error *reterr)
{
    t->began = now_seconds(t);
    t->began_cpu = cpu_seconds();
    t->meter = meter_start(t->pace.clock);
    t->progress =
        progress_start(t->options->quiet ? NULL : stderr, isatty(STDERR_FILENO) == 1,
                       t->options->share ? t->updates : t->step, steps_to_take(t), t->began);
    t->noted = t->updates;
    t->progress.title = t->task->title;
    if (t->rank != 0)
        t->progress.out = NULL;
    enum stepd_status status = finish_steps(t, reterr);
    while (status == STEPD_ROLLED_BACK) {
        status = train_begin_again(t, reterr);
        if (status == STEPD_OK)
            status = finish_steps(t, reterr);
    }
    progress_end(&t->progress);
    t->result.seconds = now_seconds(t) - t->began;
    t->result.computing = t->meter.seconds[METER_COMPUTING];
    t->result.waiting = t->meter.seconds[METER_WAITING];
    t->result.computing_cpu = t->meter.busy[METER_COMPUTING];
    t->result.cpu = cpu_seconds() - t->began_cpu;
    t->result.train_loss = t->progress.loss.weight > 0 ? t->progress.loss.mean : NAN;
    return status;
}

static enum stepd_status train(struct training *t, struct stepd_error *reterr)
{
    enum stepd_status status = train_begin(t, reterr);
    if (status != STEPD_OK || t->task->rehearse)
        return status;
    status = train_to_the_end(t, reterr);
    if (status != STEPD_OK)
        return status;
    return t->rank == 0 ? conclude(t, reterr) : STEPD_OK;
}

enum stepd_status train_run(const struct train_task *task, struct train_result *ret_result,
                            struct stepd_error *reterr)
{
    struct training training = {
        .task = task,
        .options = task->options,
        .data = task->data,
        .home = task->home,
        .pace.clock = task->clock != NULL ? task->clock : &pace_clock_real,
    };
    const enum stepd_status status = train(&training, reterr);
    if (status == STEPD_OK) {
        *ret_result = training.result;
        ret_result->curve = training.curve;
        training.curve = (struct curve){.count = 0};
    }
    tear_down(&training);
    return status;
}
