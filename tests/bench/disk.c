/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"
#include "tests/bench/samples.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define FOLDERS     16 /* that are open at a time while some are removed */

enum stepd_status disk_make_folder(const char *parent, char ret_folder[DISK_PATH_BYTES],
                                   struct stepd_error *reterr)
{
    char folder[DISK_PATH_BYTES];
    const int length = snprintf(folder, sizeof folder, "%s/stepd-bench-XXXXXX", parent);
    if (length < 0 || (size_t)length >= sizeof folder)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the name of the folder is too long: %s",
                          parent);
    if (mkdtemp(folder) == NULL)
        return stepd_fail(reterr, STEPD_UNAVAILABLE,
                          "cannot make a folder in %s: %s; name another one with --folder", parent,
                          strerror(errno));
    memcpy(ret_folder, folder, sizeof folder);
    return STEPD_OK;
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    (void)stat;
    (void)kind;
    (void)place;
    (void)remove(path);
    return 0;
}

void disk_remove_folder(const char *folder)
{
    if (folder[0] != '\0')
        (void)nftw(folder, remove_entry, FOLDERS, FTW_DEPTH | FTW_PHYS);
}

static bool write_chunks(int file, const char *chunk, uint64_t bytes)
{
    for (uint64_t left = bytes; left > 0;) {
        const ssize_t n = write(file, chunk, left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES);
        if (n <= 0)
            return false;
        left -= (uint64_t)n;
    }
    return fsync(file) == 0;
}

enum stepd_status disk_write(const char *folder, uint64_t bytes, double *ret_seconds,
                             struct stepd_error *reterr)
{
    char path[DISK_PATH_BYTES + 8];
    (void)snprintf(path, sizeof path, "%s/plain", folder);
    char *const chunk = malloc(CHUNK_BYTES);
    if (chunk == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a mebibyte");
    for (size_t i = 0; i < CHUNK_BYTES; i++)
        chunk[i] = (char)(i * 131 >> 7);
    const double began = samples_now();
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const bool written = file >= 0 && write_chunks(file, chunk, bytes);
    const double seconds = samples_now() - began;
    const int cause = errno;
    if (file >= 0)
        (void)close(file);
    (void)unlink(path);
    free(chunk);
    if (!written)
        return stepd_fail(reterr, STEPD_UNAVAILABLE,
                          "cannot write %s: %s; name another folder with --folder", path,
                          strerror(cause));
    *ret_seconds = seconds;
    return STEPD_OK;
}

double disk_age(const char *folder)
{
    struct statx made;
    struct timespec now;
    if (statx(AT_FDCWD, folder, 0, STATX_BTIME, &made) != 0 || (made.stx_mask & STATX_BTIME) == 0)
        return -1;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)(now.tv_sec - made.stx_btime.tv_sec) +
           1e-9 * ((double)now.tv_nsec - (double)made.stx_btime.tv_nsec);
}
