/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/disk/retire.h"
#include "server/disk/save.h"

/* A checkpoint that one daemon writes. */
struct request {
    struct errand errand;
    struct writer *writer;
    const struct job_snapshot *snapshot;
    uint64_t step;
    void *token;
    struct control_written written;
};

struct writer {
    struct writer_options options;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t come;
    struct errand *first; /* owned; the oldest */
    struct errand **last;
    struct errand *running; /* NULL: none is */
    bool ends;              /* when nothing is left */
};

/* ---- Writing --------------------------------------------------------------------------------- */

/* A job of this name that begins anew has another shelf: the older one is of another training. */
enum stepd_status writer_open_shelf(const struct store *store, const struct job_snapshot *snapshot,
                                    const struct log *log, struct shelf *ret_shelf,
                                    struct stepd_error *reterr)
{
    const struct store_shelf_name name = store_shelf_name(snapshot->job->name);
    enum stepd_status status =
        retire_other_training(store, &name, snapshot->incarnation, log, reterr);
    if (status == STEPD_OK)
        status = shelf_open_to_write(store, &name, ret_shelf, reterr);
    if (status != STEPD_OK)
        return status;
    uint64_t highest = 0;
    status = shelf_read_incarnation(ret_shelf, &highest, reterr);
    if (status == STEPD_OK && highest < snapshot->incarnation)
        status = shelf_write_incarnation(ret_shelf, snapshot->incarnation, reterr);
    if (status != STEPD_OK)
        shelf_close(ret_shelf);
    return status;
}

void writer_retire(const struct shelf *shelf, uint32_t keep, uint64_t step, const struct log *log)
{
    struct stepd_error refused;
    if (retire_oldest(shelf, keep, step, &refused) != STEPD_OK)
        log_event(log, LOG_WARN, "checkpoint_not_removed", "cause=%s", refused.text);
}

static enum stepd_status save(const struct request *request, struct control_written *written)
{
    const struct writer_options *const options = &request->writer->options;
    struct stepd_error *const error = &written->error;
    struct shelf shelf;
    enum stepd_status status =
        writer_open_shelf(options->store, request->snapshot, options->log, &shelf, error);
    if (status != STEPD_OK)
        return status;
    const struct save save = {
        .shelf = &shelf,
        .snapshot = request->snapshot,
        .step = request->step,
        .stepd = options->stepd,
        .stop = &request->errand.stop,
    };
    status = save_checkpoint(&save, &written->bytes, error);
    if (status == STEPD_OK)
        writer_retire(&shelf, options->keep, request->step, options->log);
    shelf_close(&shelf);
    return status;
}

struct control_written writer_begun(uint64_t step)
{
    struct control_written written = {.step = step};
    const struct shelf_checkpoint checkpoint = shelf_checkpoint_of(step);
    memcpy(written.name, checkpoint.name, sizeof written.name);
    return written;
}

static void run_request(struct errand *errand)
{
    struct request *const request = (struct request *)errand;
    request->written = writer_begun(request->step);
    if (save(request, &request->written) == STEPD_OK)
        request->written.error = (struct stepd_error){.code = STEPD_OK};
}

static void end_request(struct errand *errand)
{
    struct request *const request = (struct request *)errand;
    const struct writer_options *const options = &request->writer->options;
    options->written(options->owner, request->token, &request->written);
    free(request);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static struct errand *take(struct writer *writer)
{
    (void)pthread_mutex_lock(&writer->mutex);
    while (writer->first == NULL && !writer->ends)
        (void)pthread_cond_wait(&writer->come, &writer->mutex);
    struct errand *const errand = writer->first;
    if (errand != NULL) {
        writer->first = errand->next;
        if (writer->first == NULL)
            writer->last = &writer->first;
    }
    writer->running = errand;
    (void)pthread_mutex_unlock(&writer->mutex);
    return errand;
}

static void *run(void *argument)
{
    struct writer *const writer = argument;
    struct errand *errand;
    while ((errand = take(writer)) != NULL) {
        errand->run(errand);
        (void)pthread_mutex_lock(&writer->mutex);
        writer->running = NULL;
        (void)pthread_mutex_unlock(&writer->mutex);
        errand->end(errand);
    }
    return NULL;
}

enum stepd_status writer_start(const struct writer_options *options, struct writer **ret_writer)
{
    struct writer *const writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    writer->options = *options;
    writer->last = &writer->first;
    (void)pthread_mutex_init(&writer->mutex, NULL);
    (void)pthread_cond_init(&writer->come, NULL);
    if (pthread_create(&writer->thread, NULL, run, writer) != 0) {
        free(writer);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    *ret_writer = writer;
    return STEPD_OK;
}

void writer_send(struct writer *writer, struct errand *errand)
{
    errand->next = NULL;
    (void)pthread_mutex_lock(&writer->mutex);
    *writer->last = errand;
    writer->last = &errand->next;
    (void)pthread_cond_signal(&writer->come);
    (void)pthread_mutex_unlock(&writer->mutex);
}

void writer_write(struct writer *writer, const struct job_snapshot *snapshot, uint64_t step,
                  void *token)
{
    struct request *const request = calloc(1, sizeof *request);
    if (request == NULL) {
        struct control_written written = {.step = step};
        (void)stepd_fail(&written.error, STEPD_RESOURCE_EXHAUSTED,
                         "no memory to write a checkpoint");
        writer->options.written(writer->options.owner, token, &written);
        return;
    }
    request->errand.run = run_request;
    request->errand.end = end_request;
    request->writer = writer;
    request->snapshot = snapshot;
    request->step = step;
    request->token = token;
    writer_send(writer, &request->errand);
}

static void stop_all(struct writer *writer)
{
    if (writer->running != NULL)
        atomic_store(&writer->running->stop, true);
    for (struct errand *errand = writer->first; errand != NULL; errand = errand->next)
        atomic_store(&errand->stop, true);
}

void writer_give_up(struct writer *writer)
{
    (void)pthread_mutex_lock(&writer->mutex);
    stop_all(writer);
    (void)pthread_mutex_unlock(&writer->mutex);
}

struct writer *writer_end(struct writer *writer)
{
    if (writer == NULL)
        return NULL;
    (void)pthread_mutex_lock(&writer->mutex);
    stop_all(writer);
    writer->ends = true;
    (void)pthread_cond_signal(&writer->come);
    (void)pthread_mutex_unlock(&writer->mutex);
    (void)pthread_join(writer->thread, NULL);
    (void)pthread_cond_destroy(&writer->come);
    (void)pthread_mutex_destroy(&writer->mutex);
    free(writer);
    return NULL;
}
