/* SPDX-License-Identifier: Apache-2.0
 *
 * To be preloaded: counts a process's calls that reach the disk, and has one of them go wrong.
 *
 *     DISK_FAULT=count        counts, and writes the number to the file DISK_FAULT_COUNT
 *     DISK_FAULT=KIND:N       the N-th call, 1 first:
 *         eio, enospc         fails
 *         short               writes the first half (of other calls: works)
 *         kill, after         the process dies before it, or right behind it
 *         drop                the power goes before it: what was written and not synced is lost,
 * and names in folders that were not synced are gone, or as they were
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* A name that was made or moved, and whether that would survive. */
struct change {
    char path[PATH_MAX];
    char from[PATH_MAX]; /* "": it was made */
    bool folder;
    bool content_synced;
    bool name_synced;
};

enum { CHANGES_MAX = 64 };

static struct change changes[CHANGES_MAX];
static int changed;
static long calls;
static long at;
static char kind[16];

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *const fault = getenv("DISK_FAULT");
    if (fault != NULL)
        (void)sscanf(fault, "%15[a-z]:%ld", kind, &at);
}

__attribute__((destructor)) static void end(void)
{
    const char *const path = getenv("DISK_FAULT_COUNT");
    if (strcmp(kind, "count") != 0 || path == NULL)
        return;
    FILE *const file = fopen(path, "w");
    if (file != NULL) {
        (void)fprintf(file, "%ld\n", calls);
        (void)fclose(file);
    }
}

/* ---- What would be lost ---------------------------------------------------------------------- */

static void path_of(int folder, const char *name, char path[PATH_MAX])
{
    char link[64];
    char base[PATH_MAX] = "";
    if (name[0] == '/' || folder == AT_FDCWD) {
        (void)snprintf(path, PATH_MAX, "%s", name);
        return;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    const ssize_t n = readlink(link, base, sizeof base - 1);
    base[n < 0 ? 0 : n] = '\0';
    if (snprintf(path, PATH_MAX, "%s%s%s", base, name[0] == '\0' ? "" : "/", name) >= PATH_MAX)
        abort();
}

static void note(int folder, const char *name, const char *from, bool is_folder)
{
    if (changed == CHANGES_MAX)
        abort();
    struct change *const change = &changes[changed++];
    *change = (struct change){.folder = is_folder};
    path_of(folder, name, change->path);
    if (from != NULL)
        path_of(folder, from, change->from);
}

/* A folder that is renamed takes along what is in it. */
static void note_moved(int folder, const char *from, const char *to)
{
    char old_path[PATH_MAX];
    char new_path[PATH_MAX];
    path_of(folder, from, old_path);
    path_of(folder, to, new_path);
    const size_t length = strlen(old_path);
    for (int i = 0; i < changed; i++) {
        char moved[PATH_MAX];
        if (strncmp(changes[i].path, old_path, length) != 0 || changes[i].path[length] != '/')
            continue;
        if (snprintf(moved, sizeof moved, "%s%s", new_path, changes[i].path + length) >= PATH_MAX)
            abort();
        memcpy(changes[i].path, moved, sizeof moved);
    }
    note(folder, to, from, true);
}

static bool is_in(const char *path, const char *folder)
{
    const char *const slash = strrchr(path, '/');
    return slash != NULL && strlen(folder) == (size_t)(slash - path) &&
           strncmp(path, folder, (size_t)(slash - path)) == 0;
}

static void note_synced(int file)
{
    char path[PATH_MAX];
    path_of(file, "", path);
    for (int i = 0; i < changed; i++) {
        if (strcmp(changes[i].path, path) == 0)
            changes[i].content_synced = true;
        if (is_in(changes[i].path, path))
            changes[i].name_synced = true;
    }
}

/* The newest change first, as if it had never been. */
static void lose(void)
{
    for (int i = changed; i-- > 0;) {
        const struct change *const change = &changes[i];
        if (!change->folder && !change->content_synced)
            (void)truncate(change->path, 0);
        if (change->name_synced)
            continue;
        if (change->from[0] != '\0')
            (void)rename(change->path, change->from);
        else if (!change->folder)
            (void)unlink(change->path);
        else
            (void)rmdir(change->path); /* of an empty one */
    }
}

/* ---- Going wrong ----------------------------------------------------------------------------- */

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
}

/* Is this the call that goes wrong by an error? Dies where it is to. */
static bool goes_wrong(void)
{
    calls++;
    if (calls != at)
        return false;
    if (strcmp(kind, "drop") == 0)
        lose();
    if (strcmp(kind, "drop") == 0 || strcmp(kind, "kill") == 0)
        die();
    errno = strcmp(kind, "enospc") == 0 ? ENOSPC : EIO;
    return strcmp(kind, "eio") == 0 || strcmp(kind, "enospc") == 0;
}

static void behind(void)
{
    if (calls == at && strcmp(kind, "after") == 0)
        die();
}

static bool is_short(void)
{
    return calls == at && strcmp(kind, "short") == 0;
}

int openat(int folder, const char *name, int flags, ...)
{
    NEXT(openat);
    va_list args;
    va_start(args, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (goes_wrong())
        return -1;
    const int file = next(folder, name, flags, mode);
    if (file >= 0 && (flags & O_EXCL) != 0)
        note(folder, name, NULL, false);
    behind();
    return file;
}

int mkdirat(int folder, const char *name, mode_t mode)
{
    NEXT(mkdirat);
    if (goes_wrong())
        return -1;
    const int made = next(folder, name, mode);
    if (made == 0)
        note(folder, name, NULL, true);
    behind();
    return made;
}

ssize_t writev(int file, const struct iovec *piece, int pieces)
{
    NEXT(writev);
    if (goes_wrong())
        return -1;
    const struct iovec half = {.iov_base = piece[0].iov_base,
                               .iov_len = (piece[0].iov_len + 1) / 2};
    const ssize_t written = is_short() ? next(file, &half, 1) : next(file, piece, pieces);
    behind();
    return written;
}

int fsync(int file)
{
    NEXT(fsync);
    if (goes_wrong())
        return -1;
    const int synced = next(file);
    if (synced == 0)
        note_synced(file);
    behind();
    return synced;
}

int close(int file)
{
    NEXT(close);
    const bool wrong = goes_wrong();
    const int cause = errno;
    const int closed = next(file);
    behind();
    errno = wrong ? cause : errno;
    return wrong ? -1 : closed;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    NEXT(renameat);
    if (goes_wrong())
        return -1;
    const int renamed = next(from_folder, from, to_folder, to);
    if (renamed == 0)
        note_moved(from_folder, from, to);
    behind();
    return renamed;
}

int unlinkat(int folder, const char *name, int flags)
{
    NEXT(unlinkat);
    if (goes_wrong())
        return -1;
    const int removed = next(folder, name, flags);
    behind();
    return removed;
}
