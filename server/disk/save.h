/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing a checkpoint: its files, each synced, in a folder that gets its name when all of them are
 * on the disk (shelf.h). Whatever fails, the checkpoint is given up and what was there stays.
 *
 *     save_checkpoint    all of it by one daemon: three files
 *
 *     save_begin         or by several: control's daemon makes the folder,
 *     save_portion       each, itself too, writes the two files of its own slices there,
 *     save_commit        and it writes the manifest and gives the folder its name; or
 *     save_give_up       removes it with all that is in it
 *
 * A daemon that is not control's touches nothing but the two files that it writes. One that dies
 * leaves a folder that shelf_clear removes, at the latest when the job's next checkpoint is begun.
 */
#ifndef DISK_SAVE_H
#define DISK_SAVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/control/snapshot.h"
#include "server/disk/shelf.h"
#include "server/persist/portion.h"

#define SAVE_MODEL_FILE     "model.safetensors"
#define SAVE_OPTIMIZER_FILE "optimizer.safetensors"

struct save {
    const struct shelf *shelf; /* to be written to */
    const struct job_snapshot *snapshot;
    uint64_t step;
    const char *stepd;       /* the daemon's version */
    const atomic_bool *stop; /* another thread wants this one to give up */
};

/*
 * *ret_bytes: of the three files. UNAVAILABLE: the disk refuses; the text names the file and the
 * cause. CANCELLED: somebody wanted it to stop. RESOURCE_EXHAUSTED: no memory. Any thread, while
 * the snapshot's shares are lent.
 */
enum stepd_status save_checkpoint(const struct save *save, uint64_t *ret_bytes,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- By several daemons ---------------------------------------------------------------------- */

/* Makes a folder that no other attempt has: who is late for an earlier one finds it gone.
 * UNAVAILABLE: the disk refuses, or there are no random numbers. */
enum stepd_status save_begin(const struct shelf *shelf, uint64_t step,
                             struct portion_place *ret_place,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* All borrowed until return. */
struct save_portion {
    const struct store *store; /* may be without its lock */
    const struct portion_request *request;
    const struct job_state *const *share; /* lent by this daemon's shards */
    size_t shares;                        /* at least 1 */
    const atomic_bool *stop;
};

/*
 * Writes this daemon's files, of all slices that its shares have taken. INVALID_ARGUMENT: the
 * request, which may be a peer's, names no such place, or no portion. NOT_FOUND: the folder is
 * gone; the checkpoint was given up. Else as save_checkpoint. *ret_sums: caller frees with
 * manifest_sums_deinit. Any thread, while the shares are lent.
 */
enum stepd_status save_portion(const struct save_portion *portion, struct manifest_sums *ret_sums,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * All portions are on the disk, whose sums these are, by index; borrowed until return. The
 * snapshot's shares are those of all daemons (persist/share.h). DATA_LOSS: a file is not there, or
 * of another length; the text says whose. Else as save_checkpoint. Where it fails, save_give_up
 * follows.
 */
enum stepd_status save_commit(const struct save *save, const struct portion_place *place,
                              const struct manifest_sums *sums, uint32_t portions,
                              uint64_t *ret_bytes, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Who still writes there fails. */
void save_give_up(const struct shelf *shelf, const struct portion_place *place);

#endif
