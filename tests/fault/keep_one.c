/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps a checkpoint as the daemon does, or goes on from the newest one, so that a script can have
 * the disk fail in between.
 *
 *     keep_one save STORE STEP     0: it is durable; 3: it was given up, with the cause on stderr
 *     keep_one share STORE STEP    the same as two daemons write it, control's and another one's
 *     keep_one load STORE          prints the step of the one that a daemon would go on from
 *     keep_one mend-save STORE STEP, keep_one mend-share STORE STEP
 *                                  load, save or share, load again: as a daemon does that goes on
 *                                  when the disk is well again
 *
 * Every float of the checkpoint of a step says so, and is looked at when it is loaded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <inttypes.h>
#include <pthread.h>

#include "proto/error.h"
#include "server/disk/resume.h"
#include "server/disk/save.h"
#include "server/disk/store.h"
#include "server/disk/writer.h"
#include "server/persist/arrays.h"
#include "tests/unit/persist/shares.h"

#define GIVEN_UP 3
#define KEEP     1 /* so that removing the older one is among what goes wrong */

static int complain(const struct stepd_error *error, int code)
{
    (void)fprintf(stderr, "%s\n", error->text);
    return code;
}

static float value_at(uint64_t step, uint64_t index)
{
    return (float)step + (float)(index % 1000) / 1024.0F;
}

/* Calls visit for each float of a map, which is destroyed. */
static bool each_float(struct arrays *arrays, uint64_t step,
                       bool (*visit)(const float *at, float value))
{
    bool good = true;
    for (size_t f = 0; f < ARRAYS_FILES && good; f++) {
        for (size_t i = 0; i < arrays->file[f].count; i++) {
            const struct array *const array = &arrays->file[f].array[i];
            for (size_t p = 0; p < array->pieces; p++) {
                const struct array_piece *const piece = &array->piece[p];
                for (uint64_t k = 0; k < piece->floats; k++)
                    good = visit(&piece->from[k], value_at(step, piece->first + k)) && good;
            }
        }
    }
    (void)arrays_destroy(arrays);
    return good;
}

/* Of shares, which are this program's own, though a map of them is there to be read. */
static bool set(const float *at, float value)
{
    *(float *)(uintptr_t)at = value;
    return true;
}

static bool is_set(const float *at, float value)
{
    return *at == value;
}

/* ---- Saving ---------------------------------------------------------------------------------- */

struct waiting {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool is_done;
    struct control_written written;
};

static void on_written(void *owner, void *token, const struct control_written *written)
{
    struct waiting *const waiting = owner;
    (void)token;
    (void)pthread_mutex_lock(&waiting->mutex);
    waiting->written = *written;
    waiting->is_done = true;
    (void)pthread_cond_signal(&waiting->done);
    (void)pthread_mutex_unlock(&waiting->mutex);
}

static int write_one(const struct store *store, const struct job_snapshot *snapshot, uint64_t step)
{
    struct waiting waiting = {.mutex = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    const struct writer_options options = {
        .store = store,
        .keep = KEEP,
        .stepd = "test",
        .written = on_written,
        .owner = &waiting,
    };
    struct writer *writer = NULL;
    if (writer_start(&options, &writer) != STEPD_OK)
        return EXIT_FAILURE;
    writer_write(writer, snapshot, step, NULL);
    (void)pthread_mutex_lock(&waiting.mutex);
    while (!waiting.is_done)
        (void)pthread_cond_wait(&waiting.done, &waiting.mutex);
    (void)pthread_mutex_unlock(&waiting.mutex);
    (void)writer_end(writer);
    const struct stepd_error *const error = &waiting.written.error;
    return error->code == STEPD_OK ? EXIT_SUCCESS : complain(error, GIVEN_UP);
}

/* What the two do, one after the other. */
static enum stepd_status write_portions(const struct store *store, const struct shelf *shelf,
                                        const struct save *save, const struct portion_place *place,
                                        struct stepd_error *error)
{
    struct manifest_sums sums[SHARES] = {{.files = 0}};
    enum stepd_status status = STEPD_OK;
    for (uint32_t i = 0; i < SHARES && status == STEPD_OK; i++) {
        const struct portion_request request = {
            .step = save->step, .index = i, .portions = SHARES, .place = *place};
        const struct save_portion portion = {.store = store,
                                             .request = &request,
                                             .share = &save->snapshot->share[i],
                                             .shares = 1,
                                             .stop = save->stop};
        status = save_portion(&portion, &sums[i], error);
    }
    uint64_t bytes = 0;
    if (status == STEPD_OK)
        status = save_commit(save, place, sums, SHARES, &bytes, error);
    for (size_t i = 0; i < SHARES; i++)
        manifest_sums_deinit(&sums[i]);
    if (status != STEPD_OK)
        save_give_up(shelf, place);
    return status;
}

static int write_shared(const struct store *store, const struct job_snapshot *snapshot,
                        uint64_t step)
{
    const atomic_bool stop = false;
    struct shelf shelf;
    struct portion_place place;
    struct stepd_error error;
    if (writer_open_shelf(store, snapshot, NULL, &shelf, &error) != STEPD_OK)
        return complain(&error, GIVEN_UP);
    const struct save save = {
        .shelf = &shelf, .snapshot = snapshot, .step = step, .stepd = "test", .stop = &stop};
    enum stepd_status status = save_begin(&shelf, step, &place, &error);
    if (status == STEPD_OK)
        status = write_portions(store, &shelf, &save, &place, &error);
    if (status == STEPD_OK)
        writer_retire(&shelf, KEEP, step, NULL);
    shelf_close(&shelf);
    return status == STEPD_OK ? EXIT_SUCCESS : complain(&error, GIVEN_UP);
}

static int save(const struct store *store, uint64_t step, bool shared)
{
    struct shares shares;
    shares_setup_group(&shares, "adam", "lr=0.001");
    shares_take(&shares);
    (void)each_float(shares_map(&shares), step, set);
    const struct job_state *share[SHARES] = {shares.share[0], shares.share[1]};
    const struct job_snapshot snapshot = {
        .job = shares.job,
        .version = JOB_STATE_AS_IT_STANDS,
        .incarnation = 7,
        .started = true,
        .taken_ms = step,
        .share = share,
        .shares = SHARES,
    };
    const int code =
        shared ? write_shared(store, &snapshot, step) : write_one(store, &snapshot, step);
    shares_teardown(&shares);
    return code;
}

/* ---- Loading --------------------------------------------------------------------------------- */

static enum stepd_status restore(void *owner, struct job_snapshot *snapshot,
                                 struct job_state *state, struct stepd_error *reterr)
{
    uint64_t *const step = owner;
    const struct job_state *const share = state;
    struct arrays *arrays = NULL;
    *step = snapshot->taken_ms;
    const enum stepd_status status = arrays_create(&share, 1, &arrays, reterr);
    if (status != STEPD_OK || each_float(arrays, *step, is_set))
        return status;
    return stepd_fail(reterr, STEPD_DATA_LOSS, "floats of another step");
}

static int load(const struct store *store)
{
    uint64_t step = 0;
    struct stepd_error error;
    const struct resume resume = {
        .store = store, .bytes_max = UINT64_MAX, .restore = restore, .owner = &step};
    if (resume_jobs(&resume, &error) != STEPD_OK)
        return complain(&error, EXIT_FAILURE);
    (void)printf("%" PRIu64 "\n", step);
    return EXIT_SUCCESS;
}

static int run(const struct store *store, const char *verb, const char *step)
{
    if (strcmp(verb, "load") == 0)
        return load(store);
    const bool mend = strncmp(verb, "mend-", strlen("mend-")) == 0;
    const bool shared = strcmp(mend ? verb + strlen("mend-") : verb, "share") == 0;
    int code = mend ? load(store) : EXIT_SUCCESS;
    if (code == EXIT_SUCCESS)
        code = save(store, strtoull(step, NULL, 10), shared);
    return mend && code == EXIT_SUCCESS ? load(store) : code;
}

int main(int argc, char *argv[])
{
    struct store *store = NULL;
    struct stepd_error error;
    if (argc < 3 || (argc < 4 && strcmp(argv[1], "load") != 0))
        return EXIT_FAILURE;
    if (store_open(argv[2], &store, &error) != STEPD_OK)
        return complain(&error, GIVEN_UP);
    const int code = run(store, argv[1], argv[3]);
    (void)store_close(store);
    return code;
}
