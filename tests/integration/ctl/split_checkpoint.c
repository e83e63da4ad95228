/* SPDX-License-Identifier: Apache-2.0
 *
 * split_checkpoint CHECKPOINT STORE DAEMONS: writes a checkpoint into another store as so many
 * daemons would have, with its slices in turns.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/disk/load.h"
#include "server/disk/save.h"
#include "server/disk/shelf.h"

static const atomic_bool go_on;

static int complain(const struct stepd_error *error)
{
    (void)fprintf(stderr, "split_checkpoint: %s\n", error->text);
    return EXIT_FAILURE;
}

/* The slices of one of the daemons, which stay the whole one's. */
static struct job_state *deal(const struct job_state *whole, uint32_t index, uint32_t daemons)
{
    struct job_state *state = NULL;
    if (job_state_create(whole->job, whole->version, &state) != STEPD_OK)
        exit(EXIT_FAILURE);
    state->halted = whole->halted;
    for (size_t i = index; i < whole->job->layout.slices; i += daemons)
        state->slice[i] = whole->slice[i];
    return state;
}

static void end_deal(struct job_state *state)
{
    for (size_t i = 0; i < state->job->layout.slices; i++)
        state->slice[i] = (struct slice_state){.taken = false};
    (void)job_state_unref(state);
}

static enum stepd_status write_portions(const struct store *store, const struct shelf *shelf,
                                        const struct job_snapshot *snapshot, const char *stepd,
                                        uint64_t step, struct stepd_error *error)
{
    struct portion_request request = {.step = step, .portions = (uint32_t)snapshot->shares};
    struct manifest_sums sums[PORTIONS_MAX] = {{.files = 0}};
    enum stepd_status status = save_begin(shelf, step, &request.place, error);
    for (; request.index < request.portions && status == STEPD_OK; request.index++) {
        const struct save_portion portion = {.store = store,
                                             .request = &request,
                                             .share = &snapshot->share[request.index],
                                             .shares = 1,
                                             .stop = &go_on};
        status = save_portion(&portion, &sums[request.index], error);
    }
    const struct save save = {
        .shelf = shelf, .snapshot = snapshot, .step = step, .stepd = stepd, .stop = &go_on};
    uint64_t bytes = 0;
    if (status == STEPD_OK)
        status = save_commit(&save, &request.place, sums, request.portions, &bytes, error);
    for (size_t i = 0; i < PORTIONS_MAX; i++)
        manifest_sums_deinit(&sums[i]);
    return status;
}

static enum stepd_status write_all(const char *path, struct manifest *manifest, uint64_t step,
                                   uint32_t daemons, struct stepd_error *error)
{
    const struct store_shelf_name name = store_shelf_name(manifest->snapshot.job->name);
    struct job_state *own[PORTIONS_MAX];
    const struct job_state *share[PORTIONS_MAX];
    struct store *store = NULL;
    struct shelf shelf;
    for (uint32_t i = 0; i < daemons; i++)
        share[i] = own[i] = deal(manifest->state, i, daemons);
    struct job_snapshot snapshot = manifest->snapshot;
    snapshot.share = share;
    snapshot.shares = daemons;
    enum stepd_status status = store_open(path, &store, error);
    if (status == STEPD_OK)
        status = shelf_open_to_write(store, &name, &shelf, error);
    if (status == STEPD_OK) {
        status = shelf_write_incarnation(&shelf, snapshot.incarnation, error);
        if (status == STEPD_OK)
            status = write_portions(store, &shelf, &snapshot, manifest->stepd, step, error);
        shelf_close(&shelf);
    }
    (void)store_close(store);
    for (uint32_t i = 0; i < daemons; i++)
        end_deal(own[i]);
    return status;
}

int main(int argc, char *argv[])
{
    struct manifest manifest;
    struct stepd_error error = {.code = STEPD_OK};
    struct shelf_checkpoint checkpoint;
    const char *const last = argc == 4 ? strrchr(argv[1], '/') : NULL;
    const unsigned long daemons = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (last == NULL || !shelf_checkpoint_parse(last + 1, &checkpoint) || daemons < 2 ||
        daemons > PORTIONS_MAX)
        return EXIT_FAILURE;
    const int folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || load_checkpoint(folder, UINT64_MAX, &manifest, &error) != STEPD_OK)
        return complain(&error);
    (void)close(folder);
    const enum stepd_status status =
        write_all(argv[2], &manifest, checkpoint.step, (uint32_t)daemons, &error);
    manifest_deinit(&manifest);
    return status == STEPD_OK ? EXIT_SUCCESS : complain(&error);
}
