/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders for what is measured, and a plain write to the disk that checkpoints are measured on.
 */
#ifndef BENCH_DISK_H
#define BENCH_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <stepd/status.h>

#define DISK_PATH_BYTES 512u

/* A folder that is gone when we are, whatever ends us: a process beside us waits for that. */
struct disk_folder {
    char path[DISK_PATH_BYTES];
    int held;      /* closed by us and by all that we start: the folder is nobody's any more */
    pid_t remover; /* 0: there is no folder */
};

/* Makes one in `parent`. Daemons that are started afterwards may write there: it is removed after
 * their end. UNAVAILABLE: it cannot be made. The caller removes it with disk_remove_folder. */
enum stepd_status disk_make_folder(const char *parent, struct disk_folder *ret_folder,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* With all that is in it; a zeroed one is fine. */
void disk_remove_folder(struct disk_folder *folder);

/* What `dd conv=fsync` does: writes so many bytes to a file in the folder, a mebibyte at a time,
 * and syncs it. *ret_seconds: that this took; the file is removed behind it. UNAVAILABLE: no room,
 * or a failing disk. Any thread. */
enum stepd_status disk_write(const char *folder, uint64_t bytes, double *ret_seconds,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Seconds since a folder was made, by its file system; -1 where that does not say. */
double disk_age(const char *folder);

#endif
