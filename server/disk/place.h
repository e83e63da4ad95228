/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a folder one to keep checkpoints in? Looked at before anything in it is made, moved or
 * removed. Texts are for the operator, and name folders.
 */
#ifndef DISK_PLACE_H
#define DISK_PLACE_H

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/disk/store.h"

/* folder is that of path, borrowed. FAILED_PRECONDITION: it is a checkpoint, or the shelf of a job;
 * the text names the folder above, which is meant. */
enum stepd_status place_check(const char *path, int folder,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Shelves are no links, or what is behind them could change with every start. FAILED_PRECONDITION:
 * there is one that leads to checkpoints elsewhere, or that cannot be followed to see; the text
 * names it. One that leads nowhere, or to checkpoints of the same store, is left alone, and the log
 * (may be NULL) says so. */
enum stepd_status place_check_links(const struct store *store, const struct log *log,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
