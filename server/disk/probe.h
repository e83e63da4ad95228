/* SPDX-License-Identifier: Apache-2.0
 *
 * Do two daemons mean the same folder? One writes a file of a name that nobody can guess, and the
 * other one looks for it, and tries whether it may write there too.
 */
#ifndef DISK_PROBE_H
#define DISK_PROBE_H

#include <stepd/status.h>

#include "server/disk/store.h"

#define PROBE_NAME_BYTES 40u /* ".probe-", 32 digits, and its end */

/* Removes what earlier daemons have left of theirs, and writes a probe, synced. store has its lock.
 * UNAVAILABLE: the disk refuses, or there are no random numbers. */
enum stepd_status probe_write(const struct store *store, char ret_name[PROBE_NAME_BYTES],
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NOT_FOUND: there is no such probe in the folder. PERMISSION_DENIED: it is there, and files cannot
 * be made beside it. INVALID_ARGUMENT: the name is none of a probe's; it comes from a peer.
 * FAILED_PRECONDITION: there is no folder of that path, or it cannot be opened. The text names no
 * path: it goes to the peer. */
enum stepd_status probe_see(const char *path, const char *name,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* It need not be there. */
void probe_remove(const struct store *store, const char *name);

#endif
