/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of checkpoints that newer ones have taken the place of.
 */
#ifndef DISK_RETIRE_H
#define DISK_RETIRE_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/disk/shelf.h"

/* Removes all but the `keep` that were written last, the one of this step among them. */
enum stepd_status retire_oldest(const struct shelf *shelf, uint32_t keep, uint64_t step,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Sets a shelf aside, as "mnist~1": nothing of it is lost or gone on from. The log says so; it may
 * be NULL. */
enum stepd_status retire_set_aside(const struct store *store, const struct store_shelf_name *name,
                                   const struct log *log,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Is this the name of one that was set aside? */
bool retire_is_aside(const struct store_shelf_name *name);

/* The shelf of a job may be of another training that had its name, which was not gone on from: that
 * is so where it has been at a higher incarnation, or holds checkpoints and cannot say at which.
 * Then it is set aside. */
enum stepd_status retire_other_training(const struct store *store,
                                        const struct store_shelf_name *name, uint64_t incarnation,
                                        const struct log *log,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
