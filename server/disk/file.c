/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* POSIX lets a system take as few as 16 pieces in one call; Linux takes 1024. */
#define PIECES_MAX 1024u

int file_create(int folder, const char *name)
{
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int file_open(int folder, const char *name, uint64_t *ret_bytes)
{
    /* A pipe would keep us waiting. */
    const int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return -1;
    struct stat stat;
    if (fstat(file, &stat) == 0 && S_ISREG(stat.st_mode)) {
        *ret_bytes = (uint64_t)stat.st_size;
        return file;
    }
    file_close(file);
    errno = EINVAL;
    return -1;
}

/* Passes over n bytes of the pieces. */
static void pass(struct iovec **piece, size_t *pieces, size_t n)
{
    while (*pieces > 0 && n >= (*piece)->iov_len) {
        n -= (*piece)->iov_len;
        (*piece)++;
        (*pieces)--;
    }
    if (n > 0 && *pieces > 0) {
        (*piece)->iov_base = (uint8_t *)(*piece)->iov_base + n;
        (*piece)->iov_len -= n;
    }
}

bool file_write(int file, struct iovec *piece, size_t pieces)
{
    pass(&piece, &pieces, 0);
    while (pieces > 0) {
        const size_t n = pieces < PIECES_MAX ? pieces : PIECES_MAX;
        const ssize_t written = writev(file, piece, (int)n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? EIO : errno;
            return false;
        }
        pass(&piece, &pieces, (size_t)written);
    }
    return true;
}

bool file_read(int file, void *bytes, size_t n, uint64_t offset)
{
    uint8_t *at = bytes;
    while (n > 0) {
        const ssize_t got = pread(file, at, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? ENODATA : errno;
            return false;
        }
        at += got;
        n -= (size_t)got;
        offset += (size_t)got;
    }
    return true;
}

bool file_finish(int file)
{
    const bool synced = fsync(file) == 0;
    const int cause = errno;
    const bool closed = close(file) == 0;
    if (!synced)
        errno = cause;
    return synced && closed;
}

void file_close(int file)
{
    const int cause = errno;
    (void)close(file);
    errno = cause;
}

bool file_sync_folder(int folder)
{
    return fsync(folder) == 0;
}

/* ---- Small files ----------------------------------------------------------------------------- */

bool file_replace(int folder, const char *name, const void *bytes, size_t n)
{
    char beside[NAME_MAX + 1];
    const int length = snprintf(beside, sizeof beside, ".new-%s", name);
    if (length < 0 || (size_t)length >= sizeof beside) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (unlinkat(folder, beside, 0) != 0 && errno != ENOENT)
        return false;
    const int file = file_create(folder, beside);
    if (file < 0)
        return false;
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    const bool written = file_write(file, &piece, 1);
    const int cause = errno;
    const bool finished = file_finish(file);
    if (written && finished && renameat(folder, beside, folder, name) == 0)
        return file_sync_folder(folder);
    const int last = written ? errno : cause;
    (void)unlinkat(folder, beside, 0);
    errno = last;
    return false;
}

bool file_random_digits(char *ret_digits, size_t n)
{
    uint8_t bytes[32];
    assert(n / 2 <= sizeof bytes);
    if (getrandom(bytes, n / 2, 0) != (ssize_t)(n / 2))
        return false;
    for (size_t i = 0; i < n / 2; i++)
        (void)snprintf(ret_digits + 2 * i, 3, "%02x", (unsigned)bytes[i]);
    return true;
}

/* ---- Folders -------------------------------------------------------------------------------- */

bool file_walk(int folder, bool (*visit)(void *owner, const char *name), void *owner)
{
    const int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *const list = again < 0 ? NULL : fdopendir(again);
    if (list == NULL) {
        if (again >= 0)
            file_close(again);
        return false;
    }
    bool goes_on = true;
    const struct dirent *entry;
    while (goes_on && (entry = readdir(list)) != NULL)
        goes_on = visit(owner, entry->d_name);
    const int cause = errno;
    (void)closedir(list);
    errno = cause;
    return goes_on;
}

static bool remove_file(void *owner, const char *name)
{
    const int *const folder = owner;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    return unlinkat(*folder, name, 0) == 0 || errno == ENOENT;
}

bool file_remove_folder(int folder, const char *name)
{
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0)
        return errno == ENOENT;
    const bool emptied = file_walk(inner, remove_file, &inner);
    const int cause = errno;
    file_close(inner);
    errno = cause;
    return emptied && unlinkat(folder, name, AT_REMOVEDIR) == 0;
}
