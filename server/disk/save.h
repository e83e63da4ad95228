/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing a checkpoint: three files, each synced, in a folder that gets its name when all of them
 * are on the disk (shelf.h). Whatever fails, the checkpoint is given up and what was there stays.
 */
#ifndef DISK_SAVE_H
#define DISK_SAVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/control/snapshot.h"
#include "server/disk/shelf.h"

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

#endif
