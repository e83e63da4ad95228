/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"
#include "tests/bench/samples.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define FOLDERS     16 /* that are open at a time while some are removed */

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    (void)stat;
    (void)kind;
    (void)place;
    (void)remove(path);
    return 0;
}

static void remove_all(const char *path)
{
    (void)nftw(path, remove_entry, FOLDERS, FTW_DEPTH | FTW_PHYS);
}

/* Becomes a process that waits until nobody holds the other end of the pipe; a shell, since one
 * that shared our memory would make us copy each page that we write. */
static _Noreturn void run_remover(const char *path, const int held[2])
{
    static const char script[] = "read -r line; exec rm -rf -- \"$1\"";
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP}; /* which a terminal sends to us all */
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        (void)signal(signals[i], SIG_IGN);
    (void)close(held[1]);
    (void)dup2(held[0], STDIN_FILENO);
    if (held[0] != STDIN_FILENO)
        (void)close(held[0]);
    (void)execl("/bin/sh", "sh", "-c", script, "sh", path, (char *)NULL);
    _exit(127);
}

static enum stepd_status start_remover(struct disk_folder *folder, struct stepd_error *reterr)
{
    int held[2];
    if (pipe(held) != 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot make a pipe: %s", strerror(errno));
    folder->remover = fork();
    if (folder->remover == 0)
        run_remover(folder->path, held);
    (void)close(held[0]);
    folder->held = held[1];
    if (folder->remover > 0)
        return STEPD_OK;
    (void)close(held[1]);
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot fork: %s", strerror(errno));
}

enum stepd_status disk_make_folder(const char *parent, struct disk_folder *ret_folder,
                                   struct stepd_error *reterr)
{
    struct disk_folder folder;
    const int length = snprintf(folder.path, sizeof folder.path, "%s/stepd-bench-XXXXXX", parent);
    if (length < 0 || (size_t)length >= sizeof folder.path)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the name of the folder is too long: %s",
                          parent);
    if (mkdtemp(folder.path) == NULL)
        return stepd_fail(reterr, STEPD_UNAVAILABLE,
                          "cannot make a folder in %s: %s; --folder names another one", parent,
                          strerror(errno));
    const enum stepd_status status = start_remover(&folder, reterr);
    if (status == STEPD_OK)
        *ret_folder = folder;
    else
        (void)rmdir(folder.path);
    return status;
}

void disk_remove_folder(struct disk_folder *folder)
{
    if (folder->remover == 0)
        return;
    remove_all(folder->path);
    (void)kill(folder->remover, SIGKILL);
    (void)waitpid(folder->remover, NULL, 0);
    (void)close(folder->held);
    *folder = (struct disk_folder){.remover = 0};
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
