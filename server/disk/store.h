/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder that a daemon keeps checkpoints in:
 *
 *     lock                       held by the daemon that is at it
 *     .probe-...                 by which others see that they mean this folder (probe.h)
 *     mnist/                     a job's shelf; other characters of its name as %2F, and the first
 *                                of a name that stands here, as %6Cock
 *         incarnation            the highest that the job was brought back under
 *         step-00001200/         a checkpoint: whole, or it has not this name
 *         .new-step-00001300/    one that is being written, or was when the daemon died; where
 * several daemons write it, with "~" and 16 digits of its own behind .old-step-00001100/    one
 * that is being removed, likewise
 *
 * Checkpoints get their names when all of their bytes are on the disk. Whoever opens a shelf to
 * write removes what is hidden under exactly these names, and touches nothing else: the folder may
 * hold what others have put there. Everything is the owner's alone: a manifest holds the sessions
 * of the workers.
 *
 * Names come from clients, and never get past store_shelf_name. Texts of errors name the shelf and
 * what is in it, and no folder above.
 */
#ifndef DISK_STORE_H
#define DISK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define STORE_SHELF_BYTES 192u
#define STORE_LOCK_FILE   "lock"

struct store_shelf_name {
    char text[STORE_SHELF_BYTES];
};

struct store;

/*
 * Opens the store and takes its lock; makes the folder where there is none. FAILED_PRECONDITION:
 * another daemon has the lock, or the folder cannot be used (place.h); the text names it, for the
 * operator.
 * *ret_store: caller frees with store_close.
 */
enum stepd_status store_open(const char *path, struct store **ret_store,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Opens a folder to look at what is there, and touches nothing: takes no lock, since a daemon may
 * be at work in it. NOT_FOUND: there is none. FAILED_PRECONDITION: it cannot be opened. *ret_store:
 * caller frees with store_close. */
enum stepd_status store_open_to_read(const char *path, struct store **ret_store,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Gives the lock back, where it has one. NULL is fine. Returns NULL. */
struct store *store_close(struct store *store);

/* How a job's shelf is called. A job's name has at most STEPD_NAME_MAX_BYTES. */
struct store_shelf_name store_shelf_name(const char *job_name);

/* The store's folder, borrowed. */
int store_folder(const struct store *store);

/* Can a folder of this name be a shelf, or one that was set aside? */
bool store_is_shelf_name(const char *name);

/* The shelves of a store by rising names: folders of names that store_shelf_name makes, or that
 * were set aside, and so nothing that a terminal must not be shown. *ret_shelf: owned by the
 * caller, who frees it. */
enum stepd_status store_shelves(const struct store *store, struct store_shelf_name **ret_shelf,
                                size_t *ret_shelves, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
