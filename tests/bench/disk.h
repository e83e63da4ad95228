/* SPDX-License-Identifier: Apache-2.0
 *
 * The disk that checkpoints are measured on: a folder on it, and a plain write to it.
 */
#ifndef BENCH_DISK_H
#define BENCH_DISK_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define DISK_PATH_BYTES 512u

/* Makes a folder of its own in `parent`. UNAVAILABLE: it cannot be made. The caller removes it with
 * disk_remove_folder. */
enum stepd_status disk_make_folder(const char *parent, char ret_folder[DISK_PATH_BYTES],
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* With all that is in it; "" is fine. */
void disk_remove_folder(const char *folder);

/* What `dd conv=fsync` does: writes so many bytes to a file in the folder, a mebibyte at a time,
 * and syncs it. *ret_seconds: that this took; the file is removed behind it. UNAVAILABLE: no room,
 * or a failing disk. Any thread. */
enum stepd_status disk_write(const char *folder, uint64_t bytes, double *ret_seconds,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Seconds since a folder was made, by its file system; -1 where that does not say. */
double disk_age(const char *folder);

#endif
