/* SPDX-License-Identifier: Apache-2.0
 *
 * The checkpoints of one job, in its folder of a store (store.h).
 */
#ifndef DISK_SHELF_H
#define DISK_SHELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "server/disk/store.h"

#define SHELF_INCARNATION_FILE "incarnation"
#define SHELF_BEGUN_BYTES      64u

struct shelf_checkpoint {
    char name[STEPD_CHECKPOINT_NAME_BYTES];
    uint64_t step;
};

/* One that is being written: the folder of a checkpoint before it has its name. */
struct shelf_begun {
    struct shelf_checkpoint checkpoint;
    char name[SHELF_BEGUN_BYTES]; /* ".new-step-00001200", or with "~0123456789abcdef" behind it */
    int folder;                   /* owned, by who has begun or opened it; -1: closed */
};

struct shelf {
    struct store_shelf_name name;
    int folder; /* owned */
};

/* Opens a shelf to be read. NOT_FOUND: there is none. The caller closes it with shelf_close. */
enum stepd_status shelf_open(const struct store *store, const struct store_shelf_name *name,
                             struct shelf *ret_shelf, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same to be written: makes it where there is none, and clears it. */
enum stepd_status shelf_open_to_write(const struct store *store,
                                      const struct store_shelf_name *name, struct shelf *ret_shelf,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Removes what a daemon that died has left half done; of what has other names than those that we
 * give nothing, and nothing where there is neither a checkpoint nor an incarnation: the folder may
 * be somebody else's. */
enum stepd_status shelf_clear(const struct shelf *shelf,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

void shelf_close(struct shelf *shelf);

/* Is there a name of a checkpoint? A folder without any is none of ours, or has nothing to lose. */
enum stepd_status shelf_holds_any(const struct shelf *shelf, bool *ret_holds,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The shelf's checkpoints by falling step. *ret_list: owned by the caller, who frees it. */
enum stepd_status shelf_list(const struct shelf *shelf, struct shelf_checkpoint **ret_list,
                             size_t *ret_count, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Reads a name as such. False: it is none. */
bool shelf_checkpoint_parse(const char *name, struct shelf_checkpoint *ret_checkpoint);
struct shelf_checkpoint shelf_checkpoint_of(uint64_t step);

/* The folder of a whole checkpoint, to be read. -1, and reterr says why not. The caller closes it.
 */
int shelf_open_checkpoint(const struct shelf *shelf, const char *name, struct stepd_error *reterr);

/* ---- Writing --------------------------------------------------------------------------------- */

/* Begins one. apart: in a folder that no other attempt has or will have. UNAVAILABLE: the disk
 * refuses, or there are no random numbers. *ret_begun: the caller ends with shelf_begun_close. */
enum stepd_status shelf_begin(const struct shelf *shelf, const struct shelf_checkpoint *checkpoint,
                              bool apart, struct shelf_begun *ret_begun,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Opens one that somebody has begun apart, by its name, which may be anything. INVALID_ARGUMENT: it
 * is none of such a folder. NOT_FOUND: it was given up. UNAVAILABLE: the disk refuses. The same. */
enum stepd_status shelf_open_begun(const struct shelf *shelf, const char *name,
                                   struct shelf_begun *ret_begun,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

void shelf_begun_close(struct shelf_begun *begun);

/*
 * The bytes of a checkpoint that was begun are on the disk: syncs its folder, gives it its name and
 * syncs the shelf. One of the same step that is there already is removed. UNAVAILABLE: it could not
 * be; the older one stays.
 */
enum stepd_status shelf_commit(const struct shelf *shelf, const struct shelf_begun *begun,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Removes one that was begun, or that is whole. */
void shelf_abandon(const struct shelf *shelf, const struct shelf_begun *begun);
enum stepd_status shelf_remove(const struct shelf *shelf, const char *name,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The highest incarnation that was written down; 0: none was. DATA_LOSS: what stands there is no
 * number up to JOB_INCARNATION_MAX. Writing it down is durable when it returns.
 */
enum stepd_status shelf_read_incarnation(const struct shelf *shelf, uint64_t *ret_incarnation,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;
enum stepd_status shelf_write_incarnation(const struct shelf *shelf, uint64_t incarnation,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
