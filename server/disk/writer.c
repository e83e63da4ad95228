/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/disk/retire.h"
#include "server/disk/save.h"

struct request {
    struct request *next;
    const struct job_snapshot *snapshot;
    uint64_t step;
    void *token;
};

struct writer {
    struct writer_options options;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards first and last */
    pthread_cond_t come;
    struct request *first; /* owned; the oldest */
    struct request **last;
    atomic_bool stop;
};

/* ---- Writing --------------------------------------------------------------------------------- */

/* A job of this name that begins anew has another shelf: the older one is of another training. */
static enum stepd_status open_shelf(const struct writer *writer,
                                    const struct job_snapshot *snapshot, struct shelf *ret_shelf,
                                    struct stepd_error *reterr)
{
    const struct store_shelf_name name = store_shelf_name(snapshot->job->name);
    enum stepd_status status = retire_other_training(
        writer->options.store, &name, snapshot->incarnation, writer->options.log, reterr);
    if (status == STEPD_OK)
        status = shelf_open_to_write(writer->options.store, &name, ret_shelf, reterr);
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

static enum stepd_status save(struct writer *writer, const struct request *request,
                              struct control_written *written)
{
    struct stepd_error *const error = &written->error;
    struct shelf shelf;
    enum stepd_status status = open_shelf(writer, request->snapshot, &shelf, error);
    if (status != STEPD_OK)
        return status;
    const struct save save = {
        .shelf = &shelf,
        .snapshot = request->snapshot,
        .step = request->step,
        .stepd = writer->options.stepd,
        .stop = &writer->stop,
    };
    status = save_checkpoint(&save, &written->bytes, error);
    struct stepd_error refused;
    if (status == STEPD_OK &&
        retire_oldest(&shelf, writer->options.keep, request->step, &refused) != STEPD_OK)
        log_event(writer->options.log, LOG_WARN, "checkpoint_not_removed", "cause=%s",
                  refused.text);
    shelf_close(&shelf);
    return status;
}

static void serve(struct writer *writer, struct request *request)
{
    struct control_written written = {.step = request->step};
    const struct shelf_checkpoint checkpoint = shelf_checkpoint_of(request->step);
    memcpy(written.name, checkpoint.name, sizeof written.name);
    if (save(writer, request, &written) == STEPD_OK)
        written.error = (struct stepd_error){.code = STEPD_OK};
    writer->options.written(writer->options.owner, request->token, &written);
    free(request);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static struct request *take(struct writer *writer)
{
    (void)pthread_mutex_lock(&writer->mutex);
    while (writer->first == NULL && !atomic_load(&writer->stop))
        (void)pthread_cond_wait(&writer->come, &writer->mutex);
    struct request *const request = writer->first;
    if (request != NULL) {
        writer->first = request->next;
        if (writer->first == NULL)
            writer->last = &writer->first;
    }
    (void)pthread_mutex_unlock(&writer->mutex);
    return request;
}

static void *run(void *argument)
{
    struct writer *const writer = argument;
    struct request *request;
    while ((request = take(writer)) != NULL)
        serve(writer, request);
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

void writer_write(struct writer *writer, const struct job_snapshot *snapshot, uint64_t step,
                  void *token)
{
    struct request *const request = malloc(sizeof *request);
    if (request == NULL) {
        struct control_written written = {.step = step};
        (void)stepd_fail(&written.error, STEPD_RESOURCE_EXHAUSTED,
                         "no memory to write a checkpoint");
        writer->options.written(writer->options.owner, token, &written);
        return;
    }
    *request = (struct request){.snapshot = snapshot, .step = step, .token = token};
    (void)pthread_mutex_lock(&writer->mutex);
    *writer->last = request;
    writer->last = &request->next;
    (void)pthread_cond_signal(&writer->come);
    (void)pthread_mutex_unlock(&writer->mutex);
}

struct writer *writer_end(struct writer *writer)
{
    if (writer == NULL)
        return NULL;
    (void)pthread_mutex_lock(&writer->mutex);
    atomic_store(&writer->stop, true);
    (void)pthread_cond_signal(&writer->come);
    (void)pthread_mutex_unlock(&writer->mutex);
    (void)pthread_join(writer->thread, NULL);
    (void)pthread_cond_destroy(&writer->come);
    (void)pthread_mutex_destroy(&writer->mutex);
    free(writer);
    return NULL;
}
